//! "Speed is a list of host calls": what requests cost, call by call. `docs/idempotency.md` has the prices.

use crate::shop::Shop;
use crate::support::{Plugin, SECOND, ask, keyless, memory, pay, post, receipt, replayed, runs};

/// What was asked since the last `clear_calls`: names without what all of them share, cells without their numbers.
fn asked(plugin: &Plugin) -> Vec<String> {
    plugin.host().call_lines().into_iter().map(|line| short(&line)).collect()
}

fn short(line: &str) -> String {
    let line = line.replace("holdfast_idempotency_", "").replace(";chain=downstream;instance=default", "");
    let Some((name, rest)) = line.split_once("(holdfast;idempotency;downstream;default;") else { return line };
    let kind: String = rest.trim_start_matches(|c| c != ';').chars().filter(char::is_ascii_lowercase).take(1).collect();
    let condition = ["Absent", "Version"].into_iter().find(|condition| rest.contains(condition));
    format!("{name}({kind}{})", condition.map(|condition| format!(" {condition}")).unwrap_or_default())
}

/// Whether there is a key, and a fence that isn't ours.
#[test]
fn a_request_without_a_key_costs_exactly_these_host_calls() {
    let absent = ["header(RequestHeaders idempotency-key)", "header(RequestHeaders x-holdfast-fence)"];
    for plugin in [memory(""), Shop::redis(1, "").one().clone(), memory(r#""paths": ["/other"]"#)] {
        for request in [keyless(), ask("GET", "/pay")] {
            runs(&plugin, &request);
            plugin.host().clear_calls();
            runs(&plugin, &request);
            assert_eq!(asked(&plugin), absent);
        }
    }
}

#[test]
fn where_more_than_a_key_makes_a_request_ours_its_method_is_read_first() {
    let plugin = memory(r#""required": true"#);
    let get = ask("GET", "/pay");
    runs(&plugin, &get);
    plugin.host().clear_calls();
    runs(&plugin, &get);
    assert_eq!(asked(&plugin), ["header(RequestHeaders :method)"]);
}

/// Until the service is asked, and from its answer on. The key's property, counters and the layout of memory at first; then this.
#[test]
fn a_claimed_request_with_its_store_in_memory_costs_exactly_these_host_calls() {
    let plugin = memory("");
    pay(&plugin, &post("before"));
    plugin.host().clear_calls();
    let mut call = post("k").send(&plugin);
    assert_eq!(
        asked(&plugin),
        [
            "header(RequestHeaders idempotency-key)",
            "header(RequestHeaders :method)",
            "headers(RequestHeaders)",
            "property(xds.route_name)",
            "now()",
            "body(Request 262145)",
            "now()",
            "shared_get(s)",
            "shared_set(s Absent)",
            "now()",
            "increment(claimed_total;key=checkout +1)",
            "set_property(holdfast.idempotency)",
            "set_header(RequestHeaders x-holdfast-fence: 1700000000000)",
            "set_header(RequestHeaders x-envoy-max-retries: 0)",
            "now()",
            "header(RequestHeaders x-envoy-upstream-rq-per-try-timeout-ms)",
            "set_header(RequestHeaders x-envoy-upstream-rq-per-try-timeout-ms: 27000)",
        ]
    );
    plugin.host().clear_calls();
    receipt(&mut call);
    call.finish();
    assert_eq!(
        asked(&plugin),
        [
            "header(ResponseHeaders :status)",
            "property(response.code_details)",
            "property(upstream.request_attempt_count)",
            "headers(ResponseHeaders)",
            "body(Response 17)",
            "now()",
            "shared_get(s)",
            "shared_set(s Version)",
            "shared_get(b)",
            "shared_get(s)",
            "shared_set(b Absent)",
            "shared_set(s Version)",
            "increment(stored_total;key=checkout;cause=in_time +1)",
        ]
    );
}

#[test]
fn a_replay_out_of_memory_costs_exactly_these_host_calls() {
    let plugin = memory("");
    pay(&plugin, &post("k"));
    replayed(post("k").send(&plugin));
    plugin.host().clear_calls();
    replayed(post("k").send(&plugin));
    assert_eq!(
        asked(&plugin),
        [
            "header(RequestHeaders idempotency-key)",
            "header(RequestHeaders :method)",
            "headers(RequestHeaders)",
            "property(xds.route_name)",
            "now()",
            "body(Request 262145)",
            "now()",
            "shared_get(s)",
            "shared_get(b)",
            "now()",
            "increment(replayed_total;key=checkout +1)",
            "set_property(holdfast.idempotency)",
            "reply(201)",
        ]
    );
}

#[test]
fn a_lone_claimed_request_with_redis_costs_exactly_these_host_calls() {
    let mut shop = Shop::redis(1, "").warm();
    shop.pay(&post("before"));
    shop.proxy.advance(SECOND);
    shop.one().host().clear_calls();
    let mut call = shop.send(&post("k"));
    let to_the_store = [
        "now()",
        "now()",
        "metric(store_connections_total;store=redis)",
        "dispatch(store)",
        "increment(store_connections_total;store=redis +1)",
        "increment(store_calls_total;store=redis +1)",
        "increment(store_commands_total;store=redis +1)",
        "header(CalloutHeaders :status)",
        "body(Callout 67108864)",
        "now()",
    ];
    let before = [
        "header(RequestHeaders idempotency-key)",
        "header(RequestHeaders :method)",
        "headers(RequestHeaders)",
        "property(xds.route_name)",
        "now()",
        "body(Request 262145)",
    ];
    let after = [
        "now()",
        "increment(claimed_total;key=checkout +1)",
        "set_property(holdfast.idempotency)",
        "set_header(RequestHeaders x-holdfast-fence: 1700000002002)",
        "set_header(RequestHeaders x-envoy-max-retries: 0)",
        "now()",
        "header(RequestHeaders x-envoy-upstream-rq-per-try-timeout-ms)",
        "set_header(RequestHeaders x-envoy-upstream-rq-per-try-timeout-ms: 27000)",
        "resume(Request)",
    ];
    assert_eq!(asked(shop.one()), [&before[..], &to_the_store, &after].concat());
    shop.one().host().clear_calls();
    receipt(&mut call);
    shop.settle(&call);
    call.finish();
    let before = [
        "header(ResponseHeaders :status)",
        "property(response.code_details)",
        "property(upstream.request_attempt_count)",
        "headers(ResponseHeaders)",
        "body(Response 17)",
    ];
    let after = ["increment(stored_total;key=checkout;cause=in_time +1)", "resume(Response)"];
    assert_eq!(asked(shop.one()), [&before[..], &to_the_store, &after].concat());
}

#[test]
fn an_idle_proxy_does_not_tick() {
    let shop = Shop::redis(1, "").warm();
    shop.one().host().clear_calls();
    shop.one().tick();
    assert_eq!((asked(shop.one()), shop.one().tick_period()), (Vec::new(), None));
}
