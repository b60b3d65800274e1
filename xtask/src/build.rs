//! The Wasm modules, into `target/modules/`, each with its size checked.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::apt;
use crate::context::Context;
use crate::discover::on_path;
use crate::progress::note;
use crate::text;
use crate::toolchain::{self, TARGET, Toolchain, WASI};

/// Kibibyte.
const KIB: u64 = 1024;

/// What rustc takes for granted in a Wasm engine; V8 and Wasmtime have it all.
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// What a module offers a proxy. The SDK exports thirteen callbacks more (TCP, gRPC callouts, queues, metadata), which no proxy makes for a
/// filter of ours; without them a module is a twentieth smaller. These here must stay, needed or not: `WasmX` calls them
/// without looking whether they are there.
const EXPORTS: [&str; 18] = [
    "memory",
    "_initialize",
    "malloc",
    "proxy_abi_version_0_2_1",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "guard_on_context_create",
    "proxy_on_tick",
    "guard_on_request_headers",
    "guard_on_request_body",
    "guard_on_request_trailers",
    "guard_on_response_headers",
    "guard_on_response_body",
    "guard_on_response_trailers",
    "proxy_on_http_call_response",
    "guard_on_done",
    "guard_on_log",
    "guard_on_delete",
];

/// What exports that take the place of the SDK's own begin with (`sdk-shim/src/live/raw.rs` says why), and what the SDK's do. They are of one length, so
/// that a module's other bytes stay where they are.
const GUARD: (&str, &str) = ("guard_on_", "proxy_on_");

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
const MODULES: [Module; 13] = [
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
    if on_path("wasm-opt").is_none() {
        apt::install(context, &["binaryen"], "wasm-opt and wasm-metadce, which make modules smaller")?;
    }
    let built: Vec<Result<()>> = MODULES.iter().map(|module| module.build(context)).collect();
    let failures = built.into_iter().chain([check_wasi(context)]).filter_map(Result::err);
    let failures: Vec<String> = failures.map(|error| text::chain(&error)).collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// The packages that modules are made of, each once.
pub(crate) fn packages() -> BTreeSet<&'static str> {
    MODULES.iter().map(|module| module.package).collect()
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
        let compiled = self.compile(context).and_then(|artifact| optimize(context, self, &artifact));
        let delivered = compiled.and_then(|artifact| deliver(&artifact, &output));
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
        cargo.env("HOLDFAST_GIT", commit(context)).args(self.selection()).run()?;
        let folder = context.target().join("wasm").join(TARGET).join(self.profile);
        Ok(folder.join(format!("{}.wasm", self.package.replace('-', "_"))))
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

/// The commit that is built, as each module's `holdfast_build_info` tells it.
fn commit(context: &Context) -> String {
    let git = context.cmd("git", "git rev-parse").args(["rev-parse", "--short=8", "HEAD"]).dir(context.root());
    let hash = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    git.capture().filter(hash).unwrap_or_else(|| "unknown".to_owned())
}

/// Lets binaryen take out what rustc left in: a module becomes a fifth smaller, and is what the limits are set for.
fn optimize(context: &Context, module: &Module, artifact: &Path) -> Result<PathBuf> {
    let file = module.file;
    let [graph, cut, optimized] = ["graph.json", "cut.wasm", "opt.wasm"].map(|kind| artifact.with_extension(kind));
    fs::write(&graph, export_graph())?;
    let cmd = context.cmd("wasm-metadce", format!("wasm-metadce {file}")).args(WASM_FEATURES);
    cmd.arg(artifact).arg("-f").arg(&graph).arg("-o").arg(&cut).run()?;
    let cmd = context.cmd("wasm-opt", format!("wasm-opt {file}")).args(WASM_FEATURES);
    // What differs in numbers only becomes one, where bytes count most.
    let merge = (module.profile != FAST).then_some("--merge-similar-functions");
    // The low end of memory is the far end of the stack, whose last KiB nothing needs.
    // So are constants that come more than once.
    let hoist = (module.profile != FAST).then_some("--const-hoisting");
    // And what only shows once expressions were taken apart: a hundredth, and a minute, so not for those that tests alone load.
    let is_worth_it = module.profile != FAST && module.limit.is_some();
    let apart: &[&str] = if is_worth_it { &["--flatten", "--rereloop", "-Oz"] } else { &[] };
    let cmd = cmd.args(merge).args(apart).args(["-Oz", "--converge", "--low-memory-unused"]).args(hoist);
    cmd.arg(&cut).arg("-o").arg(&optimized).run()?;
    let mut bytes = fs::read(&optimized)?;
    for guard in EXPORTS.iter().filter(|export| export.starts_with(GUARD.0)) {
        rename(&mut bytes, guard, &guard.replace(GUARD.0, GUARD.1))?;
    }
    fs::write(&optimized, bytes)?;
    Ok(optimized)
}

/// Renames an export, of which there is one, to a name of the same length.
fn rename(module: &mut [u8], from: &str, to: &str) -> Result<()> {
    ensure!(from.len() == to.len(), "{from} and {to} aren't of one length");
    let places: Vec<usize> = module
        .windows(from.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    let [place] = places[..] else { bail!("{from} is there {} times", places.len()) };
    module.iter_mut().skip(place).zip(to.as_bytes()).for_each(|(old, new)| *old = *new);
    Ok(())
}

/// What is to be kept, as binaryen wants to be told: a root that reaches every export that stays.
fn export_graph() -> String {
    let nodes = EXPORTS.map(|name| format!(r#"{{"name": "{name}", "export": "{name}"}}"#)).join(", ");
    let names = EXPORTS.map(|name| format!(r#""{name}""#)).join(", ");
    format!(r#"[{{"name": "a proxy", "root": true, "reaches": [{names}]}}, {nodes}]"#)
}

/// Puts a module where the proxies load it from; returns its size in bytes.
fn deliver(artifact: &Path, output: &Path) -> Result<u64> {
    let folder = output.parent().context("a module goes into a folder")?;
    fs::create_dir_all(folder)?;
    // By rename: a proxy or a test that reads the module at this moment sees the old or the new one, never half.
    let part = output.with_extension("part");
    let size = fs::copy(artifact, &part).with_context(|| format!("can't copy {}", artifact.display()))?;
    fs::rename(&part, output)?;
    note(&format!("{}: {:.1} KiB", output.display(), kib(size)));
    Ok(size)
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
    fn an_export_is_renamed_in_its_place_and_only_where_it_is_alone() {
        let mut module = b"..guard_on_x..".to_vec();
        rename(&mut module, "guard_on_x", "proxy_on_x").unwrap();
        assert_eq!(module, b"..proxy_on_x..");
        assert!(rename(&mut module, "guard_on_x", "proxy_on_x").is_err(), "not there");
        assert!(rename(&mut b"guard_on_x guard_on_x".to_vec(), "guard_on_x", "proxy_on_x").is_err(), "twice");
        assert_eq!(GUARD.0.len(), GUARD.1.len());
    }

    #[test]
    fn test_modules_have_no_limit_and_stay_apart() {
        for module in &MODULES {
            assert_eq!(module.limit.is_none(), module.file.starts_with("test/"), "{}", module.file);
            assert!(!module.file.contains('-'), "{}", module.file);
        }
    }
}
