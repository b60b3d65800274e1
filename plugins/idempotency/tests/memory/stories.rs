//! What a client sees.

use super::*;
use core::time::Duration;

#[test]
fn a_repeat_on_another_worker_gets_the_first_answer() {
    for proxy in both() {
        let [one, other] = Worker::two(&proxy);
        let fence = fence(one.claim("k", 1));
        assert_eq!(fence, one.now());
        proxy.advance(Duration::from_secs(1));
        assert_eq!(other.claim("k", 2), Ok(Answer::InFlight { remaining: LEASE - 1_000 }));
        assert_eq!(one.complete("k", 1, b"paid"), Ok(true));
        assert_eq!(other.claim("k", 3), Ok(Answer::Done(b"paid".to_vec())));
        assert_eq!(one.claim("k", 4), Ok(Answer::Done(b"paid".to_vec())));
    }
}

#[test]
fn an_answer_may_be_empty_or_long() {
    for proxy in both() {
        let [one, other] = Worker::two(&proxy);
        let long = vec![b'x'; 300_000];
        assert_eq!(one.pay("empty", 1, b""), Ok(true));
        assert_eq!(one.pay("long", 2, &long), Ok(true));
        assert_eq!(other.claim("empty", 3), Ok(Answer::Done(Vec::new())));
        assert_eq!(other.claim("long", 4), Ok(Answer::Done(long)));
    }
}

#[test]
fn another_payload_under_the_same_key_is_told_from_one_that_can_not_be_compared() {
    let [one, other] = Worker::two(&FakeProxy::envoy());
    one.claim("k", 1).unwrap();
    let print = |version, digest| Claim { fingerprint: Fingerprint { version, digest: [digest; 32] }, ..wish(2) };
    assert_eq!(other.claim_as("k", &print(1, 8)), Ok(Answer::Mismatch));
    assert_eq!(other.claim_as("k", &print(2, 7)), Ok(Answer::Unknown));
}

#[test]
fn a_released_key_is_free_for_anything_and_its_fence_grows() {
    for proxy in both() {
        let [one, other] = Worker::two(&proxy);
        let first = fence(one.claim("k", 1));
        assert_eq!(one.abandon("k", 1), Ok(true));
        assert_eq!(one.abandon("k", 1), Ok(false), "there is nothing left to release");
        let another = Claim { fingerprint: Fingerprint { version: 3, digest: [9; 32] }, ..wish(2) };
        let second = fence(other.claim_as("k", &another));
        assert!(second > first, "{second} in the same millisecond as {first}");
    }
}

#[test]
fn nobody_but_the_owner_ends_a_claim() {
    let [one, other] = Worker::two(&FakeProxy::envoy());
    one.claim("k", 1).unwrap();
    assert_eq!(other.complete("k", 2, b"forged"), Ok(false));
    assert_eq!(other.abandon("k", 2), Ok(false));
    assert_eq!(other.complete("never", 1, b"forged"), Ok(false));
    assert_eq!(other.abandon("never", 1), Ok(false));
    assert_eq!(one.complete("k", 1, b"paid"), Ok(true));
    assert_eq!(one.complete("k", 1, b"paid once more"), Ok(true), "it may be sent twice");
    assert_eq!(one.abandon("k", 1), Ok(false), "what ran stays");
    assert_eq!(other.claim("k", 3), Ok(Answer::Done(b"paid".to_vec())));
}

#[test]
fn a_dead_owner_leaves_an_uncertain_claim_that_is_run_again_only_where_that_is_wished() {
    for proxy in both() {
        let [one, other] = Worker::two(&proxy);
        let first = fence(one.claim("k", 1));
        proxy.advance(Duration::from_millis(LEASE));
        assert_eq!(other.claim("k", 2), Ok(Answer::Uncertain { fence: first }));
        let second = fence(other.claim_as("k", &Claim { reexecute: true, ..wish(2) }));
        assert!(second > first);
        assert_eq!(one.complete("k", 1, b"late"), Ok(false), "it lost its claim");
        assert_eq!(other.complete("k", 2, b"paid"), Ok(true));
        assert_eq!(one.claim("k", 3), Ok(Answer::Done(b"paid".to_vec())));
    }
}

#[test]
fn a_late_owner_completes_its_own_uncertain_claim() {
    let proxy = FakeProxy::envoy();
    let [one, other] = Worker::two(&proxy);
    one.claim("k", 1).unwrap();
    proxy.advance(Duration::from_millis(10 * LEASE));
    assert_eq!(one.complete("k", 1, b"paid"), Ok(true));
    assert_eq!(other.claim("k", 2), Ok(Answer::Done(b"paid".to_vec())));
}

#[test]
fn a_key_is_forgotten_after_its_time_counted_from_the_answer() {
    for proxy in both() {
        let [one, other] = Worker::two(&proxy);
        one.claim("k", 1).unwrap();
        proxy.advance(Duration::from_secs(20));
        one.complete("k", 1, b"paid").unwrap();
        proxy.advance(Duration::from_millis(TTL - 1));
        assert_eq!(other.claim("k", 2), Ok(Answer::Done(b"paid".to_vec())));
        proxy.advance(Duration::from_millis(1));
        fence(other.claim("k", 3));
        assert_eq!(other.complete("k", 3, b"paid again"), Ok(true));
        assert_eq!(one.claim("k", 4), Ok(Answer::Done(b"paid again".to_vec())));
    }
}

#[test]
fn two_prefixes_do_not_see_each_other() {
    let proxy = FakeProxy::envoy();
    let [one, other] =
        ["a", "b"].map(|prefix| Worker { host: proxy.worker(), memory: Memory::new(prefix, 64, 1 << 20).into() });
    one.pay("k", 1, b"paid").unwrap();
    fence(other.claim("k", 2));
}
