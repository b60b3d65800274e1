//! `cargo xtask demo` and `cargo xtask bench`: the modules, an Envoy, and then a program of the crate `integration`.

use std::process::ExitCode;

use anyhow::Result;

use crate::build;
use crate::context::Context;
use crate::envoy::{self, Envoy};
use crate::progress::note;
use crate::setup;

/// The story of a failing region. Returns only if it can't start.
pub(crate) fn demo(context: &Context, args: &[String]) -> Result<ExitCode> {
    build::all(context)?;
    start(context, "demo", &envoy::any(context)?, args)
}

/// CPU time per request. Returns only if it can't start.
pub(crate) fn bench(context: &Context, args: &[String]) -> Result<ExitCode> {
    build::all(context)?;
    setup::h2load(context)?;
    start(context, "bench", &envoy::any(context)?, args)
}

/// Compiles the program first, with a sign of life, then becomes it: Ctrl-C reaches it, and nothing stays behind.
fn start(context: &Context, program: &str, envoy: &Envoy, args: &[String]) -> Result<ExitCode> {
    let selection = ["--quiet", "--release", "--package", "integration", "--bin", program];
    context.cmd("cargo", format!("build the {program}")).arg("build").args(selection).run()?;
    note(&format!("{program} on {}", envoy.describe()));
    let command = context.cmd("cargo", program).arg("run").args(selection).arg("--").args(args);
    Err(envoy.pass_to(command, context).exec())
}
