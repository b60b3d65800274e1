//! The secret, and the list of uncertain claims.

use super::*;
use idempotency::store::memory::secret;
use idempotency::store::memory::uncertain::{Entry, MAX_TEXT, MOST};

#[test]
fn all_workers_have_the_secret_that_the_first_one_drew() {
    for proxy in both() {
        let [one, other] = [proxy.worker(), proxy.worker()];
        assert_ne!(one.seed(), other.seed());
        let drawn = secret(&one, PREFIX).unwrap();
        assert_eq!(secret(&other, PREFIX), Ok(drawn));
        assert_ne!(secret(&other, "another prefix"), Ok(drawn));
        assert_ne!(drawn, [0; 32]);
    }
}

#[test]
fn of_two_workers_that_begin_at_once_one_draws() {
    for proxy in both() {
        let [one, other] = [proxy.worker(), proxy.worker()];
        let meanwhile = other.clone();
        proxy.on_next_set(Box::new(move || _ = secret(&meanwhile, PREFIX).unwrap()));
        let drawn = secret(&one, PREFIX).unwrap();
        assert_eq!(secret(&other, PREFIX), Ok(drawn));
        assert_ne!(secret(&one, "fresh"), Ok(drawn));
    }
}

#[test]
fn a_secret_that_can_not_be_read_is_a_failure() {
    let proxy = FakeProxy::envoy();
    let host = proxy.worker();
    put_cell(&proxy, ";secret", b"too short");
    assert_eq!(secret(&host, PREFIX), Err(Failure::Unexpected));
    proxy.fail_shared(true);
    assert!(matches!(secret(&host, PREFIX), Err(Failure::Refused(_))));
}

fn entry(id: &str, at: u64) -> Entry {
    Entry { id: id.into(), at, route: "checkout".into(), tenant: 7, fence: at }
}

fn ids(worker: &Worker) -> Vec<String> {
    worker.memory.uncertain(&worker.host).unwrap().into_iter().map(|entry| entry.id).collect()
}

#[test]
fn what_one_worker_found_uncertain_all_can_list_and_take_off_the_list() {
    for proxy in both() {
        let [one, other] = Worker::two(&proxy);
        assert_eq!(other.memory.uncertain(&other.host), Ok(Vec::new()));
        one.memory.note_uncertain(&one.host, &entry("a", 1)).unwrap();
        other.memory.note_uncertain(&other.host, &entry("b", 2)).unwrap();
        assert_eq!(one.memory.uncertain(&one.host), Ok(vec![entry("a", 1), entry("b", 2)]));
        assert_eq!(other.memory.forget_uncertain(&other.host, "a"), Ok(true));
        assert_eq!(one.memory.forget_uncertain(&one.host, "a"), Ok(false));
        assert_eq!(ids(&one), ["b"]);
    }
}

#[test]
fn what_is_found_again_stands_there_once() {
    let [one, other] = Worker::two(&FakeProxy::envoy());
    for (id, at) in [("a", 1), ("b", 2), ("a", 3)] {
        one.memory.note_uncertain(&one.host, &entry(id, at)).unwrap();
    }
    assert_eq!(other.memory.uncertain(&other.host), Ok(vec![entry("b", 2), entry("a", 3)]));
}

#[test]
fn the_list_is_bounded_and_the_newest_stay() {
    let [one, _] = Worker::two(&FakeProxy::envoy());
    for at in 0..2 * MOST as u64 {
        one.memory.note_uncertain(&one.host, &entry(&at.to_string(), at)).unwrap();
    }
    let newest: Vec<_> = (MOST..2 * MOST).map(|at| at.to_string()).collect();
    assert_eq!(ids(&one), newest);
}

#[test]
fn long_texts_are_cut_between_characters() {
    let [one, _] = Worker::two(&FakeProxy::envoy());
    let route = format!("x{}", "é".repeat(MAX_TEXT));
    one.memory.note_uncertain(&one.host, &Entry { route, ..entry("a", 1) }).unwrap();
    let listed = one.memory.uncertain(&one.host).unwrap();
    assert_eq!(listed[0].route, format!("x{}", "é".repeat((MAX_TEXT - 1) / 2)));
}

#[test]
fn two_workers_that_write_the_list_at_once_both_stand_on_it() {
    let proxy = FakeProxy::envoy();
    let [one, other] = Worker::two(&proxy);
    proxy.on_next_set(Box::new(move || other.memory.note_uncertain(&other.host, &entry("b", 2)).unwrap()));
    one.memory.note_uncertain(&one.host, &entry("a", 1)).unwrap();
    assert_eq!(ids(&one), ["b", "a"]);
}

#[test]
fn a_list_that_can_not_be_read_is_a_failure() {
    let proxy = FakeProxy::envoy();
    let [one, _] = Worker::two(&proxy);
    for bad in [&b"\x63"[..], b"\x01\x05ab", b"\x01\x01\xff\x00"] {
        put_cell(&proxy, ";uncertain", bad);
        assert_eq!(one.memory.uncertain(&one.host), Err(Failure::Unexpected));
        assert_eq!(one.memory.note_uncertain(&one.host, &entry("a", 1)), Err(Failure::Unexpected));
        assert_eq!(one.memory.forget_uncertain(&one.host, "a"), Err(Failure::Unexpected));
        assert_eq!(cell(&proxy, ";uncertain").as_deref(), Some(bad));
    }
}
