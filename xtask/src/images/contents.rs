//! What images are filled with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::build;
use crate::context::Context;
use crate::envoy;

/// A folder for what an image's Dockerfile copies, and for nothing else.
pub(super) fn empty(context: &Context, name: &str) -> Result<PathBuf> {
    let folder = context.target().join("docker/contents").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("can't empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The one module that has it all, and what Kong reads beside it.
pub(super) fn modules(context: &Context, folder: &Path) -> Result<()> {
    let meta = "holdfast_suite.meta.json";
    place(&context.root().join("kong-configs").join(meta), folder, meta)?;
    place(&build::suite(context)?, folder, "holdfast_suite.wasm")
}

/// The demo services' program.
pub(super) fn service(context: &Context, folder: &Path) -> Result<()> {
    let selection = ["--quiet", "--release", "--package", "integration", "--bin", "service", "--target-dir"];
    let cargo = context.cmd("cargo", "build the services").arg("build").args(selection);
    cargo.arg(context.target()).run()?;
    place(&context.target().join("release/service"), folder, "service")
}

/// The newest that the tests run on.
pub(super) fn envoy(context: &Context, folder: &Path) -> Result<()> {
    place(&envoy::exact(context, envoy::NEWEST)?.path, folder, "envoy")
}

/// Its Dockerfile has it all.
#[expect(clippy::unnecessary_wraps, reason = "as the others, which can fail")]
pub(super) fn nothing(_: &Context, _: &Path) -> Result<()> {
    Ok(())
}

fn place(file: &Path, folder: &Path, name: &str) -> Result<()> {
    let place = folder.join(name);
    // A link where it can be: Envoy has a hundred megabytes.
    let placed = fs::hard_link(file, &place).or_else(|_| fs::copy(file, &place).map(drop));
    placed.with_context(|| format!("can't copy {}", file.display()))
}
