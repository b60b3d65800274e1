//! The queue of waiters keeps its promise whatever happens; its adapter does so on the fake host.
#![allow(missing_docs)]

mod fake_support;

use fake_support::callout;
use proptest::prelude::*;
use sdk_shim::config::Faults;
use sdk_shim::dispatch::{Answered, End, MAX_WAKES_PER_CALLBACK, NoAnswer, Waiters, read, send, tells_failures, wake};
use sdk_shim::entry::{Answer, Flow, Plugin};
use sdk_shim::fake::{FakeHost, Worker};
use sdk_shim::host::{CalloutId, ContextId, Direction, Host, Map};
use sdk_shim::time::Instant;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

const GET: &[(&str, &str); 2] = &[(":method", "GET"), (":path", "/")];

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

// === the queue alone ===

#[test]
fn answers_keep_their_places_when_a_waiter_expired() {
    let mut waiters = Waiters::<char, u8>::default();
    for (id, deadline, payload) in [(1, 90, 'a'), (2, 20, 'b'), (3, 90, 'c')] {
        waiters.enqueue(at(0), ContextId(id), at(deadline), payload);
    }
    let batch = waiters.drain_batch(at(1), 10);
    assert_eq!(batch.payloads().collect::<String>(), "abc");
    waiters.sent(CalloutId(7), batch);
    assert_eq!((waiters.expire(at(19)), waiters.expire(at(20))), (0, 1));
    assert!(waiters.is_flying(CalloutId(7)) && !waiters.is_flying(CalloutId(8)));
    assert!(waiters.answered(CalloutId(7), [10, 20]));
    let woken: Vec<_> = std::iter::from_fn(|| waiters.next_woken()).map(|woken| (woken.payload, woken.end)).collect();
    assert_eq!(woken, [('b', End::Expired), ('a', End::Answered(10)), ('c', End::NoAnswer)]);
    assert!(waiters.is_empty() && !waiters.answered(CalloutId(7), [1]));
    assert!(!waiters.is_flying(CalloutId(7)));
}

#[test]
fn only_kong_3_8_lets_a_request_go_on_whose_call_fails_unheard() {
    let tells = |version: &str| {
        let host = FakeHost::wasmx();
        host.set("kong.version", version);
        tells_failures(host.pretend_request(GET))
    };
    assert_eq!(["3.8", "3.8.1", "3.7.1", "3.9.1", "3.10.0", "3.80"].map(tells), [false, false, true, true, true, true]);
    assert!(tells_failures(&FakeHost::envoy()));
}

#[test]
fn a_clock_that_steps_back_stretches_no_wait() {
    let mut waiters = Waiters::<(), ()>::default();
    waiters.enqueue(at(10_000), ContextId(1), at(10_050), ());
    assert_eq!(waiters.expire(at(4_000)), 0);
    assert_eq!(waiters.expire(at(4_050)), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Enqueue { wait: u64 },
    Send { max: usize, accepted: bool },
    Answer { call: u32, results: usize },
    Pass { millis: u64 },
    Rewind { millis: u64 },
    Expire,
    Wake,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..50u64).prop_map(|wait| Step::Enqueue { wait }),
        2 => (0..6usize, any::<bool>()).prop_map(|(max, accepted)| Step::Send { max, accepted }),
        2 => (0..4u32, 0..6usize).prop_map(|(call, results)| Step::Answer { call, results }),
        1 => (0..30u64).prop_map(|millis| Step::Pass { millis }),
        1 => (0..30u64).prop_map(|millis| Step::Rewind { millis }),
        1 => Just(Step::Expire),
        2 => Just(Step::Wake),
    ];
    prop::collection::vec(step, 0..80)
}

/// A run of the queue, with the naive count of who was woken how often.
#[derive(Default)]
struct Run {
    waiters: Waiters<u32, u8>,
    now: u64,
    calls: u32,
    woken: BTreeMap<u32, u32>,
}

