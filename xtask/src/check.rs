//! `cargo xtask test`: every check there is, as a list of steps.

use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::Result;

use crate::build;
use crate::cargo_tools::Tool;
use crate::command::Cmd;
use crate::compose;
use crate::context::Context;
use crate::envoy::{self, Envoy};
use crate::fuzz;
use crate::progress::note;
use crate::release;
use crate::second_engine;
use crate::setup;
use crate::stories;
use crate::summary::{Outcome, Step, run_all};
use crate::text;
use crate::version::Version;
use crate::wasm_tests;

/// What needs nothing but the host's Rust.
const FAST: [Step; 5] = [
    Step { name: "format", run: format },
    Step { name: "clippy", run: clippy },
    Step { name: "clippy, modules", run: clippy_modules },
    Step { name: "native tests", run: native_tests },
    Step { name: "docs", run: docs },
];

/// What needs the Wasm toolchain, tools, and real proxies.
const SLOW: [Step; 11] = [
    Step { name: "modules", run: modules },
    Step { name: "reproducible build", run: |context| release::again_one(context).map(Outcome::Passed) },
    Step { name: "Wasm tests", run: |context| wasm_tests::run(context).map(Outcome::Passed) },
    Step { name: "second engine", run: |context| second_engine::run(context).map(Outcome::Passed) },
    Step { name: "cargo deny", run: deny },
    Step { name: "advisories", run: advisories },
    Step { name: "fuzz", run: |context| fuzz::run(context).map(Outcome::Passed) },
    Step { name: "newest Envoy", run: |context| real_envoy(context, envoy::NEWEST, Form::Modules, Depth::Once) },
    Step { name: "oldest Envoy, suite", run: |context| real_envoy(context, envoy::OLDEST, Form::Suite, Depth::Again) },
    Step { name: "compose, smoke", run: |context| compose::smoke_test(context).map(Outcome::Passed) },
    Step { name: "compose, chaos", run: |context| compose::chaos_test(context).map(Outcome::Passed) },
];

/// The other two of four: a fault in a form, or on a version, alone is rare, and each takes its time.
const THOROUGH: [Step; 2] = [
    Step { name: "newest Envoy, suite", run: |context| real_envoy(context, envoy::NEWEST, Form::Suite, Depth::All) },
    Step { name: "oldest Envoy", run: |context| real_envoy(context, envoy::OLDEST, Form::Modules, Depth::All) },
];

/// What the stories about real proxies load.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A module for each plugin.
    Modules,
    /// All plugins in one.
    Suite,
}

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Every story; what is much of the same is left to a sample.
    Once,
    /// Of those only what another proxy, or another form, can tell otherwise.
    Again,
    /// Every story, and nothing is left to a sample.
    All,
}

/// Says so to the stories.
const ALL_OF_IT: (&str, &str) = ("HOLDFAST_THOROUGH", "1");

/// More would make real proxies compete for the processor, and their timing is what is tested.
const MOST_TEST_THREADS: usize = 4;

/// The steps of `test --fast`.
pub(crate) fn fast(context: &Context) -> ExitCode {
    run_all(context, &FAST)
}

/// The steps of `test`.
pub(crate) fn full(context: &Context) -> ExitCode {
    let steps: Vec<Step> = FAST.into_iter().chain(SLOW).collect();
    run_all(context, &steps)
}

/// The steps of `test --thorough`.
pub(crate) fn thorough(context: &Context) -> ExitCode {
    let steps: Vec<Step> = FAST.into_iter().chain(SLOW).chain(THOROUGH).collect();
    run_all(context, &steps)
}

fn passed(command: Cmd) -> Result<Outcome> {
    command.run().map(|_| Outcome::Passed(String::new()))
}

fn passed_tests(command: Cmd) -> Result<Outcome> {
    command.run().map(|output| Outcome::Passed(format!("{} tests", text::tests_passed(&output))))
}

fn format(context: &Context) -> Result<Outcome> {
    context.cmd("cargo", "cargo fmt --check").args(["fmt", "--all", "--check"]).run()?;
    let apart = context.cmd("cargo", "cargo fmt --check, second engine").args(["fmt", "--check", "--manifest-path"]);
    passed(apart.arg(second_engine::manifest(context)))
}

fn clippy(context: &Context) -> Result<Outcome> {
    let cargo = context.cmd("cargo", "cargo clippy").args(["clippy", "--workspace", "--all-targets"]);
    passed(cargo.args(["--", "-D", "warnings"]))
}

