//! What looks like the service's fault and isn't, and what looks like nobody's and is.

use crate::support::{Call, GET, Plugin, SECOND, answer, call, cause, envoy, metric, worker};
use core::time::Duration;
use sdk_shim::fake::FakeProxy;

const UPSTREAM: &str = r#"{"chain": "upstream", "minimum_calls": 5}"#;

fn up(proxy: &FakeProxy, outcome: &str) -> u64 {
    proxy.metric(&format!(
        "holdfast_circuit_breaker_calls_total;chain=upstream;instance=default;key=checkout;outcome={outcome}"
    ))
}

/// An attempt whose request is complete, or not.
fn attempt(plugin: &Plugin, complete: bool) -> Call {
    let mut call = plugin.stream().with_body().attempt(1).request(GET);
    call.request_body(b"order", complete);
    call
}

/// Envoy says DC where a client's connection closed, DR where it reset its HTTP/2 stream, DPE where it broke the protocol.
#[test]
fn however_a_client_leaves_it_says_nothing_of_the_service() {
    for flags in [16_384i64, 268_435_456, 262_144] {
        let proxy = envoy();
        let (behind, before) = (worker(&proxy, UPSTREAM), worker(&proxy, r#"{"minimum_calls": 5}"#));
        for _ in 0..10 {
            let mut call = attempt(&behind, true);
            call.set_bytes("response.flags", &flags.to_le_bytes());
            let _ = call.fail_upstream("");
            let mut call = before.request(GET);
            call.set_bytes("response.flags", &flags.to_le_bytes());
            call.finish();
        }
        assert_eq!((up(&proxy, "failure"), metric(&proxy, "calls_total;outcome=failure")), (0, 0), "{flags}");
    }
}

#[test]
fn an_attempt_that_waits_for_its_client_says_nothing() {
    let proxy = envoy();
    let plugin = worker(&proxy, UPSTREAM);
    for _ in 0..10 {
        let _ = attempt(&plugin, false).fail_upstream("");
    }
    assert_eq!(up(&proxy, "failure"), 0);
    let _ = attempt(&plugin, true).fail_upstream("");
    let _ = attempt(&plugin, false).fail_upstream("connection refused");
    assert_eq!(up(&proxy, "failure"), 2, "a complete one does, and so does a refused connection");
}

#[test]
fn a_deadline_that_the_client_chose_counts_only_after_a_slow_calls_time() {
    let proxy = envoy();
    let plugin = worker(&proxy, UPSTREAM);
    let over = |after: Duration| {
        let mut call = attempt(&plugin, true);
        proxy.advance(after);
        call.set("response.code_details", "max_duration_timeout");
        let _ = call.fail_upstream("");
    };
    over(Duration::from_millis(20));
    assert_eq!(up(&proxy, "failure"), 0);
    over(SECOND * 3);
    assert_eq!(up(&proxy, "failure"), 1);
}

#[test]
fn a_request_that_ends_in_trailers_is_complete() {
    let proxy = envoy();
    let plugin = worker(&proxy, UPSTREAM);
    let mut call = attempt(&plugin, false);
    call.request_trailers();
    let _ = call.fail_upstream("");
    assert_eq!(up(&proxy, "failure"), 1);
}

#[test]
fn an_upgrade_never_ends_its_request_and_counts_all_the_same() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"minimum_calls": 5}"#);
    let upgrade = &[(":method", "GET"), (":path", "/"), ("upgrade", "websocket")];
    for _ in 0..5 {
        let mut call = plugin.stream().with_body().request(upgrade);
        call.local_reply(503, 64, "upstream_reset_before_response_started{connection_termination}");
        call.finish();
    }
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
}

