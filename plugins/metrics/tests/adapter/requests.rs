//! What requests come to.

use crate::support::{GET, GRPC, call, ended, envoy, name, of, rest, worker};
use core::time::Duration;

#[test]
fn each_request_counts_once_by_what_it_came_to() {
    let proxy = envoy();
    let workers = [(); 2].map(|()| worker(&proxy, "{}"));
    for (n, status) in ["200", "204", "301", "404", "429", "503", "504"].into_iter().enumerate() {
        call(&workers[n % 2], status);
    }
    let outcomes = ["ok", "caller_fault", "overload", "server_fault", "timeout"];
    let counted = outcomes.map(|outcome| rest(&proxy, &format!("requests_total;outcome={outcome}")));
    assert_eq!(counted, [3, 1, 1, 1, 1]);
    for histogram in ["request_ttfb_us", "request_duration_us"] {
        let samples =
            |outcome| proxy.histogram(&name("downstream", "rest", &format!("{histogram};outcome={outcome}"))).len();
        assert_eq!(outcomes.map(samples), [3, 1, 1, 1, 1]);
    }
    assert_eq!(rest(&proxy, "requests_in_flight"), 0);
}

/// Its attempts count for the route that it took, and a quotient of the two is only worth something if it does too.
#[test]
fn a_request_that_a_breaker_sent_another_way_counts_for_the_route_that_it_took() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let mut moved = plugin.request(GET);
    moved.filter_state().set("holdfast.circuit_breaker.phase", b"open");
    moved.set("xds.route_name", "other-region");
    moved.respond(&[(":status", "200")], true);
    moved.finish();
    let other = "holdfast_requests_total;chain=downstream;instance=default;route=other-region;protocol=rest;outcome=ok";
    assert_eq!((proxy.metric(other), rest(&proxy, "requests_total;outcome=ok")), (1, 0));
    assert_eq!(rest(&proxy, "requests_in_flight"), 0, "where it began it ends");
}

#[test]
fn times_are_microseconds_and_end_where_they_say() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let mut call = plugin.request(GET);
    proxy.advance(Duration::from_micros(1_500));
    call.respond(&[(":status", "200")], false);
    proxy.advance(Duration::from_millis(2));
    call.body(b"hello", true);
    assert_eq!(rest(&proxy, "requests_in_flight"), 1);
    call.finish();
    assert_eq!(proxy.histogram(&name("downstream", "rest", "request_ttfb_us;outcome=ok")), [1_500]);
    assert_eq!(proxy.histogram(&name("downstream", "rest", "request_duration_us;outcome=ok")), [3_500]);
}

#[test]
fn bodies_are_added_up() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let mut call = plugin.stream().with_body().request(GET);
    call.request_body(b"abc", false).request_body(b"de", true);
    call.respond(&[(":status", "200")], false).body(b"1234", false).body(b"567", true);
    call.finish();
    assert_eq!((rest(&proxy, "request_bytes_total"), rest(&proxy, "response_bytes_total")), (5, 7));
}

#[test]
fn a_grpc_status_counts_wherever_it_stands() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let grpc = || plugin.stream().with_body().request(GRPC);
    let mut in_trailers = grpc();
    in_trailers.respond(&[(":status", "200")], false).trailers(&[("grpc-status", "14")]);
    in_trailers.finish();
    let mut in_headers = grpc();
    in_headers.respond(&[(":status", "200"), ("grpc-status", "5")], true);
    in_headers.finish();
    let mut nowhere = grpc();
    nowhere.respond(&[(":status", "200")], false).body(b"", true);
    nowhere.finish();
    let mut well = grpc();
    well.respond(&[(":status", "200")], false).trailers(&[("grpc-status", "0")]);
    well.finish();
    let counted = ["unreachable", "caller_fault", "server_fault", "ok"];
    assert_eq!(counted.map(|outcome| of(&proxy, "grpc", &format!("requests_total;outcome={outcome}"))), [1; 4]);
}

