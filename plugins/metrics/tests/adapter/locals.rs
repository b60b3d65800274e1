//! Answers that no service gave: whose they are, and why.

use crate::support::{GET, ended, envoy, rest, sum, worker};
use sdk_shim::fake::FakeProxy;

/// The proxy answers with these flags and details; gives the request's line.
fn local(proxy: &FakeProxy, status: u16, flags: i64, details: &str) -> String {
    let mut call = worker(proxy, "{}").request(GET);
    call.local_reply(status, flags, details);
    ended(call)
}

#[test]
fn what_was_wrong_with_the_service_is_told_apart_by_flags() {
    let proxy = envoy();
    for (flags, outcome, cause) in [
        (128, "local_reject", "pool_overflow"),
        (2, "unreachable", "no_healthy_upstream"),
        (32, "unreachable", "connect_failure"),
        (32_772, "timeout", "timeout"),
        (64, "unreachable", "reset"),
        (8_388_608, "unreachable", "protocol"),
    ] {
        let line = local(&proxy, 503, flags, "why");
        assert_eq!(line, format!("outcome={outcome} attempts=1 breaker=closed replay=no cause={cause}"));
        assert_eq!(rest(&proxy, &format!("upstream_errors_total;cause={cause}")), 1);
    }
    assert_eq!(sum(&proxy, "rejections_total"), 0, "each once");
    assert_eq!(sum(&proxy, "requests_total"), 6);
}

#[test]
fn the_proxys_own_refusals_are_envoys_or_somebody_elses() {
    let proxy = envoy();
    for (flags, details, plugin, cause) in [
        (256, "route_not_found", "envoy", "no_route"),
        (2_048, "local_rate_limited", "envoy", "rate_limited"),
        (0, "direct_response", "envoy", "direct_response"),
        (0, "", "other", "_other"),
    ] {
        let line = local(&proxy, 403, flags, details);
        assert!(line.starts_with("outcome=local_reject") && line.ends_with(&format!("cause={cause}")), "{line}");
        assert_eq!(rest(&proxy, &format!("rejections_total;plugin={plugin};cause={cause}")), 1);
    }
}

#[test]
fn a_refusal_of_ours_is_believed_if_no_service_answered() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let headers = &[(":status", "503"), ("x-holdfast-reject", "circuit-breaker; cause=open")];
    let mut ours = plugin.stream().property_number("upstream.request_attempt_count", 0).request(GET);
    ours.filter_state().set("holdfast.circuit_breaker.phase", b"open");
    ours.respond_locally(headers, true);
    assert_eq!(ended(ours), "outcome=local_reject attempts=0 breaker=open replay=no cause=open");
    assert_eq!(rest(&proxy, "rejections_total;plugin=circuit-breaker;cause=open"), 1);

    let mut services = plugin.request(GET);
    services.respond(headers, true);
    assert_eq!(ended(services), "outcome=server_fault attempts=1 breaker=closed replay=no cause=-");
    assert_eq!(sum(&proxy, "rejections_total"), 1);
}

#[test]
fn a_replay_counts_once_and_a_services_own_header_makes_none() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let headers = &[(":status", "201"), ("idempotency-replayed", "true")];
    let mut replay = plugin.stream().property_number("upstream.request_attempt_count", 0).request(GET);
    replay.filter_state().set("holdfast.idempotency", b"replay");
    replay.respond_locally(headers, true);
    assert_eq!(ended(replay), "outcome=replay attempts=0 breaker=closed replay=yes cause=-");
    let mut services = plugin.request(GET);
    services.respond(headers, true);
    services.finish();
    assert_eq!((rest(&proxy, "requests_total;outcome=replay"), rest(&proxy, "requests_total;outcome=ok")), (1, 1));
}

#[test]
fn what_the_proxy_says_by_itself_below_400_was_asked_for() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let mut redirect = plugin.stream().property_number("upstream.request_attempt_count", 0).request(GET);
    redirect.respond_locally(&[(":status", "301")], true);
    redirect.finish();
    assert_eq!((rest(&proxy, "requests_total;outcome=ok"), sum(&proxy, "rejections_total")), (1, 0));
}

#[test]
fn a_request_that_was_never_seen_counts_as_a_refusal_or_a_replay_or_not_at_all() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    for headers in
        [&[(":status", "504"), ("x-holdfast-reject", "protocol-health; cause=deadline")][..], &[(":status", "401")]]
    {
        let mut call = plugin.unseen();
        call.respond(headers, true);
        call.finish();
    }
    let mut replay = plugin.unseen();
    replay.filter_state().set("holdfast.idempotency", b"replay");
    replay.respond(&[(":status", "200")], true);
    replay.finish();
    assert_eq!(rest(&proxy, "rejections_total;plugin=protocol-health;cause=deadline"), 1);
    assert_eq!((sum(&proxy, "requests_total"), rest(&proxy, "requests_total;outcome=replay")), (1, 1));
    assert_eq!(proxy.histogram(&crate::support::name("downstream", "rest", "request_ttfb_us;outcome=replay")), [0; 0]);
}

#[test]
fn a_full_retry_pool_is_told_beside_the_services_own_answer() {
    let proxy = envoy();
    let mut call = worker(&proxy, "{}").request(GET);
    call.set_bytes("response.flags", &128_i64.to_le_bytes());
    call.respond(&[(":status", "503")], true);
    call.finish();
    assert_eq!(rest(&proxy, "requests_total;outcome=server_fault"), 1);
    assert_eq!(rest(&proxy, "upstream_errors_total;cause=retry_overflow"), 1);
}
