//! The Wasm modules, into `target/modules/`, each with its size checked.

mod facts;
mod optimize;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::apt;
use crate::context::Context;
use crate::discover::on_path;
use crate::progress::note;
use crate::text;
use crate::toolchain::{self, TARGET, Toolchain, WASI};

/// Kibibyte.
const KIB: u64 = 1024;

/// What runs per request is built for speed.
const FAST: &str = "module";
/// Everything is built for size.
const SMALL: &str = "module-small";

/// Every plugin at once: for size, but for what each callback passes.
const SUITE: &str = "module-suite";

/// A module: which package, built how, called what.
struct Module {
    package: &'static str,
    features: &'static str,
    /// In the workspace's `Cargo.toml`.
    profile: &'static str,
    /// In `target/modules/`. Underscores: a hyphen in a module's name breaks Kong's `/metrics` page.
    file: &'static str,
    /// In KiB: what a plugin may cost a gateway's memory and start.
    limit: Option<u64>,
}

/// One line for each module. Those below `test/` are loaded by tests only and never shipped.
const MODULES: [Module; 14] = [
    Module {
        package: "circuit-breaker",
        features: "live",
        profile: FAST,
        file: "circuit_breaker.wasm",
        limit: Some(250),
    },
    Module {
        package: "circuit-breaker",
        features: "live,test-hooks",
        profile: FAST,
        file: "test/circuit_breaker_hooks.wasm",
        limit: None,
    },
    Module {
        package: "circuit-breaker",
        features: "live,test-hooks,test-next-encoding",
        profile: FAST,
        file: "test/circuit_breaker_next.wasm",
        limit: None,
    },
    Module { package: "retry-budget", features: "live", profile: FAST, file: "retry_budget.wasm", limit: Some(250) },
    Module { package: "idempotency", features: "live", profile: SMALL, file: "idempotency.wasm", limit: Some(350) },
    Module {
        package: "idempotency",
        features: "live,test-next-version",
        profile: SMALL,
        file: "test/idempotency_next.wasm",
        limit: None,
    },
    Module {
        package: "protocol-health",
        features: "live",
        profile: FAST,
        file: "protocol_health.wasm",
        limit: Some(300),
    },
    Module { package: "metrics", features: "live", profile: FAST, file: "metrics.wasm", limit: Some(250) },
    Module { package: "suite", features: "live", profile: SUITE, file: "holdfast_suite.wasm", limit: Some(600) },
    Module { package: "control", features: "live", profile: SMALL, file: "control.wasm", limit: Some(250) },
    Module {
        package: "suite",
        features: "live,test-hooks",
        profile: SUITE,
        file: "test/holdfast_suite_hooks.wasm",
        limit: None,
    },
    Module { package: "noop", features: "live", profile: FAST, file: "test/noop.wasm", limit: None },
    Module { package: "noop", features: "live,host-calls", profile: FAST, file: "test/host_calls.wasm", limit: None },
    Module {
        package: "noop",
        features: "live,forbidden-calls",
        profile: FAST,
        file: "test/forbidden_calls.wasm",
        limit: None,
    },
];

/// Builds every module, also after one has failed, and checks that the shipped ones compile for WASI too where that
/// target is installed.
pub(crate) fn all(context: &Context) -> Result<()> {
    ensure_optimizers(context)?;
    let built: Vec<Result<()>> = MODULES.iter().map(|module| module.build(context)).collect();
    all_well(built.into_iter().chain([check_wasi(context)]))
}

/// Builds those that are shipped, or the one of them that is named.
pub(crate) fn shipped(context: &Context, only: Option<&str>) -> Result<()> {
    ensure_optimizers(context)?;
    let wanted = MODULES.iter().filter(|module| module.limit.is_some() && only.is_none_or(|file| module.file == file));
    let built: Vec<Result<()>> = wanted.map(|module| module.build(context)).collect();
    ensure!(!built.is_empty(), "no module {} is shipped", only.unwrap_or_default());
    all_well(built.into_iter())
}

fn all_well(built: impl Iterator<Item = Result<()>>) -> Result<()> {
    let failures: Vec<String> = built.filter_map(Result::err).map(|error| text::chain(&error)).collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// A module that is shipped: its file in `target/modules/`, and what a registry calls it.
pub(crate) struct Shipped {
    pub(crate) file: &'static str,
    pub(crate) name: &'static str,
}

/// All of them.
pub(crate) fn shipped_modules() -> impl Iterator<Item = Shipped> {
    let shipped = MODULES.iter().filter(|module| module.limit.is_some());
    shipped.map(|module| Shipped { file: module.file, name: module.package })
}

/// The suite alone, and only if it isn't there as it would be built: the path of it.
pub(crate) fn suite(context: &Context) -> Result<PathBuf> {
    let suite = MODULES.iter().find(|module| module.package == "suite" && module.limit.is_some());
    let suite = suite.context("there is no suite")?;
    ensure_optimizers(context)?;
    let (artifact, output) = (suite.compile(context)?, context.modules().join(suite.file));
    if !is_newer(&output, &artifact) {
        suite.build(context)?;
    }
    Ok(output)
}

/// The packages that modules are made of, each once.
pub(crate) fn packages() -> BTreeSet<&'static str> {
    MODULES.iter().map(|module| module.package).collect()
}