impl Run {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Enqueue { wait } => {
                let id = u32::try_from(self.woken.len()).unwrap();
                self.woken.insert(id, 0);
                self.waiters.enqueue(at(self.now), ContextId(id), at(self.now + wait), id);
            }
            Step::Send { max, accepted } => self.send(max, accepted),
            Step::Answer { call, results } => {
                self.waiters.answered(CalloutId(call), vec![0; results]);
            }
            Step::Pass { millis } => self.now += millis,
            Step::Rewind { millis } => self.now = self.now.saturating_sub(millis),
            Step::Expire => {
                self.waiters.expire(at(self.now));
            }
            Step::Wake => self.wake(),
        }
    }

    fn send(&mut self, max: usize, accepted: bool) {
        let batch = self.waiters.drain_batch(at(self.now), max);
        assert!(batch.payloads().count() <= max);
        if accepted {
            // Few numbers, so that some come twice.
            self.calls = (self.calls + 1) % 4;
            self.waiters.sent(CalloutId(self.calls), batch);
        } else {
            self.waiters.lost(batch);
        }
    }

    fn wake(&mut self) {
        if let Some(woken) = self.waiters.next_woken() {
            *self.woken.get_mut(&woken.payload).unwrap() += 1;
        }
    }

    fn still_waiting(&self) -> usize {
        self.woken.values().filter(|count| **count == 0).count()
    }
}

proptest! {
    #[test]
    fn no_waiter_is_lost_and_none_is_woken_twice(steps in steps()) {
        let mut run = Run { now: 1_000, ..Run::default() };
        for step in &steps {
            run.step(step);
            prop_assert_eq!(run.waiters.len(), run.still_waiting());
        }
        run.now += 10_000;
        run.step(&Step::Expire);
        while !run.waiters.is_empty() {
            run.wake();
        }
        prop_assert!(run.woken.values().all(|count| *count == 1));
    }
}

// === on a host ===

/// Reads every answer of its own streams.
struct Reader(RefCell<Vec<Result<Answered, NoAnswer>>>);

impl Plugin<FakeHost> for Reader {
    type Call = ();
    const NAME: &'static str = "reader";

    fn configure(_: &FakeHost, _: &[u8]) -> Result<Self, Faults> {
        Ok(Self(RefCell::default()))
    }

    fn call(&self) {}

    fn on_request_headers(&self, (): &mut (), host: &FakeHost, _: bool) -> Flow {
        host.dispatch(&callout("store")).unwrap();
        Flow::Pause
    }

    fn on_answer(&self, (): &mut (), host: &FakeHost, answer: Answer) {
        self.0.borrow_mut().push(read(host, &answer, 4));
    }
}

#[test]
fn an_answer_is_read_whole_or_not_at_all() {
    for host in [FakeHost::envoy(), FakeHost::wasmx()] {
        let worker = Worker::<Reader>::start(&host, "").unwrap();
        let calls: Vec<_> = (0..5).map(|_| worker.request(GET)).collect();
        worker.answer(CalloutId(1), &[(":status", "200")], b"+OK");
        worker.answer(CalloutId(2), &[(":status", "503")], b"");
        worker.answer(CalloutId(3), &[(":status", "200")], b"too long");
        worker.answer(CalloutId(4), &[("server", "odd")], b"");
        worker.answer_nothing(CalloutId(5));
        assert_eq!(
            *worker.plugin().0.borrow(),
            [
                Ok(Answered { status: 200, body: b"+OK".to_vec() }),
                Ok(Answered { status: 503, body: Vec::new() }),
                Err(NoAnswer::Cut { size: 8, shown: 4 }),
                Err(NoAnswer::NoStatus),
                Err(NoAnswer::Silent),
            ]
        );
        drop(calls);
    }
}

