//! `cargo xtask demo`, `bench`, `capabilities` and `simulate`: what they need (modules and an Envoy, or nothing), and then a program of the crate `integration`.

use std::process::ExitCode;

use anyhow::Result;

use crate::build;
use crate::command::Cmd;
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
    if args.iter().any(|word| word == "idempotency") {
        setup::redis(context)?;
        setup::webdis(context)?;
    }
    start(context, "bench", &envoy::any(context)?, args)
}

/// What Envoy must let the built modules do, or those that are named. Returns only if it can't start.
pub(crate) fn capabilities(context: &Context, args: &[String]) -> Result<ExitCode> {
    if args.is_empty() || args.iter().any(|arg| arg == "--write") {
        build::all(context)?;
    }
    let command = compiled(context, "capabilities", args)?;
    Err(command.env("HOLDFAST_MODULES", context.modules()).exec())
}

/// Layers of gateways in virtual time, without any. Returns only if it can't start.
pub(crate) fn simulate(context: &Context, args: &[String]) -> Result<ExitCode> {
    Err(compiled(context, "simulate", args)?.exec())
}

/// Becomes the program: Ctrl-C reaches it, and nothing stays behind.
fn start(context: &Context, program: &str, envoy: &Envoy, args: &[String]) -> Result<ExitCode> {
    let command = compiled(context, program, args)?;
    note(&format!("{program} on {}", envoy.describe()));
    Err(envoy.pass_to(command, context).exec())
}

/// Compiles the program first, with a sign of life.
fn compiled(context: &Context, program: &str, args: &[String]) -> Result<Cmd> {
    let selection = ["--quiet", "--release", "--package", "integration", "--bin", program];
    context.cmd("cargo", format!("build the {program}")).arg("build").args(selection).run()?;
    Ok(context.cmd("cargo", program).arg("run").args(selection).arg("--").args(args))
}
