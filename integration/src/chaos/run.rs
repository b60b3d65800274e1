//! What was seen of one side in one experiment, and its curves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Kind, Leg, Record};

/// What clients, services and ledgers say.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Of every request.
    pub records: Vec<Record>,
    /// Of every stream.
    pub legs: Vec<Leg>,
    /// Of the services, about once a second.
    pub samples: Vec<Sample>,
    /// How often each key was executed, in both regions together, when all was over.
    pub executed: BTreeMap<String, u64>,
    /// Configurations that nodes took over ECDS since their start; the first one of each is one.
    pub taken_configs: u64,
    /// And those that they refused.
    pub refused_configs: u64,
    /// Clusters for which a breaker opened since the nodes' start; `None` where there are no breakers.
    pub opened: Option<BTreeSet<String>>,
}

/// What the services had done at one time.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Since the load's start.
    pub at: Duration,
    /// Requests that had reached them.
    pub asked: u64,
    /// Copies that had reached the shadow.
    pub copies: u64,
    /// Payments that they had executed, of this run.
    pub executions: u64,
    /// Keys among those.
    pub keys: u64,
}

/// One second of a run: what charts show.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// Share of the requests that began in it and got what they wanted, 0 to 1.
    pub served: Option<f64>,
    /// What 99 of 100 of them didn't exceed, in milliseconds.
    pub p99: Option<f64>,
    /// Requests that reached services per request that began.
    pub amplification: Option<f64>,
    /// Executions per key, up to then.
    pub executions: Option<f64>,
}

// === impl Run ===

impl Run {
    /// The curves, for so many seconds.
    pub fn seconds(&self, count: u32) -> Vec<Second> {
        (0..count).map(|second| self.second(second)).collect()
    }

    fn second(&self, second: u32) -> Second {
        let records: Vec<&Record> = self.between(second, second + 1).collect();
        let ok = records.iter().filter(|record| record.ok).count();
        let asked = self.asked(second, second + 1);
        let executions = self.at(second + 1).filter(|sample| sample.keys > 0);
        Second {
            served: ratio(ok as u64, records.len() as u64),
            p99: p99(&records).map(|time| time.as_secs_f64() * 1e3),
            amplification: asked.and_then(|asked| ratio(asked, records.len() as u64)),
            executions: executions.and_then(|sample| ratio(sample.executions, sample.keys)),
        }
    }

    /// Requests that began in this span, in seconds.
    pub fn between(&self, from: u32, to: u32) -> impl Iterator<Item = &Record> {
        let span = seconds(from)..seconds(to);
        self.records.iter().filter(move |record| span.contains(&record.at))
    }

    /// Requests that reached services in this span; `None` where nobody looked.
    pub fn asked(&self, from: u32, to: u32) -> Option<u64> {
        let (before, after) = (self.at(from)?, self.at(to)?);
        after.asked.checked_sub(before.asked)
    }

    /// Copies that reached the shadow in this span, per request of those that are mirrored.
    pub fn copies(&self, from: u32, to: u32) -> Option<f64> {
        let copies = self.at(to)?.copies.checked_sub(self.at(from)?.copies)?;
        let rest = self.between(from, to).filter(|record| matches!(record.kind, Kind::Read | Kind::Pay));
        ratio(copies, rest.count() as u64)
    }

    /// The sample that was taken nearest to this second.
    fn at(&self, second: u32) -> Option<&Sample> {
        let wanted = seconds(second);
        self.samples.iter().min_by_key(|sample| sample.at.abs_diff(wanted))
    }

    /// The streams that were open at this node in this second.
    pub fn legs_at(&self, node: &str, second: u32) -> Vec<&Leg> {
        self.legs.iter().filter(|leg| leg.node == node && leg.is_open_at(seconds(second))).collect()
    }

    /// The messages that were acknowledged, by number.
    pub fn acknowledged(&self) -> BTreeMap<u64, &str> {
        let writers = self.legs.iter().filter(|leg| !leg.reads);
        writers.flat_map(|leg| &leg.messages).map(|(number, text)| (*number, text.as_str())).collect()
    }

    /// Those that a reader should have and hasn't, or has otherwise, twice or in another order: the reader and the number.
    pub fn messages_amiss(&self) -> Vec<String> {
        let acknowledged = self.acknowledged();
        let mut readers = BTreeMap::<&str, Vec<&(u64, String)>>::new();
        for leg in self.legs.iter().filter(|leg| leg.reads) {
            readers.entry(&leg.client).or_default().extend(&leg.messages);
        }
        let of = |(reader, seen): (&&str, &Vec<&(u64, String)>)| {
            let first = seen.first().map_or(0, |(number, _)| *number);
            let texts: BTreeMap<u64, &str> = seen.iter().map(|(number, text)| (*number, text.as_str())).collect();
            let missing = acknowledged.range(first..).filter(|(number, text)| texts.get(number) != Some(text));
            let disordered = seen.windows(2).filter_map(|pair| match pair {
                [one, next] if one.0 >= next.0 => Some(next.0),
                _ => None,
            });
            let amiss = missing.map(|(number, _)| *number).chain(disordered);
            amiss.map(|number| format!("{reader}: {number}")).collect::<Vec<_>>()
        };
        readers.iter().flat_map(of).collect()
    }

