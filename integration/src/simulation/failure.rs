//! How the service fails: by chance, or from too much work.
//!
//! The last one is what makes a storm last (Bronson et al., "Metastable Failures in Distributed Systems", `HotOS` 2021). A service with more work than it can
//! do queues it. Who waits for longer than the patience of the caller is gone when the answer comes: the work was done for nobody, and the
//! caller asks again. So a service that is asked too often works all the time and helps nobody, for as long as it is asked too often,
//! although what made it so is long over.

use core::time::Duration;

use sdk_shim::random::{SplitMix64, below};
use sdk_shim::ratio::Ratio;
use sdk_shim::time::Instant;

/// A healthy answer takes between half of this and one and a half of it.
const LATENCY: Duration = Duration::from_millis(10);

/// What makes attempts fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// This share of attempts, at once, by chance.
    pub share: Ratio,
    /// More work than the service can do. Without it, it can do everything.
    pub capacity: Option<Capacity>,
}

/// What a service can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Attempts per second.
    pub per_second: u64,
    /// An attempt that would wait for longer is rejected at once, at no cost.
    pub queue: Duration,
    /// An attempt that takes longer has failed: the proxy's time-out per try. The service doesn't know, and does the work.
    pub patience: Duration,
    /// From here to there nothing gets done (a lock, a failover, a pause for garbage), and work piles up.
    pub stall: Option<(Instant, Instant)>,
}

/// How an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) after: Duration,
    pub(super) good: bool,
}

/// The service, at work.
#[derive(Debug)]
pub(super) struct Service {
    failure: Failure,
    /// When all that is queued is done.
    free_at: Instant,
}

// === impl Failure ===

impl Default for Failure {
    /// Nothing does.
    fn default() -> Self {
        Self { share: Ratio::ZERO, capacity: None }
    }
}

// === impl Capacity ===

impl Capacity {
    /// So many attempts per second; one that isn't answered after a second has failed, and three seconds' worth of work is queued.
    pub const fn of(per_second: u64) -> Self {
        Self { per_second, queue: Duration::from_secs(3), patience: Duration::from_secs(1), stall: None }
    }

    /// When an idle service begins what comes now.
    fn begins(&self, now: Instant) -> Instant {
        self.stall.filter(|(from, to)| (*from..*to).contains(&now)).map_or(now, |(_, to)| to)
    }

    /// How long the service works on one attempt.
    fn work(&self) -> Duration {
        Duration::from_nanos(1_000_000_000 / self.per_second.max(1))
    }
}

// === impl Service ===

impl Service {
    pub(super) const fn new(failure: Failure) -> Self {
        Self { failure, free_at: Instant::from_nanos(0) }
    }

    /// An attempt arrives.
    pub(super) fn answer(&mut self, now: Instant, chance: &mut SplitMix64) -> Answer {
        let after = latency(chance.draw());
        if self.failure.share.takes(chance.draw()) {
            return Answer { after, good: false };
        }
        match self.failure.capacity {
            None => Answer { after, good: true },
            Some(capacity) => self.work(now, after, capacity),
        }
    }

    fn work(&mut self, now: Instant, latency: Duration, capacity: Capacity) -> Answer {
        self.free_at = self.free_at.max(capacity.begins(now));
        let wait = self.free_at.since(now);
        if wait > capacity.queue {
            return Answer { after: latency, good: false };
        }
        self.free_at = self.free_at.plus(capacity.work());
        let after = wait + latency;
        Answer { after: after.min(capacity.patience), good: after <= capacity.patience }
    }
}

fn latency(draw: u64) -> Duration {
    let nanos = sdk_shim::time::nanos(LATENCY);
    Duration::from_nanos(nanos / 2 + below(draw, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tired(stall: Option<(Instant, Instant)>) -> Service {
        let capacity = Capacity { stall, ..Capacity::of(10) };
        Service::new(Failure { capacity: Some(capacity), ..Failure::default() })
    }

    #[test]
    fn who_waits_too_long_has_failed_and_costs_all_the_same() {
        let (mut service, mut chance) = (tired(None), SplitMix64::new(1));
        let now = Instant::from_millis(5_000);
        let answers: Vec<Answer> = (0..40).map(|_| service.answer(now, &mut chance)).collect();
        assert_eq!(answers.iter().filter(|answer| answer.good).count(), 10);
        assert_eq!(service.free_at.since(now), Duration::from_millis(3_100), "31 are worked on, 9 are rejected");
    }

    #[test]
    fn a_stall_ends() {
        let mut service = tired(Some((Instant::from_millis(10), Instant::from_millis(2_000))));
        let mut good = |at| service.answer(Instant::from_millis(at), &mut SplitMix64::new(1)).good;
        assert_eq!([9, 10, 1_999, 2_200].map(&mut good), [true, false, true, true]);
    }
}
