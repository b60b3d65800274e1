//! What counts against a service, and what doesn't.

use crate::support::{BRISK, GET, SECOND, break_it, brisk, call, cause, count, envoy, kong, metric, worker};
use sdk_shim::fake::FakeProxy;

/// Successes, failures and slow calls so far.
fn counts(proxy: &FakeProxy) -> [u64; 3] {
    ["calls_total;outcome=success", "calls_total;outcome=failure", "slow_calls_total"].map(|what| metric(proxy, what))
}

#[test]
fn the_services_answers_count_by_their_status() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, "{}");
        for status in ["200", "204", "302", "400", "404", "429", "499"] {
            assert!(call(&plugin, status));
        }
        for status in ["500", "502", "503", "599"] {
            assert!(call(&plugin, status));
        }
        assert_eq!(counts(&proxy), [7, 4, 0]);
    }
}

#[test]
fn a_call_that_is_slow_and_failed_counts_once_for_each() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, "{}");
        let mut request = plugin.request(GET);
        proxy.advance(SECOND * 3);
        request.respond(&[(":status", "500")], true);
        request.finish();
        assert_eq!(counts(&proxy), [0, 1, 1]);
    }
}

#[test]
fn slowness_is_a_failure_where_the_policy_says_so() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"timeout": 3000, "threshold": 0.5}"#);
    let mut request = plugin.request(GET);
    proxy.advance(SECOND * 3);
    request.respond(&[(":status", "200")], true);
    request.finish();
    assert_eq!(counts(&proxy), [0, 1, 1]);
}

#[test]
fn latency_ends_at_the_headers_or_at_the_end() {
    for (measure, slow) in [("headers", 0), ("completion", 1)] {
        let proxy = envoy();
        let plugin = worker(&proxy, &format!(r#"{{"measure": "{measure}"}}"#));
        let mut request = plugin.request(GET);
        request.respond(&[(":status", "200")], false);
        proxy.advance(SECOND * 5);
        request.body(b"late", true);
        request.finish();
        assert_eq!(counts(&proxy), [1, 0, slow], "{measure}");
    }
}

#[test]
fn streams_are_judged_at_their_headers_even_where_completion_is_measured() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"measure": "completion"}"#);
    let mut events = plugin.request(GET);
    events.respond(&[(":status", "200"), ("content-type", "text/event-stream")], false);
    let mut socket = plugin.request(GET);
    socket.respond(&[(":status", "101")], false);
    assert_eq!(counts(&proxy), [2, 0, 0]);
    proxy.advance(SECOND * 3_600);
    events.abort();
    socket.finish();
    assert_eq!(counts(&proxy), [2, 0, 0]);
}

#[test]
fn a_stream_in_flight_outlives_the_opening() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    let mut events = plugin.request(GET);
    events.respond(&[(":status", "200"), ("content-type", "text/event-stream")], false);
    break_it(&plugin);
    plugin.tick();
    events.body(b"data: still here\n\n", false);
    assert!(events.passed() && !events.paused());
    assert_eq!(events.finish().status, Some(200));
}

// --- no response ---

/// Flags of an answer that isn't the service's, and whether it speaks of the service.
const FLAGS: &[(i64, &str, bool)] = &[
    (2, "no_healthy_upstream", true),
    (4, "response_timeout", true),
    (32, "upstream_reset_before_response_started{remote_connection_failure}", true),
    (64, "upstream_reset_before_response_started{connection_termination}", true),
    (8_388_608, "upstream_reset_before_response_started{protocol_error}", true),
    (32_772, "upstream_per_try_timeout", true),
    (128, "upstream_reset_before_response_started{overflow}", false),
    (256, "route_not_found", false),
    (1024, "fault_filter_abort", false),
    (2048, "local_rate_limited", false),
    (4096, "rbac_access_denied", false),
    (0, "", false),
    (16_777_216, "cluster_not_found", false),
];