    /// Keys that were executed more than once.
    pub fn paid_twice(&self) -> Vec<&str> {
        self.executed.iter().filter(|(_, times)| **times > 1).map(|(key, _)| key.as_str()).collect()
    }

    /// Keys whose client was told that it has paid, and that no ledger has; or who was told of another one's payment.
    pub fn lost(&self) -> Vec<&str> {
        let told = self.records.iter().filter(|record| record.ok && record.key.is_some());
        let lost = told.filter(|record| record.paid != record.key || !self.has_executed(record));
        lost.filter_map(|record| record.key.as_deref()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn has_executed(&self, record: &Record) -> bool {
        record.key.as_ref().is_some_and(|key| self.executed.contains_key(key))
    }
}

/// What 99 of 100 of these didn't exceed, by nearest rank.
pub(super) fn p99(records: &[&Record]) -> Option<Duration> {
    let mut times: Vec<Duration> = records.iter().map(|record| record.took).collect();
    times.sort_unstable();
    let rank = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(rank).copied()
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

pub(super) fn seconds(n: u32) -> Duration {
    Duration::from_secs(n.into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn record(at_ms: u64, ms: u64, ok: bool) -> Record {
        let (at, took) = (Duration::from_millis(at_ms), Duration::from_millis(ms));
        let (kind, node, status) = (Kind::Read, "edge-a".to_owned(), Some(if ok { 200 } else { 503 }));
        Record {
            at,
            took,
            kind,
            stays: None,
            node,
            status,
            ok,
            attempts: 1,
            key: None,
            paid: None,
            by: None,
            said: None,
        }
    }

    pub(in super::super) fn payment(key: &str, ok: bool) -> Record {
        Record { kind: Kind::Pay, key: Some(key.into()), paid: Some(key.into()), ..record(0, 1, ok) }
    }

    fn sample(at_ms: u64, asked: u64, executions: u64, keys: u64) -> Sample {
        Sample { at: Duration::from_millis(at_ms), asked, executions, keys, ..Sample::default() }
    }

    #[test]
    fn a_second_has_the_requests_that_began_in_it() {
        let run = Run {
            records: vec![record(100, 10, true), record(900, 3_000, false), record(1_000, 20, true)],
            samples: vec![sample(2, 50, 0, 0), sample(1_010, 56, 2, 1), sample(2_003, 58, 3, 2)],
            ..Run::default()
        };
        let seconds = run.seconds(3);
        assert_eq!(
            (seconds[0].served, seconds[0].p99, seconds[0].amplification),
            (Some(0.5), Some(3_000.0), Some(3.0))
        );
        assert_eq!((seconds[1].served, seconds[1].amplification), (Some(1.0), Some(2.0)));
        assert_eq!([seconds[0].executions, seconds[1].executions], [Some(2.0), Some(1.5)]);
        assert_eq!((seconds[2].served, seconds[2].p99), (None, None));
    }

    #[test]
    fn the_ledger_has_the_last_word() {
        let executed = [("a".to_owned(), 1), ("b".to_owned(), 2)].into();
        let records =
            ["a", "b", "c", "c"].map(|key| payment(key, true)).into_iter().chain([payment("d", false)]).collect();
        let run = Run { records, executed, ..Run::default() };
        assert_eq!((run.paid_twice(), run.lost()), (vec!["b"], vec!["c"]));
    }

    #[test]
    fn an_answer_about_anothers_payment_acknowledges_nothing() {
        let executed = [("a".to_owned(), 1), ("b".to_owned(), 1)].into();
        let answered = |key: &str, paid: Option<&str>| Record { paid: paid.map(str::to_owned), ..payment(key, true) };
        let records = vec![answered("a", Some("b")), answered("b", Some("b")), answered("b", None)];
        assert_eq!(Run { records, executed, ..Run::default() }.lost(), ["a", "b"]);
    }

    #[test]
    fn of_a_hundred_times_the_last_but_one_counts() {
        let records: Vec<Record> = (1..=100).map(|ms| record(0, ms, true)).collect();
        let all: Vec<&Record> = records.iter().collect();
        assert_eq!(
            (p99(&all), p99(&all[..1]), p99(&[])),
            (Some(Duration::from_millis(99)), Some(Duration::from_millis(1)), None)
        );
    }
}
