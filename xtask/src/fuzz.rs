//! A short run of every fuzz target: `fuzz/fuzz_targets/*.rs` of the crates that run inside a proxy.
//!
//! cargo-fuzz asks for nightly flags. `RUSTC_BOOTSTRAP=1` lets the active compiler take them, so no nightly toolchain
//! is needed. The address sanitizer is off: what is fuzzed has no `unsafe`, and it would make the runs slower.
//!
//! Nothing found by one run is kept for the next, so a target may come with `fuzz/<target>.dict`: what it would take long to guess.

use std::path::Path;
use std::thread::{self, available_parallelism};

use anyhow::{Result, anyhow, ensure};

use crate::cargo_tools::Tool;
use crate::command::Cmd;
use crate::context::Context;
use crate::discover::{crates, fuzz_targets, package_name};
use crate::text;

/// Seconds per target.
const SECONDS: u32 = 20;

/// Runs each target for [`SECONDS`], as many at once as there are processors; an input that crashes one is kept in its `fuzz/artifacts/`.
pub(crate) fn run(context: &Context) -> Result<String> {
    let program = Tool::cargo_fuzz().find_or_install(context)?;
    let folders = crates(context.root());
    let jobs = folders.iter().flat_map(|folder| fuzz_targets(folder).into_iter().map(move |target| (folder, target)));
    let mut waiting = jobs.map(|(folder, target)| command(context, &program, folder, &target)).collect::<Vec<_>>();
    let count = waiting.len();
    ensure!(count > 0, "no crate has fuzz targets");
    let mut failures = Vec::new();
    while !waiting.is_empty() {
        let rest = waiting.split_off(at_once().min(waiting.len()));
        failures.extend(run_at_once(waiting));
        waiting = rest;
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(format!("{count} targets, {SECONDS} s each"))
}

/// Each target is one thread.
fn at_once() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What went wrong with each.
fn run_at_once(commands: Vec<Cmd>) -> Vec<String> {
    thread::scope(|scope| {
        let threads: Vec<_> = commands.into_iter().map(|command| scope.spawn(|| command.run())).collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a panic"))));
        results.filter_map(Result::err).map(|error| text::chain(&error)).collect()
    })
}

fn command(context: &Context, program: &Path, folder: &Path, target: &str) -> Cmd {
    let package = package_name(folder).unwrap_or_default();
    let fuzz = context.cmd(program, format!("fuzz {package} {target}")).dir(folder);
    let fuzz = fuzz.env("RUSTC_BOOTSTRAP", "1").args(["run", "--sanitizer", "none", "--target-dir"]);
    let fuzz = fuzz.arg(context.target().join("fuzz")).args([target, "--", &format!("-max_total_time={SECONDS}")]);
    let words = folder.join("fuzz").join(format!("{target}.dict"));
    if words.is_file() { fuzz.arg(format!("-dict={}", words.display())) } else { fuzz }
}
