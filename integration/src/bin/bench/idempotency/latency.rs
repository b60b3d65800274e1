//! How much longer a claimed request takes, one at a time.
//!
//! Twice, because much of it may be how fast a sleeping processor wakes up, each time that one process waits for another:
//! - **now and then**: a request every 25 ms, so that everything sleeps in between. Two calls to the store each, below the cap on new connections.
//! - **back to back**: each request after the answer to the one before. The cap is as high as it can be, or every other request would wait for it.
//!
//! In each round every way is asked some times, in an order of its own; a round's figure is the median.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::clients::Lone;
use super::message::{Payload, SMALL};
use super::shuffled;
use super::site::{Site, Way};
use crate::Figures;
use crate::args::Args;
use crate::json::estimate;
use crate::measure::progress;
use crate::report::{aligned, dash, interval};
use crate::stats::{Estimate, SplitMix, median};
use crate::table::difference;
use crate::verdict::{Bound, Verdict};

/// What is compared; the first is what the others are compared with.
type Ways = [Way; 4];

/// How requests follow each other.
#[derive(Debug)]
struct Pattern {
    name: &'static str,
    ways: Ways,
    /// Between two requests of one way; `None`: the next one at once.
    step: Option<Duration>,
    /// Requests of each way per round.
    steps: usize,
}

const PATTERNS: [Pattern; 2] = [
    Pattern {
        name: "now and then",
        ways: [Way::Bare, Way::Memory, Way::Tunnel(200), Way::Webdis],
        step: Some(Duration::from_millis(25)),
        steps: 25,
    },
    Pattern {
        name: "back to back",
        ways: [Way::Bare, Way::Memory, Way::Tunnel(10_000), Way::Webdis],
        step: None,
        steps: 100,
    },
];
/// Requests before anything is measured: V8 compiles, Redis learns the scripts.
const WARM_UP: usize = 200;
/// What the tunnel may add at the median, in microseconds.
const BOUND: f64 = 1_200.0;

/// Microseconds: per way, and in each per round, the steps.
type Times = Vec<Vec<Vec<f64>>>;

/// Measures, prints and judges.
pub(crate) fn measure(args: &Args, figures: &mut Figures) -> Result<()> {
    for pattern in &PATTERNS {
        let site = Site::start(&pattern.ways, args.workers)?;
        let mut clients = site.stands.iter().map(|stand| Lone::connect(stand.port)).collect::<Result<Vec<_>>>()?;
        let mut random = SplitMix(3);
        progress(&format!("latency, {}: warming up", pattern.name));
        site.explained(pattern.round(&mut clients, WARM_UP, &mut random))?;
        let mut times: Times = vec![Vec::new(); clients.len()];
        for round in 1..=args.rounds {
            progress(&format!("latency, {}: round {round} of {}", pattern.name, args.rounds));
            let visits = site.explained(pattern.round(&mut clients, pattern.steps, &mut random))?;
            times.iter_mut().zip(visits).for_each(|(times, visit)| times.push(visit));
        }
        progress("");
        pattern.tell(args, &times, figures);
    }
    Ok(())
}

// === impl Pattern ===

impl Pattern {
    /// Each way's times: with pauses each is asked in turn, without them each is asked all at once.
    fn round(&self, clients: &mut [Lone], steps: usize, random: &mut SplitMix) -> Result<Vec<Vec<f64>>> {
        let (mut times, mut due) = (vec![Vec::new(); clients.len()], Instant::now());
        let (turns, asked) = if self.step.is_some() { (steps, 1) } else { (1, steps) };
        let pause = self.step.unwrap_or_default() / u32::try_from(clients.len())?;
        for _ in 0..turns {
            for index in shuffled(clients.len(), random) {
                due += pause;
                sleep(due.saturating_duration_since(Instant::now()));
                for _ in 0..asked {
                    times[index].push(clients[index].ask(&Payload::json(SMALL))?);
                }
            }
        }
        Ok(times)
    }

    fn tell(&self, args: &Args, times: &Times, figures: &mut Figures) {
        let medians: Vec<Vec<f64>> =
            times.iter().map(|rounds| rounds.iter().map(|round| median(round)).collect()).collect();
        let added: Vec<Estimate> = medians.iter().map(|rounds| difference(rounds, &medians[0])).collect();
        let rows = (0..self.ways.len()).map(|way| {
            let more = if way == 0 { dash() } else { interval(added[way], 0) };
            [self.ways[way].name(), percentile(&times[way], 50), percentile(&times[way], 99), more]
        });
        let Self { name, steps, .. } = self;
        println!("\nOne request at a time, {name}: {} rounds of {steps}, {} worker(s)\n", args.rounds, args.workers);
        let head = ["keys claimed in", "p50 us", "p99 us", "added at p50, us (95 %)"];
        print!("{}", aligned(&head, &rows.collect::<Vec<_>>()));
        let tunnel = self.ways.iter().position(|way| matches!(way, Way::Tunnel(_)));
        figures.verdicts.extend(tunnel.map(|way| Verdict {
            promise: format!("claimed through the tunnel, {name}, p50 minus the bare proxy's"),
            unit: "us",
            bound: Bound::AtMost(BOUND),
            measured: added[way],
        }));
        let row =
            |way: usize| json!({"name": self.ways[way].name(), "us": times[way], "added_us": estimate(added[way])});
        let rows: Vec<_> = (0..self.ways.len()).map(row).collect();
        figures.tables.push(json!({"title": format!("latency, {name}"), "rows": rows}));
    }
}

/// Over all rounds, in microseconds.
fn percentile(rounds: &[Vec<f64>], percent: usize) -> String {
    let mut all = rounds.concat();
    all.sort_by(f64::total_cmp);
    all.get(all.len().saturating_sub(1) * percent / 100).map_or_else(dash, |time| format!("{time:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_rounds() {
        let rounds = [vec![5.0, 1.0], vec![2.0, 4.0, 3.0]];
        assert_eq!(
            (percentile(&rounds, 50), percentile(&rounds, 99), percentile(&[], 50)),
            ("3".into(), "4".into(), dash())
        );
    }
}
