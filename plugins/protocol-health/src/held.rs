//! Answers that are held back until they are read, and the clock that lets them go.
//!
//! A held answer belongs to its stream; the timer belongs to the root. What both know of it is a [`Slip`]: whoever lets the answer go tears it, and
//! the other one sees that.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::dispatch::MAX_WAKES_PER_CALLBACK;
use sdk_shim::host::{ContextId, Direction, Host};
use sdk_shim::time::Instant;
use std::rc::Rc;

/// The timer, while anything is held. With [`MAX_WAKES_PER_CALLBACK`] for each tick all of [`MOST`] go within sixteen ticks.
const PERIOD: Duration = Duration::from_millis(10);
/// Answers that are held at once; further ones go on unread.
const MOST: usize = 1_000;

/// An answer that is held back, or no longer.
#[derive(Clone, Debug)]
pub struct Slip(Rc<Cell<bool>>);

/// All answers that this VM holds back.
#[derive(Debug)]
pub struct Held {
    time: Duration,
    waiting: RefCell<Vec<Waiting>>,
    ticks: Cell<bool>,
}

#[derive(Debug)]
struct Waiting {
    context: ContextId,
    since: Instant,
    slip: Slip,
}

// === impl Slip ===

impl Slip {
    /// Whether it is still held.
    pub fn holds(&self) -> bool {
        self.0.get()
    }

    /// It is let go; whether it was held.
    pub fn tear(&self) -> bool {
        self.0.replace(false)
    }
}

// === impl Held ===

impl Held {
    /// Nothing is held for longer than `time` and a tick, or sixteen where as many as there may be are due together.
    pub fn new(time: Duration) -> Self {
        Self { time, waiting: RefCell::default(), ticks: Cell::new(false) }
    }

    /// The answer of the stream that is called back is held from now on, unless too many are.
    pub fn hold<H: Host>(&self, host: &H) -> Option<Slip> {
        if self.is_full() {
            return None;
        }
        let slip = Slip(Rc::new(Cell::new(true)));
        let waiting = Waiting { context: host.context(), since: host.now(), slip: slip.clone() };
        self.waiting.borrow_mut().push(waiting);
        if !self.ticks.replace(true) {
            host.tick_every(Some(PERIOD));
        }
        Some(slip)
    }

    fn is_full(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MOST {
            // Those that were read in time are taken off by the next tick, or here.
            waiting.retain(|waiting| waiting.slip.holds());
        }
        waiting.len() >= MOST
    }

    /// Lets go what was held for long enough, oldest first; how many. Nothing ticks when nothing is held.
    pub fn tick<H: Host>(&self, host: &H) -> usize {
        let now = host.now();
        let due = self.due(now);
        for context in &due {
            if host.set_context(*context) {
                host.resume(Direction::Response);
            }
        }
        host.set_context(host.context());
        if self.waiting.borrow().is_empty() && self.ticks.replace(false) {
            host.tick_every(None);
        }
        due.len()
    }

    /// Takes what is due off the list. After a step of the clock backwards everything is: nobody knows how long it was held.
    fn due(&self, now: Instant) -> Vec<ContextId> {
        let mut due = Vec::new();
        self.waiting.borrow_mut().retain(|waiting| {
            let is_due = now < waiting.since || now.since(waiting.since) >= self.time;
            if is_due && waiting.slip.holds() && due.len() < MAX_WAKES_PER_CALLBACK {
                waiting.slip.tear();
                due.push(waiting.context);
            }
            waiting.slip.holds()
        });
        due
    }
}
