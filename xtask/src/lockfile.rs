//! The one question asked of `Cargo.lock`: which version of a package is it?

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::version::Version;

/// The version of `package` in the lock file of `root`.
pub(crate) fn locked(root: &Path, package: &str) -> Result<Version> {
    let path = root.join("Cargo.lock");
    let text = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    version_of(&text, package).with_context(|| format!("{} has no package `{package}`", path.display()))
}

fn version_of(lock: &str, package: &str) -> Option<Version> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    Version::find(lines.nth(1)?.strip_prefix("version = ")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"0.2.1\"\n\n\
                        [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\nsource = \"registry\"\n";

    #[test]
    fn names_match_whole() {
        assert_eq!(version_of(LOCK, "wasm-bindgen"), Some(Version::new(0, 2, 130)));
        assert_eq!(version_of(LOCK, "wasm-bindgen-macro"), Some(Version::new(0, 2, 1)));
        assert_eq!(version_of(LOCK, "wasm"), None);
    }
}
