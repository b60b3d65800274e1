//! The outage that is described.

use sdk_shim::config::{Bounds, Faults, Reader, read_and};
use sdk_shim::ratio::Ratio;
use std::time::Duration;

/// More would take minutes, and show nothing more.
const MOST_REQUESTS: u64 = 2_000_000;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What clients, route and service do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scenario {
    pub(super) duration: Duration,
    pub(super) requests_per_second: u64,
    /// Of a whole request: the route's.
    pub(super) timeout: Duration,
    /// After the first try: the route's.
    pub(super) retries: u64,
    /// From when on the service does what, in order; the first one from the beginning.
    pub(super) service: Vec<Spell>,
    pub(super) seed: u64,
}

/// A time in which the service stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spell {
    pub(super) from: Duration,
    /// Until it answers.
    pub(super) takes: Duration,
    /// The share of its answers that are 503.
    pub(super) fails: Ratio,
}

// === impl Scenario ===

impl Scenario {
    /// Reads JSON, by the same rules as a plugin's configuration.
    pub(super) fn read(text: &[u8]) -> Result<Self, Faults> {
        read_and(text, Self::of, Self::faults)
    }

    fn of(read: &mut Reader<'_>) -> Self {
        Self {
            duration: read.duration("duration", SECOND * 120, Bounds::new(SECOND, HOUR)),
            requests_per_second: read.integer("requests_per_second", 100, Bounds::new(1, 10_000)),
            timeout: read.duration("timeout", SECOND * 15, Bounds::new(Duration::from_millis(1), HOUR)),
            retries: read.integer("retries", 0, Bounds::new(0, 10)),
            service: read.objects("service", "an object: from, takes, fails", Spell::of),
            seed: read.integer("seed", 1, Bounds::new(0, 1 << 53)),
        }
    }

    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let requests = self.duration.as_secs().saturating_mul(self.requests_per_second);
        if requests > MOST_REQUESTS {
            faults.push("$.duration", format!("{requests} requests"), format!("{MOST_REQUESTS} at most"));
        }
        match self.service.first() {
            None => faults.push("$.service", "nothing", "a list: what the service does, from when on"),
            Some(first) if !first.from.is_zero() => faults.push("$.service[0].from", "later", "0: from the beginning"),
            Some(_) => {}
        }
        if !self.service.is_sorted_by_key(|spell| spell.from) {
            faults.push("$.service", "out of order", "the earliest first");
        }
        faults
    }

    /// What the service does then.
    pub(super) fn at(&self, now: Duration) -> Option<&Spell> {
        self.service.iter().rev().find(|spell| spell.from <= now)
    }
}

// === impl Spell ===

impl Spell {
    fn of(read: &mut Reader<'_>) -> Self {
        let (instant, quick) = (Duration::ZERO, Duration::from_millis(20));
        Self {
            from: read.duration("from", instant, Bounds::new(instant, HOUR)),
            takes: read.duration("takes", quick, Bounds::new(instant, HOUR)),
            fails: read.ratio("fails", Ratio::ZERO, Ratio::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_read_and_what_is_wrong_with_it_is_told() {
        let scenario = Scenario::read(
            br#"{"duration": "60s", "retries": 2, "service": [{}, {"from": "20s", "takes": "5s", "fails": 0.5}]}"#,
        )
        .expect("a scenario");
        assert_eq!((scenario.requests_per_second, scenario.timeout), (100, SECOND * 15));
        assert_eq!(scenario.at(SECOND * 19).map(|spell| spell.takes), Some(Duration::from_millis(20)));
        assert_eq!(scenario.at(SECOND * 20).map(|spell| spell.takes), Some(SECOND * 5));
        for (text, path) in [
            ("{}", "$.service"),
            (r#"{"service": [{"from": "1s"}]}"#, "$.service[0].from"),
            (r#"{"service": [{}, {"from": "9s"}, {"from": "8s"}]}"#, "$.service"),
            (r#"{"service": [{"failes": 1}]}"#, "$.service[0].failes"),
            (r#"{"service": [{}], "duration": "1h", "requests_per_second": 10000}"#, "$.duration"),
        ] {
            let faults = Scenario::read(text.as_bytes()).expect_err(text);
            assert_eq!(faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), [path], "{text}");
        }
    }
}
