//! What came of a load.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Response;
use crate::TestResult;

/// How one request of a load ended.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it began, since the load's start.
    pub at: Duration,
    /// How long it took.
    pub elapsed: Duration,
    /// HTTP status; `None` without a complete answer.
    pub status: Option<u16>,
    /// Value of `x-holdfast-reject`.
    pub rejected_by: Option<String>,
    /// Name of the [`Upstream`](crate::Upstream) that answered.
    pub served_by: Option<String>,
    /// Why there is no complete answer.
    pub error: Option<String>,
}

/// All samples of a load, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The samples.
    pub samples: Vec<Sample>,
}

// === impl Sample ===

impl Sample {
    pub(super) fn new(at: Duration, elapsed: Duration, answer: TestResult<Response>) -> Self {
        let error = answer.as_ref().err().map(|error| format!("{error:#}"));
        let reply = answer.ok();
        let text = |value: Option<&str>| value.map(str::to_owned);
        Self {
            at,
            elapsed,
            error,
            status: reply.as_ref().map(|reply| reply.status),
            rejected_by: text(reply.as_ref().and_then(Response::rejected_by)),
            served_by: text(reply.as_ref().and_then(Response::served_by)),
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn new(samples: Vec<Sample>) -> Self {
        Self { samples }
    }

    /// Requests that ended.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether none ended.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Requests answered with this status.
    pub fn status(&self, status: u16) -> usize {
        self.count(|sample| sample.status == Some(status))
    }

    /// Requests by status; 0 stands for those without a complete answer.
    pub fn by_status(&self) -> BTreeMap<u16, usize> {
        self.grouped(|sample| Some(sample.status.unwrap_or(0)))
    }

    /// Requests that one of our plugins refused (they carry `x-holdfast-reject`).
    pub fn rejected(&self) -> usize {
        self.count(|sample| sample.rejected_by.is_some())
    }

    /// Requests that an upstream answered.
    pub fn served_by(&self, upstream: &str) -> usize {
        self.count(|sample| sample.served_by.as_deref() == Some(upstream))
    }

    /// Requests by upstream.
    pub fn by_upstream(&self) -> BTreeMap<String, usize> {
        self.grouped(|sample| sample.served_by.clone())
    }

    /// Why requests have no complete answer, each reason with its number.
    pub fn errors(&self) -> BTreeMap<String, usize> {
        self.grouped(|sample| sample.error.clone())
    }

    /// Samples for which `wanted` holds.
    pub fn count(&self, wanted: impl Fn(&Sample) -> bool) -> usize {
        self.samples.iter().filter(|sample| wanted(sample)).count()
    }

    /// The samples that began in this span since the load's start.
    #[must_use]
    pub fn between(&self, from: Duration, to: Duration) -> Self {
        Self::new(self.samples.iter().filter(|sample| (from..to).contains(&sample.at)).cloned().collect())
    }

    /// Latency that the share `quantile` (0 to 1) of the requests didn't exceed; zero without samples.
    pub fn latency(&self, quantile: f64) -> Duration {
        let mut latencies: Vec<Duration> = self.samples.iter().map(|sample| sample.elapsed).collect();
        latencies.sort_unstable();
        latencies.get(rank(latencies.len(), quantile)).copied().unwrap_or_default()
    }

    fn grouped<K: Ord>(&self, key: impl Fn(&Sample) -> Option<K>) -> BTreeMap<K, usize> {
        let mut groups = BTreeMap::new();
        for key in self.samples.iter().filter_map(key) {
            *groups.entry(key).or_insert(0) += 1;
        }
        groups
    }
}

/// Nearest rank.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
fn rank(count: usize, quantile: f64) -> usize {
    ((count as f64 * quantile).ceil() as usize).clamp(1, count.max(1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_rank() {
        assert_eq!([rank(4, 0.0), rank(4, 0.5), rank(4, 0.75), rank(4, 1.0), rank(0, 0.5)], [0, 1, 2, 3, 0]);
    }
}
