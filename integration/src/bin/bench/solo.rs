//! What can't be told apart in one process: memory, and what timers cost while nothing happens.
//!
//! Each configuration gets a process of its own for that, with two workers; all of them idle at the same time.

use std::time::Duration;

use anyhow::Result;

use crate::args::Args;
use crate::bed::Bed;
use crate::cpu;
use crate::load::Loader;
use crate::measure::progress;
use crate::subject::Subject;

/// Enough for every key to be seen, and for V8 to have compiled.
const REQUESTS: u32 = 10_000;
/// V8 compiles in the background for a moment.
const SETTLE: Duration = Duration::from_secs(2);

/// Memory and idle cost of one configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Solo {
    /// Resident memory of the process in bytes, after some requests.
    pub(crate) rss: u64,
    /// Microseconds of CPU time per second without a request; `None` if not measured.
    pub(crate) idle: Option<f64>,
}

/// Measures all, in their order.
pub(crate) fn all(subjects: &[Subject], loader: &Loader, args: &Args, service: u16) -> Result<Vec<Solo>> {
    let mut beds = Vec::new();
    for subject in subjects {
        progress(&format!("alone: {}", subject.name));
        let bed = Bed::alone(subject, service)?;
        bed.stands.iter().try_for_each(|stand| loader.send(stand, REQUESTS))?;
        beds.push(bed);
    }
    let idle = idle(&beds, args.idle_seconds)?;
    let solo = |(bed, idle): (&Bed<'_>, Option<f64>)| Ok(Solo { rss: bed.envoy.rss()?, idle });
    beds.iter().zip(idle).map(solo).collect()
}

fn idle(beds: &[Bed<'_>], seconds: u32) -> Result<Vec<Option<f64>>> {
    if seconds == 0 {
        return Ok(vec![None; beds.len()]);
    }
    progress("idling");
    let spent = || beds.iter().map(|bed| cpu::time(&bed.envoy)).collect::<Result<Vec<_>>>();
    std::thread::sleep(SETTLE);
    let before = spent()?;
    std::thread::sleep(Duration::from_secs(seconds.into()));
    let rate = |(before, after): (Duration, Duration)| {
        Some(after.saturating_sub(before).as_secs_f64() * 1e6 / f64::from(seconds))
    };
    Ok(before.into_iter().zip(spent()?).map(rate).collect())
}
