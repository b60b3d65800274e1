//! `cargo xtask setup`: everything the other commands need, and where it is.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::apt;
use crate::cargo_tools::Tool;
use crate::context::Context;
use crate::discover::on_path;
use crate::envoy;
use crate::second_engine;
use crate::summary::{Outcome, Step, run_all};
use crate::text;
use crate::wasm_tests;

/// Any of these does.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

const STEPS: [Step; 16] = [
    Step { name: "Wasm toolchain", run: |context| Ok(Outcome::Passed(context.toolchain()?.describe())) },
    Step {
        name: "Rust for the second engine",
        run: |context| Ok(Outcome::Passed(second_engine::compiler(context)?.describe())),
    },
    Step { name: "newest Envoy", run: |context| envoy::exact(context, envoy::NEWEST).map(there) },
    Step { name: "oldest Envoy", run: |context| envoy::exact(context, envoy::OLDEST).map(there) },
    Step { name: "Wasm test runner", run: |context| wasm_tests::runner(context).map(at) },
    Step { name: "cargo-deny", run: |context| Tool::cargo_deny().find_or_install(context).map(at) },
    Step { name: "cargo-fuzz", run: |context| Tool::cargo_fuzz().find_or_install(context).map(at) },
    Step { name: "h2load", run: |context| h2load(context).map(at) },
    Step { name: "redis-server", run: |context| redis(context).map(at) },
    Step { name: "memcached", run: |context| memcached(context).map(at) },
    Step { name: "webdis", run: |context| webdis(context).map(at) },
    Step { name: "docker-registry", run: |context| registry(context).map(at) },
    Step { name: "skopeo", run: |context| skopeo(context).map(at) },
    Step { name: "openssl", run: |context| openssl(context).map(at) },
    Step { name: "Prometheus", run: |context| prometheus(context).map(at) },
    Step { name: "Chromium", run: |context| Ok(chromium(context)) },
];

/// Installs all of it; a step that fails doesn't keep the others from being done.
pub(crate) fn all(context: &Context) -> ExitCode {
    run_all(context, &STEPS)
}

/// The load generator of the benchmarks and of some tests.
pub(crate) fn h2load(context: &Context) -> Result<PathBuf> {
    if on_path("h2load").is_none() {
        apt::install(context, &["nghttp2-client"], "h2load, the load generator")?;
    }
    on_path("h2load").context("package nghttp2-client brought no h2load")
}

/// A store of the integration tests, which start their own.
pub(crate) fn redis(context: &Context) -> Result<PathBuf> {
    store(context, "redis-server")
}

/// Another one.
pub(crate) fn memcached(context: &Context) -> Result<PathBuf> {
    store(context, "memcached")
}

/// HTTP in front of a Redis: the store of hosts that have no tunnel.
pub(crate) fn webdis(context: &Context) -> Result<PathBuf> {
    store(context, "webdis")
}

/// What alerts and the dashboard are tested with; its package brings `promtool` too.
pub(crate) fn prometheus(context: &Context) -> Result<PathBuf> {
    installed(context, "prometheus", "prometheus, which the alerts are tested with")
}

/// What the report of `compose chaos` is opened in, by a test that does without where there is none.
pub(crate) fn chromium(context: &Context) -> Outcome {
    let found = || BROWSERS.iter().find_map(|program| on_path(program)).map(at);
    let installed = || apt::install(context, &["chromium"], "chromium, which a test opens the report in");
    let skipped = |why: &str| Outcome::Skipped(format!("NOT LOOKED AT: the report of `compose chaos`: {why}"));
    match found().map_or_else(installed, |_| Ok(())) {
        Ok(()) => found().unwrap_or_else(|| skipped("package chromium brought no browser")),
        Err(error) => skipped(&text::chain(&error)),
    }
}

/// Where modules are pushed to, in tests.
pub(crate) fn registry(context: &Context) -> Result<PathBuf> {
    installed(context, "docker-registry", "docker-registry, which modules are pushed to in tests")
}

/// Somebody else's client of registries.
pub(crate) fn skopeo(context: &Context) -> Result<PathBuf> {
    if on_path("skopeo").is_none() {
        apt::install(context, &["skopeo"], "skopeo, which looks at what was pushed")?;
    }
    on_path("skopeo").context("package skopeo brought no skopeo")
}

/// Certificates of a store that speaks TLS, in tests.
pub(crate) fn openssl(context: &Context) -> Result<PathBuf> {
    if on_path("openssl").is_none() {
        apt::install(context, &["openssl"], "openssl, which makes certificates for tests")?;
    }
    on_path("openssl").context("package openssl brought no openssl")
}

fn store(context: &Context, program: &str) -> Result<PathBuf> {
    installed(context, program, &format!("{program}, a store of the tests"))
}

/// The package, the program and the service that the package starts have one name.
fn installed(context: &Context, program: &str, why: &str) -> Result<PathBuf> {
    if on_path(program).is_none() {
        apt::install(context, &[program], why)?;
        apt::stop_service(context, program);
    }
    on_path(program).with_context(|| format!("package {program} brought no {program}"))
}

#[expect(clippy::needless_pass_by_value, reason = "the end of a chain of map")]
fn there(envoy: envoy::Envoy) -> Outcome {
    Outcome::Passed(envoy.describe())
}

#[expect(clippy::needless_pass_by_value, reason = "the end of a chain of map")]
fn at(path: PathBuf) -> Outcome {
    Outcome::Passed(path.display().to_string())
}
