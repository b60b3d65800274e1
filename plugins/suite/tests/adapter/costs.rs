//! "Speed is a list of host calls": what a request costs all plugins together. `docs/suite.md` has the prices.

use crate::support::{DOWN, GET, UP, call, envoy, worker};

#[test]
fn a_healthy_request_costs_exactly_these_host_calls() {
    let plugin = worker(&envoy(), DOWN);
    assert!(call(&plugin, "200"));
    plugin.host().clear_calls();
    assert!(call(&plugin, "200"));
    assert_eq!(
        plugin.host().call_lines(),
        [
            "header(RequestHeaders :path)",
            "property(xds.route_name)",
            "adjust(holdfast_requests_in_flight;chain=downstream;instance=default;route=checkout;protocol=rest +1)",
            "now()",
            "header(RequestHeaders idempotency-key)",
            "header(RequestHeaders x-holdfast-fence)",
            "header(RequestHeaders :method)",
            "property(holdfast.retry_budget)",
            "now()",
            "header(ResponseHeaders :status)",
            "increment(holdfast_circuit_breaker_calls_total;chain=downstream;instance=default;key=checkout;outcome=success +1)",
            "property(upstream.request_attempt_count)",
            "property(holdfast.circuit_breaker.phase)",
            "set_property(holdfast.request)",
            "remove_header(ResponseHeaders x-holdfast-outcome)",
            "now()",
            "adjust(holdfast_requests_in_flight;chain=downstream;instance=default;route=checkout;protocol=rest -1)",
            "increment(holdfast_requests_total;chain=downstream;instance=default;route=checkout;protocol=rest;outcome=ok +1)",
            "record(holdfast_request_ttfb_us;chain=downstream;instance=default;route=checkout;protocol=rest;outcome=ok 0)",
            "record(holdfast_request_duration_us;chain=downstream;instance=default;route=checkout;protocol=rest;outcome=ok 0)",
        ]
    );
}

#[test]
fn a_healthy_attempt_costs_exactly_these_host_calls() {
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
            "property(xds.route_name)",
            "now()",
            "property(upstream.request_attempt_count)",
            "increment(holdfast_retry_budget_requests_total;chain=upstream;instance=default;key=checkout +1)",
            "header(RequestHeaders :path)",
            "header(ResponseHeaders :status)",
            "remove_header(ResponseHeaders x-holdfast-outcome)",
            "increment(holdfast_protocol_health_attempts_total;chain=upstream;instance=default;protocol=rest;outcome=ok +1)",
            "now()",
            "increment(holdfast_circuit_breaker_calls_total;chain=upstream;instance=default;key=checkout;outcome=success +1)",
            "property(holdfast.outcome)",
            "now()",
            "increment(holdfast_attempts_total;chain=upstream;instance=default;route=checkout;protocol=rest;outcome=ok +1)",
            "record(holdfast_attempt_ttfb_us;chain=upstream;instance=default;route=checkout;protocol=rest;outcome=ok 0)",
            "record(holdfast_attempt_duration_us;chain=upstream;instance=default;route=checkout;protocol=rest;outcome=ok 0)",
        ]
    );
}
