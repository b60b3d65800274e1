//! Rounds: every configuration is visited in each, in an order of its own.

use std::io::{IsTerminal as _, Write as _, stderr};

use anyhow::Result;

use crate::bed::{Bed, Stand};
use crate::cpu;
use crate::load::Loader;
use crate::stats::{SplitMix, mean};

/// Requests before anything is measured: V8 compiles hot code again, better, and every key must have been seen.
const WARM_UP: u32 = 20_000;

/// Microseconds of CPU time per request: one list per configuration, one figure per round.
pub(crate) type Rounds = Vec<Vec<f64>>;

/// Warms up and measures.
pub(crate) fn rounds(bed: &Bed<'_>, loader: &Loader, rounds: u32, requests: u32) -> Result<Rounds> {
    for stand in &bed.stands {
        progress(&format!("warming up: {}", stand.subject.name));
        loader.send(stand, WARM_UP)?;
    }
    let mut costs: Rounds = vec![Vec::new(); bed.stands.len()];
    let mut random = SplitMix(1);
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}"));
        let visits = visit_all(bed, loader, requests, &mut random)?;
        costs.iter_mut().zip(visits).for_each(|(costs, visits)| costs.push(mean(&visits)));
    }
    progress("");
    Ok(costs)
}

/// One round: the figures of each configuration's visits.
fn visit_all(bed: &Bed<'_>, loader: &Loader, requests: u32, random: &mut SplitMix) -> Result<Vec<Vec<f64>>> {
    let mut costs = vec![Vec::new(); bed.stands.len()];
    for index in order(bed, random) {
        costs[index].push(visit(bed, &bed.stands[index], loader, requests)?);
    }
    Ok(costs)
}

/// Each configuration as often as it wants, shuffled: a fixed order would always put the same neighbour's garbage first.
fn order(bed: &Bed<'_>, random: &mut SplitMix) -> Vec<usize> {
    let repeated = |(index, stand): (usize, &Stand<'_>)| (0..stand.subject.visits).map(move |_| index);
    let mut order: Vec<usize> = bed.stands.iter().enumerate().flat_map(repeated).collect();
    random.shuffle(&mut order);
    order
}

/// Microseconds of CPU time per request.
fn visit(bed: &Bed<'_>, stand: &Stand<'_>, loader: &Loader, requests: u32) -> Result<f64> {
    let before = cpu::time(&bed.envoy)?;
    loader.send(stand, requests)?;
    let spent = cpu::time(&bed.envoy)?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e6 / f64::from(requests))
}

/// One line that overwrites itself; nothing where nobody watches.
pub(crate) fn progress(text: &str) {
    let mut screen = stderr();
    if screen.is_terminal() {
        // Whoever closed the terminal doesn't want to know.
        drop(write!(screen, "\r\x1b[2K{text}"));
    }
}
