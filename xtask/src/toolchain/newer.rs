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

/// `cargo`, with a compiler of this version or a newer one.
pub(crate) fn cargo(context: &Context, oldest: Version, label: &str) -> Result<Cmd> {
    if is_enough(Cmd::new("rustc", "version"), oldest) {
        return Ok(context.cmd("cargo", label));
    }
    rustups(context, oldest, label).or_else(|why| {
        systems(context, oldest, label).with_context(|| {
            let why = why.to_string();
            let why = text::first_line(&why);
            format!("no Rust {oldest} or newer: rustup has none ({why}) and the system's can't be used")
        })
    })
}

fn rustups(context: &Context, version: Version, label: &str) -> Result<Cmd> {
    ensure!(on_path("rustup").is_some(), "there is no rustup");
    let name = version.to_string();
    let run = |label: String| context.cmd("rustup", label).without_rustup().args(["run", &name]);
    if !is_enough(run("version".into()).arg("rustc"), version) {
        let install = context.cmd("rustup", format!("rustup toolchain install {name}")).limit(INSTALL_LIMIT);
        install.args(["toolchain", "install", &name, "--profile", "minimal", "--no-self-update"]).tentative().run()?;
        ensure!(is_enough(run("version".into()).arg("rustc"), version), "rustup installed something else");
        note(&format!("Rust {name} is now beside the active one"));
    }
    Ok(run(label.to_owned()).arg("cargo"))
}

fn systems(context: &Context, oldest: Version, label: &str) -> Result<Cmd> {
    let rustc = || Cmd::new(SYSTEM_RUSTC, "version").without_rustup();
    if !is_enough(rustc(), oldest) {
        apt::install(context, &PACKAGES, "a newer compiler")?;
        ensure!(is_enough(rustc(), oldest), "{SYSTEM_RUSTC} is older than {oldest}");
    }
    let cargo = context.cmd(SYSTEM_CARGO, label).without_rustup();
    Ok(cargo.env("RUSTC", SYSTEM_RUSTC).env("RUSTDOC", SYSTEM_RUSTDOC))
}

fn is_enough(rustc: Cmd, oldest: Version) -> bool {
    let version = rustc.arg("--version").capture().and_then(|text| Version::find(&text));
    version.is_some_and(|version| version >= oldest)
}
