//! Attempts: each counts once, by what it came to.

use crate::support::{GET, GRPC, UP, call, envoy, name, rest, sum, up, worker};

#[test]
fn a_request_that_is_tried_three_times_counts_once_and_its_attempts_three_times() {
    let proxy = envoy();
    let (down, plugin) = (worker(&proxy, "{}"), worker(&proxy, UP));
    for (nth, status) in [(1, "503"), (2, "503"), (3, "200")] {
        let mut attempt = plugin.attempt(nth, GET);
        attempt.respond(&[(":status", status)], nth == 3);
        attempt.finish();
    }
    call(&down, "200");
    assert_eq!((up(&proxy, "attempts_total;outcome=server_fault"), up(&proxy, "attempts_total;outcome=ok")), (2, 1));
    assert_eq!((sum(&proxy, "attempts_total"), rest(&proxy, "requests_total;outcome=ok")), (3, 1));
    assert_eq!(proxy.histogram(&name("upstream", "rest", "attempt_ttfb_us;outcome=server_fault")).len(), 2);
}

#[test]
fn an_attempt_without_an_answer_has_no_first_byte() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    plugin.attempt(1, GET).fail_upstream("delayed connect error: Connection refused");
    plugin.attempt(2, GET).fail_upstream("");
    plugin.attempt(3, GET).abort();
    let outcomes = ["unreachable", "timeout", "unknown"];
    assert_eq!(outcomes.map(|outcome| up(&proxy, &format!("attempts_total;outcome={outcome}"))), [1; 3]);
    let samples = |what| proxy.histogram(&name("upstream", "rest", &format!("{what};outcome=unreachable"))).len();
    assert_eq!((samples("attempt_ttfb_us"), samples("attempt_duration_us")), (0, 1));
}

#[test]
fn an_attempt_that_we_refused_reached_nobody() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    for state in ["holdfast.refused_attempt", "holdfast.circuit_breaker.refused_attempt"] {
        let attempt = plugin.attempt(2, GET);
        attempt.filter_state().set(state, b"budget");
        attempt.fail_upstream("");
    }
    assert_eq!(sum(&proxy, "attempts_total"), 0);
}

#[test]
fn an_attempt_that_found_the_pool_full_reached_nobody() {
    let proxy = envoy();
    let mut attempt = worker(&proxy, UP).attempt(1, GET);
    attempt.set("response.code_details", "upstream_reset_before_response_started{overflow}");
    attempt.fail_upstream("");
    assert_eq!(sum(&proxy, "attempts_total"), 0);
}

#[test]
fn grpc_attempts_are_judged_by_their_trailers() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    for (code, outcome) in [("0", "ok"), ("8", "overload")] {
        let mut attempt = plugin.stream().attempt(1).with_body().request(GRPC);
        attempt
            .request_body(b"\0\0\0\0\0", true)
            .respond(&[(":status", "200")], false)
            .trailers(&[("grpc-status", code)]);
        attempt.finish();
        assert_eq!(proxy.metric(&name("upstream", "grpc", &format!("attempts_total;outcome={outcome}"))), 1);
    }
}

#[test]
fn a_good_answer_that_is_cut_is_no_good_answer() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    for flags in [64, 16_384] {
        let mut attempt = plugin.attempt(1, GET);
        attempt.respond(&[(":status", "200")], false).body(b"a part", false);
        attempt.cut(flags);
    }
    let mut retried = plugin.attempt(1, GET);
    retried.respond(&[(":status", "503")], false);
    retried.finish();
    let outcomes = ["unreachable", "unknown", "server_fault", "ok"];
    assert_eq!(outcomes.map(|outcome| up(&proxy, &format!("attempts_total;outcome={outcome}"))), [1, 1, 1, 0]);
}

#[test]
fn the_region_of_the_host_is_a_label_where_it_is_asked_for() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream", "region": {"metadata": "region"}}"#);
    for region in ["eu-1", ""] {
        let path = "xds.upstream_host_metadata.filter_metadata.envoy.lb.region";
        let mut attempt = plugin.stream().attempt(1).property(path, region).request(GET);
        attempt.respond(&[(":status", "200")], true);
        attempt.finish();
    }
    for region in ["eu-1", "_none"] {
        let labels = format!("chain=upstream;instance=default;route=checkout;protocol=rest;region={region};outcome=ok");
        assert_eq!(proxy.metric(&format!("holdfast_attempts_total;{labels}")), 1, "{region}");
    }
}
