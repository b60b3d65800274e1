//! The scenario table on the built modules in Wasmtime: the workspace `integration/wasmtime`, and the newer Rust that it wants.

use std::path::PathBuf;

use anyhow::Result;

use crate::build;
use crate::context::Context;
use crate::text;
use crate::toolchain::newer::{self, Newer};
use crate::version::Version;

/// What its host crate says that it needs.
const OLDEST_RUSTC: Version = Version::new(1, 96, 0);

/// Its manifest.
pub(crate) fn manifest(context: &Context) -> PathBuf {
    context.root().join("integration/wasmtime/Cargo.toml")
}

/// The compiler for it.
pub(crate) fn compiler(context: &Context) -> Result<Newer> {
    newer::find_or_install(context, OLDEST_RUSTC)
}

/// Runs it; returns how many tests there were. Built once, it is kept apart from what other compilers build.
pub(crate) fn run(context: &Context) -> Result<String> {
    build::ensure_built(context)?;
    let cargo = compiler(context)?.cargo(context, "cargo test, second engine");
    let cargo = cargo.args(["test", "--locked", "--manifest-path"]).arg(manifest(context));
    let cargo = cargo.arg("--target-dir").arg(context.target().join("second-engine"));
    let output = cargo.env("HOLDFAST_MODULES", context.modules()).run()?;
    Ok(format!("{} tests", text::tests_passed(&output)))
}
