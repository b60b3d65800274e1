//! New connections to a store, over all workers of the proxy.
//!
//! A call through the tunnel is a TCP connection, and those to one address run out: with the kernel's defaults at about 470 a second to a store
//! on another machine (docs/hosts.md T10). So there is a rate for the whole process.
//!
//! What all VMs share is a counter of the host, to which each adds 1 per connection. Each VM has a bucket that is filled at the rate, and takes out of it
//! what the counter tells of **everybody's** connections since it last read it. A bucket holds what 20 ms of the rate are, and at least one
//! connection. So the buckets of all VMs tell nearly the same, and together they open what one would, but for a bucket each at first.
//!
//! Of several that always want one, he who looks first would take all. So a VM that was refused for as long as [`PATIENCE`] connections take gets one
//! in any case. All in all, `k` VMs open at most `rate * t * (1 + k / 16) + k * (bucket + 1)` in any time `t`: with 200 per second and five VMs
//! 287 in the first second at the very most. Five that always want one open about 240.
//!
//! A bucket is never below empty: who sees that others opened too many doesn't pay for them, and nobody is kept waiting for longer than it takes to
//! fill one connection's worth while nobody opens any. A counter that was reset has counted since what it shows. A clock that steps back fills
//! nothing, one that steps forward fills the bucket once.

use core::time::Duration;
use sdk_shim::time::{Instant, nanos};

/// What a bucket holds.
const BURST: Duration = Duration::from_millis(20);

/// A VM that was refused for as long as it takes to fill so many connections' worth gets one.
pub const PATIENCE: u64 = 16;

/// One connection, in the unit of the bucket: a rate per second times nanoseconds.
const ONE: u64 = 1_000_000_000;

/// One VM's bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    per_second: u32,
    level: u64,
    /// When the counter was read last, and what it showed.
    last: Option<(Instant, u64)>,
    /// Since when it was refused, each time.
    refused: Option<Instant>,
}

// === impl Pace ===

impl Pace {
    /// At most so many per second; 0 is taken for 1.
    pub const fn new(per_second: u32) -> Self {
        let mut pace = Self { per_second, level: 0, last: None, refused: None };
        if per_second == 0 {
            pace.per_second = 1;
        }
        pace.level = pace.most();
        pace
    }

    /// Whether a connection may be opened now, where `total` is what the shared counter shows. Whoever opens one adds 1 to the counter before
    /// anybody in this VM asks again; whoever doesn't has taken nothing.
    pub fn may_open(&mut self, now: Instant, total: u64) -> bool {
        self.fill(now, total);
        // A clock that stepped back doesn't make anybody wait longer.
        let since = self.refused.map_or(now, |since| since.min(now));
        let may = self.level >= ONE || nanos(now.since(since)) >= self.patience();
        self.refused = (!may).then_some(since);
        may
    }

    fn fill(&mut self, now: Instant, total: u64) {
        if let Some((at, before)) = self.last.replace((now, total)) {
            let filled = u64::from(self.per_second).saturating_mul(nanos(now.since(at)));
            let opened = total.checked_sub(before).unwrap_or(total);
            let level = self.level.saturating_add(filled).saturating_sub(opened.saturating_mul(ONE));
            self.level = level.min(self.most());
        }
    }

    /// Nanoseconds.
    const fn patience(&self) -> u64 {
        PATIENCE * ONE / self.per_second as u64
    }

    const fn most(&self) -> u64 {
        let burst = self.per_second as u64 * nanos(BURST);
        if burst < ONE { ONE } else { burst }
    }
}
