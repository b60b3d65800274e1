//! The figures for machines.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::args::Args;
use crate::stats::Estimate;
use crate::table::{Row, Table};
use crate::verdict::{Bound, Verdict};

/// Writes everything, each round's figures included. Times are in microseconds, sizes in bytes.
pub(crate) fn write(file: &Path, args: &Args, tables: &[Value], verdicts: &[Verdict]) -> Result<()> {
    let verdicts: Vec<Value> = verdicts.iter().map(verdict).collect();
    let version = std::env::var("HOLDFAST_ENVOY_VERSION").ok();
    let all = json!({"envoy": version, "requests_per_visit": args.requests, "tables": tables, "promises": verdicts});
    std::fs::write(file, format!("{all:#}\n")).with_context(|| format!("writing {}", file.display()))
}

/// One setting.
pub(crate) fn table(table: &Table) -> Value {
    let rows: Vec<Value> = table.rows.iter().map(row).collect();
    json!({"title": table.title, "rounds": table.rounds, "rows": rows})
}

fn row(row: &Row) -> Value {
    json!({
        "name": row.subject.name,
        "visits_per_round": row.subject.visits,
        "us_per_request": row.cost,
        "added_us": estimate(row.addition),
        "added_us_per_round": row.added,
        "times_noop": row.to_noop.map(estimate),
        "rss_bytes": row.solo.map(|solo| solo.rss),
        "idle_us_per_second": row.solo.and_then(|solo| solo.idle),
        "module_bytes": row.module_size,
    })
}

fn verdict(verdict: &Verdict) -> Value {
    let measured = estimate(verdict.measured);
    let (bound, value) = match verdict.bound {
        Bound::AtMost(most) => ("at_most", most),
        Bound::AtLeast(least) => ("at_least", least),
    };
    json!({
        bound: value,
        "promise": verdict.promise,
        "unit": verdict.unit,
        "measured": measured,
        "kept": verdict.answer().as_str(),
    })
}

pub(crate) fn estimate(estimate: Estimate) -> Value {
    json!({"value": estimate.value, "low": estimate.low, "high": estimate.high})
}
