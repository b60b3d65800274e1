//! `cargo xtask release`: what is shipped, in one folder with its checksums; built again elsewhere to compare; pushed.
//!
//! A release says which commit it was built of, so it isn't built of anything else: with files that aren't committed there is only `--dry-run`.

mod again;
mod options;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::build::{self, Shipped};
use crate::context::Context;
use crate::progress::note;
pub(crate) use again::again_one;
use options::{Options, Push};

/// The workspace's.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// As `sha256sum --check` reads it.
const SUMS: &str = "SHA256SUMS";

/// Builds all that is shipped, and does with it what is asked for.
pub(crate) fn command(context: &Context, args: &[String]) -> Result<()> {
    let options = Options::read(args)?;
    ensure_committed(context, options.is_dry)?;
    build::shipped(context, None)?;
    if options.verify {
        again::compare(context, None)?;
    }
    let folder = gather(context)?;
    note(&format!("{}: {VERSION} ({}), with {SUMS}", folder.display(), context.commit()));
    let Some(push) = &options.push else { return Ok(()) };
    let references = build::shipped_modules().map(|module| (reference(push, VERSION, &module), module));
    for (reference, module) in references {
        if options.is_dry {
            note(&format!("would be pushed: {reference}"));
        } else {
            print!("{}", pushed(context, push, &reference, &folder.join(module.file))?);
        }
    }
    Ok(())
}

fn ensure_committed(context: &Context, is_dry: bool) -> Result<()> {
    let changed = context.cmd("git", "git status").args(["status", "--porcelain"]).capture();
    let changed = changed.context("`git status` doesn't say what is committed")?;
    if is_dry && !changed.is_empty() {
        note("there are files that aren't committed: this is no release");
        return Ok(());
    }
    ensure!(changed.is_empty(), "there are files that aren't committed (--dry-run does without):\n{changed}");
    Ok(())
}

/// Puts what is shipped into a folder of its own, with nothing of a former release in it.
fn gather(context: &Context) -> Result<PathBuf> {
    let folder = context.target().join(format!("release-{VERSION}"));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("can't empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    context.cmd("cargo", "build holdfastctl").args(["build", "--package", "holdfastctl"]).run()?;
    let mut sums = Vec::new();
    for module in build::shipped_modules() {
        let read = |name: &str| fs::read(context.modules().join(name)).with_context(|| format!("can't read {name}"));
        let name = module.file.trim_end_matches(".wasm");
        let meta = format!("{name}.meta.json");
        let parts = [
            (module.file.to_owned(), read(module.file)?),
            (meta.clone(), read(&meta)?),
            (format!("{name}.schema.json"), schema(context, name)?.into_bytes()),
        ];
        for (name, bytes) in parts {
            fs::write(folder.join(&name), &bytes)?;
            sums.push(sum(&name, &bytes));
        }
    }
    sums.sort_by(|one, other| name_of(one).cmp(name_of(other)));
    fs::write(folder.join(SUMS), sums.concat())?;
    Ok(folder)
}

/// What editors read. Kong's is in the `.meta.json`.
fn schema(context: &Context, module: &str) -> Result<String> {
    let cargo =
        context.cmd("cargo", format!("schema of {module}")).args(["run", "--quiet", "--package", "holdfastctl"]);
    let printed = cargo.args(["--", "schema", module, "--draft", "2020-12"]).capture();
    printed.map(|text| text + "\n").with_context(|| format!("holdfastctl prints no schema of {module}"))
}

/// A line of [`SUMS`].
fn sum(name: &str, bytes: &[u8]) -> String {
    let hex = Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("{hex}  {name}\n")
}

fn name_of(sum: &str) -> &str {
    sum.split_once("  ").map_or(sum, |(_, name)| name)
}

/// `registry.example.com/holdfast/circuit-breaker:0.1.0`.
fn reference(push: &Push, version: &str, module: &Shipped) -> String {
    let tag = push.tag.as_deref().unwrap_or(version);
    format!("{}/{}:{tag}", push.to.trim_end_matches('/'), module.name)
}

/// By the command that everybody has, which refuses what is there already and says what to pin.
fn pushed(context: &Context, push: &Push, reference: &str, module: &Path) -> Result<String> {
    let cargo = context.cmd("cargo", format!("push {reference}"));
    let cargo = cargo.args(["run", "--quiet", "--package", "holdfastctl", "--", "push", reference]).arg(module);
    cargo.args(push.plain_http.then_some("--plain-http")).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_one_that_sha256sum_checks() {
        let line = sum("empty.wasm", b"");
        assert_eq!(line, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  empty.wasm\n");
        assert_eq!(name_of(&line), "empty.wasm\n");
    }

    #[test]
    fn every_shipped_module_has_a_reference_of_its_own() {
        let push = |tag: Option<&str>| Push {
            to: "registry.example.com/holdfast/".into(),
            tag: tag.map(str::to_owned),
            plain_http: false,
        };
        let all: Vec<String> =
            build::shipped_modules().map(|module| reference(&push(None), "0.1.0", &module)).collect();
        assert!(all.contains(&"registry.example.com/holdfast/circuit-breaker:0.1.0".to_owned()), "{all:?}");
        assert!(all.contains(&"registry.example.com/holdfast/suite:0.1.0".to_owned()), "{all:?}");
        let module = build::shipped_modules().next().unwrap();
        assert!(reference(&push(Some("0.1.0-rc.1")), "0.1.0", &module).ends_with(":0.1.0-rc.1"));
    }
}
