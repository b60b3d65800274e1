//! What binaryen makes of a module that rustc built: smaller, and with the exports that proxies look for.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::{FAST, Module};
use crate::command::Cmd;
use crate::context::Context;

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
    "guard_on_http_call_response",
    "guard_on_done",
    "guard_on_log",
    "guard_on_delete",
];

/// What exports that take the place of the SDK's own begin with (`sdk-shim/src/live/raw.rs` says why), and what the SDK's do. They are of one length, so
/// that a module's other bytes stay where they are.
const GUARD: (&str, &str) = ("guard_on_", "proxy_on_");

/// Lets binaryen take out what rustc left in: a module becomes a fifth smaller, and is what the limits are set for.
///
/// It takes longer than the compiler, so what came of a module is kept, and taken again while rustc's module, binaryen and what it is told are the same.
pub(super) fn run(context: &Context, module: &Module, artifact: &Path) -> Result<PathBuf> {
    let folder = context.target().join("wasm").join("optimized");
    let at = |kind: &str| folder.join(module.file).with_extension(kind);
    let [input, recipe, output] = [at("in"), at("recipe"), at("wasm")];
    let bytes = fs::read(artifact).with_context(|| format!("can't read {}", artifact.display()))?;
    let told = format!("{}\n{}\n{:?}\n", binaryen(), export_graph(), options(module));
    let is = |path: &Path, expected: &[u8]| fs::read(path).is_ok_and(|found| found == expected);
    if output.is_file() && is(&input, &bytes) && is(&recipe, told.as_bytes()) {
        return Ok(output);
    }
    fs::create_dir_all(output.parent().context("a module goes into a folder")?)?;
    // First, so that a build which is ended half-way leaves nothing that looks whole.
    let _ = fs::remove_file(&recipe);
    fs::write(&input, bytes)?;
    optimize(context, module, &input, &output)?;
    fs::write(&recipe, told)?;
    Ok(output)
}

fn optimize(context: &Context, module: &Module, input: &Path, output: &Path) -> Result<()> {
    let file = module.file;
    let [graph, cut] = ["graph.json", "cut.wasm"].map(|kind| output.with_extension(kind));
    fs::write(&graph, export_graph())?;
    let cmd = context.cmd("wasm-metadce", format!("wasm-metadce {file}")).args(WASM_FEATURES);
    cmd.arg(input).arg("-f").arg(&graph).arg("-o").arg(&cut).run()?;
    let cmd = context.cmd("wasm-opt", format!("wasm-opt {file}")).args(WASM_FEATURES).args(options(module));
    cmd.arg(&cut).arg("-o").arg(output).run()?;
    let mut bytes = fs::read(output)?;
    for guard in EXPORTS.iter().filter(|export| export.starts_with(GUARD.0)) {
        rename(&mut bytes, guard, &guard.replace(GUARD.0, GUARD.1))?;
    }
    fs::write(output, bytes)?;
    Ok(())
}

/// What is asked of `wasm-opt`.
fn options(module: &Module) -> Vec<&'static str> {
    // What differs in numbers only becomes one, where bytes count most.
    let merge = (module.profile != FAST).then_some("--merge-similar-functions");
    // The low end of memory is the far end of the stack, whose last KiB nothing needs.
    // So are constants that come more than once.
    let hoist = (module.profile != FAST).then_some("--const-hoisting");
    // And what only shows once expressions were taken apart: a hundredth, and a minute, so not for those that tests alone load.
    let is_worth_it = module.profile != FAST && module.limit.is_some();
    let apart: &[&str] = if is_worth_it { &["--flatten", "--rereloop", "-Oz"] } else { &[] };
    let common: &[&str] = &["-Oz", "--converge", "--low-memory-unused"];
    // What is called most gets the lowest numbers, which are the shortest: a thousandth, after hoisting only.
    let order = (module.profile != FAST).then_some("--reorder-functions");
    merge.iter().chain(apart).chain(common).chain(hoist.iter()).chain(order.iter()).copied().collect()
}

/// Which binaryen is installed.
fn binaryen() -> String {
    Cmd::new("wasm-opt", "wasm-opt --version").arg("--version").capture().unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_renamed_in_its_place_and_only_where_it_is_alone() {
        let mut module = b"..guard_on_x..".to_vec();
        rename(&mut module, "guard_on_x", "proxy_on_x").unwrap();
        assert_eq!(module, b"..proxy_on_x..");
        assert!(rename(&mut module, "guard_on_x", "proxy_on_x").is_err(), "not there");
        assert!(rename(&mut b"guard_on_x guard_on_x".to_vec(), "guard_on_x", "proxy_on_x").is_err(), "twice");
        assert_eq!(GUARD.0.len(), GUARD.1.len());
    }
}
