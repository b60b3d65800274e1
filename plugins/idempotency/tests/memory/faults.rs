//! The store is down, contended, unreadable, or has lost something.

use super::*;
use core::time::Duration;

#[test]
fn a_store_that_is_down_is_told_and_nothing_is_assumed() {
    for proxy in both() {
        let [one, other] = Worker::two(&proxy);
        one.claim("k", 1).unwrap();
        proxy.fail_shared(true);
        let down = Failure::Refused("host status 10".into());
        assert_eq!(other.claim("k", 2), Err(down.clone()));
        assert_eq!(one.complete("k", 1, b"paid"), Err(down.clone()));
        assert_eq!(one.abandon("k", 1), Err(down.clone()));
        assert_eq!(Worker::two(&proxy)[0].claim("new", 3), Err(down));
        proxy.fail_shared(false);
        assert_eq!(one.complete("k", 1, b"paid"), Ok(true));
        assert_eq!(other.claim("k", 4), Ok(Answer::Done(b"paid".to_vec())));
    }
}

/// Each write of a completion is the last one that a worker makes; it comes back and completes again.
#[test]
fn a_completion_that_broke_off_anywhere_can_be_repeated() {
    for last in 0..3 {
        let proxy = FakeProxy::envoy();
        let [one, other] = Worker::two(&proxy);
        one.claim("k", 1).unwrap();
        fail_after_writes(&proxy, last);
        let broken = one.complete("k", 1, b"paid");
        assert_eq!(broken.is_ok(), last == 2, "after write {last}: {broken:?}");
        proxy.fail_shared(false);
        let seen = other.claim("k", 2);
        assert_eq!(seen == Ok(Answer::Done(b"paid".to_vec())), last == 2, "after write {last}: {seen:?}");
        assert_eq!(one.complete("k", 1, b"paid"), Ok(true));
        assert_eq!(other.claim("k", 3), Ok(Answer::Done(b"paid".to_vec())));
    }
}

fn fail_after_writes(proxy: &FakeProxy, writes: u32) {
    let next = proxy.clone();
    proxy.on_next_set(Box::new(move || {
        if writes == 0 { next.fail_shared(true) } else { fail_after_writes(&next, writes - 1) }
    }));
}

#[test]
fn losing_every_race_is_an_answer_and_no_endless_loop() {
    let proxy = FakeProxy::envoy();
    let [one, other] = Worker::two(&proxy);
    one.claim("k", 1).unwrap();
    proxy.mismatch_next(u32::MAX);
    assert_eq!(other.claim("l", 2), Err(Failure::Contended));
    assert_eq!(one.complete("k", 1, b"paid"), Err(Failure::Contended));
    assert_eq!(one.abandon("k", 1), Err(Failure::Contended));
    assert!(matches!(other.claim("k", 2), Ok(Answer::InFlight { .. })), "reading needs no race");
    proxy.mismatch_next(20);
    fence(other.claim("l", 3));
}

#[test]
fn a_set_that_can_not_be_read_is_never_overwritten() {
    for proxy in both() {
        let worker = Worker::of(&proxy, 1, 1_000);
        worker.pay("k", 1, b"paid").unwrap();
        let good = cell(&proxy, ";s0").unwrap();
        let newer = [&[99], good.get(1..).unwrap()].concat();
        let cut = good.get(..good.len() - 1).unwrap().to_vec();
        let longer = [&good[..], b"!"].concat();
        for bad in [newer, cut, longer, b"?".to_vec()] {
            put_cell(&proxy, ";s0", &bad);
            assert_eq!(worker.claim("k", 2), Err(Failure::Unexpected));
            assert_eq!(worker.claim("l", 2), Err(Failure::Unexpected));
            assert_eq!(worker.complete("k", 1, b"paid"), Err(Failure::Unexpected));
            assert_eq!(worker.abandon("k", 1), Err(Failure::Unexpected));
            assert_eq!(cell(&proxy, ";s0"), Some(bad));
        }
    }
}

#[test]
fn a_layout_that_can_not_be_read_is_never_overwritten() {
    let proxy = FakeProxy::envoy();
    let worker = Worker::of(&proxy, 1, 1_000);
    for bad in
        [&[2, 1, 0, 0, 0, 1][..], &[1, 0, 0, 0, 0, 1], &[1, 1, 0, 0, 0, 0], &[1, 1, 0, 0, 0], &[1, 1, 0, 0, 0, 1, 1]]
    {
        put_cell(&proxy, ";layout", bad);
        assert_eq!(worker.claim("k", 2), Err(Failure::Unexpected));
        assert_eq!(cell(&proxy, ";layout").as_deref(), Some(bad));
    }
}

/// `WasmX` finds shared data by the CRC32 of its name: one cell's value is read under another one's name.
#[test]
fn a_cell_of_another_name_is_a_failure_and_stays_what_it_is() {
    let proxy = FakeProxy::wasmx();
    let worker = Worker::of(&proxy, 1, 1_000);
    worker.claim("k", 1).unwrap();
    proxy.put_shared("m;b0.0", b"\x05\x00otherrecord");
    assert_eq!(worker.complete("k", 1, b"paid"), Err(Failure::Unexpected));
    assert_eq!(proxy.shared("m;b0.0").value.unwrap(), b"\x05\x00otherrecord");
    proxy.put_shared("m;s0", b"\x05\x00otherrecord");
    assert_eq!(worker.claim("k", 2), Err(Failure::Unexpected));
    assert_eq!(proxy.shared("m;s0").value.unwrap(), b"\x05\x00otherrecord");
}

#[test]
fn a_key_whose_answer_was_lost_is_not_run_again() {
    for proxy in both() {
        let worker = Worker::of(&proxy, 1, 1_000);
        worker.pay("k", 1, b"paid").unwrap();
        proxy.evict_shared("m;b0.0");
        assert_eq!(worker.claim("k", 2), Ok(Answer::Unknown));
        proxy.advance(Duration::from_millis(TTL));
        assert_eq!(worker.pay("k", 3, b"paid again"), Ok(true), "nor is it wedged");
        assert_eq!(worker.claim("k", 4), Ok(Answer::Done(b"paid again".to_vec())));
    }
}

#[test]
fn another_record_s_answer_is_never_given_out() {
    let proxy = FakeProxy::envoy();
    let worker = Worker::of(&proxy, 1, 1_000);
    worker.pay("k", 1, b"paid").unwrap();
    let good = cell(&proxy, ";b0.0").unwrap();
    let mut other_owner = good.clone();
    other_owner[0] ^= 2;
    let cut = good.get(..good.len() - 1).unwrap().to_vec();
    for bad in [other_owner, cut, b"short".to_vec(), Vec::new()] {
        put_cell(&proxy, ";b0.0", &bad);
        assert_eq!(worker.claim("k", 2), Ok(Answer::Unknown));
    }
    put_cell(&proxy, ";b0.0", &good);
    assert_eq!(worker.claim("k", 3), Ok(Answer::Done(b"paid".to_vec())));
}

#[test]
fn what_a_host_has_evicted_is_lost() {
    let proxy = FakeProxy::wasmx();
    let worker = Worker::of(&proxy, 1, 1_000);
    worker.pay("k", 1, b"paid").unwrap();
    proxy.evict_shared("m;s0");
    fence(worker.claim("k", 2));
    assert_eq!(worker.complete("k", 2, b"paid twice"), Ok(true), "which is why eviction must be accepted");
    assert_eq!(worker.claim("k", 3), Ok(Answer::Done(b"paid twice".to_vec())));
}
