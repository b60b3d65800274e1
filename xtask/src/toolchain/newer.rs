//! A newer compiler than the active one, for what isn't a module and wants it.
//!
//! In order: the active one, if it is new enough; one that rustup has, or installs beside it; and, where rustup can't download, the
//! distribution's, which builds modules too.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{PACKAGES, SYSTEM_CARGO, SYSTEM_RUSTC, SYSTEM_RUSTDOC};
use crate::apt;
use crate::command::Cmd;
use crate::context::Context;
use crate::discover::on_path;
use crate::progress::note;
use crate::text;
use crate::version::Version;

/// A whole toolchain, if only its smallest profile.
const INSTALL_LIMIT: Duration = Duration::from_secs(10 * 60);

/// A compiler that is new enough.
#[derive(Debug)]
pub(crate) enum Newer {
    /// The active one.
    Active,
    /// Another one of rustup's.
    Rustup(Version),
    /// The distribution's.
    System,
}

// === impl Newer ===

impl Newer {
    /// Its `cargo`.
    pub(crate) fn cargo(&self, context: &Context, label: &str) -> Cmd {
        match self {
            Self::Active => context.cmd("cargo", label),
            Self::Rustup(version) => {
                context.cmd("rustup", label).without_rustup().args(["run", &version.to_string(), "cargo"])
            }
            Self::System => {
                let cargo = context.cmd(SYSTEM_CARGO, label).without_rustup();
                cargo.env("RUSTC", SYSTEM_RUSTC).env("RUSTDOC", SYSTEM_RUSTDOC)
            }
        }
    }

    /// What it is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Active => "the active toolchain".to_owned(),
            Self::Rustup(version) => format!("rustup's {version}"),
            Self::System => SYSTEM_RUSTC.to_owned(),
        }
    }
}

/// Finds one of this version or a newer one, or installs it.
pub(crate) fn find_or_install(context: &Context, oldest: Version) -> Result<Newer> {
    if is_enough(Cmd::new("rustc", "version"), oldest) {
        return Ok(Newer::Active);
    }
    rustups(context, oldest).or_else(|why| {
        let why = why.to_string();
        let advice = format!("no Rust {oldest} or newer: rustup has none ({})", text::first_line(&why));
        system(context, oldest).with_context(|| format!("{advice} and the system's can't be used"))
    })
}

fn rustups(context: &Context, version: Version) -> Result<Newer> {
    ensure!(on_path("rustup").is_some(), "there is no rustup");
    let name = version.to_string();
    let is_there = || is_enough(Cmd::new("rustup", "version").without_rustup().args(["run", &name, "rustc"]), version);
    if !is_there() {
        let install = context.cmd("rustup", format!("rustup toolchain install {name}")).limit(INSTALL_LIMIT);
        install.args(["toolchain", "install", &name, "--profile", "minimal", "--no-self-update"]).tentative().run()?;
        ensure!(is_there(), "rustup installed something else");
        note(&format!("Rust {name} is now beside the active one"));
    }
    Ok(Newer::Rustup(version))
}

fn system(context: &Context, oldest: Version) -> Result<Newer> {
    let is_there = || is_enough(Cmd::new(SYSTEM_RUSTC, "version").without_rustup(), oldest);
    if !is_there() {
        apt::install(context, &PACKAGES, "a newer compiler")?;
        ensure!(is_there(), "{SYSTEM_RUSTC} is older than {oldest}");
    }
    Ok(Newer::System)
}

fn is_enough(rustc: Cmd, oldest: Version) -> bool {
    let version = rustc.arg("--version").capture().and_then(|text| Version::find(&text));
    version.is_some_and(|version| version >= oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_or_not_there_is_not_enough() {
        let says = |words: &str| Cmd::new("echo", "version").arg(words);
        let oldest = Version::new(1, 96, 0);
        assert!(is_enough(says("rustc 1.96.0 (a 2026-05-01)"), oldest) && is_enough(says("rustc 1.100.1"), oldest));
        assert!(!is_enough(says("rustc 1.95.9"), oldest) && !is_enough(Cmd::new("no-such-rustc", "version"), oldest));
    }
}