/// Every request asks a store for its path; the root asks for all of them at once.
#[derive(Default)]
struct Asker {
    waiters: RefCell<Waiters<Vec<u8>, u8>>,
    most_woken: Cell<usize>,
}

impl Asker {
    fn wake(&self, host: &FakeHost) {
        let woken = wake(host, &self.waiters, MAX_WAKES_PER_CALLBACK, |host, _, end| {
            let mark = match end {
                End::Answered(byte) => vec![byte],
                End::NoAnswer => b"none".to_vec(),
                End::Expired => b"late".to_vec(),
            };
            host.set_header(Map::RequestHeaders, "x-store", &mark);
            host.resume(Direction::Request);
        });
        self.most_woken.set(self.most_woken.get().max(woken));
    }
}

impl Plugin<FakeHost> for Asker {
    type Call = ();
    const NAME: &'static str = "asker";

    fn configure(_: &FakeHost, _: &[u8]) -> Result<Self, Faults> {
        Ok(Self::default())
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(Duration::from_millis(3))
    }

    fn call(&self) {}

    fn on_request_headers(&self, (): &mut (), host: &FakeHost, _: bool) -> Flow {
        let (now, path) = (host.now(), host.header(Map::RequestHeaders, ":path").unwrap());
        self.waiters.borrow_mut().enqueue(now, host.context(), now.plus(Duration::from_millis(500)), path);
        assert_eq!(send(host, ContextId(1), &self.waiters, now, 1, |_| callout("store")), None);
        Flow::Pause
    }

    fn on_tick(&self, host: &FakeHost) {
        let now = host.now();
        self.waiters.borrow_mut().expire(now);
        send(host, host.context(), &self.waiters, now, 1_000, |batch| {
            let mut call = callout("store");
            call.body = batch.payloads().flat_map(|path| [path.as_slice(), b"\n"].concat()).collect();
            call
        });
        self.wake(host);
    }

    fn on_root_answer(&self, host: &FakeHost, answer: Answer) {
        let bytes = read(host, &answer, 10_000).map(|answered| answered.body).unwrap_or_default();
        self.waiters.borrow_mut().answered(answer.id, bytes);
        self.wake(host);
    }
}

#[test]
fn one_call_serves_many_and_ticks_wake_the_rest() {
    let worker = Worker::<Asker>::start(&FakeHost::envoy(), "").unwrap();
    let mut calls: Vec<_> = (0..300).map(|_| worker.request(GET)).collect();
    worker.tick();
    // The first client leaves; nobody else hangs for it (T14).
    calls.remove(0).abort();
    let (id, sent) = worker.host().pending_callouts().remove(0);
    assert_eq!(sent.body.len(), 600);
    assert!(worker.answer(id, &[(":status", "200")], &[b'+'; 300]));
    assert_eq!(calls.iter().filter(|call| call.passed()).count(), MAX_WAKES_PER_CALLBACK);
    (0..4).for_each(|_| worker.tick());
    assert!(calls.iter().all(|call| call.request_header("x-store").as_deref() == Some("+")));
    assert_eq!((worker.hung().len(), worker.plugin().most_woken.get()), (0, MAX_WAKES_PER_CALLBACK));
}

#[test]
fn a_store_that_is_silent_gone_or_late_leaves_nobody_hanging() {
    let host = FakeHost::envoy();
    let worker = Worker::<Asker>::start(&host, "").unwrap();
    let silent = worker.request(GET);
    worker.tick();
    worker.answer_nothing(CalloutId(1));
    let late = worker.request(GET);
    worker.tick();
    host.proxy().advance(Duration::from_millis(500));
    worker.tick();
    host.proxy().forget_upstream("store");
    let gone = worker.request(GET);
    worker.tick();
    let marks = [silent, late, gone].map(|call| call.request_header("x-store").unwrap());
    assert_eq!(marks, ["none", "late", "none"]);
    assert!(worker.answer(CalloutId(2), &[(":status", "200")], b"+"));
}