/// The live host compiles natively too (it just can't be linked), which is enough for lints.
fn clippy_modules(context: &Context) -> Result<Outcome> {
    let packages = live_packages();
    let selection = packages.iter().flat_map(|package| ["--package", package]);
    let cargo = context.cmd("cargo", "cargo clippy, with live").args(["clippy", "--lib"]).args(selection);
    passed(cargo.args(["--features", &live_features(), "--", "-D", "warnings"]))
}

/// The crates whose feature `live` is code that runs in a proxy only.
fn live_packages() -> Vec<&'static str> {
    std::iter::once("sdk-shim").chain(build::packages()).collect()
}

fn live_features() -> String {
    live_packages().iter().map(|package| format!("{package}/live")).collect::<Vec<_>>().join(",")
}

/// Unit, property and doc tests of all that needs no proxy.
fn native_tests(context: &Context) -> Result<Outcome> {
    let cargo = context.cmd("cargo", "cargo test").args(["test", "--workspace", "--no-fail-fast"]);
    passed_tests(cargo.args(["--exclude", "integration", "--exclude", "noop"]))
}

fn docs(context: &Context) -> Result<Outcome> {
    let cargo = context.cmd("cargo", "cargo doc").env("RUSTDOCFLAGS", "-D warnings");
    passed(cargo.args(["doc", "--workspace", "--no-deps", "--features", &live_features()]))
}

fn modules(context: &Context) -> Result<Outcome> {
    build::all(context)?;
    Ok(Outcome::Passed(context.modules().display().to_string()))
}

fn deny(context: &Context) -> Result<Outcome> {
    let program = Tool::cargo_deny().find_or_install(context)?;
    context.cmd(&program, "cargo deny").args(["check", "bans", "licenses", "sources"]).run()?;
    let apart = context.cmd(&program, "cargo deny, second engine").arg("--manifest-path");
    let apart = apart.arg(second_engine::manifest(context)).arg("--config").arg(context.root().join("deny.toml"));
    passed(apart.args(["check", "bans", "licenses", "sources"]))
}

/// Needs a database from the network; without it there is nothing to check against.
fn advisories(context: &Context) -> Result<Outcome> {
    let program = Tool::cargo_deny().find_or_install(context)?;
    match context.cmd(program, "cargo deny, advisories").args(["check", "advisories"]).tentative().run() {
        Ok(_) => Ok(Outcome::Passed(String::new())),
        Err(error) if text::chain(&error).contains("failed to fetch advisory database") => {
            Ok(Outcome::Skipped("NOT CHECKED: the advisory database can't be fetched here".into()))
        }
        Err(error) => Err(error),
    }
}

/// One Envoy that the environment names stands for every version.
fn real_envoy(context: &Context, version: Version, form: Form, depth: Depth) -> Result<Outcome> {
    build::ensure_built(context)?;
    setup::redis(context)?;
    setup::memcached(context)?;
    setup::webdis(context)?;
    setup::prometheus(context)?;
    setup::registry(context)?;
    setup::skopeo(context)?;
    setup::openssl(context)?;
    if let Outcome::Skipped(why) = setup::chromium(context) {
        note(&why);
    }
    // Stories about registries and about uncertain keys run it.
    context.cmd("cargo", "build holdfastctl").args(["build", "--package", "holdfastctl"]).run()?;
    let envoy = envoy::chosen().unwrap_or_else(|| envoy::exact(context, version))?;
    let (word, name) = if form == Form::Suite { ("suite", ", suite") } else { ("modules", "") };
    let command = context.cmd("cargo", format!("cargo test -p integration, Envoy {}{name}", envoy.version));
    let command = command.env("HOLDFAST_FORM", word).args(["test", "--package", "integration", "--no-fail-fast"]);
    let command = match depth {
        Depth::Once => command,
        Depth::Again => command.args(stories::again(context.root())),
        Depth::All => command.env(ALL_OF_IT.0, ALL_OF_IT.1),
    };
    let command = command.arg("--").arg(test_threads());
    let outcome = passed_tests(envoy.pass_to(command, context))?;
    Ok(with_envoy(outcome, &envoy))
}

fn with_envoy(outcome: Outcome, envoy: &Envoy) -> Outcome {
    match outcome {
        Outcome::Passed(remark) => Outcome::Passed(format!("{remark} on {}", envoy.version)),
        skipped @ Outcome::Skipped(_) => skipped,
    }
}

fn test_threads() -> String {
    let threads = available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_TEST_THREADS);
    format!("--test-threads={threads}")
}
