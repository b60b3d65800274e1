//! The promises, and whether the figures keep them.

use crate::stats::Estimate;
use crate::subject::Role;
use crate::table::{Row, Table, difference, ratio};

/// A filter's addition, in the no-op module's.
const TO_NOOP: f64 = 1.75;
/// What protocol health adds to an attempt that is no GraphQL, in the no-op module's.
const HEALTH_TO_NOOP: f64 = 2.0;
/// What metrics add to a healthy request, in the no-op module's addition to one that a service answers too.
const METRICS_TO_NOOP: f64 = 2.0;
/// The closed breaker's addition, in that of its bare host calls.
const TO_HOST_CALLS: f64 = 1.25;
/// The addition with 1,000 keys, in that with one.
const GROWTH: f64 = 1.2;
/// What all plugins together add to a request, in the no-op module's.
const SUITE_TO_NOOP: f64 = 3.5;
/// The same of an attempt.
const SUITE_UPSTREAM_TO_NOOP: f64 = 2.0;
/// What as many modules add, in the suite's.
const SAVED: f64 = 2.0;
/// In MB.
const SUITE_MEMORY: f64 = 12.0;
/// In bytes.
const SUITE_SIZE: f64 = 600.0 * 1024.0;
/// The module's size in bytes.
const SIZE: f64 = 250.0 * 1024.0;

/// A promise and what was measured.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) promise: String,
    pub(crate) unit: &'static str,
    pub(crate) bound: Bound,
    pub(crate) measured: Estimate,
}

/// On which side of it a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// What the interval allows to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Kept,
    ProbablyKept,
    ProbablyMissed,
    Missed,
}

/// All promises that this table can speak of.
pub(crate) fn all(table: &Table, proxied: Option<&Table>) -> Vec<Verdict> {
    let breaker = [to_noop(table), to_host_calls(table), to_lua(table), growth(table), size(table)];
    let others = [budget_downstream(table), proxied.and_then(budget_upstream), proxied.and_then(health_upstream)];
    let metrics = [proxied.and_then(metrics_downstream), proxied.and_then(metrics_upstream)];
    let suite = [
        proxied.and_then(|proxied| noops(proxied, Role::Suite, "suite, all five", SUITE_TO_NOOP)),
        proxied.and_then(|proxied| upstream(proxied, Role::SuiteUpstream, "suite, all four", SUITE_UPSTREAM_TO_NOOP)),
        proxied.and_then(|proxied| {
            saved(proxied, Role::Separate, Role::Suite, "five modules, times the suite's addition")
        }),
        proxied.and_then(|proxied| {
            saved(
                proxied,
                Role::SeparateUpstream,
                Role::SuiteUpstream,
                "four modules upstream, times the suite's addition",
            )
        }),
        memory(table),
        size_of(table, Role::Suite, "suite's module", SUITE_SIZE),
    ];
    breaker.into_iter().chain(others).chain(metrics).chain(suite).flatten().collect()
}

fn budget_downstream(table: &Table) -> Option<Verdict> {
    noops(table, Role::BudgetDownstream, "retry budget downstream", TO_NOOP)
}

fn noops(table: &Table, role: Role, name: &str, most: f64) -> Option<Verdict> {
    let measured = table.row(role)?.to_noop?;
    let promise = format!("{name}, times the no-op's addition");
    Some(Verdict { promise, unit: "x", bound: Bound::AtMost(most), measured })
}

/// How many times as much the one costs.
fn saved(table: &Table, much: Role, little: Role, promise: &str) -> Option<Verdict> {
    let measured = ratio(&table.row(much)?.added, &table.row(little)?.added);
    Some(Verdict { promise: promise.into(), unit: "x", bound: Bound::AtLeast(SAVED), measured })
}

/// Resident memory beyond that of an Envoy with a module that does nothing.
fn memory(table: &Table) -> Option<Verdict> {
    // Far below 2^52, so the conversion is exact.
    #[allow(clippy::cast_precision_loss)]
    let megabytes = |role| Some(table.row(role)?.solo?.rss as f64 / 1e6);
    let more = megabytes(Role::Suite)? - megabytes(Role::Noop)?;
    let measured = Estimate { value: more, low: more, high: more };
    let promise = "memory with the suite minus with the no-op, 2 workers".into();
    Some(Verdict { promise, unit: "MB", bound: Bound::AtMost(SUITE_MEMORY), measured })
}

/// Compared with a no-op module in the same chain.
fn upstream(proxied: &Table, role: Role, name: &str, bound: f64) -> Option<Verdict> {
    let measured = ratio(&proxied.row(role)?.added, &proxied.row(Role::UpstreamNoop)?.added);
    let promise = format!("{name} upstream, times the no-op's there");
    Some(Verdict { promise, unit: "x", bound: Bound::AtMost(bound), measured })
}

fn budget_upstream(proxied: &Table) -> Option<Verdict> {
    upstream(proxied, Role::BudgetUpstream, "retry budget", TO_NOOP)
}

