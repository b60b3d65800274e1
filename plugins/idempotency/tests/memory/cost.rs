//! What a verb costs, in host calls. `shared_get` is 0.7 us and `shared_set` 0.3 us (docs/hosts.md).

use super::*;
use core::time::Duration;

/// The calls of a verb, by name and cell, without the conditions.
fn calls(worker: &Worker, verb: impl FnOnce(&Worker)) -> Vec<String> {
    worker.host.clear_calls();
    verb(worker);
    let lines = worker.host.call_lines();
    // The tests' own look at the clock is not the verb's.
    let shared = lines.into_iter().filter(|line| line.starts_with("shared"));
    shared.map(|line| line.split_whitespace().next().unwrap().trim_end_matches(')').to_owned()).collect()
}

/// In a set of one way, so that the cells' names are known.
fn worker(proxy: &FakeProxy) -> Worker {
    let worker = Worker::of(proxy, 1, 1_000);
    worker.memory.slots(&worker.host).unwrap();
    worker
}

const GET: &str = "shared_get(m;s0";
const SET: &str = "shared_set(m;s0";
const GET_ANSWER: &str = "shared_get(m;b0.0";
const SET_ANSWER: &str = "shared_set(m;b0.0";

#[test]
fn a_claim_is_a_read_and_a_write() {
    let worker = worker(&FakeProxy::envoy());
    assert_eq!(calls(&worker, |worker| _ = worker.claim("k", 1)), [GET, SET]);
}

#[test]
fn a_repeat_is_one_read_and_one_more_for_the_answer() {
    let worker = worker(&FakeProxy::envoy());
    worker.claim("k", 1).unwrap();
    assert_eq!(calls(&worker, |worker| _ = worker.claim("k", 2)), [GET]);
    worker.complete("k", 1, b"paid").unwrap();
    assert_eq!(calls(&worker, |worker| _ = worker.claim("k", 3)), [GET, GET_ANSWER]);
}

#[test]
fn a_completion_is_three_reads_and_three_writes() {
    let worker = worker(&FakeProxy::envoy());
    worker.claim("k", 1).unwrap();
    let complete = |worker: &Worker| _ = worker.complete("k", 1, b"paid");
    assert_eq!(calls(&worker, complete), [GET, SET, GET_ANSWER, GET, SET_ANSWER, SET]);
    assert_eq!(calls(&worker, complete), [GET], "a second one");
}

#[test]
fn where_an_answer_as_long_was_kept_before_a_completion_has_a_write_less() {
    let proxy = FakeProxy::envoy();
    let worker = worker(&proxy);
    worker.pay("k", 1, b"paid").unwrap();
    proxy.advance(Duration::from_millis(TTL));
    assert_eq!(calls(&worker, |worker| _ = worker.claim("l", 2)), [GET, SET]);
    let complete = |worker: &Worker| _ = worker.complete("l", 2, b"paid");
    assert_eq!(calls(&worker, complete), [GET, GET_ANSWER, GET, SET_ANSWER, SET]);
}

#[test]
fn giving_up_is_a_read_and_a_write() {
    let worker = worker(&FakeProxy::envoy());
    worker.claim("k", 1).unwrap();
    assert_eq!(calls(&worker, |worker| _ = worker.abandon("k", 1)), [GET, SET]);
    assert_eq!(calls(&worker, |worker| _ = worker.abandon("k", 1)), [GET]);
}

#[test]
fn a_worker_learns_the_layout_once() {
    let proxy = FakeProxy::envoy();
    let [one, other] = [(); 2].map(|()| Worker::of(&proxy, 1, 1_000));
    let layout = ["shared_get(m;layout", "shared_set(m;layout"];
    assert_eq!(calls(&one, |worker| _ = worker.claim("k", 1)), [layout[0], layout[1], GET, SET]);
    assert_eq!(calls(&other, |worker| _ = worker.claim("k", 2)), [layout[0], GET]);
    assert_eq!(calls(&other, |worker| _ = worker.claim("k", 3)), [GET]);
}
