//! A compiler for `wasm32-unknown-unknown`, wherever this machine can get one.
//!
//! In order: the active toolchain if it has the target; `rustup target add`; and, where rustup can't download, a
//! distribution's compiler with the standard library's source, from which cargo builds the library itself. Debian
//! offers the last as `rustc-web`, `cargo-web` and `rust-web-src`. Both kinds build the same modules; the second takes
//! half a minute more the first time.

mod linker;
pub(crate) mod newer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::apt;
use crate::command::Cmd;
use crate::context::Context;
use crate::progress::note;
use crate::version::Version;

/// What a module is compiled for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// What a module must compile for too, where it is installed.
pub(crate) const WASI: &str = "wasm32-wasip1";

const SYSTEM_RUSTC: &str = "/usr/bin/rustc";
const SYSTEM_CARGO: &str = "/usr/bin/cargo";
const SYSTEM_RUSTDOC: &str = "/usr/bin/rustdoc";
/// The workspace's `rust-version`.
const OLDEST_RUSTC: Version = Version::new(1, 88, 0);
/// What cargo takes flags for the compiler of modules from.
const FLAGS: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS";
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// Offline, rustup mostly fails at once; behind a firewall that drops packets it would wait for long.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);
/// The same where there is already something to fall back on.
const RUSTUP_SHORT_LIMIT: Duration = Duration::from_secs(45);

/// A toolchain that compiles for [`TARGET`].
#[derive(Clone, Debug)]
pub(crate) enum Toolchain {
    /// The active one; the target's standard library is installed in it.
    Active,
    /// The distribution's, which builds the standard library with the module.
    System { linker: PathBuf },
}

// === impl Toolchain ===

impl Toolchain {
    /// `cargo <subcommand> --target wasm32-unknown-unknown` with a target folder of its own, so that the compilers for
    /// host and Wasm don't undo each other's caches. `library` names what is built of the standard library if need be.
    pub(crate) fn cargo(&self, context: &Context, label: &str, subcommand: &str, library: &str) -> Cmd {
        let folder = context.target().join("wasm");
        let command = match self {
            Self::Active => context.cmd("cargo", label).arg(subcommand),
            Self::System { linker } => {
                system(context, label, linker).args([subcommand, &format!("-Zbuild-std={library}")])
            }
        };
        let command = command.env(FLAGS, remapped());
        command.args(["--target", TARGET, "--target-dir"]).arg(folder)
    }

    /// What it is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Active => format!("{TARGET} of the active toolchain ({})", sysroot().display()),
            Self::System { linker } => format!("{SYSTEM_RUSTC} with build-std, linker {}", linker.display()),
        }
    }
}

/// Panics of what is built so say what happened, but not in which line: a fiftieth of a module is the places of panics that never happen. The flag
/// isn't stable; `RUSTC_BOOTSTRAP` lets the active compiler take it.
pub(crate) fn without_places(cargo: Cmd) -> Cmd {
    cargo.env("RUSTC_BOOTSTRAP", "1").env(FLAGS, format!("{} -Zlocation-detail=none", remapped()))
}

/// The places of panics in a module name no machine's folders; it is smaller for it, and the same wherever it is built. Joined by cargo to
/// what `.cargo/config.toml` says.
fn remapped() -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let sources = home.map(|home| home.join("registry/src")).and_then(|sources| sources.read_dir().ok());
    let registries = sources.into_iter().flatten().flatten().map(|registry| (registry.path(), String::new()));
    let flags = registries.chain(library()).map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    flags.collect::<Vec<_>>().join(" ")
}

/// Where its source is installed (an editor's wish), the compiler names the standard library's files by where they are here; else by its commit.
fn library() -> Option<(PathBuf, String)> {
    let verbose = Cmd::new("rustc", "rustc -vV").args(["-vV"]).capture()?;
    let commit = verbose.lines().find_map(|line| line.strip_prefix("commit-hash: "))?;
    Some((sysroot().join("lib/rustlib/src/rust"), format!("/rustc/{}", commit.trim())))
}

fn system(context: &Context, label: &str, linker: &Path) -> Cmd {
    let command = context.cmd(SYSTEM_CARGO, label).without_rustup();
    command
        .env("RUSTC", SYSTEM_RUSTC)
        .env("RUSTDOC", SYSTEM_RUSTDOC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
}

/// Finds a toolchain, or installs what is missing for one.
pub(crate) fn find_or_install(context: &Context) -> Result<Toolchain> {
    match std::env::var("WASM_TOOLCHAIN").as_deref() {
        Err(_) => active(context).or_else(|why| install_system(context).context(advice(&why))),
        Ok("rustup") => active(context),
        Ok("system") => install_system(context),
        Ok(other) => bail!("WASM_TOOLCHAIN is `rustup` or `system`, not `{other}`"),
    }
}

fn advice(why: &anyhow::Error) -> String {
    format!(
        "no compiler for {TARGET}: rustup can't add it ({}) and the system's can't be used.\n  \
         With a network: `rustup target add {TARGET}`. Without: put a toolchain that has the target first on PATH",
        crate::text::first_line(&why.to_string())
    )
}

fn active(context: &Context) -> Result<Toolchain> {
    if !has_target(TARGET) {
        ensure!(crate::discover::on_path("rustup").is_some(), "the target isn't installed and there is no rustup");
        let limit = if system_is_complete() { RUSTUP_SHORT_LIMIT } else { RUSTUP_LIMIT };
        context
            .cmd("rustup", format!("rustup target add {TARGET}"))
            .args(["target", "add", TARGET])
            .limit(limit)
            .env("RUST_BACKTRACE", "0")
            .tentative()
            .run()?;
        ensure!(has_target(TARGET), "rustup installed {TARGET} for another toolchain than the active one");
        note(&format!("{TARGET} is now in {}", sysroot().display()));
    }
    Ok(Toolchain::Active)
}

/// Whether the active toolchain has the standard library of a target.
pub(crate) fn has_target(target: &str) -> bool {
    sysroot().join("lib/rustlib").join(target).join("lib").is_dir()
}

fn sysroot() -> PathBuf {
    sysroot_of(Cmd::new("rustc", "sysroot")).unwrap_or_default()
}

fn sysroot_of(rustc: Cmd) -> Option<PathBuf> {
    rustc.args(["--print", "sysroot"]).capture().map(PathBuf::from)
}

fn install_system(context: &Context) -> Result<Toolchain> {
    if !system_is_complete() {
        apt::install(context, &PACKAGES, "a compiler for Wasm with the standard library's source")?;
        ensure!(system_is_complete(), "{SYSTEM_RUSTC} is older than {OLDEST_RUSTC}, or its library source is missing");
    }
    Ok(Toolchain::System { linker: linker::find_or_install(context, &sysroot())? })
}

fn system_is_complete() -> bool {
    let version = Cmd::new(SYSTEM_RUSTC, "version").without_rustup().arg("--version").capture();
    let new_enough = version.and_then(|text| Version::find(&text)).is_some_and(|version| version >= OLDEST_RUSTC);
    let source = sysroot_of(Cmd::new(SYSTEM_RUSTC, "sysroot").without_rustup());
    let has_source = source.is_some_and(|root| root.join("lib/rustlib/src/rust/library/std").is_dir());
    new_enough && has_source && Path::new(SYSTEM_CARGO).exists()
}
