//! How Envoy is started.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::{Envoy, binary, read_log, tail};
use crate::config::suite;
use crate::process::{Process, guarded};
use crate::{TestResult, client};

/// File of Envoy's standard output and error: its own log would miss the back trace of a crash.
pub(super) const LOG: &str = "envoy.log";

/// Merged over any configuration, so that a shipped file with a fixed admin port can be run as it is.
const ADMIN: &str = r#"{"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}}"#;

/// Options of the process, with the defaults that the tests want: two workers, log level `info`, live within 20 s.
#[derive(Clone, Debug)]
pub struct Options {
    concurrency: u32,
    log_level: String,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    deadline: Duration,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 2,
            log_level: "info".into(),
            environment: Vec::new(),
            arguments: Vec::new(),
            deadline: Duration::from_secs(20),
        }
    }
}

impl Options {
    /// Number of worker threads.
    #[must_use]
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// `trace`, `debug`, `info`, `warning`, `error`.
    #[must_use]
    pub fn log_level(mut self, level: &str) -> Self {
        self.log_level = level.into();
        self
    }

    /// An environment variable of the process.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A further argument of the command line, for example `--drain-time-s`.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// How long Envoy may take to become live.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts Envoy and waits until it is live.
    ///
    /// # Errors
    /// When it exits or misses the deadline: the error shows the end of its log.
    pub fn start(self, config: &Value) -> TestResult<Envoy> {
        self.start_text(&config.to_string())
    }

    /// [`Options::start`] for a YAML text, with or without an `admin` section.
    ///
    /// # Errors
    /// As [`Options::start`].
    pub fn start_text(self, config: &str) -> TestResult<Envoy> {
        let folder = folder()?;
        let process = Process::spawn(self.command(folder.path(), config)?)?;
        let admin = self.wait_until_live(&process, folder.path())?;
        Ok(Envoy { process, admin, folder })
    }

    /// Runs `--mode validate` in a directory of its own. `Ok` and `Err` both carry what Envoy printed.
    ///
    /// # Errors
    /// When Envoy refuses the configuration, or can't be run.
    pub fn validate(&self, config: &Value) -> Result<String, String> {
        self.verdict(&config.to_string()).map_err(|error| format!("{error:#}"))?
    }

    /// The inner result is Envoy's verdict.
    pub(super) fn verdict(&self, config: &str) -> TestResult<Result<String, String>> {
        let folder = folder()?;
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        let mut command = base(folder.path(), config)?;
        let output = command.args(["--mode", "validate"]).envs(environment).output().context("running Envoy")?;
        let text = [output.stdout, output.stderr].concat();
        let text = suite::own_words(String::from_utf8_lossy(&text).into_owned());
        Ok(if output.status.success() { Ok(text) } else { Err(text) })
    }

    fn command(&self, folder: &Path, config: &str) -> TestResult<Command> {
        let log = File::create(folder.join(LOG)).context("creating the log file")?;
        let mut command = base(folder, config)?;
        command
            .args(["--config-yaml", ADMIN, "--disable-hot-restart", "--file-flush-interval-msec", "50"])
            .arg("--admin-address-path")
            .arg(folder.join("admin"))
            .args(["--concurrency", &self.concurrency.to_string(), "--log-level", &self.log_level])
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdout(log.try_clone().context("sharing the log file")?)
            .stderr(log);
        Ok(command)
    }

    fn wait_until_live(&self, process: &Process, folder: &Path) -> TestResult<u16> {
        let start = Instant::now();
        loop {
            if let Some(admin) = live(folder) {
                return Ok(admin);
            }
            let log = || tail(&read_log(folder));
            if !process.is_running() {
                bail!("Envoy exited at start; its log ends:\n{}", log());
            }
            if start.elapsed() > self.deadline {
                bail!("Envoy was not live within {:?}; its log ends:\n{}", self.deadline, log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn base(folder: &Path, config: &str) -> TestResult<Command> {
    let file = folder.join("envoy.yaml");
    std::fs::write(&file, config).context("writing the configuration")?;
    let mut command = guarded(&binary()?);
    command.arg("--config-path").arg(file).stdin(Stdio::null());
    Ok(command)
}

fn folder() -> TestResult<TempDir> {
    tempfile::Builder::new().prefix("holdfast-envoy-").tempdir().context("a directory for Envoy")
}

/// The admin port, once `/ready` says that Envoy is live.
fn live(folder: &Path) -> Option<u16> {
    let address = std::fs::read_to_string(folder.join("admin")).ok()?;
    let port = address.trim().rsplit(':').next()?.parse().ok()?;
    let ready = client::get(port, "/ready", &[]).ok()?;
    (ready.status == 200 && ready.text().trim() == "LIVE").then_some(port)
}
