//! What came of it, second by second.

use sdk_shim::time::Instant;

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Clients' requests that came.
    pub requests: u64,
    /// Attempts that reached the service.
    pub attempts: u64,
    /// Clients' requests that were answered well, before their deadline.
    pub good: u64,
}

/// What came of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every second, the last ones without new requests.
    pub seconds: Vec<Second>,
}

// === impl Outcome ===

impl Outcome {
    /// The second that `now` is in.
    pub(super) fn at(&mut self, now: Instant) -> &mut Second {
        let second = whole_seconds(now);
        if second >= self.seconds.len() {
            self.seconds.resize(second + 1, Second::default());
        }
        &mut self.seconds[second]
    }

    /// All of it.
    pub fn sum(&self) -> Second {
        self.seconds.iter().fold(Second::default(), Second::plus)
    }

    /// Attempts on the service per client's request.
    pub fn amplification(&self) -> f64 {
        let sum = self.sum();
        share(sum.attempts, sum.requests)
    }

    /// Good answers per client's request.
    pub fn goodput(&self) -> f64 {
        let sum = self.sum();
        share(sum.good, sum.requests)
    }

    /// Attempts of the worst second per request of a usual second: a bound over ten seconds says little about one.
    pub fn worst_second(&self) -> f64 {
        let most = self.seconds.iter().map(|second| second.attempts).max().unwrap_or(0);
        let busy = self.seconds.iter().filter(|second| second.requests > 0).count();
        share(most * busy as u64, self.sum().requests)
    }

    /// Good answers in these seconds per request in them.
    pub fn goodput_between(&self, from: usize, to: usize) -> f64 {
        let seconds = self.seconds.iter().take(to).skip(from);
        let sum = seconds.fold(Second::default(), Second::plus);
        share(sum.good, sum.requests)
    }

    /// From which second on, not before `from`, nine of ten requests are answered well for as long as any come. `None`: never.
    pub fn well_from(&self, from: usize) -> Option<usize> {
        let busy = self.seconds.iter().rposition(|second| second.requests > 0)?;
        let is_ill = |second: &Second| second.good * 10 < second.requests * 9;
        let ill = self.seconds.iter().take(busy).rposition(is_ill).map_or(from, |second| (second + 1).max(from));
        (ill < busy).then_some(ill)
    }
}

// === impl Second ===

impl Second {
    const fn plus(self, other: &Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            attempts: self.attempts + other.attempts,
            good: self.good + other.good,
        }
    }
}

/// `part` per `whole`; 0 of nothing.
#[allow(clippy::cast_precision_loss, reason = "figures for a reader, far below 2^53")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn whole_seconds(now: Instant) -> usize {
    usize::try_from(now.as_millis() / 1_000).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_is_well_to_the_end() {
        let seconds = |good: &[u64]| Outcome {
            seconds: good.iter().map(|good| Second { requests: 10, good: *good, attempts: 10 }).collect(),
        };
        assert_eq!(seconds(&[10, 0, 10, 0, 9, 10]).well_from(1), Some(4));
        assert_eq!(seconds(&[10, 10, 10]).well_from(1), Some(1));
        assert_eq!(seconds(&[10, 0, 0]).well_from(1), None);
    }
}
