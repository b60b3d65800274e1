//! The same sources, built again in another folder: the bytes must be the same, or nobody can tell whether a module is what its commit says.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::build;
use crate::context::Context;
use crate::progress::note;

/// One stands for all in every test: the one that has all plugins in it. `release --verify` builds each of them.
const SAMPLE: &str = "holdfast_suite.wasm";

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

// === impl Folder ===

impl Folder {
    /// Outside of the workspace: within it cargo would read the workspace's configuration a second time.
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("holdfast-again-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("can't create {}", path.display()))?;
        Ok(Self(path.canonicalize()?))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left there is in nobody's way.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The test: one module, which `target/modules/` has already.
pub(crate) fn again_one(context: &Context) -> Result<String> {
    ensure!(context.modules().join(SAMPLE).is_file(), "{SAMPLE} isn't there: its build failed");
    compare(context, Some(SAMPLE))?;
    Ok(format!("{SAMPLE}: the same in two folders"))
}

/// Builds from nothing, in another folder, the shipped modules or the one that is named, and compares.
pub(super) fn compare(context: &Context, only: Option<&str>) -> Result<()> {
    let folder = Folder::new()?;
    copy_sources(context, &folder.0)?;
    let elsewhere = context.elsewhere(&folder.0)?;
    build::shipped(&elsewhere, only)?;
    let compared = build::shipped_modules().filter(|module| only.is_none_or(|file| module.file == file));
    for file in compared.map(|module| module.file) {
        same(context, file, &elsewhere.modules().join(file))?;
        note(&format!("{file}: the same, built in {}", folder.0.display()));
    }
    Ok(())
}

/// The files of the workspace as they are, also if they aren't committed: it is they that were built here.
fn copy_sources(context: &Context, to: &Path) -> Result<()> {
    let git = context.cmd("git", "git ls-files");
    let listed = git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).capture();
    let listed = listed.context("`git ls-files` doesn't say which files are the workspace's")?;
    // One that was deleted and not committed is listed.
    let there = listed.split('\0').filter(|name| !name.is_empty() && context.root().join(name).is_file());
    for name in there {
        let copy = to.join(name);
        fs::create_dir_all(copy.parent().context("a file is in a folder")?)?;
        fs::copy(context.root().join(name), &copy).with_context(|| format!("can't copy {name}"))?;
    }
    Ok(())
}

/// Fails with the first difference, and keeps the other module to look at.
fn same(context: &Context, file: &str, other: &Path) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("can't read {}", path.display()));
    let (here, there) = (read(&context.modules().join(file))?, read(other)?);
    let Some(at) = difference(&here, &there) else { return Ok(()) };
    let kept = context.target().join("different").join(file);
    fs::create_dir_all(kept.parent().context("a file is in a folder")?)?;
    fs::write(&kept, &there)?;
    bail!(
        "{file} isn't the same when it is built in another folder: {} and {} bytes, different from byte {at} on; the other one is {}",
        here.len(),
        there.len(),
        kept.display()
    )
}

/// The first byte that isn't the same in both.
fn difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let common = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    (common < one.len().max(other.len())).then_some(common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found() {
        assert_eq!(difference(b"same", b"same"), None);
        assert_eq!(difference(b"same", b"sane"), Some(2));
        assert_eq!(difference(b"same", b"same and more"), Some(4));
        assert_eq!(difference(b"", b"x"), Some(0));
    }
}
