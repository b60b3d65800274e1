//! A short run of every fuzz target: `fuzz/fuzz_targets/*.rs` of the crates that run inside a proxy.
//!
//! cargo-fuzz asks for nightly flags. `RUSTC_BOOTSTRAP=1` lets the active compiler take them, so no nightly toolchain
//! is needed. The address sanitizer is off: what is fuzzed has no `unsafe`, and it would make the runs slower.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::cargo_tools::Tool;
use crate::context::Context;
use crate::discover::{crates, fuzz_targets, package_name};

/// Seconds per target.
const SECONDS: u32 = 30;

/// Runs each target for [`SECONDS`]; an input that crashes one is kept in its `fuzz/artifacts/`.
pub(crate) fn run(context: &Context) -> Result<String> {
    let jobs: Vec<_> = crates(context.root()).into_iter().map(|folder| (fuzz_targets(&folder), folder)).collect();
    let count: usize = jobs.iter().map(|(targets, _)| targets.len()).sum();
    ensure!(count > 0, "no crate has fuzz targets");
    let program = Tool::cargo_fuzz().find_or_install(context)?;
    for (folder, target) in jobs.iter().flat_map(|(targets, folder)| targets.iter().map(move |target| (folder, target)))
    {
        run_target(context, &program, folder, target)?;
    }
    Ok(format!("{count} targets, {SECONDS} s each"))
}

fn run_target(context: &Context, program: &Path, folder: &Path, target: &str) -> Result<()> {
    let package = package_name(folder).unwrap_or_default();
    let fuzz = context.cmd(program, format!("fuzz {package} {target}")).dir(folder);
    let fuzz = fuzz.env("RUSTC_BOOTSTRAP", "1").args(["run", "--sanitizer", "none", "--target-dir"]);
    let limit = format!("-max_total_time={SECONDS}");
    fuzz.arg(context.target().join("fuzz")).args([target, "--", &limit]).run().map(drop)
}
