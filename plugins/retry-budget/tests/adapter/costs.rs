//! "Speed is a list of host calls": what requests cost, call by call. `docs/retry-budget.md` has the prices.

use crate::support::{GET, Tries, envoy, worker};

#[test]
fn a_healthy_attempt_costs_exactly_these_host_calls() {
    let plugin = worker(&envoy(), r#"{"chain": "upstream"}"#);
    assert!(!Tries::of(&plugin).answer(1, "200"));
    plugin.host().clear_calls();
    assert!(!Tries::of(&plugin).answer(1, "200"));
    assert_eq!(
        plugin.host().call_lines(),
        [
            "property(upstream.request_attempt_count)".to_owned(),
            "property(xds.route_name)".to_owned(),
            "increment(holdfast_retry_budget_requests_total;chain=upstream;instance=default;key=checkout +1)"
                .to_owned(),
            "header(ResponseHeaders :status)".to_owned(),
        ]
    );
}

#[test]
fn a_healthy_request_costs_exactly_these_host_calls() {
    let plugin = worker(&envoy(), "{}");
    let call = || {
        let mut call = plugin.request(GET);
        call.respond(&[(":status", "200")], true);
        call.finish();
    };
    call();
    plugin.host().clear_calls();
    call();
    assert_eq!(
        plugin.host().call_lines(),
        ["now()", "header(RequestHeaders :method)", "property(holdfast.retry_budget)"],
    );
}

#[test]
fn a_key_without_traffic_costs_a_tick_three_counters() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream"}"#);
    assert!(!Tries::of(&plugin).answer(1, "200"));
    (0..15).for_each(|_| plugin.tick());
    plugin.host().clear_calls();
    plugin.tick();
    let reads = plugin.host().calls().iter().filter(|call| call.name == "metric").count();
    assert_eq!((reads, plugin.host().calls().iter().filter(|call| call.name == "record").count()), (3, 0));
}

#[test]
fn the_list_of_empty_budgets_is_read_once_per_refresh() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    plugin.host().clear_calls();
    let reads = || plugin.host().calls().iter().filter(|call| call.name == "shared_get").count();
    (0..50).for_each(|_| drop(plugin.request(GET)));
    assert_eq!(reads(), 1);
    proxy.advance(core::time::Duration::from_millis(10));
    (0..50).for_each(|_| drop(plugin.request(GET)));
    assert_eq!(reads(), 2);
}
