//! One part holds a message, and those behind it go on when it lets go.

use crate::support::{Call, DOWN, ORDER, POST, UP, call, cause, count, envoy, pay, worker};
use core::time::Duration;
use sdk_shim::fake::FakeProxy;
use sdk_shim::host::Reply;

const CALLS: &str =
    "holdfast_circuit_breaker_calls_total;chain=downstream;instance=default;key=checkout;outcome=success";
const REMOTE: &str = r#"{"headers_stop_iteration": true, "insecure_literal": true,
    "idempotency": {"store": {"kind": "redis", "cluster": "store"}, "secret": [{"literal": "a secret of more than sixteen bytes"}]},
    "circuit_breaker": {"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2}}"#;
/// A claim that was granted, with fence 1, as our scripts say it.
const CLAIMED: &[u8] = b"*2\r\n$7\r\nclaimed\r\n$1\r\n1\r\n";

fn answered(mut call: Call, status: &str) -> Option<Reply> {
    call.respond(&[(":status", status), ("content-type", "text/plain")], false).body(b"paid", true);
    call.finish().reply
}

#[test]
fn a_claim_waits_for_the_body_and_the_breaker_for_the_claim() {
    let proxy = envoy();
    let plugin = worker(&proxy, DOWN);
    let mut first = plugin.stream().with_body().request(POST);
    assert!(first.paused());
    assert_eq!(count(&plugin, "property(xds.route_name)"), 1, "the claim's key; the breaker hasn't been asked");
    first.request_body(&ORDER[..4], false);
    assert!(first.paused());
    first.request_body(&ORDER[4..], true);
    assert!(first.passed());
    assert!(answered(first, "200").is_none());
    assert_eq!(proxy.metric(CALLS), 1);
    let again = pay(&plugin).finish().reply.expect("a replay");
    assert_eq!((again.status, again.body.as_slice()), (200, &b"paid"[..]));
    assert_eq!(proxy.metric(CALLS), 1, "a replay is no call of the service");
}

#[test]
fn a_breaker_that_refuses_what_was_claimed_frees_the_key() {
    let plugin = worker(&envoy(), DOWN);
    assert!(call(&plugin, "500") && call(&plugin, "500"));
    for _ in 0..2 {
        let mut request =
            plugin.stream().with_body().property_number("upstream.request_attempt_count", 0).request(POST);
        request.request_body(ORDER, true);
        let refused = request.finish().reply.expect("a refusal");
        assert_eq!(cause(&refused), "circuit-breaker; cause=open", "not in flight, not uncertain: free again");
    }
}

#[test]
fn the_answer_to_a_claim_lets_the_request_go_on_to_the_breaker() {
    let proxy = envoy();
    let plugin = worker(&proxy, REMOTE);
    let waiting = pay(&plugin);
    assert!(waiting.paused());
    grant(&plugin);
    assert!(waiting.passed());
    assert_eq!(proxy.metric(CALLS), 0);
    drop(waiting);
    assert!(plugin.host().traps().is_empty());
}

#[test]
fn a_breaker_that_opened_meanwhile_refuses_what_was_waiting_for_its_claim() {
    let plugin = worker(&envoy(), REMOTE);
    let waiting = pay(&plugin);
    assert!(call(&plugin, "500") && call(&plugin, "500"));
    grant(&plugin);
    assert_eq!(cause(&waiting.reply().expect("a refusal")), "circuit-breaker; cause=open");
    // No router was asked, so the store is told that the key is free.
    let (id, _) = plugin.host().pending_callouts().into_iter().next().expect("a release");
    assert!(plugin.answer(id, &[(":status", "200")], b"*1\r\n$9\r\nabandoned\r\n"));
    waiting.finish();
    assert!(plugin.host().traps().is_empty());
}

/// The oldest claim is granted.
fn grant(plugin: &crate::support::Plugin) {
    let (id, _) = plugin.host().pending_callouts().into_iter().next().expect("a claim");
    assert!(plugin.answer(id, &[(":status", "200")], CLAIMED));
}

#[test]
fn a_client_that_leaves_while_it_waits_is_forgotten() {
    let plugin = worker(&envoy(), REMOTE);
    for _ in 0..3 {
        pay(&plugin).abort();
    }
    plugin.host().clear_calls();
    for (id, _) in plugin.host().pending_callouts() {
        plugin.answer(id, &[(":status", "200")], CLAIMED);
    }
    assert_eq!((count(&plugin, "resume"), plugin.host().traps().len()), (0, 0));
}

#[test]
fn a_held_answer_is_judged_before_the_others_hear_of_it() {
    let (proxy, errors) = (envoy(), br#"{"errors": [{"message": "down", "path": ["a"]}]}"#);
    let plugin = worker(&proxy, UP);
    let mut attempt = graphql(&plugin);
    attempt.respond(&[(":status", "200"), ("content-type", "application/json")], false);
    assert!(attempt.paused());
    attempt.body(errors, true);
    assert!(!attempt.paused());
    assert_eq!(attempt.response_header("x-holdfast-outcome").as_deref(), Some("server_fault"));
    attempt.finish();
    assert_eq!(failures(&proxy), 1, "the breaker behind it believes what it was told");
}

#[test]
fn an_answer_that_is_held_for_too_long_goes_on_to_everybody() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let mut attempt = graphql(&plugin);
    attempt.respond(&[(":status", "200"), ("content-type", "application/json")], false).body(b"{", false);
    assert!(attempt.paused());
    for _ in 0..20 {
        proxy.advance(Duration::from_millis(10));
        plugin.tick();
    }
    assert!(!attempt.paused());
    attempt.body(b"\"data\": {}}", true);
    attempt.finish();
    assert_eq!((failures(&proxy), plugin.host().traps().len()), (0, 0));
}

fn graphql(plugin: &crate::support::Plugin) -> Call {
    let query = &[(":method", "POST"), (":path", "/graphql"), ("content-type", "application/json")];
    let mut attempt = plugin.stream().attempt(1).with_body().request(query);
    attempt.request_body(b"{}", true);
    attempt
}

fn failures(proxy: &FakeProxy) -> u64 {
    proxy.metric("holdfast_circuit_breaker_calls_total;chain=upstream;instance=default;key=checkout;outcome=failure")
}

#[test]
fn a_stream_whose_request_nobody_saw_passes() {
    let plugin = worker(&envoy(), DOWN);
    let mut unseen = plugin.unseen();
    unseen.respond(&[(":status", "403")], true);
    unseen.finish();
    assert!(call(&plugin, "200"));
}
