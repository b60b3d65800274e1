//! What may happen to a payment.

use std::time::Duration;

use sdk_shim::random::{SplitMix64, below};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is executed and answered.
    None,
    /// It is not executed, and answered with this status: the service promises that it did nothing.
    Decline(u16),
    /// It is not executed, and answered with 200 and `{"status": "degraded"}`: only who reads it learns that nothing was done.
    Degrade,
    /// It is executed, and answered with this status all the same.
    Fail(u16),
    /// It is executed, then its connection is reset (TCP RST): the answer is lost.
    Reset,
    /// It is executed, and never answered.
    Hang,
}

/// How long a payment takes, between its execution and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// No time.
    None,
    /// Any time between these two, each as likely.
    Between(Duration, Duration),
    /// `usual`, but `slow` for so many of 100.
    Tail {
        /// What most payments take.
        usual: Duration,
        /// What the others take.
        slow: Duration,
        /// How many the others are: 0 to 100.
        percent: u8,
    },
}

/// What a request draws: the same for the same turn, nothing in common with its neighbours.
#[derive(Debug)]
pub(super) struct Lot(SplitMix64);

// === impl Lot ===

impl Lot {
    pub(super) fn new(turn: u64) -> Self {
        Self(SplitMix64::new(turn))
    }

    pub(super) fn falls(&mut self, percent: u8) -> bool {
        below(self.0.draw(), 100) < u64::from(percent)
    }

    pub(super) fn delay(&mut self, delay: Delay) -> Duration {
        match delay {
            Delay::None => Duration::ZERO,
            Delay::Between(shortest, longest) => shortest + self.share(longest.saturating_sub(shortest)),
            Delay::Tail { usual, slow, percent } => {
                if self.falls(percent) {
                    slow
                } else {
                    usual
                }
            }
        }
    }

    fn share(&mut self, of: Duration) -> Duration {
        let nanoseconds = u64::try_from(of.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(below(self.0.draw(), nanoseconds.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn troubles_come_as_often_as_told() {
        let count = |percent| (0..10_000).filter(|turn| Lot::new(*turn).falls(percent)).count();
        assert_eq!((count(0), count(100)), (0, 10_000));
        assert!((400..=600).contains(&count(5)), "{}", count(5));
    }

    #[test]
    fn delays_lie_where_they_should() {
        let drawn: Vec<_> = (0..1_000).map(|turn| Lot::new(turn).delay(Delay::Between(5 * MS, 9 * MS))).collect();
        assert!(drawn.iter().all(|delay| (5 * MS..=9 * MS).contains(delay)));
        assert!(drawn.iter().any(|delay| *delay < 6 * MS) && drawn.iter().any(|delay| *delay > 8 * MS));
        let tail = Delay::Tail { usual: MS, slow: 50 * MS, percent: 10 };
        let slow = (0..1_000).filter(|turn| Lot::new(*turn).delay(tail) == 50 * MS).count();
        assert!((60..=140).contains(&slow), "{slow}");
    }
}
