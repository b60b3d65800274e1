//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

pub(crate) const USAGE: &str = "\
cargo xtask bench [idempotency] [options]

  idempotency        what idempotency keys cost, in place of the other plugins: needs redis-server and webdis

  --rounds N         rounds, each visiting every configuration (default 40)
  --requests N       requests per visit (default 3000)
  --quick            5 rounds of 1000 requests: shows that it runs, proves nothing
  --only TEXT        of the built-in configurations only those whose name contains TEXT, and the three that all are compared with;
                     with idempotency: of its parts (costs, fingerprint, latency, throughput) only those
  --direct           leave out the table with an upstream
  --workers N        worker threads of the Envoy that serves the clients of idempotency (default 1)
  --json FILE        write all figures to FILE as well
  --also NAME=FILE   measure another build of circuit_breaker.wasm, or of idempotency.wasm, beside the shipped one (may be repeated);
                     for the breaker a configuration may follow: --also 'off=target/modules/circuit_breaker.wasm{\"mode\":\"disabled\"}'
  --check            fail if a target is missed for certain
";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    /// Idempotency keys, in place of the other plugins.
    pub(crate) idempotency: bool,
    pub(crate) rounds: u32,
    pub(crate) requests: u32,
    /// How long the processes with one configuration each idle, to see what their timers cost; 0 to leave it out.
    pub(crate) idle_seconds: u32,
    pub(crate) direct_only: bool,
    /// Worker threads where stores are called.
    pub(crate) workers: u32,
    /// Part of the name of the rows, or of the parts, that are wanted.
    pub(crate) only: String,
    pub(crate) json: Option<PathBuf>,
    pub(crate) also: Vec<Also>,
    pub(crate) check: bool,
}

/// A further build.
#[derive(Debug)]
pub(crate) struct Also {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    /// The plugin's configuration.
    pub(crate) config: Value,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            idempotency: false,
            workers: 1,
            rounds: 40,
            requests: 3_000,
            idle_seconds: 10,
            direct_only: false,
            only: String::new(),
            json: None,
            also: Vec::new(),
            check: false,
        }
    }
}

/// Reads the command line; `None` where only help is wanted.
pub(crate) fn read(words: impl IntoIterator<Item = String>) -> Result<Option<Args>> {
    let (mut args, mut words) = (Args::default(), words.into_iter());
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value\n\n{USAGE}"));
        match word.as_str() {
            "idempotency" => args.idempotency = true,
            "--workers" => args.workers = number(&value()?)?,
            "--rounds" => args.rounds = number(&value()?)?,
            "--requests" => args.requests = number(&value()?)?,
            "--quick" => args = Args { rounds: 5, requests: 1_000, idle_seconds: 0, ..args },
            "--direct" => args.direct_only = true,
            "--only" => args.only = value()?,
            "--json" => args.json = Some(value()?.into()),
            "--also" => args.also.push(also(&value()?)?),
            "--check" => args.check = true,
            "--help" | "-h" => return Ok(None),
            _ => bail!("don't know {word:?}\n\n{USAGE}"),
        }
    }
    ensure!(args.rounds >= 5, "an interval needs at least 5 rounds");
    ensure!(args.workers >= 1, "without workers nothing is served");
    ensure!(args.requests >= 1_000, "at least 1000 requests per visit, or opening connections is all that is measured");
    Ok(Some(args))
}

fn number(text: &str) -> Result<u32> {
    text.parse().with_context(|| format!("{text:?} is not a number"))
}

fn also(text: &str) -> Result<Also> {
    let (name, rest) = text.split_once('=').with_context(|| format!("{text:?} is not NAME=FILE"))?;
    let (file, config) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
    let config = if config.is_empty() { json!({}) } else { serde_json::from_str(config).context("no JSON object")? };
    let file = std::path::absolute(file)?;
    ensure!(file.is_file(), "{} is missing", file.display());
    Ok(Also { name: name.to_owned(), file, config })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Option<Args>> {
        read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read() {
        let args = of("--quick --json a.json --check").unwrap().unwrap();
        assert_eq!((args.rounds, args.requests, args.check), (5, 1_000, true));
        assert!(of("idempotency --workers 2").unwrap().is_some_and(|args| args.idempotency && args.workers == 2));
        assert!(of("--help").unwrap().is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--rounds",
            "--rounds x",
            "--rounds 4",
            "--requests 10",
            "--also a",
            "--also a=/no/such",
            "run",
            "--workers 0",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}
