//! The downstream entry: which requests the router may retry, and what goes back.

use crate::support::{GET, POST, Tries, down, entry, envoy, up, worker};
use core::time::Duration;

const UPSTREAM: &str = r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 0}"#;

fn steered(call: &crate::support::Call) -> bool {
    call.request_header("x-envoy-max-retries").as_deref() == Some("0")
}

#[test]
fn a_payment_is_not_sent_twice_unless_somebody_said_so() {
    let proxy = envoy();
    let method = |config: &str, method: &str, more: &[(&'static str, &'static str)]| {
        let headers: Vec<(&str, &str)> =
            [(":method", method), (":path", "/pay")].into_iter().chain(more.iter().copied()).collect();
        steered(&worker(&proxy, config).request(headers.as_slice()))
    };
    for idempotent in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        assert!(!method("{}", idempotent, &[]), "{idempotent}");
    }
    for other in ["POST", "PATCH", "CONNECT", "get", "QUERY"] {
        assert!(method("{}", other, &[]), "{other}");
        assert!(!method(r#"{"retry_unsafe": "always"}"#, other, &[]), "{other}");
    }
    let keyed = r#"{"retry_unsafe": "keyed"}"#;
    assert!(method(keyed, "POST", &[]));
    assert!(method(keyed, "POST", &[("idempotency-key", "")]));
    assert!(!method(keyed, "POST", &[("idempotency-key", "k")]));
    assert!(!method(keyed, "POST", &[("x-idempotency-key", "k")]));
    assert!(method("{}", "POST", &[("idempotency-key", "k")]));
    assert_eq!(down(&proxy, "steered_total;cause=unsafe"), 8);
}

#[test]
fn while_the_budget_is_empty_requests_are_not_retried_in_any_worker() {
    let proxy = envoy();
    let host = proxy.worker();
    let (up_a, down_a) = (entry(&host, UPSTREAM), entry(&host, "{}"));
    let down_b = worker(&proxy, "{}");
    assert!(!steered(&down_b.request(GET)));
    assert!(Tries::of(&up_a).answer(1, "503"));
    proxy.advance(Duration::from_millis(10));
    assert!(steered(&down_a.request(GET)) && steered(&down_b.request(GET)));
    assert_eq!(down(&proxy, "steered_total;cause=budget"), 2);
    proxy.set("xds.route_name", "other");
    assert!(!steered(&down_a.request(GET)), "another route's budget");
}

#[test]
fn when_something_is_left_again_they_are() {
    let proxy = envoy();
    let host = proxy.worker();
    let upstream = entry(&host, r#"{"chain": "upstream", "ratio": 1, "min_retries_per_second": 0}"#);
    let downstream = entry(&host, "{}");
    let tries = Tries::of(&upstream);
    assert!(!tries.answer(1, "503"));
    assert!(tries.answer(2, "503"));
    proxy.advance(Duration::from_millis(10));
    assert!(steered(&downstream.request(GET)));
    crate::support::healthy(&upstream, 1);
    proxy.advance(Duration::from_millis(10));
    assert!(!steered(&downstream.request(GET)), "at once, not with the next tick");
}

#[test]
fn a_request_that_wont_be_retried_takes_no_grant() {
    let proxy = envoy();
    let host = proxy.worker();
    let (upstream, downstream) = (entry(&host, r#"{"chain": "upstream", "ratio": 1}"#), entry(&host, "{}"));
    let request = downstream.request(POST);
    let state = request.filter_state();
    let mut attempt = upstream.stream().attempt(1).sharing(&state).request(POST);
    attempt.respond(&[(":status", "503")], true);
    assert_eq!(attempt.response_header("x-envoy-ratelimited"), None);
    attempt.finish();
    assert_eq!(up(&proxy, "granted_total"), 0);
}

#[test]
fn the_client_sees_nothing_of_what_was_said_to_the_router() {
    let proxy = envoy();
    let host = proxy.worker();
    let (upstream, downstream) = (entry(&host, UPSTREAM), entry(&host, "{}"));
    let mut request = downstream.request(GET);
    let mut attempt = upstream.stream().attempt(1).sharing(&request.filter_state()).request(GET);
    attempt.respond(&[(":status", "503")], true);
    assert_eq!(attempt.response_header("x-envoy-ratelimited").as_deref(), Some("true"));
    request.respond(&[(":status", "503"), ("x-envoy-ratelimited", "true"), ("x-holdfast-retry-in", "2")], true);
    assert_eq!(request.response_header("x-envoy-ratelimited"), None);
    assert_eq!(request.response_header("x-holdfast-retry-in"), None);
    request.finish();

    let mut request = downstream.request(GET);
    request.respond(&[(":status", "429"), ("x-envoy-ratelimited", "true")], true);
    assert_eq!(request.response_header("x-envoy-ratelimited").as_deref(), Some("true"), "the service's own");
    request.finish();
}

#[test]
fn an_answer_that_forbids_a_retry_itself_asks_for_none_and_stays_as_it_is() {
    let proxy = envoy();
    let host = proxy.worker();
    let (upstream, downstream) = (entry(&host, UPSTREAM), entry(&host, "{}"));
    let mut request = downstream.request(GET);
    let mut attempt = upstream.stream().attempt(1).sharing(&request.filter_state()).request(GET);
    attempt.respond(&[(":status", "503"), ("x-envoy-ratelimited", "theirs")], true);
    assert_eq!(attempt.response_header("x-envoy-ratelimited").as_deref(), Some("theirs"));
    attempt.finish();
    request.respond(&[(":status", "503"), ("x-envoy-ratelimited", "theirs")], true);
    assert_eq!(request.response_header("x-envoy-ratelimited").as_deref(), Some("theirs"));
    request.finish();
    assert_eq!(up(&proxy, "refused_total;cause=budget"), 0);
}

/// The first answer was marked; the second is a refusal of ours, which an Envoy in front must still see as one.
#[test]
fn a_mark_goes_with_the_answer_that_it_stood_on() {
    let proxy = envoy();
    let host = proxy.worker();
    let upstream = entry(&host, r#"{"chain": "upstream", "ratio": 1, "min_retries_per_second": 0}"#);
    let downstream = entry(&host, "{}");
    let mut request = downstream.request(GET);
    let state = request.filter_state();
    let mut first = upstream.stream().attempt(1).sharing(&state).request(GET);
    first.respond(&[(":status", "503"), ("retry-after", "1")], true);
    first.finish();
    let _ = upstream.stream().attempt(2).sharing(&state).request(GET).fail_upstream("");
    let refused = upstream.stream().attempt(3).sharing(&state).request(GET);
    assert!(refused.reply().is_some());
    refused.finish();
    request.respond(&[(":status", "503"), ("x-envoy-ratelimited", "true")], true);
    assert_eq!(request.response_header("x-envoy-ratelimited").as_deref(), Some("true"));
    request.finish();
}

#[test]
fn a_grant_that_nobody_used_comes_back() {
    let proxy = envoy();
    let host = proxy.worker();
    let upstream = entry(&host, r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 1, "ttl": "1s"}"#);
    let downstream = entry(&host, r#"{"ttl": "1s"}"#);
    for _ in 0..5 {
        let mut request = downstream.stream().property_number("upstream.request_attempt_count", 1).request(GET);
        let mut attempt = upstream.stream().attempt(1).sharing(&request.filter_state()).request(GET);
        attempt.respond(&[(":status", "503")], true);
        assert_eq!(attempt.response_header("x-envoy-ratelimited"), None, "the only one is always back in time");
        attempt.finish();
        request.respond(&[(":status", "503")], true);
        request.finish();
    }
    assert_eq!((up(&proxy, "granted_total"), up(&proxy, "returned_total")), (5, 5));
}

/// A grant that has left the window, given back, would make room that isn't there.
#[test]
fn a_grant_comes_back_in_its_slot_or_not_at_all() {
    let proxy = envoy();
    let host = proxy.worker();
    let upstream = entry(&host, r#"{"chain": "upstream", "ratio": 1}"#);
    let downstream = entry(&host, "{}");
    let mut request = downstream.stream().property_number("upstream.request_attempt_count", 1).request(GET);
    let mut attempt = upstream.stream().attempt(1).sharing(&request.filter_state()).request(GET);
    attempt.respond(&[(":status", "503")], true);
    attempt.finish();
    request.respond(&[(":status", "503")], true);
    (0..2).for_each(|_| upstream.tick());
    request.finish();
    assert_eq!((up(&proxy, "granted_total"), up(&proxy, "returned_total")), (1, 0));
}

#[test]
fn whoever_may_ask_is_told_and_the_token_goes_no_further() {
    let proxy = envoy();
    let config = r#"{"insecure_literal": true, "debug_token": {"literal": "s3cret"}}"#;
    let plugin = worker(&proxy, config);
    let answer = |more: &[(&'static str, &'static str)]| {
        let headers: Vec<(&str, &str)> = POST.iter().copied().chain(more.iter().copied()).collect();
        let mut call = plugin.request(headers.as_slice());
        assert_eq!(call.request_header("x-holdfast-debug"), None);
        call.respond(&[(":status", "200")], true);
        let told = call.response_header("x-holdfast-debug-retry-budget");
        call.finish();
        told
    };
    assert_eq!(
        answer(&[("x-holdfast-debug", "s3cret")]).as_deref(),
        Some("no_retries=unsafe; covered=1; vetoed_or_delayed=false")
    );
    assert_eq!(answer(&[("x-holdfast-debug", "guess")]), None);
    assert_eq!(answer(&[]), None);
}

#[test]
fn a_dry_run_steers_nobody() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"mode": "dry_run"}"#);
    assert!(!steered(&plugin.request(POST)));
    assert_eq!((down(&proxy, "would_steer_total;cause=unsafe"), down(&proxy, "steered_total;cause=unsafe")), (1, 0));
}

/// Whoever listed a key may be switched off, pushed away or gone; its key must not be kept from retrying for ever.
#[test]
fn what_nobody_renews_is_forgotten() {
    let proxy = envoy();
    let host = proxy.worker();
    let (upstream, downstream) = (entry(&host, UPSTREAM), entry(&host, "{}"));
    assert!(Tries::of(&upstream).answer(1, "503"));
    for _ in 0..20 {
        proxy.advance(Duration::from_secs(1));
        upstream.tick();
        assert!(Tries::of(&upstream).answer(1, "503"));
        assert!(steered(&downstream.request(GET)), "renewed as long as it is so");
    }
    proxy.advance(Duration::from_millis(3_100));
    assert!(!steered(&downstream.request(GET)));
}

/// Two instances in one chain: what one of them lets go says nothing to the other.
#[test]
fn instances_dont_mix() {
    let proxy = envoy();
    let host = proxy.worker();
    let strict = entry(&host, UPSTREAM);
    let trial = entry(
        &host,
        r#"{"chain": "upstream", "instance": "trial", "mode": "dry_run", "ratio": 0, "min_retries_per_second": 0}"#,
    );
    let state = sdk_shim::fake::FilterState::default();
    for nth in 1..=2 {
        let mut first = trial.stream().attempt(nth).sharing(&state).request(GET);
        let mut second = strict.stream().attempt(nth).sharing(&state).request(GET);
        first.respond(&[(":status", "503")], true);
        first.finish();
        if nth == 1 {
            second.respond(&[(":status", "503")], true);
            assert!(second.response_header("x-envoy-ratelimited").is_some());
        } else {
            assert!(second.reply().is_some());
        }
        second.finish();
    }
}
