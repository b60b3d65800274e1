//! A breaker on the store itself: a dead store must not add its timeout to each request.
//!
//! ```text
//!             5 failures in a row          the wait is over: one call goes
//!   +--------+ ----------------> +------+ -----------------------------> +---------+
//!   | closed |                   | open |                                | probing |
//!   +--------+ <---------------- +------+ <----------------------------- +---------+
//!       ^       a success of a             a failure, or no end in time:    |
//!       |       call from before           twice the wait                   |
//!       +-------------------------------------------------------------------+
//!                                      a success
//! ```
//!
//! It is one VM's view of one store: a plain value, in whose functions time and chance are arguments. Who asks while it is open, or while a probe is under way,
//! is told at once. The first wait is [`FIRST_WAIT`], each further one twice as long up to [`LONGEST_WAIT`], plus up to a fifth of it by chance, so
//! that workers don't probe together.
//!
//! Calls have no names here. The end of a call from before may be taken for the probe's: a success closes, and it is one; a failure waits longer, and the
//! probe's own success still closes.
//!
//! The clock may step. A time that began further in the future than it is long has nothing to say, and counts as over.

use core::time::Duration;
use sdk_shim::random::below;
use sdk_shim::time::{Instant, nanos};

/// Failures in a row that open it.
pub const FAILURES: u32 = 5;

/// How long it is open at first.
pub const FIRST_WAIT: Duration = Duration::from_millis(250);

/// How long it is open at most, but for the fifth.
pub const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What one VM thinks of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    phase: Phase,
    /// Times that it opened without a success in between.
    opened: u32,
    /// How long a probe may take.
    probe: Duration,
    /// The last draw, for a wait that nobody draws for.
    draw: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Calls may go.
    Closed {
        /// In a row.
        failures: u32,
    },
    /// None may.
    Open { since: Instant, wait: Duration },
    /// One is under way.
    Probing { since: Instant },
}

const CLOSED: Phase = Phase::Closed { failures: 0 };

// === impl Health ===

impl Health {
    /// Of a store that nothing bad is known of. A probe whose end isn't told within `probe` has failed: no less than a call may take.
    pub const fn new(probe: Duration) -> Self {
        Self { phase: CLOSED, opened: 0, probe, draw: 0 }
    }

    /// Whether a call may go now; if so, it must go, and its end be told.
    pub fn may_call(&mut self, now: Instant) -> bool {
        self.lose_probe(now);
        match self.phase {
            Phase::Closed { .. } => true,
            Phase::Open { since, wait } if is_over(since, wait, now) => {
                self.phase = Phase::Probing { since: now };
                true
            }
            Phase::Open { .. } | Phase::Probing { .. } => false,
        }
    }

    /// Whether no call may go now. Asking changes nothing.
    pub fn is_left_alone(&self, now: Instant) -> bool {
        !self.clone().may_call(now)
    }

    /// How a call ended: whether the store answered. `draw` is uniform in `0..2^64`.
    pub fn ended(&mut self, ok: bool, now: Instant, draw: u64) {
        self.lose_probe(now);
        self.draw = draw;
        match self.phase {
            _ if ok => (self.phase, self.opened) = (CLOSED, 0),
            Phase::Closed { failures } if failures.saturating_add(1) < FAILURES => {
                self.phase = Phase::Closed { failures: failures.saturating_add(1) };
            }
            Phase::Closed { .. } | Phase::Probing { .. } => self.open(now),
            // Of a call from before it opened.
            Phase::Open { .. } => {}
        }
    }

    /// Nobody will know how a call ended: its stream is gone. If it was the probe, another one may go at once.
    pub const fn forgotten(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Probing { .. }) {
            self.phase = Phase::Open { since: now, wait: Duration::ZERO };
        }
    }

    /// A probe that took too long has failed when its time was over.
    fn lose_probe(&mut self, now: Instant) {
        let Phase::Probing { since } = self.phase else { return };
        if now < since && is_over(since, self.probe, now) {
            self.forgotten(now);
        } else if is_over(since, self.probe, now) {
            self.open(since.plus(self.probe));
        }
    }

    fn open(&mut self, since: Instant) {
        let wait = FIRST_WAIT.saturating_mul(1 << self.opened.min(10)).min(LONGEST_WAIT);
        let more = Duration::from_nanos(below(self.draw, nanos(wait) / 5));
        self.opened = self.opened.saturating_add(1);
        self.phase = Phase::Open { since, wait: wait.saturating_add(more) };
    }
}

/// Whether a time is over that began at `since`; also where that is further ahead than it is long.
const fn is_over(since: Instant, length: Duration, now: Instant) -> bool {
    now.as_nanos().abs_diff(since.as_nanos()) >= nanos(length)
}
