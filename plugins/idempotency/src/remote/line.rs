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

/// Bytes that shared calls may carry to a store at one time: at first and at least. A way that is slower than it looked carries less with each call that
/// fails, and more again with each that doesn't: what one call carries must be there within the store's timeout.
const WINDOW: (usize, usize) = (1 << 20, 64 << 10);
const WIDEST: usize = 4 << 20;

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
    window: Cell<usize>,
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
            window: Cell::new(WINDOW.0),
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

    /// A shared call that nobody waits for any longer: where not each failed call is told, it is taken for one.
    pub(super) fn late(&self) -> Option<CalloutId> {
        let waiters = self.waiters.borrow();
        self.flying.borrow().iter().find(|(id, _)| !waiters.is_flying(*id)).map(|(id, _)| *id)
    }

    /// The store failed, and nobody may ask it yet.
    pub(super) fn is_left_alone(&self, now: Instant) -> bool {
        self.health.borrow().is_left_alone(now)
    }

    /// Whether a call may go now; if so, it is taken for one.
    pub(super) fn may_call(&self, now: Instant) -> bool {
        self.health.borrow_mut().may_call(now)
    }

    /// Bytes that the next shared call may carry; `None` where it may carry anything, since nothing else is under way.
    pub(super) fn room(&self) -> Option<usize> {
        let flying: usize = self.flying.borrow().iter().flat_map(|(_, jobs)| jobs).map(|job| job.size()).sum();
        (flying > 0).then(|| self.window.get().saturating_sub(flying))
    }

    /// The most that jobs which share a call may carry together.
    pub(super) fn window(&self) -> usize {
        self.window.get()
    }

    /// A call ended that carried so many bytes.
    pub(super) fn ended(&self, well: bool, bytes: usize, now: Instant, draw: u64) {
        let window = self.window.get();
        // Of the way's width only those tell that took much of it.
        match well {
            true if bytes >= window / 2 => self.window.set((window * 2).min(WIDEST)),
            false if bytes >= WINDOW.1 => self.window.set((window / 2).max(WINDOW.1)),
            _ => {}
        }
        self.health.borrow_mut().ended(well, now, draw);
    }

    /// Nobody will know how a call ended.
    pub(super) fn forgotten(&self, now: Instant) {
        self.health.borrow_mut().forgotten(now);
    }
}
