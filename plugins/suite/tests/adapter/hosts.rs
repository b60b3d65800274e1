//! The suite on the other host.

use crate::support::{GET, ORDER, POST, call, worker};
use sdk_shim::fake::FakeProxy;

fn kong() -> FakeProxy {
    let proxy = FakeProxy::wasmx();
    proxy.set("kong.route_id", "checkout");
    proxy.set("kong.service_id", "payments");
    proxy
}

#[test]
fn kong_runs_what_it_can() {
    let plugin = worker(
        &kong(),
        r#"{"allow_degraded": true, "protocol_health": {}, "circuit_breaker": {"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2}}"#,
    );
    assert!(call(&plugin, "200") && call(&plugin, "500") && call(&plugin, "500"));
    assert!(!call(&plugin, "200"), "the breaker is open");
    (0..3).for_each(|_| plugin.tick());
    assert!(plugin.host().traps().is_empty());
}

#[test]
fn a_service_that_kong_cant_reach_opens_the_breaker() {
    let all = r#"{"allow_degraded": true, "protocol_health": {}, "metrics": {}, "circuit_breaker": {"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2}}"#;
    let plugin = worker(&kong(), all);
    plugin.request(GET).forget();
    plugin.request(GET).forget();
    assert!(!call(&plugin, "200"));
    assert!(plugin.host().traps().is_empty());
}

/// Kong's own error pages end a request without a word to its filters.
#[test]
fn a_request_of_whose_end_nobody_hears_leaves_nothing_behind() {
    let all = r#"{"circuit_breaker": {}, "insecure_literal": true, "idempotency": {"store": {"kind": "webdis", "cluster": "127.0.0.1:7379"},
        "accept_reply_before_store": true, "secret": [{"literal": "a secret of more than sixteen bytes"}], "on_store_error": "open"}}"#;
    let plugin = worker(&kong(), all);
    let length = ORDER.len().to_string();
    for _ in 0..3 {
        let keyed = sdk_shim::fake::Headers::from(POST).with("content-length", length.as_bytes());
        let mut keyed = plugin.stream().with_body().request(keyed);
        keyed.request_body(ORDER, true);
        assert!(keyed.paused());
        let (id, _) = plugin.host().pending_callouts().pop().unwrap();
        plugin.answer_nothing(id);
        assert!(keyed.passed());
        keyed.forget();
    }
    assert!(format!("{:?}", plugin.plugin()).contains("held: 0"), "{:?}", plugin.plugin());
}

/// Each property that Kong has not would be a line in its error log, for each request.
#[test]
fn a_healthy_request_costs_kong_no_line_in_its_log() {
    let all = r#"{"allow_degraded": true, "protocol_health": {}, "metrics": {}, "circuit_breaker": {}, "retry_budget": {"client_retries": {}},
        "idempotency": {"store": {"kind": "memory", "accept_eviction": true}, "accept_reply_before_store": true}}"#;
    let plugin = worker(&kong(), all);
    let length = ORDER.len().to_string();
    for _ in 0..2 {
        let mut plain = plugin.request(GET);
        plain.respond(&[(":status", "200")], false).body(b"ok", true);
        plain.finish();
        let keyed = sdk_shim::fake::Headers::from(POST).with("content-length", length.as_bytes());
        let mut keyed = plugin.stream().with_body().request(keyed);
        keyed.request_body(ORDER, true);
        if keyed.passed() {
            keyed.respond(&[(":status", "200")], false).body(b"paid", true);
        }
        keyed.finish();
        plugin.tick();
    }
    assert!(plugin.host().logs().is_empty(), "{:?}", plugin.host().logs());
    let asked =
        |path: &str| plugin.host().call_lines().iter().filter(|line| **line == format!("property({path})")).count();
    assert_eq!((asked("plugin_name"), asked("kong.version")), (1, 1), "once per worker");
}

/// A query of GraphQL, answered with 200.
fn query(plugin: &crate::support::Plugin, answer: &[u8]) -> bool {
    let (body, kind) = (br#"{"query": "{a}"}"#, ("content-type", "application/json"));
    let headers = [(":method", "POST"), (":path", "/graphql"), (":authority", "shop"), kind, ("content-length", "16")];
    let mut query = plugin.stream().with_body().request(&headers);
    query.request_body(body, true);
    let passed = query.passed();
    if passed {
        query.respond(&[(":status", "200"), kind], false).body(answer, true);
    }
    query.finish();
    passed
}

const SICK: &[u8] = br#"{"errors": [{"message": "x", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}], "data": null}"#;

/// What a body says is known when it has gone by, and forgotten when the request is over.
#[test]
fn errors_in_a_body_open_a_breaker_that_measures_to_completion() {
    let all = r#"{"allow_degraded": true, "protocol_health": {"graphql": {"paths": ["/graphql"]}},
        "circuit_breaker": {"measure": "completion", "failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2}}"#;
    let plugin = worker(&kong(), all);
    assert_eq!([SICK; 4].map(|answer| query(&plugin, answer)), [true, true, false, false]);
}

#[test]
fn errors_in_a_body_are_counted_as_what_they_are() {
    let all = r#"{"allow_degraded": true, "protocol_health": {"graphql": {"paths": ["/graphql"]}}, "metrics": {}}"#;
    let proxy = kong();
    assert!(query(&worker(&proxy, all), SICK));
    let requests = |(name, total): &(String, u64)| name.starts_with("holdfast_requests_total") && *total > 0;
    let counted: Vec<_> = proxy.metrics().into_iter().filter(requests).collect();
    assert!(counted.len() == 1 && counted[0].0.contains("outcome=server_fault"), "{counted:?}");
}
