//! The linker that the system's toolchain is given: it comes without one for Wasm.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::apt;
use crate::context::Context;
use crate::discover::on_path;

/// A rustup toolchain's `rust-lld`, else one on PATH, else Debian's package `lld`.
pub(super) fn find_or_install(context: &Context, sysroot: &Path) -> Result<PathBuf> {
    if let Some(linker) = of_rustup(sysroot).or_else(on_search_path) {
        return Ok(linker);
    }
    apt::install(context, &["lld"], "a linker for Wasm")?;
    on_search_path().context("package lld brought no wasm-ld")
}

fn on_search_path() -> Option<PathBuf> {
    on_path("rust-lld").or_else(|| on_path("wasm-ld"))
}

/// The active toolchain first, then its neighbours in rustup's folder.
fn of_rustup(sysroot: &Path) -> Option<PathBuf> {
    let neighbours = sysroot.parent().map(children).unwrap_or_default();
    std::iter::once(sysroot.to_path_buf()).chain(neighbours).find_map(|toolchain| in_toolchain(&toolchain))
}

fn in_toolchain(toolchain: &Path) -> Option<PathBuf> {
    let targets = children(&toolchain.join("lib/rustlib"));
    targets.into_iter().map(|target| target.join("bin/rust-lld")).find(|linker| linker.is_file())
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbours_linker_is_found() {
        let home = std::env::temp_dir().join(format!("xtask-linker-{}", std::process::id()));
        let bin = home.join("other/lib/rustlib/x86_64-any/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(home.join("active/lib/rustlib")).unwrap();
        assert_eq!(of_rustup(&home.join("active")), None);
        fs::write(bin.join("rust-lld"), "").unwrap();
        assert_eq!(of_rustup(&home.join("active")), Some(bin.join("rust-lld")));
        fs::remove_dir_all(home).unwrap();
    }
}
