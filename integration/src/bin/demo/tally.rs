//! From single requests to what the view, the chart and the table show.

use std::time::Duration;

use crate::load::{Answer, RATE};

/// A failure that took at least this long was a wait for nothing.
const LONG: Duration = Duration::from_secs(1);

/// How a request ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// 200, from the home region.
    Ok,
    /// 200, from the other region.
    Moved,
    /// Refused by Holdfast, at once, with a Retry-After.
    Refused,
    /// An error, at once.
    Error,
    /// An error after a long wait; or still waiting.
    Waited,
}

/// All fates, in the order in which charts stack them.
pub(crate) const FATES: [Fate; 5] = [Fate::Ok, Fate::Moved, Fate::Refused, Fate::Error, Fate::Waited];

/// The requests that began in one second, by fate.
pub(crate) type Second = [u32; 5];

/// What one side came to.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    /// Requests by fate.
    pub(crate) fates: [u32; 5],
    /// What clients spent waiting for errors, all together.
    pub(crate) waited: Duration,
    /// What 99 of 100 requests didn't exceed.
    pub(crate) p99: Duration,
    /// Requests that the sick region received while it was sick.
    pub(crate) sick_hits: u64,
}

// === impl Fate ===

impl Fate {
    fn of(answer: &Answer) -> Self {
        let sample = &answer.sample;
        if sample.rejected_by.is_some() {
            return Self::Refused;
        }
        match (sample.status, &sample.served_by) {
            (Some(200), Some(by)) if by.starts_with(answer.home) => Self::Ok,
            (Some(200), _) => Self::Moved,
            _ if sample.elapsed < LONG => Self::Error,
            _ => Self::Waited,
        }
    }

    /// Whether its client got no answer of the service.
    const fn is_error(self) -> bool {
        matches!(self, Self::Refused | Self::Error | Self::Waited)
    }

    /// What legends call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Moved => "re-routed",
            Self::Refused => "refused at once",
            Self::Error => "error",
            Self::Waited => "waiting, then error",
        }
    }
}

/// Requests by the second in which they began, for so many seconds; those that haven't ended count as waiting.
pub(crate) fn seconds(answers: &[Answer], count: usize) -> Vec<Second> {
    let mut seconds = vec![Second::default(); count];
    for answer in answers {
        let second = usize::try_from(answer.sample.at.as_secs()).ok().and_then(|at| seconds.get_mut(at));
        if let Some(second) = second {
            second[Fate::of(answer) as usize] += 1;
        }
    }
    for second in &mut seconds {
        let open = RATE.saturating_sub(second.iter().sum());
        // A request that begins on a second's edge may be counted in its neighbour: one or two are no wait.
        second[Fate::Waited as usize] += if open > 2 { open } else { 0 };
    }
    seconds
}

/// What these seconds came to.
pub(crate) fn sum(answers: &[Answer], seconds: &[Second], sick_hits: u64) -> Sum {
    let fates = seconds.iter().fold([0; 5], |sum: Second, second| std::array::from_fn(|fate| sum[fate] + second[fate]));
    let within = |answer: &&Answer| answer.sample.at < Duration::from_secs(seconds.len() as u64);
    let ended = || answers.iter().filter(within);
    let waited = ended().filter(|answer| Fate::of(answer).is_error()).map(|answer| answer.sample.elapsed).sum();
    let mut times: Vec<Duration> = ended().map(|answer| answer.sample.elapsed).collect();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    Sum { fates, waited, p99, sick_hits }
}

// === impl Sum ===

impl Sum {
    /// Requests with this fate.
    pub(crate) fn count(&self, fate: Fate) -> u32 {
        self.fates[fate as usize]
    }

    /// Requests.
    pub(crate) fn all(&self) -> u32 {
        self.fates.iter().sum()
    }

    /// Requests whose client got no answer of the service.
    pub(crate) fn errors(&self) -> u32 {
        FATES.into_iter().filter(|fate| fate.is_error()).map(|fate| self.count(fate)).sum()
    }
}
