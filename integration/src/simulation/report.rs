//! The study as plain text.

use super::outcome::Outcome;
use super::scenario::{OUTAGE_SECONDS, STALL, Scenario};
use super::study::{LOADS, Study};

/// A title, a line below it, and columns: the first one of names, the others of figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    title: String,
    note: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// All tables.
pub fn tables(study: &Study) -> Vec<Table> {
    vec![storms(study), floors(study), scattered(study), outages(study), recoveries(study)]
}

fn storms(study: &Study) -> Table {
    let base = &study.base;
    let mut head: Vec<String> = (1..=base.layers).map(|layers| format!("{layers} x {}", base.tries)).collect();
    head.push("worst second".to_owned());
    let row = |outcomes: &Vec<Outcome>| {
        let worst = outcomes.last().map(|outcome| times(outcome.worst_second()));
        outcomes.iter().map(|outcome| times(outcome.amplification())).chain(worst).collect()
    };
    Table {
        title: "Everything fails: attempts on the service per client request".to_owned(),
        note: format!("layers x tries, {}; the worst second is that of the most layers", system(base)),
        ..Table::of(study, head, study.storms.iter().map(row))
    }
}

fn floors(study: &Study) -> Table {
    let head = LOADS.iter().map(|load| format!("{load}/s")).collect();
    let row = |outcomes: &Vec<Outcome>| outcomes.iter().map(|outcome| times(outcome.amplification())).collect();
    Table {
        title: "Everything fails behind one layer: what the floors add up to".to_owned(),
        note: format!("attempts per request, by requests/s and node, {} nodes", study.base.nodes),
        ..Table::of(study, head, study.floors.iter().map(row))
    }
}

fn scattered(study: &Study) -> Table {
    let head = ["answered well", "amplification"].map(str::to_owned).into();
    let row = |outcome: &Outcome| vec![percent(outcome.goodput()), times(outcome.amplification())];
    Table {
        title: "One attempt in ten fails, by chance".to_owned(),
        note: format!("{} layers of {}", study.base.layers, system(&study.base)),
        ..Table::of(study, head, study.scattered.iter().map(row))
    }
}

/// Parts of the story of the outage, in seconds.
const PARTS: [(u32, u32); 5] = [(0, STALL.0), STALL, (STALL.1, 40), (40, 60), (60, OUTAGE_SECONDS)];

fn outages(study: &Study) -> Table {
    let head = PARTS.iter().map(|(from, to)| format!("{from}-{to} s"));
    let head = head.chain(["amplification", "worst second"].map(str::to_owned)).collect();
    let row = |outcome: &Outcome| {
        let parts = PARTS.iter().map(|(from, to)| percent(outcome.goodput_between(*from as usize, *to as usize)));
        parts.chain([times(outcome.amplification()), times(outcome.worst_second())]).collect()
    };
    Table {
        title: format!("The service stalls from second {} to {}: good answers per request", STALL.0, STALL.1),
        note: format!(
            "{} layers of {}; the service can do {} attempts/s, and who waits for more than 1 s has gone",
            study.base.layers,
            system(&study.base),
            2 * study.base.requests_per_second()
        ),
        ..Table::of(study, head, study.outages.iter().filter_map(|row| row.last()).map(row))
    }
}

fn recoveries(study: &Study) -> Table {
    let head = study.outage_loads().iter().map(|load| format!("{load}/s")).collect();
    let end = STALL.1 as usize;
    let cell = |outcome: &Outcome| outcome.well_from(end).map_or("never".to_owned(), |at| format!("{} s", at - end));
    Table {
        title: "The same: how long after the stall all is well".to_owned(),
        note: format!("by requests/s and node, {} nodes; the service can always do twice as much", study.base.nodes),
        ..Table::of(study, head, study.outages.iter().map(|row| row.iter().map(cell).collect()))
    }
}

fn system(base: &Scenario) -> String {
    format!("{} nodes, {} requests/s and node, {} tries", base.nodes, base.load, base.tries)
}

fn times(x: f64) -> String {
    format!("{x:.2}x")
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

// === impl Table ===

impl Table {
    fn of(study: &Study, figures: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Self {
        let name = |(scheme, row): (String, Vec<String>)| [scheme].into_iter().chain(row).collect();
        Self {
            title: String::new(),
            note: String::new(),
            head: ["budget".to_owned()].into_iter().chain(figures).collect(),
            rows: study.schemes.iter().map(super::Scheme::name).zip(rows).map(name).collect(),
        }
    }

    fn widths(&self) -> Vec<usize> {
        let lines = || self.rows.iter().chain([&self.head]);
        (0..self.head.len())
            .map(|n| lines().filter_map(|line| line.get(n)).map(String::len).max().unwrap_or(0))
            .collect()
    }
}

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(f, "{}\n({})\n", self.title, self.note)?;
        let widths = self.widths();
        for line in [&self.head].into_iter().chain(&self.rows) {
            for (n, (cell, wide)) in line.iter().zip(&widths).enumerate() {
                if n == 0 { write!(f, "  {cell:<wide$}")? } else { write!(f, "  {cell:>wide$}")? }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
