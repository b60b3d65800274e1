//! A real Envoy process.
//!
//! ```no_run
//! use integration::{config, Envoy, TestResult};
//!
//! fn answers_by_itself() -> TestResult {
//!     let config = config::bootstrap(
//!         &[config::listener("edge", &[], &[config::direct("all", "/", 200, "hello")])],
//!         &[],
//!     );
//!     let envoy = Envoy::options().concurrency(1).env("SECRET", "s").log_level("debug").start(&config)?;
//!     println!("listening on {}; {} requests so far", envoy.port("edge")?, envoy.stat("http.edge.downstream_rq_total")?);
//!     Ok(())
//! }
//! ```

pub(crate) mod admin;
mod options;
mod prometheus;

pub use options::Options;
pub use prometheus::{Prometheus, Series};

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::Value;
use tempfile::TempDir;

use crate::config::{suite, wasm};
use crate::process::Process;
use crate::{TestResult, eventually_some};

/// What the log says of a call that a module isn't allowed.
pub const DENIED: &str = "Attempted call to restricted";

/// Lines of the log that an error or a panicking test shows.
const TAIL: usize = 25;
/// Characters of a line that they show: Envoy lists all its extensions at every start.
const WIDTH: usize = 400;

/// A running Envoy; dropping it kills the process and removes its directory.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: u16,
    folder: TempDir,
}

/// The binary under test.
///
/// # Errors
/// When `HOLDFAST_ENVOY` is not set.
pub fn binary() -> TestResult<std::ffi::OsString> {
    let binary = std::env::var_os("HOLDFAST_ENVOY");
    binary.context("HOLDFAST_ENVOY is not set: run `cargo xtask test`, which finds or installs Envoy")
}

/// The version under test as `(major, minor, patch)`, from `HOLDFAST_ENVOY_VERSION` or the binary itself.
///
/// # Errors
/// When neither tells.
pub fn version() -> TestResult<(u32, u32, u32)> {
    let text = std::env::var("HOLDFAST_ENVOY_VERSION").or_else(|_| version_of_binary())?;
    parse_version(&text).with_context(|| format!("{text:?} is not an Envoy version"))
}

/// Whether the list of what a module may do belongs to its VM (`vm_config.capability_restriction_config`). Older Envoys refuse that, and
/// want it in the plugin's configuration.
///
/// # Errors
/// As [`version`].
pub fn restricts_vms() -> TestResult<bool> {
    Ok(version()? >= (1, 40, 0))
}

/// Runs `--mode validate`. `Ok` and `Err` both carry what Envoy printed.
///
/// # Errors
/// When Envoy refuses the configuration, or can't be run.
pub fn validate(config: &Value) -> Result<String, String> {
    validate_text(&config.to_string())
}

/// [`validate`] for a YAML text.
///
/// # Errors
/// As [`validate`].
pub fn validate_text(config: &str) -> Result<String, String> {
    Options::default().verdict(config).map_err(|error| format!("{error:#}"))?
}

// === impl Envoy ===

impl Envoy {
    /// Starts Envoy with the defaults of [`Options`] and waits until it is live.
    ///
    /// # Errors
    /// When it exits or is not live within 20 s: the error shows the end of its log.
    pub fn start(config: &Value) -> TestResult<Self> {
        Options::default().start(config)
    }

    /// Starts Envoy with other options.
    pub fn options() -> Options {
        Options::default()
    }

    /// The port that the kernel chose for a listener.
    ///
    /// # Errors
    /// When there is no such listener; names those that there are.
    pub fn port(&self, listener: &str) -> TestResult<u16> {
        let ports = self.ports()?;
        let found = ports.iter().find(|(name, _)| name == listener);
        found.map(|(_, port)| *port).with_context(|| format!("no listener {listener:?}, only {ports:?}"))
    }

    /// Everything that Envoy wrote so far: its log, the modules' log, and access logs to stdout.
    pub fn log(&self) -> String {
        read_log(self.folder.path())
    }

    /// Waits for a piece of text in the log and returns its line.
    ///
    /// # Errors
    /// When it doesn't come within `deadline`.
    pub fn wait_for_log(&self, text: &str, deadline: Duration) -> TestResult<String> {
        let line = || Ok::<_, String>(self.log().lines().find(|line| line.contains(text)).map(str::to_owned));
        eventually_some(&format!("{text:?} in the log"), deadline, line)
            .map_err(|error| anyhow!("{error:#}; the log ends:\n{}", tail(&self.log())))
    }

    /// CPU time that the process has used: user and system, to 10 ms.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_time(&self) -> TestResult<Duration> {
        self.process.cpu_time()
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn rss(&self) -> TestResult<u64> {
        self.process.rss()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether the process still runs: a crash is a finding.
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// The process's directory, where tests may put files of their own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The admin port.
    pub fn admin_port(&self) -> u16 {
        self.admin
    }

    /// Asks Envoy to quit and waits until it did (at most 5 s), then kills it.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(self) -> TestResult {
        self.admin_post("/quitquitquit")?;
        crate::eventually("Envoy quits", Duration::from_secs(5), || !self.is_running())
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of Envoy ends:\n{}", tail(&self.log()));
        } else if wasm::hardened() {
            let log = self.log();
            let denied = log.lines().find(|line| line.contains(DENIED));
            assert!(denied.is_none(), "the list of a module lacks something: {denied:?}");
        }
        if std::env::var_os("HOLDFAST_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("kept {}", self.folder.path().display());
        }
    }
}

fn version_of_binary() -> TestResult<String> {
    let output = Command::new(binary()?).arg("--version").output().context("running `envoy --version`")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split("version: ")
        .nth(1)
        .and_then(|build| build.split('/').nth(1))
        .map(str::to_owned)
        .with_context(|| format!("no version in {text:?}"))
}

fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let core = text.trim().split('-').next()?;
    let mut numbers = core.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn read_log(folder: &Path) -> String {
    let bytes = std::fs::read(folder.join(options::LOG)).unwrap_or_default();
    suite::own_words(String::from_utf8_lossy(&bytes).into_owned())
}

fn tail(log: &str) -> String {
    let lines: Vec<String> = log.lines().map(|line| line.chars().take(WIDTH).collect()).collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("1.36.4"), Some((1, 36, 4)));
        assert_eq!(parse_version("1.41.0-dev\n"), Some((1, 41, 0)));
        assert_eq!(parse_version("latest"), None);
    }
}
