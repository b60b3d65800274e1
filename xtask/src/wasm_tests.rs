//! Tests that run as real Wasm, in Node: every `tests/wasm.rs` of the crates that run inside a proxy.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::apt;
use crate::cargo_tools::Tool;
use crate::context::Context;
use crate::discover::{crates, on_path, package_name};
use crate::lockfile;
use crate::text;

/// Runs them all; returns how many tests there were.
pub(crate) fn run(context: &Context) -> Result<String> {
    let packages = packages(context);
    ensure!(!packages.is_empty(), "no crate has a tests/wasm.rs");
    let runner = runner(context)?;
    let mut passed = 0;
    for package in &packages {
        passed += text::tests_passed(&test(context, package, &runner)?);
    }
    Ok(format!("{passed} tests"))
}

/// `wasm-bindgen-test-runner` of the version that the tests are compiled with, and Node to run them in.
pub(crate) fn runner(context: &Context) -> Result<PathBuf> {
    if on_path("node").is_none() {
        apt::install(context, &["nodejs"], "Node, which runs the Wasm tests")?;
    }
    let version = lockfile::locked(context.root(), "wasm-bindgen")?;
    Tool::wasm_test_runner(version).find_or_install(context)
}

fn packages(context: &Context) -> Vec<String> {
    let with_tests = crates(context.root()).into_iter().filter(|folder| folder.join("tests/wasm.rs").is_file());
    with_tests.filter_map(|folder| package_name(&folder)).collect()
}

fn test(context: &Context, package: &str, runner: &PathBuf) -> Result<String> {
    let toolchain = context.toolchain()?;
    let cargo = toolchain.cargo(context, &format!("test {package} as Wasm"), "test", "std,panic_abort,test");
    let cargo = cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner);
    cargo.args(["--package", package, "--test", "wasm"]).run().context("in Node")
}
