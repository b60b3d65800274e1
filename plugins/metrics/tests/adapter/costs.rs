//! "Speed is a list of host calls": what requests cost, call by call. `docs/metrics.md` has the prices.

use crate::support::{GET, GRPC, UP, call, envoy, name, worker};

#[test]
fn a_healthy_request_costs_exactly_these_host_calls() {
    let plugin = worker(&envoy(), "{}");
    call(&plugin, "200");
    plugin.host().clear_calls();
    call(&plugin, "200");
    let of = |what: &str| name("downstream", "rest", what);
    assert_eq!(
        plugin.host().call_lines(),
        [
            "property(xds.route_name)".to_owned(),
            format!("adjust({} +1)", of("requests_in_flight")),
            "now()".to_owned(),
            "now()".to_owned(),
            "header(ResponseHeaders :status)".to_owned(),
            "property(upstream.request_attempt_count)".to_owned(),
            // Absent, as long as the breaker is closed.
            "property(holdfast.circuit_breaker.phase)".to_owned(),
            "set_property(holdfast.request)".to_owned(),
            "now()".to_owned(),
            format!("adjust({} -1)", of("requests_in_flight")),
            format!("increment({} +1)", of("requests_total;outcome=ok")),
            format!("record({} 0)", of("request_ttfb_us;outcome=ok")),
            format!("record({} 0)", of("request_duration_us;outcome=ok")),
        ]
    );
}

/// The calls that give bytes, which cost most: the proxy asks the module for memory.
fn asked(calls: &[String]) -> Vec<&str> {
    calls
        .iter()
        .map(String::as_str)
        .filter(|call| call.starts_with("property") || call.starts_with("header") || call.starts_with("body"))
        .collect()
}

#[test]
fn an_answer_with_a_body_may_be_a_stream_of_events_and_costs_its_content_type() {
    let plugin = worker(&envoy(), "{}");
    let with_body = || {
        let mut call = plugin.request(GET);
        call.respond(&[(":status", "200"), ("content-type", "text/html")], false).body(b"hello", false).body(b"", true);
        call.finish();
    };
    with_body();
    plugin.host().clear_calls();
    with_body();
    let lines = plugin.host().call_lines();
    assert_eq!(
        asked(&lines),
        [
            "property(xds.route_name)",
            "header(ResponseHeaders :status)",
            "property(upstream.request_attempt_count)",
            "header(ResponseHeaders content-type)",
            "property(holdfast.circuit_breaker.phase)",
        ]
    );
    assert!(lines.contains(&format!("increment({} +5)", name("downstream", "rest", "response_bytes_total"))));
}

#[test]
fn a_unary_grpc_call_is_read_five_bytes_in_each_direction() {
    let plugin = worker(&envoy(), "{}");
    let unary = || {
        let mut call = plugin.stream().with_body().request(GRPC);
        call.request_body(b"\0\0\0\0\x02hi", false).request_body(b"", true);
        call.respond(&[(":status", "200")], false).body(b"\0\0\0\0\x03you", false);
        call.trailers(&[("grpc-status", "0")]);
        call.finish();
    };
    unary();
    plugin.host().clear_calls();
    unary();
    let lines = plugin.host().call_lines();
    assert_eq!(
        asked(&lines),
        [
            "header(RequestHeaders content-type)",
            "property(xds.route_name)",
            "body(Request 5)",
            "header(ResponseHeaders :status)",
            "property(upstream.request_attempt_count)",
            "body(Response 5)",
            "header(ResponseTrailers grpc-status)",
            "property(holdfast.circuit_breaker.phase)",
        ]
    );
}

#[test]
fn a_healthy_attempt_costs_exactly_these_host_calls() {
    let plugin = worker(&envoy(), UP);
    let attempt = || {
        let mut attempt = plugin.attempt(1, GET);
        attempt.respond(&[(":status", "200")], false).body(b"hello", true);
        attempt.finish();
    };
    attempt();
    plugin.host().clear_calls();
    attempt();
    let of = |what: &str| name("upstream", "rest", what);
    assert_eq!(
        plugin.host().call_lines(),
        [
            "property(xds.route_name)".to_owned(),
            "now()".to_owned(),
            "now()".to_owned(),
            "header(ResponseHeaders :status)".to_owned(),
            "now()".to_owned(),
            format!("increment({} +1)", of("attempts_total;outcome=ok")),
            format!("record({} 0)", of("attempt_ttfb_us;outcome=ok")),
            format!("record({} 0)", of("attempt_duration_us;outcome=ok")),
        ]
    );
}

#[test]
fn only_what_failed_costs_flags_and_details() {
    let plugin = worker(&envoy(), "{}");
    call(&plugin, "404");
    plugin.host().clear_calls();
    call(&plugin, "404");
    let lines = plugin.host().call_lines();
    assert!(lines.contains(&"property(response.code_details)".to_owned()));
    assert!(!lines.contains(&"property(response.flags)".to_owned()));
}