#[test]
fn the_proxys_own_answers_count_only_where_the_service_is_to_blame() {
    for (flags, details, counted) in FLAGS {
        let proxy = envoy();
        let plugin = worker(&proxy, "{}");
        let mut request = plugin.request(GET);
        request.local_reply(503, *flags, details);
        request.finish();
        assert_eq!(counts(&proxy), [0, u64::from(*counted), 0], "{flags} {details}");
    }
}

#[test]
fn other_filters_rejections_never_open_a_breaker() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    for status in [429, 403, 500, 503] {
        for _ in 0..10 {
            let mut request = plugin.request(GET);
            request.local_reply(status, 2048, "local_rate_limited");
            request.finish();
        }
    }
    assert_eq!((counts(&proxy), cause(&plugin)), ([0, 0, 0], None));
}

#[test]
fn a_client_that_goes_away_says_nothing() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        for _ in 0..5 {
            plugin.request(GET).abort();
            let opening = plugin.stream().with_body();
            opening.request(GET).abort();
        }
        assert_eq!((counts(&proxy), cause(&plugin)), ([0, 0, 0], None));
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_the_answer_leaves_the_answer_counted() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let mut request = plugin.request(GET);
    request.respond(&[(":status", "500")], false).body(b"half", false);
    request.abort();
    assert_eq!(counts(&proxy), [0, 1, 0]);
}

/// An earlier filter answered: response callbacks and the log run, but the request was never ours (T12).
#[test]
fn contexts_whose_request_we_never_saw_count_nothing() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        plugin.host().clear_calls();
        for _ in 0..5 {
            let mut unseen = plugin.unseen();
            unseen.respond(&[(":status", "503")], true);
            unseen.finish();
        }
        assert_eq!(counts(&proxy), [0, 0, 0]);
        assert_eq!(count(&plugin, "increment"), 0);
        assert_eq!(cause(&plugin), None);
    }
}

#[test]
fn our_own_refusals_are_not_the_services_failures() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        break_it(&plugin);
        (0..20).for_each(|_| assert!(!call(&plugin, "503")));
        assert_eq!(counts(&proxy), [0, 2, 0]);
        assert_eq!(metric(&proxy, "rejected_total;cause=open"), 20);
    }
}

// --- gRPC ---

#[test]
fn a_grpc_status_counts_wherever_it_comes() {
    let grpc = ("content-type", "application/grpc");
    for (status, failures) in [("0", 0), ("5", 0), ("14", 1), ("13", 1), ("4", 1)] {
        let proxy = envoy();
        let plugin = worker(&proxy, "{}");
        let mut trailers_only = plugin.stream().with_body().request(GET);
        trailers_only.respond(&[(":status", "200"), grpc, ("grpc-status", status)], true);
        trailers_only.finish();
        let mut streamed = plugin.stream().with_body().request(GET);
        streamed
            .respond(&[(":status", "200"), grpc], false)
            .body(b"message", false)
            .trailers(&[("grpc-status", status)]);
        streamed.finish();
        assert_eq!(counts(&proxy), [2 - 2 * failures, 2 * failures, 0], "grpc-status {status}");
    }
}

#[test]
fn a_grpc_answer_without_its_trailers_says_nothing() {
    let proxy = envoy();
    let plugin = worker(&proxy, &brisk(r#""measure": "completion""#));
    let mut cut = plugin.stream().with_body().request(GET);
    cut.respond(&[(":status", "200"), ("content-type", "application/grpc")], false).body(b"mess", false);
    cut.finish();
    assert_eq!(counts(&proxy), [0, 0, 0]);
}

#[test]
fn bytes_that_are_no_text_are_no_trouble() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, r#"{"key": ["header:x-tenant"]}"#);
        let odd = sdk_shim::fake::Headers::from(GET).with("x-tenant", b"\xFF\xFE");
        let mut request = plugin.request(odd);
        request.respond(sdk_shim::fake::Headers::default().with(":status", b"\xFF").with("grpc-status", b"\xFF"), true);
        request.finish();
        let bare = sdk_shim::fake::Headers::default();
        plugin.request(bare.clone()).respond(bare, false);
        assert!(plugin.host().traps().is_empty());
    }
}
