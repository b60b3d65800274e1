//! Time as a value: nanoseconds since the Unix epoch, read from the proxy and passed in.
//!
//! Proxies offer a wall clock, which can step back. Differences therefore saturate at zero, and whoever stores a
//! deadline also stores when it was set, so that a step back can't stretch it (see the breaker's `state.rs`).

use core::cell::Cell;
use core::time::Duration;

/// A point in time, in nanoseconds since the Unix epoch. `WasmX` only resolves milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The point `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The point `millis` milliseconds after the epoch; saturates in the year 2554.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time passed since `earlier`; zero where the clock went back.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This point plus `wait`, saturating.
    #[must_use]
    pub const fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(nanos(wait)))
    }

    /// This point minus `wait`, saturating at the epoch.
    #[must_use]
    pub const fn minus(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(wait)))
    }
}

/// A duration in nanoseconds, saturating at 584 years.
pub const fn nanos(wait: Duration) -> u64 {
    wait.as_secs().saturating_mul(1_000_000_000).saturating_add(wait.subsec_nanos() as u64)
}

/// Whether a timer's tick comes before a period has passed since `last`, by a clock that may run a hundredth slow and shows milliseconds: so it is another
/// timer's. Where the clock stepped back nobody knows, and it isn't.
///
/// ```
/// use sdk_shim::time::{Instant, is_early};
/// use std::time::Duration;
/// let (last, second) = (Instant::from_millis(1_000), Duration::from_secs(1));
/// let early = |now| is_early(last, Instant::from_millis(now), second);
/// assert!(early(1_000) && early(1_500) && !early(1_995) && !early(2_000) && !early(999));
/// ```
pub const fn is_early(last: Instant, now: Instant, period: Duration) -> bool {
    let period = nanos(period);
    let shortest = (period - period / 100).saturating_sub(1_000_000);
    now.0 >= last.0 && now.0 - last.0 < shortest
}

/// A clock that moves only when told to: every test of timing runs on it.
///
/// ```
/// use sdk_shim::time::ManualClock;
/// use std::time::Duration;
/// let clock = ManualClock::at_millis(1_000);
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now().as_millis(), 3_000);
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(Cell<Instant>);

impl ManualClock {
    /// A clock that shows `millis` milliseconds after the epoch.
    pub const fn at_millis(millis: u64) -> Self {
        Self(Cell::new(Instant::from_millis(millis)))
    }

    /// What it shows.
    pub const fn now(&self) -> Instant {
        self.0.get()
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.0.set(self.0.get().plus(by));
    }

    /// Moves it back, as an operator or NTP would.
    pub fn step_back(&self, by: Duration) {
        self.0.set(self.0.get().minus(by));
    }
}
