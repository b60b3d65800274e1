//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use integration::TestResult;
use integration::chaos::{self, Experiment};

pub(crate) const USAGE: &str = "\
chaos play OUT [N,N …]     the experiments, or those of these numbers; what was seen goes into the folder OUT
chaos plain FROM TO        an Envoy configuration without Holdfast, for the control
chaos list                 the experiments

`cargo xtask compose chaos` calls it, and says in HOLDFAST_CHAOS_WITH and HOLDFAST_CHAOS_WITHOUT where the two sides are.
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Help,
    List,
    Plain { from: PathBuf, to: PathBuf },
    Play(Args),
}

/// What to play, and where what was seen goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) out: PathBuf,
    /// Empty for all.
    only: Vec<u8>,
}

/// Reads the command line.
pub(crate) fn read(words: impl IntoIterator<Item = String>) -> TestResult<Wish> {
    let words: Vec<String> = words.into_iter().collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help" | "-h" | "help"] => Ok(Wish::Help),
        ["list"] => Ok(Wish::List),
        ["plain", from, to] => Ok(Wish::Plain { from: from.into(), to: to.into() }),
        ["play", out] => Ok(Wish::Play(Args { out: out.into(), only: Vec::new() })),
        ["play", out, only] => Ok(Wish::Play(Args { out: out.into(), only: numbers(only)? })),
        _ => bail!("don't know `{}`\n\n{USAGE}", words.join(" ")),
    }
}

fn numbers(text: &str) -> TestResult<Vec<u8>> {
    text.split(',').map(|word| word.trim().parse().with_context(|| format!("{word:?} is no number"))).collect()
}

// === impl Args ===

impl Args {
    /// The experiments that were asked for.
    pub(crate) fn chosen(&self) -> TestResult<Vec<Experiment>> {
        let all = chaos::all();
        for number in &self.only {
            let there = all.iter().any(|experiment| experiment.number == *number);
            ensure!(there, "there is no experiment {number}: {}", list(&all));
        }
        let wanted = |experiment: &Experiment| self.only.is_empty() || self.only.contains(&experiment.number);
        Ok(all.into_iter().filter(wanted).collect())
    }
}

/// Their numbers and names.
pub(crate) fn list(experiments: &[Experiment]) -> String {
    let names = experiments.iter().map(|experiment| format!("{} ({})", experiment.number, experiment.name));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> TestResult<Wish> {
        read(line.split_whitespace().map(str::to_owned))
    }

    fn chosen(line: &str) -> TestResult<Vec<u8>> {
        let Wish::Play(args) = said(line)? else { bail!("not played") };
        Ok(args.chosen()?.iter().map(|experiment| experiment.number).collect())
    }

    #[test]
    fn some_or_all_are_played() {
        assert_eq!(chosen("play out 1").unwrap(), [1]);
        assert_eq!(chosen("play out").unwrap().len(), chaos::all().len());
        assert!(chosen("play out 99").unwrap_err().to_string().contains("no experiment 99: 1 ("));
        assert!(chosen("play out one").unwrap_err().to_string().contains("\"one\""));
    }

    #[test]
    fn other_words_are_told_what_there_is() {
        assert!(said("sulk").unwrap_err().to_string().contains("chaos play OUT"));
        assert!(matches!(said("plain a b"), Ok(Wish::Plain { .. })));
    }
}
