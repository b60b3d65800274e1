//! The proxy's clock may step.

use super::*;
use core::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_clock_that_steps_back_makes_leases_last_longer() {
    let proxy = FakeProxy::envoy();
    let [one, other] = Worker::two(&proxy);
    one.claim("k", 1).unwrap();
    proxy.clock().step_back(HOUR);
    assert_eq!(other.claim("k", 2), Ok(Answer::InFlight { remaining: LEASE + 3_600_000 }));
    assert_eq!(one.complete("k", 1, b"paid"), Ok(true));
    assert_eq!(other.claim("k", 3), Ok(Answer::Done(b"paid".to_vec())));
}

#[test]
fn an_uncertain_claim_is_in_flight_again_and_is_not_run_twice() {
    let proxy = FakeProxy::envoy();
    let [one, other] = Worker::two(&proxy);
    one.claim("k", 1).unwrap();
    proxy.advance(Duration::from_millis(LEASE));
    assert!(matches!(other.claim("k", 2), Ok(Answer::Uncertain { .. })));
    proxy.clock().step_back(Duration::from_secs(5));
    assert_eq!(other.claim("k", 3), Ok(Answer::InFlight { remaining: 5_000 }));
}

#[test]
fn a_fence_grows_though_the_clock_steps_back() {
    let proxy = FakeProxy::envoy();
    let [one, other] = Worker::two(&proxy);
    let first = fence(one.claim("k", 1));
    one.abandon("k", 1).unwrap();
    proxy.clock().step_back(HOUR);
    assert!(fence(other.claim("k", 2)) > first);
}

#[test]
fn a_clock_that_steps_forward_ends_leases_and_owners_still_complete() {
    let proxy = FakeProxy::envoy();
    let [one, other] = Worker::two(&proxy);
    one.claim("k", 1).unwrap();
    proxy.advance(HOUR);
    assert!(matches!(other.claim("k", 2), Ok(Answer::Uncertain { .. })));
    assert_eq!(one.complete("k", 1, b"paid"), Ok(true));
}

#[test]
fn a_step_beyond_the_time_to_keep_forgets_and_a_record_that_nobody_replaced_comes_back() {
    let proxy = FakeProxy::envoy();
    let [one, other] = Worker::two(&proxy);
    one.pay("k", 1, b"paid").unwrap();
    one.pay("l", 2, b"paid").unwrap();
    proxy.advance(Duration::from_millis(TTL));
    fence(other.claim("k", 3));
    proxy.clock().step_back(Duration::from_millis(TTL));
    assert!(matches!(one.claim("k", 4), Ok(Answer::InFlight { .. })), "the newer claim counts");
    assert_eq!(one.claim("l", 4), Ok(Answer::Done(b"paid".to_vec())));
}
