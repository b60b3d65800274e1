//! Another worker, in between.

use super::*;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

type Action = Box<dyn FnOnce()>;

/// Things that happen before host calls, whoever makes them.
#[derive(Clone)]
pub(crate) struct Meanwhile {
    proxy: FakeProxy,
    calls: Rc<Cell<u32>>,
    /// Each before the call of that number, from 0.
    actions: Rc<RefCell<Vec<(u32, Action)>>>,
}

impl Meanwhile {
    /// Before the `nth` next read or write of shared data, from 0.
    pub(crate) fn at(proxy: &FakeProxy, nth: u32, action: impl FnOnce() + 'static) -> Self {
        Self::script(proxy, vec![(nth, Box::new(action))])
    }

    /// The same, several times. What one of them calls counts too.
    pub(crate) fn script(proxy: &FakeProxy, actions: Vec<(u32, Action)>) -> Self {
        let this = Self { proxy: proxy.clone(), calls: Rc::default(), actions: Rc::new(RefCell::new(actions)) };
        this.arm_get();
        this.arm_set();
        this
    }

    /// From here on nothing happens any more; gives what didn't.
    pub(crate) fn over(self) -> Vec<Action> {
        self.actions.take().into_iter().map(|(_, action)| action).collect()
    }

    fn arm_get(&self) {
        let this = self.clone();
        self.proxy.on_next_get(Box::new(move || {
            this.arm_get();
            this.step();
        }));
    }

    fn arm_set(&self) {
        let this = self.clone();
        self.proxy.on_next_set(Box::new(move || {
            this.arm_set();
            this.step();
        }));
    }

    fn step(&self) {
        let call = self.calls.replace(self.calls.get() + 1);
        let due = self.actions.borrow_mut().extract_if(.., |(nth, _)| *nth == call).collect::<Vec<_>>();
        for (_, action) in due {
            action();
        }
    }
}

/// A worker dies in the middle of a call.
pub(crate) fn die() {
    resume_unwind(Box::new("the worker died"));
}

/// What a worker came to, unless it died.
pub(crate) fn survives<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

#[test]
fn of_two_workers_that_claim_at_once_one_has_it() {
    for proxy in both() {
        for nth in 0..4 {
            let [one, other] = Worker::two(&proxy);
            let (key, answer) = (format!("k{nth}"), Rc::new(RefCell::new(None)));
            let (theirs, same) = (answer.clone(), key.clone());
            let meanwhile = Meanwhile::at(&proxy, nth, move || *theirs.borrow_mut() = Some(other.claim(&same, 2)));
            let ours = one.claim(&key, 1);
            meanwhile.over().into_iter().for_each(|action| action());
            let answers = [ours, answer.take().unwrap()];
            let claimed = answers.iter().filter(|answer| matches!(answer, Ok(Answer::Claimed { .. }))).count();
            let waiting = answers.iter().filter(|answer| matches!(answer, Ok(Answer::InFlight { .. }))).count();
            assert_eq!((claimed, waiting), (1, 1), "{answers:?}");
        }
    }
}

/// Of a set with one way, so that all keys share one place for answers.
fn one_way(proxy: &FakeProxy) -> [Worker; 2] {
    let workers = [(); 2].map(|()| Worker::of(proxy, 1, 1_000));
    for worker in &workers {
        worker.memory.slots(&worker.host).unwrap();
    }
    workers
}

/// A reader knows from the set where the answer is; before it looks there, the record expires, and its place belongs to another one.
#[test]
fn a_reader_that_finds_another_record_s_answer_reads_the_set_again() {
    let proxy = FakeProxy::envoy();
    let [reader, writer] = one_way(&proxy);
    writer.pay("k", 1, b"paid").unwrap();
    let clock = proxy.clone();
    let meanwhile = Meanwhile::at(&proxy, 1, move || {
        clock.advance(Duration::from_millis(TTL));
        writer.pay("l", 2, b"paid by somebody else").unwrap();
    });
    assert_eq!(reader.claim("k", 3), Err(Failure::Full), "the key is free, but there is no place for it");
    assert!(meanwhile.over().is_empty());
}

