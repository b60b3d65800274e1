//! The closing table of a run of steps, and the line that says how many passed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::context::Context;
use crate::progress::{Stopwatch, row};
use crate::text;

/// How a step ended without failing.
pub(crate) enum Outcome {
    /// With what is worth knowing about it, if anything.
    Passed(String),
    /// It could not be done here, for a reason that is no fault of the code.
    Skipped(String),
}

/// Something to be done, by a name that people know it by.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Context) -> Result<Outcome>,
}

struct Ended {
    name: &'static str,
    elapsed: Duration,
    mark: &'static str,
    remark: String,
}

/// Runs every step, also after one failed, so that one run shows all that is wrong.
pub(crate) fn run_all(context: &Context, steps: &[Step]) -> ExitCode {
    let ended: Vec<Ended> = steps.iter().map(|step| run_one(context, step)).collect();
    println!("\n{}", table(&ended));
    let (passed, failed) = counts(&ended);
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

fn run_one(context: &Context, step: &Step) -> Ended {
    println!("\n== {}", step.name);
    let clock = Stopwatch::start();
    let (mark, remark) = match (step.run)(context) {
        Ok(Outcome::Passed(remark)) => (" ok ", remark),
        Ok(Outcome::Skipped(why)) => ("SKIP", why),
        Err(error) => {
            let why = text::chain(&error);
            println!("{why}");
            ("FAIL", text::cut(text::first_line(&why), 100))
        }
    };
    Ended { name: step.name, elapsed: clock.elapsed(), mark, remark }
}

fn table(ended: &[Ended]) -> String {
    let width = ended.iter().map(|ended| ended.name.len()).max().unwrap_or_default();
    let line = |ended: &Ended| {
        let label = format!("{:<width$}  {}", ended.name, ended.remark);
        format!("{}\n", row(ended.mark, ended.elapsed, label.trim_end()))
    };
    ended.iter().map(line).collect()
}

/// A skipped step is neither; the table names it.
fn counts(ended: &[Ended]) -> (usize, usize) {
    let count = |mark| ended.iter().filter(|ended| ended.mark == mark).count();
    (count(" ok "), count("FAIL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &'static str, mark: &'static str, remark: &str) -> Ended {
        Ended { name, elapsed: Duration::from_secs(3), mark, remark: remark.into() }
    }

    #[test]
    fn skipped_steps_are_shown_but_not_counted() {
        let all = [ended("format", " ok ", ""), ended("advisories", "SKIP", "offline"), ended("docs", "FAIL", "why")];
        assert_eq!(counts(&all), (1, 1));
        let table = table(&all);
        assert!(table.contains("[SKIP]      3.0 s  advisories  offline\n"), "{table}");
        assert!(table.contains("[ ok ]      3.0 s  format\n"), "{table}");
    }
}
