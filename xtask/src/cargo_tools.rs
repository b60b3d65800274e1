//! Tools that `cargo install` compiles, each into a folder of its own below `target/tools/`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::Cmd;
use crate::context::Context;
use crate::discover::on_path;
use crate::progress::note;
use crate::version::Version;

const LIMIT: Duration = Duration::from_secs(20 * 60);

/// These tools run for seconds, so what counts is how soon they are compiled.
const QUICK: [(&str, &str); 5] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_STRIP", "true"),
];

/// A program that a crate installs.
pub(crate) struct Tool {
    /// The crate.
    package: &'static str,
    /// The program of it that is asked for its version and run.
    program: &'static str,
    version: Version,
    /// Whether a later version on PATH does as well.
    later_will_do: bool,
}

// === impl Tool ===

impl Tool {
    /// Checks licences, sources and bans.
    pub(crate) const fn cargo_deny() -> Self {
        Self { package: "cargo-deny", program: "cargo-deny", version: Version::new(0, 20, 2), later_will_do: true }
    }

    /// Runs libFuzzer targets.
    pub(crate) const fn cargo_fuzz() -> Self {
        Self { package: "cargo-fuzz", program: "cargo-fuzz", version: Version::new(0, 13, 2), later_will_do: true }
    }

    /// Runs Wasm tests in Node; its version has to be the library's, to the digit.
    pub(crate) const fn wasm_test_runner(version: Version) -> Self {
        Self { package: "wasm-bindgen-cli", program: "wasm-bindgen-test-runner", version, later_will_do: false }
    }

    /// The program's path: ours, one on PATH if its version will do, else it is compiled.
    pub(crate) fn find_or_install(&self, context: &Context) -> Result<PathBuf> {
        let folder = context.tool(&format!("{}-{}", self.package, self.version));
        let ours = folder.join("bin").join(self.program);
        let mut places = [Some(ours.clone()), on_path(self.program)].into_iter().flatten();
        if let Some(found) = places.find(|path| self.accepts(version_at(path))) {
            return Ok(found);
        }
        self.install(context, &folder).with_context(|| self.advice())?;
        let found = version_at(&ours);
        ensure!(self.accepts(found), "{} reports version {found:?} instead of {}", ours.display(), self.version);
        note(&format!("installed {} {}: {}", self.package, self.version, ours.display()));
        Ok(ours)
    }

    fn accepts(&self, found: Option<Version>) -> bool {
        found.is_some_and(|found| found == self.version || (self.later_will_do && found > self.version))
    }

    /// With the crate's own lock file first: those are the dependencies it was tested with. A mirror of the registry
    /// may lack one of them, so newer or older ones that fit come second.
    fn install(&self, context: &Context, folder: &Path) -> Result<()> {
        let locked = self.cargo_install(context, folder, " --locked").arg("--locked").tentative().run();
        locked.or_else(|_| self.cargo_install(context, folder, "").run()).map(drop)
    }

    fn cargo_install(&self, context: &Context, folder: &Path, suffix: &str) -> Cmd {
        let label = format!("cargo install {} {}{suffix}", self.package, self.version);
        let cargo = QUICK.iter().fold(context.cmd("cargo", label), |cargo, (key, value)| cargo.env(key, value));
        let cargo = cargo.args(["install", self.package, "--version", &self.version.to_string(), "--root"]);
        cargo.arg(folder).env("CARGO_TARGET_DIR", context.tool("build")).limit(LIMIT)
    }

    fn advice(&self) -> String {
        let Self { package, program, version, .. } = self;
        format!(
            "no {program} {version}: it is compiled from crate `{package}`, which needs a crate registry. \
                 Where there is none, put `{program}` on PATH"
        )
    }
}

fn version_at(program: &Path) -> Option<Version> {
    Version::find(&Cmd::new(program, "version").arg("--version").capture()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_tools_may_be_later() {
        let later = Some(Version::new(9, 0, 0));
        assert!(Tool::cargo_deny().accepts(later));
        assert!(!Tool::wasm_test_runner(Version::new(0, 2, 100)).accepts(later));
        assert!(Tool::wasm_test_runner(Version::new(0, 2, 100)).accepts(Some(Version::new(0, 2, 100))));
        assert!(!Tool::cargo_deny().accepts(Some(Version::new(0, 1, 0))));
        assert!(!Tool::cargo_deny().accepts(None));
    }
}