/// The clock jumps half a minute ahead while calls are under way, or the worker stood still for so long.
#[test]
fn calls_that_a_jumping_clock_made_slow_dont_count_as_slow() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"minimum_calls": 5}"#);
    assert!(call(&plugin, "200"));
    plugin.tick();
    let before: Vec<Call> = (0..10).map(|_| plugin.request(GET)).collect();
    proxy.advance(SECOND * 30);
    let mut at_once = before;
    let later = at_once.split_off(5);
    assert!(at_once.into_iter().all(|call| answer(call, "200")));
    plugin.tick();
    assert!(later.into_iter().all(|call| answer(call, "200")));
    assert_eq!((metric(&proxy, "slow_calls_total"), cause(&plugin)), (0, None));
    let slow = plugin.request(GET);
    proxy.advance(SECOND * 3);
    answer(slow, "200");
    assert_eq!(metric(&proxy, "slow_calls_total"), 1, "and what is slow is slow again");
}

#[test]
fn a_window_of_calls_sees_what_other_workers_served() {
    let proxy = envoy();
    let [a, b] = [(); 2].map(|()| worker(&proxy, r#"{"window": {"calls": 100}, "minimum_calls": 20}"#));
    assert!(call(&a, "200"));
    (0..125).for_each(|_| assert!(call(&b, "200")));
    (0..20).for_each(|n| assert!(call(&a, "500"), "{n} of the last hundred"));
    let dead = envoy();
    let workers = [(); 4].map(|()| worker(&dead, r#"{"window": {"calls": 10}}"#));
    let passed = (0..400).take_while(|n| call(&workers[n % 4], "500")).count();
    assert!(passed < 40, "{passed}");
}

#[test]
fn throttled_requests_leave_a_window_of_calls() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"window": {"calls": 100}, "failure_ratio": null, "throttle": {"k": 2}}"#);
    (0..500).for_each(|_| _ = call(&plugin, "500"));
    let served = (0..2_000).filter(|_| call(&plugin, "200")).count();
    assert!(served > 500, "{served} of 2,000 after it healed");
}

#[test]
fn a_client_that_sends_our_header_is_throttled_like_anybody() {
    let proxy = envoy();
    let config =
        r#"{"failure_ratio": null, "throttle": {"k": 1}, "on_open": {"reroute": {"header": "x-holdfast-fallback"}}}"#;
    let plugin = worker(&proxy, config);
    (0..500).for_each(|_| _ = call(&plugin, "500"));
    let spoofed = &[(":method", "GET"), (":path", "/pay"), ("x-holdfast-fallback", "1")];
    let passed = (0..200).filter(|_| plugin.request(spoofed).passed()).count();
    assert!(passed < 60, "{passed} of 200");
}

#[test]
fn a_retry_of_a_probe_is_no_probe() {
    let proxy = envoy();
    let config = r#"{"chain": "upstream", "failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2,
        "open": {"base": "1s", "jitter": 0}}"#;
    let plugin = worker(&proxy, config);
    let fail = |nth: u32| {
        let mut call = plugin.stream().attempt(nth).request(GET);
        assert!(call.passed());
        call.respond(&[(":status", "503")], true);
        let state = call.filter_state();
        call.finish();
        state
    };
    (0..2).for_each(|_| drop(fail(1)));
    proxy.advance(SECOND);
    let probe = fail(1);
    let retry = plugin.stream().attempt(2).sharing(&probe).request(GET);
    assert!(retry.reply().is_some(), "the breaker has opened again");
    retry.finish();
}

#[test]
fn a_moved_request_that_its_new_service_fails_counts_there() {
    let proxy = envoy();
    let host = proxy.worker();
    let open = r#"{"mode": "force_open", "on_open": {"reroute": {"header": "x-holdfast-fallback"}}}"#;
    let before = sdk_shim::fake::Worker::<circuit_breaker::CircuitBreaker>::start(&host, open).unwrap();
    let behind = sdk_shim::fake::Worker::<circuit_breaker::CircuitBreaker>::start(&host, UPSTREAM).unwrap();
    for _ in 0..5 {
        let moved = before.request(GET);
        assert!(moved.passed());
        let _ = behind.stream().attempt(1).sharing(&moved.filter_state()).request(GET).fail_upstream("");
    }
    assert_eq!(up(&proxy, "failure"), 5);
}
