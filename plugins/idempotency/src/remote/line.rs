//! Who waits for one store, or one node of it.

use super::job::{Job, Target};
use crate::health::Health;
use crate::store::Failure;
use crate::store::trip::Outcome;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::dispatch::Waiters;
use sdk_shim::host::CalloutId;
use sdk_shim::time::Instant;
use std::rc::Rc;

type Queue<W> = Waiters<Rc<Job<W>>, Result<Outcome, Failure>>;

/// A shared call, and its jobs.
type Shared<W> = (CalloutId, Vec<Rc<Job<W>>>);

#[derive(Debug)]
pub(super) struct Line<W> {
    pub(super) target: Target,
    pub(super) waiters: RefCell<Queue<W>>,
    /// The jobs of each shared call, in the order of their replies.
    pub(super) flying: RefCell<Vec<Shared<W>>>,
    /// Calls of requests of their own that are under way.
    pub(super) alone: Cell<u32>,
    health: RefCell<Health>,
}

// === impl Line ===

impl<W> Line<W> {
    pub(super) fn new(target: Target, timeout: Duration) -> Self {
        Self {
            target,
            waiters: RefCell::default(),
            flying: RefCell::default(),
            alone: Cell::new(0),
            health: RefCell::new(Health::new(timeout * 2)),
        }
    }

    /// Nobody waits here.
    pub(super) fn is_idle(&self) -> bool {
        self.alone.get() == 0 && self.waiters.borrow().is_empty()
    }

    /// The jobs of a shared call that was answered.
    pub(super) fn landed(&self, id: CalloutId) -> Option<Vec<Rc<Job<W>>>> {
        let mut flying = self.flying.borrow_mut();
        let at = flying.iter().position(|(call, _)| *call == id)?;
        Some(flying.swap_remove(at).1)
    }

    /// The store failed, and nobody may ask it yet.
    pub(super) fn is_left_alone(&self, now: Instant) -> bool {
        self.health.borrow().is_left_alone(now)
    }

    /// Whether a call may go now; if so, it is taken for one.
    pub(super) fn may_call(&self, now: Instant) -> bool {
        self.health.borrow_mut().may_call(now)
    }

    pub(super) fn ended(&self, well: bool, now: Instant, draw: u64) {
        self.health.borrow_mut().ended(well, now, draw);
    }

    /// Nobody will know how a call ended.
    pub(super) fn forgotten(&self, now: Instant) {
        self.health.borrow_mut().forgotten(now);
    }
}