fn ensure_optimizers(context: &Context) -> Result<()> {
    if on_path("wasm-opt").is_none() {
        apt::install(context, &["binaryen"], "wasm-opt and wasm-metadce, which make modules smaller")?;
    }
    Ok(())
}

/// Whether a file was written after another one that it is made of.
fn is_newer(made: &Path, of: &Path) -> bool {
    let written = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    written(made).zip(written(of)).is_some_and(|(made, of)| made > of)
}

/// Fails unless every module has been compiled.
pub(crate) fn ensure_built(context: &Context) -> Result<()> {
    let missing = MODULES.iter().map(|module| context.modules().join(module.file)).find(|path| !path.is_file());
    ensure!(missing.is_none(), "{} isn't there: its build failed", missing.unwrap_or_default().display());
    Ok(())
}

// === impl Module ===

impl Module {
    fn build(&self, context: &Context) -> Result<()> {
        let output = context.modules().join(self.file);
        let compiled = self.compile(context).and_then(|artifact| optimize::run(context, self, &artifact));
        let delivered = compiled.and_then(|artifact| Self::deliver(context, &artifact, &output));
        let delivered = delivered.and_then(|size| self.describe(context).map(|()| size));
        if delivered.is_err() {
            // A stale module would make later steps pass or fail for the wrong reason.
            let _ = fs::remove_file(&output);
        }
        let size = delivered?;
        // One that is too big is a failure, but the tests that load it can still tell what else is wrong. The bounds are set for rustup's
        // compiler; another one's modules may be a little larger.
        match context.toolchain()? {
            Toolchain::Active => self.check_size(size),
            Toolchain::System { .. } => {
                self.check_size(size).unwrap_or_else(|error| note(&text::chain(&error)));
                Ok(())
            }
        }
    }

    /// Puts what Kong reads beside a module that is shipped. A test keeps the committed file as `plugins/schema` has it.
    fn describe(&self, context: &Context) -> Result<()> {
        if self.limit.is_none() {
            return Ok(());
        }
        let name = self.file.replace(".wasm", ".meta.json");
        let committed = context.root().join("kong-configs").join(&name);
        fs::copy(&committed, context.modules().join(&name))
            .with_context(|| format!("can't copy {}", committed.display()))?;
        Ok(())
    }

    fn compile(&self, context: &Context) -> Result<PathBuf> {
        let toolchain = context.toolchain()?;
        let cargo = toolchain.cargo(context, &format!("build {}", self.file), "build", "std,panic_abort");
        let cargo = if self.profile == FAST { cargo } else { toolchain::without_places(cargo) };
        cargo.env("HOLDFAST_GIT", context.commit()).args(self.selection()).run()?;
        let folder = context.target().join("wasm").join(TARGET).join(self.profile);
        Ok(folder.join(format!("{}.wasm", self.package.replace('-', "_"))))
    }

    /// Puts it where the proxies load it from; returns its size in bytes.
    fn deliver(context: &Context, artifact: &Path, output: &Path) -> Result<u64> {
        let folder = output.parent().context("a module goes into a folder")?;
        fs::create_dir_all(folder)?;
        let name = output.file_stem().unwrap_or_default().to_string_lossy();
        let compiled = fs::read(artifact).with_context(|| format!("can't read {}", artifact.display()))?;
        let module = facts::append(&compiled, &name, context.commit());
        // By rename: a proxy or a test that reads the module at this moment sees the old or the new one, never half.
        let part = output.with_extension("part");
        fs::write(&part, &module).with_context(|| format!("can't write {}", part.display()))?;
        fs::rename(&part, output)?;
        let size = module.len() as u64;
        note(&format!("{}: {:.1} KiB", output.display(), kib(size)));
        Ok(size)
    }

    fn selection(&self) -> [&str; 7] {
        ["--profile", self.profile, "--lib", "--package", self.package, "--features", self.features]
    }

    fn check_size(&self, size: u64) -> Result<()> {
        let Some(limit) = self.limit else { return Ok(()) };
        let file = self.file;
        ensure!(size <= limit * KIB, "{file} is {:.1} KiB, over its limit of {limit} KiB", kib(size));
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a module's size is far below 2^52 bytes")]
fn kib(bytes: u64) -> f64 {
    bytes as f64 / KIB as f64
}

fn check_wasi(context: &Context) -> Result<()> {
    if !toolchain::has_target(WASI) {
        note(&format!("{WASI} isn't installed: not checked that the modules compile for it"));
        return Ok(());
    }
    for module in MODULES.iter().filter(|module| module.limit.is_some()) {
        let cargo = context.cmd("cargo", format!("build {} for {WASI}", module.file)).arg("build");
        let folder = context.target().join("wasm");
        cargo.args(module.selection()).args(["--target", WASI, "--target-dir"]).arg(folder).run()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_over_its_limit_is_refused_with_both_numbers() {
        let module = &MODULES[0];
        assert!(module.check_size(250 * 1024).is_ok());
        let error = module.check_size(250 * 1024 + 103).unwrap_err().to_string();
        assert!(error.contains("circuit_breaker.wasm is 250.1 KiB") && error.contains("250 KiB"), "{error}");
    }

    #[test]
    fn test_modules_have_no_limit_and_stay_apart() {
        for module in &MODULES {
            assert_eq!(module.limit.is_none(), module.file.starts_with("test/"), "{}", module.file);
            assert!(!module.file.contains('-'), "{}", module.file);
        }
    }
}
