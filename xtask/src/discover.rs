//! What is there: programs on PATH, and the packages that have a certain kind of test.

use std::fs;
use std::path::{Path, PathBuf};

/// The first file of that name on PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The folders of the crates that may run inside a proxy: `sdk-shim` and each plugin, sorted.
pub(crate) fn crates(root: &Path) -> Vec<PathBuf> {
    let plugins = fs::read_dir(root.join("plugins")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = plugins.map(|entry| entry.path()).collect();
    found.push(root.join("sdk-shim"));
    found.retain(|folder| folder.join("Cargo.toml").is_file());
    found.sort();
    found
}

/// The package's name in a crate's folder.
pub(crate) fn package_name(folder: &Path) -> Option<String> {
    name_in(&fs::read_to_string(folder.join("Cargo.toml")).ok()?)
}

fn name_in(manifest: &str) -> Option<String> {
    let mut package = manifest.lines().map(str::trim).skip_while(|line| *line != "[package]").skip(1);
    let line = package.by_ref().take_while(|line| !line.starts_with('[')).find(|line| is_name(line))?;
    line.split('"').nth(1).map(str::to_owned)
}

fn is_name(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, _)| key.trim() == "name")
}

/// The fuzz targets of a crate: the stems of `fuzz/fuzz_targets/*.rs`, sorted.
pub(crate) fn fuzz_targets(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder.join("fuzz/fuzz_targets")).into_iter().flatten().flatten();
    let rust = files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
    let mut names: Vec<String> = rust.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_own_name_is_read() {
        let manifest = "[lib]\nname = \"other\"\n[package]\nversion = \"1\"\nname  = \"mine\"\n[dependencies]\n";
        assert_eq!(name_in(manifest).as_deref(), Some("mine"));
        assert_eq!(name_in("[workspace]\n[package]\n[lib]\nname = \"x\""), None);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(on_path("no-such-program-here"), None);
        assert!(on_path("sh").is_some());
        assert!(fuzz_targets(Path::new("/no/such/folder")).is_empty());
    }
}
