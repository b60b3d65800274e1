//! What a JSON body of 4 KiB costs in a claim: CPU time of the Envoy that runs the shipped module in V8.
//!
//! A claim in memory with that body, minus one with `{}`; and because a longer body costs the proxy something as well, minus the same difference
//! without a filter. What is left is copying the body into the module, reading the JSON, its canonical form and its digest. The same bytes as
//! `application/octet-stream` show how much of that is not JSON.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::clients::Clients;
use super::message::Payload;
use super::shuffled;
use super::site::{Site, Stand, Way};
use crate::Figures;
use crate::args::Args;
use crate::json::estimate;
use crate::measure::progress;
use crate::report::{aligned, dash, interval};
use crate::stats::{Estimate, SplitMix, median};
use crate::table::difference;
use crate::verdict::{Bound, Verdict};

/// Bytes.
const BODY: usize = 4_096;
const CONNECTIONS: u32 = 8;
/// Of a visit, after its ramp.
const TIME: Duration = Duration::from_millis(400);
/// Before anything is measured: V8 compiles hot code again, better.
const WARM_UP: Duration = Duration::from_secs(3);
/// Microseconds.
const BOUND: f64 = 200.0;

/// What is sent, and where; differences are between these rows.
const ROWS: [(&str, Way); 5] = [
    ("no filter, {}", Way::Bare),
    ("no filter, 4 KiB", Way::Bare),
    ("claimed in memory, {}", Way::Memory),
    ("claimed in memory, 4 KiB of bytes", Way::Memory),
    ("claimed in memory, 4 KiB of JSON", Way::Memory),
];

/// Measures, prints and judges.
pub(crate) fn measure(args: &Args, figures: &mut Figures) -> Result<()> {
    let (site, clients, mut random) = (Site::start(&[Way::Bare, Way::Memory], 1)?, Clients::new()?, SplitMix(5));
    let (empty, long) = (Payload::empty_json(), Payload::json(BODY));
    let payloads = [empty.clone(), long.clone(), empty, long.as_bytes(), long];
    progress("fingerprint: warming up");
    for (row, payload) in payloads.iter().enumerate() {
        site.explained(visit(&site, &clients, row, payload, WARM_UP))?;
    }
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); ROWS.len()];
    // A visit is longer than those of the tables are.
    let rounds = args.rounds.div_ceil(2).max(5);
    for round in 1..=rounds {
        progress(&format!("fingerprint: round {round} of {rounds}"));
        for row in shuffled(ROWS.len(), &mut random) {
            costs[row].push(site.explained(visit(&site, &clients, row, &payloads[row], TIME))?);
        }
    }
    progress("");
    tell(&costs, figures);
    Ok(())
}

/// Microseconds of CPU time per request.
fn visit(site: &Site, clients: &Clients, row: usize, payload: &Payload, time: Duration) -> Result<f64> {
    let is_there = |stand: &&Stand| stand.way == ROWS[row].1;
    let port = site.stands.iter().find(is_there).map_or(0, |stand| stand.port);
    let storm = clients.storm(port, CONNECTIONS, time, payload, || site.spent())?;
    let spent = storm.looks.1.envoy.saturating_sub(storm.looks.0.envoy);
    Ok(spent.as_secs_f64() * 1e6 / storm.answers)
}

fn tell(costs: &[Vec<f64>], figures: &mut Figures) {
    let (bytes, json_body) = (of_body(costs, 3), of_body(costs, 4));
    let row = |row: usize| {
        let body = match row {
            3 => interval(bytes, 1),
            4 => interval(json_body, 1),
            _ => dash(),
        };
        [ROWS[row].0.to_owned(), format!("{:.1}", median(&costs[row])), body]
    };
    println!("\nA body of 4 KiB in a claim: {} rounds, CPU time of the Envoy process\n", costs[0].len());
    let rows: Vec<_> = (0..ROWS.len()).map(row).collect();
    print!("{}", aligned(&["request", "us/request", "of which the body's fingerprint (95 %)"], &rows));
    figures.verdicts.push(Verdict {
        promise: "fingerprint of 4 KiB of JSON".into(),
        unit: "us",
        bound: Bound::AtMost(BOUND),
        measured: json_body,
    });
    let rows: Vec<Value> = ROWS.iter().zip(costs).map(|(row, costs)| json!({"name": row.0, "us": costs})).collect();
    let fingerprint = json!({"bytes_us": estimate(bytes), "json_us": estimate(json_body)});
    figures.tables.push(json!({"title": "fingerprint", "rows": rows, "fingerprint": fingerprint}));
}

/// How much more than an empty body, beyond what it costs without a filter.
fn of_body(costs: &[Vec<f64>], row: usize) -> Estimate {
    let less =
        |long: &[f64], short: &[f64]| long.iter().zip(short).map(|(long, short)| long - short).collect::<Vec<_>>();
    difference(&less(&costs[row], &costs[2]), &less(&costs[1], &costs[0]))
}