#[test]
fn graphql_is_known_by_a_json_body_on_its_path() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"graphql": {"paths": ["/q"]}}"#);
    for (path, kind) in [("/q?a=1", "application/json"), ("/q", "text/plain"), ("/x", "application/json")] {
        let headers = [(":method", "POST"), (":path", path), ("content-type", kind)];
        let mut call = plugin.stream().with_body().request(&headers);
        call.respond(&[(":status", "200")], true);
        call.finish();
    }
    assert_eq!((of(&proxy, "graphql", "requests_total;outcome=ok"), rest(&proxy, "requests_total;outcome=ok")), (1, 2));
}

#[test]
fn what_protocol_health_tells_is_believed_and_what_a_service_says_is_not() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let answered = |told: Option<&str>| {
        let mut call = plugin.request(GET);
        if let Some(told) = told {
            call.filter_state().set("holdfast.outcome", told.as_bytes());
        }
        call.respond(&[(":status", "200"), ("x-holdfast-outcome", "server_fault")], true);
        ended(call)
    };
    assert!(answered(Some("partial")).starts_with("outcome=ok"), "nobody tells anything");
    sdk_shim::notice::Notice::new(sdk_shim::outcome::TELLS).say(&proxy.worker(), true);
    plugin.tick();
    assert!(answered(None).starts_with("outcome=ok "));
    assert!(answered(Some("partial")).starts_with("outcome=partial "));
    assert_eq!(rest(&proxy, "requests_total;outcome=partial"), 1);
}

#[test]
fn a_client_that_leaves_says_nothing_of_the_service() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    plugin.request(GET).abort();
    let mut halfway = plugin.request(GET);
    halfway.respond(&[(":status", "200")], false).body(b"a part", false);
    halfway.abort();
    assert_eq!(rest(&proxy, "requests_total;outcome=unknown"), 2);
    let mut failed = plugin.request(GET);
    failed.respond(&[(":status", "500")], false);
    failed.abort();
    assert_eq!(rest(&proxy, "requests_total;outcome=server_fault"), 1, "it had failed already");
    assert_eq!(rest(&proxy, "requests_in_flight"), 0);
}

#[test]
fn an_answer_that_is_cut_is_the_services_fault() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let mut call = plugin.request(GET);
    call.respond(&[(":status", "200")], false).body(b"a part", false);
    call.cut(64);
    assert_eq!(rest(&proxy, "requests_total;outcome=unreachable"), 1);
    assert_eq!(rest(&proxy, "upstream_errors_total;cause=reset"), 1);
}

#[test]
fn the_line_says_it_all() {
    let plugin = worker(&envoy(), "{}");
    let mut call = plugin.request(GET);
    call.set_bytes("upstream.request_attempt_count", &3_i64.to_le_bytes());
    call.filter_state().set("holdfast.circuit_breaker.phase", b"half_open");
    call.respond(&[(":status", "503")], true);
    assert_eq!(ended(call), "outcome=server_fault attempts=3 breaker=half_open replay=no cause=-");
}

#[test]
fn off_is_off() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"mode": "disabled"}"#);
    plugin.host().clear_calls();
    call(&plugin, "200");
    assert!(plugin.host().calls().is_empty() && plugin.tick_period().is_none());
}

#[test]
fn the_line_of_a_healthy_request_is_like_all_others() {
    let plugin = worker(&envoy(), "{}");
    let said = |attempts: i64, phase: &str| {
        let mut call = plugin.stream().property_number("upstream.request_attempt_count", attempts).request(GET);
        call.filter_state().set("holdfast.circuit_breaker.phase", phase.as_bytes());
        call.respond(&[(":status", "200")], true);
        ended(call)
    };
    assert_eq!(said(1, ""), "outcome=ok attempts=1 breaker=closed replay=no cause=-");
    assert_eq!(said(2, ""), "outcome=ok attempts=2 breaker=closed replay=no cause=-");
    assert_eq!(said(1, "recovering"), "outcome=ok attempts=1 breaker=recovering replay=no cause=-");
}
