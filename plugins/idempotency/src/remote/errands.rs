//! What is to be told to the store although nobody waits for the answer, until it is acknowledged.

use super::job::Job;
use crate::store::trip::Trip;
use core::time::Duration;
use sdk_shim::time::Instant;
use std::rc::Rc;

/// Errands at one time.
const MOST: usize = 4_096;
/// Bytes that they may hold together.
const MOST_BYTES: usize = 32 << 20;
/// Lines for the index among them, which help whoever looks and decide nothing: a client that repeats an uncertain key must not push out what does.
const MOST_NOTES: usize = 64;
/// Between two tries: the first time, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Errands, in the order in which they came.
#[derive(Debug)]
pub struct Errands<W> {
    list: Vec<Errand<W>>,
    bytes: usize,
}

#[derive(Debug)]
struct Errand<W> {
    job: Rc<Job<W>>,
    /// Where a verb takes several trips, the first of them: a later one of them is of no use when it is tried again.
    first: Option<Trip>,
    note: bool,
    size: usize,
    /// `None` while it is under way.
    next: Option<Instant>,
    pause: Duration,
    give_up: Instant,
}

impl<W> Default for Errands<W> {
    fn default() -> Self {
        Self { list: Vec::new(), bytes: 0 }
    }
}

// === impl Errands ===

impl<W> Errands<W> {
    /// One more, to be sent at once; false where there are too many already.
    pub fn push(&mut self, job: Rc<Job<W>>, now: Instant, give_up: Instant) -> bool {
        let (size, note) = (job.size(), job.is_note());
        let notes = || self.list.iter().filter(|errand| errand.note).count();
        if self.list.len() >= MOST || self.bytes.saturating_add(size) > MOST_BYTES || (note && notes() >= MOST_NOTES) {
            return false;
        }
        self.bytes += size;
        let first = job.trip.borrow().as_ref().filter(|trip| matches!(trip, Trip::Memcached(..))).cloned();
        self.list.push(Errand { job, first, note, size, next: Some(now), pause: PAUSES.0, give_up });
        true
    }

    /// Those whose time has come; each is under way from now on. Those that it is too late for are dropped.
    pub fn due(&mut self, now: Instant) -> Vec<Rc<Job<W>>> {
        self.drop_if(|errand| errand.next.is_some() && errand.give_up <= now);
        // Where the clock stepped back, the next time may be far away.
        let is_due = |next: Instant| next <= now || next.since(now) > PAUSES.1;
        let due = self.list.iter_mut().filter(|errand| errand.next.is_some_and(is_due));
        due.map(|errand| {
            errand.next = None;
            Rc::clone(&errand.job)
        })
        .collect()
    }

    /// It was acknowledged.
    pub fn done(&mut self, job: &Rc<Job<W>>) {
        self.drop_if(|errand| Rc::ptr_eq(&errand.job, job));
    }

    /// It wasn't.
    pub fn again(&mut self, job: &Rc<Job<W>>, now: Instant) {
        for errand in self.list.iter_mut().filter(|errand| Rc::ptr_eq(&errand.job, job)) {
            errand.job.reset(errand.first.as_ref());
            errand.next = Some(now.plus(errand.pause));
            errand.pause = (errand.pause * 2).min(PAUSES.1);
        }
    }

    /// Whether somebody is to be told this already.
    pub fn has_note(&self, trip: &Trip) -> bool {
        self.list.iter().any(|errand| errand.note && errand.job.wishes(trip))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn drop_if(&mut self, over: impl Fn(&Errand<W>) -> bool) {
        self.list.retain(|errand| !over(errand));
        self.bytes = self.list.iter().map(|errand| errand.size).sum();
    }
}