fn health_upstream(proxied: &Table) -> Option<Verdict> {
    upstream(proxied, Role::HealthUpstream, "protocol health", HEALTH_TO_NOOP)
}

/// Where a proxy answers by itself metrics ask who it was, so it is compared where a service answers.
fn metrics_downstream(proxied: &Table) -> Option<Verdict> {
    let measured = ratio(&proxied.row(Role::MetricsDownstream)?.added, &proxied.row(Role::Noop)?.added);
    let promise = "metrics downstream, times the no-op's there".to_owned();
    Some(Verdict { promise, unit: "x", bound: Bound::AtMost(METRICS_TO_NOOP), measured })
}

fn metrics_upstream(proxied: &Table) -> Option<Verdict> {
    upstream(proxied, Role::MetricsUpstream, "metrics", METRICS_TO_NOOP)
}

fn to_noop(table: &Table) -> Option<Verdict> {
    let measured = table.row(Role::Breaker)?.to_noop?;
    Some(Verdict {
        promise: "closed breaker, times the no-op module's addition".into(),
        unit: "x",
        bound: Bound::AtMost(TO_NOOP),
        measured,
    })
}

/// What is left for the breaker itself: how far its own code and glue go beyond the calls that it can't do without.
fn to_host_calls(table: &Table) -> Option<Verdict> {
    let measured = ratio(&table.row(Role::Breaker)?.added, &table.row(Role::HostCalls)?.added);
    Some(Verdict {
        promise: "the same, times its bare host calls' addition".into(),
        unit: "x",
        bound: Bound::AtMost(TO_HOST_CALLS),
        measured,
    })
}

fn to_lua(table: &Table) -> Option<Verdict> {
    let measured = difference(&table.row(Role::Breaker)?.added, &table.row(Role::Lua)?.added);
    Some(Verdict {
        promise: "closed breaker minus the Lua breaker".into(),
        unit: "us",
        bound: Bound::AtMost(0.0),
        measured,
    })
}

fn growth(table: &Table) -> Option<Verdict> {
    let (one, many) = (table.row(Role::OneKey)?, table.row(Role::ManyKeys)?);
    let ticks = tick_cost(table, many) - tick_cost(table, one);
    let many: Vec<f64> = many.added.iter().map(|added| added + ticks).collect();
    let measured = ratio(&many, &one.added);
    Some(Verdict {
        promise: "addition with 1,000 keys, times that with 1".into(),
        unit: "x",
        bound: Bound::AtMost(GROWTH),
        measured,
    })
}

/// Timers run all the time, so the difference within a round doesn't show them: their cost per request of a busy worker.
fn tick_cost(table: &Table, row: &Row) -> f64 {
    let idle = |row: &Row| row.solo.and_then(|solo| solo.idle).unwrap_or(0.0);
    let none = table.row(Role::None).map_or(0.0, idle);
    (idle(row) - none).max(0.0) * row.cost / 1e6
}

fn size(table: &Table) -> Option<Verdict> {
    size_of(table, Role::Breaker, "module", SIZE)
}

fn size_of(table: &Table, role: Role, promise: &str, most: f64) -> Option<Verdict> {
    // Far below 2^52, so the conversion is exact.
    #[allow(clippy::cast_precision_loss)]
    let bytes = table.row(role)?.module_size? as f64;
    let measured = Estimate { value: bytes, low: bytes, high: bytes };
    Some(Verdict { promise: promise.into(), unit: "bytes", bound: Bound::AtMost(most), measured })
}

// === impl Verdict ===

impl Verdict {
    /// Whether the promise is kept.
    pub(crate) fn answer(&self) -> Answer {
        let Estimate { value, low, high } = self.measured;
        let keeps = |figure: f64| match self.bound {
            Bound::AtMost(most) => figure <= most,
            Bound::AtLeast(least) => figure >= least,
        };
        match (keeps(low), keeps(value), keeps(high)) {
            (true, _, true) => Answer::Kept,
            (false, _, false) => Answer::Missed,
            (_, true, _) => Answer::ProbablyKept,
            _ => Answer::ProbablyMissed,
        }
    }

    /// Whether it is missed beyond doubt.
    pub(crate) fn is_missed(&self) -> bool {
        self.answer() == Answer::Missed
    }
}

// === impl Answer ===

impl Answer {
    /// As the report spells it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "yes",
            Self::ProbablyKept => "probably",
            Self::ProbablyMissed => "probably not",
            Self::Missed => "NO",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_across_the_bound_is_no_certainty() {
        let of = |low, value, high| {
            let (promise, measured) = (String::new(), Estimate { value, low, high });
            Verdict { promise, unit: "", bound: Bound::AtMost(1.75), measured }.answer()
        };
        assert_eq!(of(1.0, 1.5, 1.7), Answer::Kept);
        assert_eq!(of(1.0, 1.7, 1.9), Answer::ProbablyKept);
        assert_eq!(of(1.0, 1.8, 1.9), Answer::ProbablyMissed);
        assert_eq!(of(1.8, 1.9, 2.0), Answer::Missed);
    }
}
