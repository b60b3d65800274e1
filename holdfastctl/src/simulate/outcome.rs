//! What is measured.

use std::time::Duration;

/// Second by second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) seconds: Vec<Second>,
    /// By clients, all together, for what failed in the end.
    pub(super) waited: Duration,
}

/// What became of the requests that came in one second, and what came to the service in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Second {
    pub(super) requests: u64,
    pub(super) good: u64,
    pub(super) failed: u64,
    /// By the breaker, at once.
    pub(super) refused: u64,
    /// Sent another way by the breaker.
    pub(super) moved: u64,
    pub(super) attempts: u64,
    /// Of the breaker, at its end.
    pub(super) phase: &'static str,
}

// === impl Outcome ===

impl Outcome {
    /// That second; they are made as they come.
    pub(super) fn at(&mut self, since: Duration) -> &mut Second {
        let second = usize::try_from(since.as_secs()).unwrap_or(usize::MAX);
        let wanted = second.saturating_add(1).max(self.seconds.len());
        self.seconds.resize(wanted, Second::default());
        &mut self.seconds[second]
    }

    pub(super) fn total(&self) -> Second {
        Second::sum(&self.seconds)
    }

    /// So many seconds in one.
    pub(super) fn grouped(&self, seconds: usize) -> Vec<Second> {
        self.seconds.chunks(seconds.max(1)).map(Second::sum).collect()
    }
}

// === impl Second ===

impl Second {
    /// The phase is the last one's.
    fn sum(seconds: &[Self]) -> Self {
        let add = |sum: Self, one: &Self| Self {
            requests: sum.requests + one.requests,
            good: sum.good + one.good,
            failed: sum.failed + one.failed,
            refused: sum.refused + one.refused,
            moved: sum.moved + one.moved,
            attempts: sum.attempts + one.attempts,
            phase: one.phase,
        };
        seconds.iter().fold(Self::default(), add)
    }
}
