//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use integration::TestResult;
use integration::simulation::{Scenario, Scheme};

pub(crate) const USAGE: &str = "\
cargo xtask simulate [options]

  --layers N      layers of gateways in front of the service (default 3)
  --nodes N       gateways per layer (default 100)
  --load N        clients' requests per second and gateway of the first layer (default 20)
  --tries N       attempts that each layer's route allows, num_retries + 1 (default 4)
  --seconds N     for how long clients send (default 30; the story of an outage takes 80)
  --config JSON   our budget, as the plugin is configured (default {})
  --seed N        where chance begins (default 1)
  --svg FILE      draw it as well

It takes as long as there are attempts: without a budget tries to the power of layers, for each request.
";

/// No more layers, tries or seconds than one can wait for.
const MOST_LAYERS: u64 = 5;
const MOST_TRIES: u64 = 10;
const MOST_NODES: u64 = 1_000;
const MOST_LOAD: u64 = 1_000;
const MOST_SECONDS: u64 = 600;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) base: Scenario,
    pub(crate) ours: Scheme,
    pub(crate) svg: Option<PathBuf>,
}

/// Reads the command line; `None` where only help is wanted.
pub(crate) fn read(words: impl IntoIterator<Item = String>) -> TestResult<Option<Args>> {
    let mut words = words.into_iter();
    let mut args = Args { base: Scenario::default(), ours: budget("{}")?, svg: None };
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "--help" | "-h" | "help") {
            return Ok(None);
        }
        let value = words.next().with_context(|| format!("{word} needs a value\n\n{USAGE}"));
        option(&mut args, &word, value?)?;
    }
    Ok(Some(args))
}

fn option(args: &mut Args, word: &str, value: String) -> TestResult {
    let bounded = |most: u64| number(word, &value, most);
    match word {
        "--layers" => args.base.layers = usize::try_from(bounded(MOST_LAYERS)?)?,
        "--nodes" => args.base.nodes = u32::try_from(bounded(MOST_NODES)?)?,
        "--load" => args.base.load = u32::try_from(bounded(MOST_LOAD)?)?,
        "--tries" => args.base.tries = u32::try_from(bounded(MOST_TRIES)?)?,
        "--seconds" => args.base.duration = Duration::from_secs(bounded(MOST_SECONDS)?),
        "--seed" => args.base.seed = bounded(u64::MAX)?,
        "--config" => args.ours = budget(&value)?,
        "--svg" => args.svg = Some(value.into()),
        other => bail!("don't know {other:?}\n\n{USAGE}"),
    }
    Ok(())
}

fn budget(configuration: &str) -> TestResult<Scheme> {
    Scheme::configured(configuration).map_err(|faults| anyhow!("{faults}"))
}

fn number(name: &str, word: &str, most: u64) -> TestResult<u64> {
    let number = word.parse().with_context(|| format!("{name} {word:?}"))?;
    ensure!((1..=most).contains(&number), "{name} {number}: from 1 to {most}");
    Ok(number)
}
