//! Nothing grows without end, and what lives is not thrown away for it.

use super::*;
use core::time::Duration;

/// One set of four ways, with this much room for answers; 16 bytes of each are its owner's.
fn four_ways(proxy: &FakeProxy, room: u64) -> Worker {
    Worker::of(proxy, 4, room)
}

#[test]
fn a_full_set_fails_and_throws_nobody_out() {
    for proxy in both() {
        let worker = four_ways(&proxy, 1 << 20);
        for (key, owner) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            worker.pay(key, owner, key.as_bytes()).unwrap();
        }
        assert_eq!(worker.claim("e", 5), Err(Failure::Full));
        for key in ["a", "b", "c", "d"] {
            assert_eq!(worker.claim(key, 6), Ok(Answer::Done(key.into())));
        }
        proxy.advance(Duration::from_millis(TTL));
        fence(worker.claim("e", 7));
    }
}

#[test]
fn the_place_of_the_record_that_expired_first_is_taken_first() {
    let proxy = FakeProxy::envoy();
    let worker = four_ways(&proxy, 1 << 20);
    for (key, owner) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        worker.pay(key, owner, key.as_bytes()).unwrap();
        proxy.advance(Duration::from_secs(1));
    }
    proxy.advance(Duration::from_millis(TTL));
    fence(worker.claim("e", 5));
    // Should the clock step back, as much as possible is still there.
    proxy.clock().step_back(Duration::from_secs(10));
    for key in ["b", "c", "d"] {
        assert_eq!(worker.claim(key, 6), Ok(Answer::Done(key.into())));
    }
}

#[test]
fn a_released_key_frees_its_place_when_its_tombstone_is_over() {
    let proxy = FakeProxy::envoy();
    let worker = Worker::of(&proxy, 1, 1 << 20);
    worker.claim("a", 1).unwrap();
    worker.abandon("a", 1).unwrap();
    assert_eq!(worker.claim("b", 2), Err(Failure::Full));
    proxy.advance(Duration::from_secs(60));
    fence(worker.claim("b", 3));
}

#[test]
fn there_are_as_many_places_as_configured_and_hardly_more() {
    for slots in [0, 1, 5, 31, 32, 33, 100, 4_096, 1 << 20] {
        let worker = Worker::of(&FakeProxy::envoy(), slots, 1 << 20);
        let there = worker.memory.slots(&worker.host).unwrap();
        assert!(there >= slots.max(1), "{there} for {slots}");
        assert!(there - slots.max(1) <= slots / 32, "{there} for {slots}");
    }
}

#[test]
fn half_of_all_slots_can_be_used_and_no_set_is_full() {
    let worker = Worker::of(&FakeProxy::envoy(), 4_096, 64 << 20);
    for owner in 0..2_048_u128 {
        // As names are: digits of a digest.
        let key = format!("{:064x}", (owner + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835_u128));
        fence(worker.claim(&key, owner));
    }
}

#[test]
fn an_answer_that_does_not_fit_is_kept_without_its_body() {
    for proxy in both() {
        let worker = four_ways(&proxy, 200);
        worker.pay("a", 1, &[b'a'; 100]).unwrap();
        assert_eq!(worker.pay("b", 2, &[b'b'; 100]), Ok(true));
        assert_eq!(worker.claim("a", 3), Ok(Answer::Done(vec![b'a'; 100])));
        assert_eq!(worker.claim("b", 3), Ok(Answer::Done(b"~b".to_vec())));
    }
}

#[test]
fn where_not_even_that_fits_the_claim_stays_and_becomes_uncertain() {
    let proxy = FakeProxy::envoy();
    let worker = four_ways(&proxy, 120);
    worker.pay("a", 1, &[b'a'; 100]).unwrap();
    let fence = fence(worker.claim("b", 2));
    assert_eq!(worker.complete("b", 2, b"bb"), Err(Failure::Full));
    proxy.advance(Duration::from_millis(LEASE));
    assert_eq!(worker.claim("b", 3), Ok(Answer::Uncertain { fence }));
    assert_eq!(worker.claim("a", 3), Ok(Answer::Done(vec![b'a'; 100])));
}

#[test]
fn what_has_expired_makes_room() {
    for proxy in both() {
        let worker = four_ways(&proxy, 250);
        worker.pay("a", 1, &[b'a'; 100]).unwrap();
        worker.pay("b", 2, &[b'b'; 100]).unwrap();
        proxy.advance(Duration::from_millis(TTL));
        assert_eq!(worker.pay("c", 3, &[b'c'; 200]), Ok(true));
        assert_eq!(worker.claim("c", 4), Ok(Answer::Done(vec![b'c'; 200])));
        assert_eq!(cell(&proxy, ";b0.0"), Some(Vec::new()), "the first answer is gone");
        assert_eq!(cell(&proxy, ";b0.1"), Some(Vec::new()), "and so is the second");
    }
}

#[test]
fn an_answer_s_place_is_used_again_without_being_emptied_first() {
    let proxy = FakeProxy::envoy();
    let worker = Worker::of(&proxy, 1, 150);
    worker.pay("a", 1, &[b'a'; 100]).unwrap();
    proxy.advance(Duration::from_millis(TTL));
    assert_eq!(worker.pay("b", 2, &[b'b'; 120]), Ok(true));
    assert_eq!(worker.claim("b", 3), Ok(Answer::Done(vec![b'b'; 120])));
}

#[test]
fn a_worker_that_came_with_another_number_of_slots_finds_the_same_records() {
    let proxy = FakeProxy::envoy();
    let before = Worker::of(&proxy, 4_096, 64 << 20);
    before.pay("k", 1, b"paid").unwrap();
    let after = Worker::of(&proxy, 64, 64 << 20);
    assert_eq!(after.claim("k", 2), Ok(Answer::Done(b"paid".to_vec())));
    assert_eq!(after.memory.slots(&after.host), Ok(4_096));
}
