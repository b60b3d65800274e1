//! "Speed is a list of host calls": what requests cost, call by call. `docs/protocol-health.md` has the prices.

use crate::support::{GET, UP, envoy, worker};

#[test]
fn a_healthy_rest_attempt_costs_exactly_these_host_calls() {
    let plugin = worker(&envoy(), UP);
    let attempt = || {
        let mut attempt = plugin.attempt(1, GET);
        attempt.respond(&[(":status", "200")], true);
        attempt.finish();
    };
    attempt();
    plugin.host().clear_calls();
    attempt();
    assert_eq!(
        plugin.host().call_lines(),
        [
            "header(RequestHeaders :path)",
            "header(ResponseHeaders :status)",
            "remove_header(ResponseHeaders x-holdfast-outcome)",
            "increment(holdfast_protocol_health_attempts_total;chain=upstream;instance=default;protocol=rest;outcome=ok +1)",
        ]
    );
}

#[test]
fn after_a_failure_filter_state_is_kept_true() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let attempt = |state: &sdk_shim::fake::FilterState, nth: u32, status: &str| {
        let mut attempt = plugin.stream().attempt(nth).sharing(state).request(GET);
        attempt.respond(&[(":status", status)], true);
        attempt.finish();
    };
    let state = sdk_shim::fake::FilterState::default();
    attempt(&state, 1, "503");
    attempt(&state, 2, "200");
    assert_eq!(state.get("holdfast.outcome").as_deref(), Some(&b"ok"[..]));
    proxy.advance(core::time::Duration::from_secs(301));
    plugin.host().clear_calls();
    (0..2).for_each(|_| attempt(&sdk_shim::fake::FilterState::default(), 1, "200"));
    assert!(!plugin.host().calls().iter().any(|call| call.name == "set_property"), "no request is that old");
}

#[test]
fn without_graphql_nobody_asks_for_the_path() {
    let plugin = worker(&envoy(), r#"{"chain": "upstream", "graphql": {"paths": []}}"#);
    plugin.host().clear_calls();
    let mut attempt = plugin.attempt(1, GET);
    attempt.respond(&[(":status", "200")], true);
    attempt.finish();
    assert!(!plugin.host().call_lines().iter().any(|call| call.contains(":path")));
}

#[test]
fn a_request_at_the_edge_costs_two_calls_where_it_has_no_deadline() {
    let lines = |config: &str| {
        let plugin = worker(&envoy(), config);
        plugin.host().clear_calls();
        let mut request = plugin.request(GET);
        request.respond(&[(":status", "200")], true);
        request.finish();
        plugin.host().call_lines()
    };
    let strip = "remove_header(ResponseHeaders x-holdfast-outcome)";
    assert_eq!(lines("{}"), ["header(RequestHeaders :path)", strip]);
    assert_eq!(lines(r#"{"healthz": null}"#), [strip]);
}

#[test]
fn a_body_that_cant_change_anything_isnt_read() {
    let plugin = worker(&envoy(), UP);
    let mut attempt = plugin.attempt(1, GET);
    attempt.respond(&[(":status", "200")], false);
    plugin.host().clear_calls();
    attempt.body(b"a long", false).body(b" answer", true);
    attempt.finish();
    assert!(plugin.host().calls().is_empty(), "{:?}", plugin.host().call_lines());
}
