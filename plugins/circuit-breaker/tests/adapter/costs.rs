//! "Speed is a list of host calls": what requests cost, call by call.

use crate::support::{GET, call, count, envoy, kong, worker};
use core::time::Duration;

/// The key's property, its name and the time at first; then this, and nothing else. `docs/circuit-breaker.md` has the prices.
#[test]
fn a_healthy_request_costs_exactly_these_host_calls() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    assert!(call(&plugin, "200"));
    plugin.host().clear_calls();
    assert!(call(&plugin, "200"));
    let calls_total =
        "holdfast_circuit_breaker_calls_total;chain=downstream;instance=default;key=checkout;outcome=success";
    assert_eq!(
        plugin.host().call_lines(),
        [
            "property(xds.route_name)".to_owned(),
            "now()".to_owned(),
            "now()".to_owned(),
            "header(ResponseHeaders :status)".to_owned(),
            format!("increment({calls_total} +1)"),
        ]
    );
}

#[test]
fn a_request_with_a_body_may_be_grpc_and_costs_the_responses_content_type() {
    let plugin = worker(&envoy(), "{}");
    let with_body = || {
        let mut call = plugin.stream().with_body().request(GET);
        call.request_body(b"order", true);
        call.respond(&[(":status", "200"), ("content-type", "text/html")], false).body(b"hello", true);
        call.finish();
    };
    with_body();
    plugin.host().clear_calls();
    with_body();
    let names: Vec<_> = plugin.host().calls().iter().map(|call| call.name).collect();
    assert_eq!(names, ["property", "now", "header", "now", "now", "header", "header", "increment"]);
    assert!(plugin.host().call_lines().contains(&"header(ResponseHeaders content-type)".to_owned()));
}

#[test]
fn kong_never_tells_that_no_body_follows_and_pays_for_the_grpc_status() {
    let plugin = worker(&kong(), "{}");
    call(&plugin, "200");
    plugin.host().clear_calls();
    call(&plugin, "200");
    let names: Vec<_> = plugin.host().calls().iter().map(|call| call.name).collect();
    // Behind the clock: has it a length, which HTTP is it, is it chunked. Should nobody tell how it ends, that says whether its client may be the reason.
    let is_complete = ["header", "property", "header"];
    assert_eq!(names, [&["property", "now"][..], &is_complete, &["now", "header", "header", "increment"]].concat());
}

#[test]
fn shared_state_is_read_once_per_refresh_and_not_per_request() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    call(&plugin, "200");
    plugin.host().clear_calls();
    (0..50).for_each(|_| assert!(call(&plugin, "200")));
    assert_eq!(count(&plugin, "shared_get"), 0);
    proxy.advance(Duration::from_millis(10));
    (0..50).for_each(|_| assert!(call(&plugin, "200")));
    assert_eq!((count(&plugin, "shared_get"), count(&plugin, "shared_set")), (1, 0));
}

#[test]
fn a_healthy_request_costs_the_same_beside_a_thousand_keys() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    for n in 0..1_000 {
        proxy.set("xds.route_name", &format!("route-{n}"));
        call(&plugin, "200");
    }
    plugin.host().clear_calls();
    call(&plugin, "200");
    assert_eq!(plugin.host().calls().len(), 5);
}