/// An owner that was so slow that its record expired writes its answer, just when the place has got another record.
#[test]
fn a_late_owner_does_not_write_over_another_record_s_answer() {
    for nth in 0..6 {
        let proxy = FakeProxy::envoy();
        let [late, other] = one_way(&proxy);
        late.claim("k", 1).unwrap();
        let (clock, reader) = (proxy.clone(), other.clone());
        let meanwhile = Meanwhile::at(&proxy, nth, move || {
            clock.advance(Duration::from_millis(TTL));
            other.pay("l", 2, b"of the other one").unwrap();
        });
        assert_eq!(late.complete("k", 1, b"late"), Ok(false), "before call {nth}");
        assert!(meanwhile.over().is_empty());
        assert_eq!(reader.claim("l", 3), Ok(Answer::Done(b"of the other one".to_vec())), "before call {nth}");
    }
}

/// One completion makes room of what has expired; before any of its calls, that place is claimed and answered anew.
#[test]
fn making_room_takes_no_answer_that_somebody_needs() {
    for nth in 0..12 {
        let proxy = FakeProxy::envoy();
        let [one, other] = [(); 2].map(|()| Worker::of(&proxy, 2, 250));
        one.pay("old", 1, &[b'o'; 150]).unwrap();
        proxy.advance(Duration::from_millis(TTL));
        one.claim("k", 2).unwrap();
        other.memory.slots(&other.host).unwrap();
        let writer = other.clone();
        let meanwhile = Meanwhile::at(&proxy, nth, move || _ = writer.pay("l", 3, &[b'l'; 100]).unwrap());
        assert_eq!(one.complete("k", 2, &[b'k'; 100]), Ok(true), "before call {nth}");
        meanwhile.over().into_iter().for_each(|action| action());
        assert_eq!(other.claim("l", 4), Ok(Answer::Done(vec![b'l'; 100])), "before call {nth}");
        assert_eq!(other.claim("k", 4), Ok(Answer::Done(vec![b'k'; 100])), "before call {nth}");
    }
}

/// A worker makes room of an expired record, whose owner read the clock long ago, has told its set what it will write, and dies anywhere.
#[test]
fn what_a_dying_worker_wrote_is_counted() {
    for (begins, dies) in (0..8).flat_map(|begins| (0..6).map(move |dies| (begins, dies))) {
        let proxy = FakeProxy::envoy();
        let [late, other] = [(); 2].map(|()| Worker::of(&proxy, 2, 250));
        late.claim("k", 1).unwrap();
        let then = late.now();
        let complete = move || late.memory.complete(&late.host, &name("k"), Owner(1), &[b'k'; 200], b"", TTL, then);
        let died = Meanwhile::at(&proxy, 2, die);
        assert!(survives(&complete).is_none(), "it has told its set");
        died.over();
        proxy.advance(Duration::from_millis(TTL));
        other.claim("l", 2).unwrap();
        let late: Action = Box::new(move || _ = survives(complete));
        let meanwhile = Meanwhile::script(&proxy, vec![(begins, late), (begins + 1 + dies, Box::new(die))]);
        let stored = survives(|| other.complete("l", 2, &[b'l'; 150]));
        meanwhile.over();
        let held = [";b0.0", ";b0.1"].map(|answer| cell(&proxy, answer).map_or(0, |bytes| bytes.len()));
        assert!(held[0] + held[1] <= 250, "{held:?} where {begins}, {dies}");
        let repeat = other.claim("l", 3);
        assert!(stored != Some(Ok(true)) || matches!(repeat, Ok(Answer::Done(_))), "{repeat:?} where {begins}, {dies}");
    }
}

#[test]
fn two_workers_with_different_slots_agree_on_the_layout() {
    for nth in 0..2 {
        let proxy = FakeProxy::wasmx();
        let (one, other) = (Worker::of(&proxy, 64, 1_000), Worker::of(&proxy, 4_096, 1_000));
        let first = other.clone();
        let meanwhile = Meanwhile::at(&proxy, nth, move || _ = first.memory.slots(&first.host).unwrap());
        let slots = one.memory.slots(&one.host);
        assert!(meanwhile.over().is_empty());
        assert_eq!(slots, other.memory.slots(&other.host));
    }
}
