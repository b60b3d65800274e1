//! One timer for all parts: each is ticked as often as it asked for, never sooner.
//!
//! A proxy gives a filter one timer. It runs at the shortest period that any part wants, and a part is ticked when its own period has passed. In a tick the
//! timer's period can't be changed, only the timer stopped ([`sdk_shim::host::Host::tick_every`]); so it stays quick until the next other callback,
//! and a quick tick in which nothing is due is one look at the clock.
//!
//! A part whose period is the timer's takes the timer's word for it. Where a timer of a former VM may tick beside it ([`one_timer`]), the clock has a say too.
//!
//! [`one_timer`]: sdk_shim::flavor::Capabilities::one_timer

use core::cell::Cell;
use core::time::Duration;
use sdk_shim::host::Host;
use sdk_shim::time::{Instant, is_early};

/// The timers of so many parts.
#[derive(Debug)]
pub struct Pulse<const N: usize> {
    wanted: [Cell<Option<Duration>>; N],
    due: [Cell<Instant>; N],
    /// How often the proxy ticks us.
    running: Cell<Option<Duration>>,
    last: Cell<Instant>,
    in_tick: Cell<bool>,
    /// No other timer ticks us.
    one_timer: bool,
}

// === impl Pulse ===

impl<const N: usize> Pulse<N> {
    /// Nobody wants ticks yet. With `one_timer` no other one ticks us.
    pub fn new(now: Instant, one_timer: bool) -> Self {
        Self {
            wanted: core::array::from_fn(|_| Cell::new(None)),
            due: core::array::from_fn(|_| Cell::new(now)),
            running: Cell::new(None),
            last: Cell::new(now),
            in_tick: Cell::new(false),
            one_timer,
        }
    }

    /// What a part wants at the start; the proxy isn't told yet.
    pub fn want(&self, part: usize, period: Option<Duration>, now: Instant) {
        if let (Some(wanted), Some(due)) = (self.wanted.get(part), self.due.get(part)) {
            wanted.set(period);
            due.set(now.plus(period.unwrap_or_default()));
        }
    }

    /// The shortest period; the proxy is told it by the caller.
    pub fn start(&self) -> Option<Duration> {
        self.running.set(self.shortest());
        self.running.get()
    }

    fn shortest(&self) -> Option<Duration> {
        self.wanted.iter().filter_map(Cell::get).min()
    }

    /// A part wants another period from now on.
    pub fn change<H: Host>(&self, host: &H, part: usize, period: Option<Duration>) {
        self.want(part, period, host.now());
        self.adjust(host);
    }

    /// The proxy's timer follows, as far as it can now.
    pub fn adjust<H: Host>(&self, host: &H) {
        let (running, shortest) = (self.running.get(), self.shortest());
        if running == shortest || (self.in_tick.get() && shortest.is_some()) {
            return;
        }
        if running.is_some() {
            // A new period alone would begin after the old one's next tick.
            host.tick_every(None);
        }
        if shortest.is_some() {
            host.tick_every(shortest);
        }
        self.running.set(shortest);
    }

    /// Whether the timer runs faster than anybody needs.
    pub fn is_hasty(&self) -> bool {
        self.running.get() != self.shortest()
    }

    /// The timer fired: which parts are due.
    pub fn begin_tick(&self, now: Instant) -> [bool; N] {
        self.in_tick.set(true);
        // Where the clock stepped back nobody knows who is due.
        let stepped_back = now < self.last.replace(now);
        core::array::from_fn(|part| self.is_due(part, now, stepped_back))
    }

    fn is_due(&self, part: usize, now: Instant, stepped_back: bool) -> bool {
        let (Some(wanted), Some(due)) = (self.wanted.get(part), self.due.get(part)) else { return false };
        let Some(period) = wanted.get() else { return false };
        // Its period is the timer's: the timer has measured it, if it was that one.
        let is_measured =
            self.running.get() == Some(period) && (self.one_timer || !is_early(due.get().minus(period), now, period));
        let is_due = stepped_back || now >= due.get() || is_measured;
        if is_due {
            due.set(now.plus(period));
        }
        is_due
    }

    /// All that were due have been ticked.
    pub fn end_tick<H: Host>(&self, host: &H) {
        self.adjust(host);
        self.in_tick.set(false);
    }
}
