//! A Prometheus of the test's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::envoy::admin::percent_encoded;
use crate::store::server::{Server, folder};
use crate::{Call, ReservedPort, TestResult, eventually};

/// To have opened its data.
const READY: Duration = Duration::from_secs(20);
/// Scraped as often as Prometheus can, so that a story of seconds has a rate.
const EVERY: &str = "1s";

/// Something to scrape.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its port of 127.0.0.1.
    pub port: u16,
    /// Where it serves its metrics.
    pub path: &'static str,
    /// What the series of it are labelled with.
    pub region: &'static str,
}

/// A running Prometheus; dropping it kills the process and removes its data.
#[derive(Debug)]
pub struct Prometheus(Server);

/// Runs `promtool` in a folder.
///
/// # Errors
/// When it isn't installed, or finds a fault: the error has what it printed.
pub fn promtool(folder: &Path, arguments: &[&str]) -> TestResult<String> {
    let output = Command::new("promtool").args(arguments).current_dir(folder).output();
    let output = output.context("no promtool on PATH: run `cargo xtask setup`")?;
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(output.status.success(), "promtool {arguments:?}: {printed}");
    Ok(printed)
}

// === impl Prometheus ===

impl Prometheus {
    /// Whether there is one to start.
    pub fn is_installed() -> bool {
        Command::new("prometheus").arg("--version").output().is_ok_and(|output| output.status.success())
    }

    /// Starts one on a free port of 127.0.0.1, with these rules, in a folder of its own. All targets are of the job `holdfast`.
    ///
    /// # Errors
    /// When it isn't installed, or isn't ready in time.
    pub fn start(targets: &[Target], rules: &Path) -> TestResult<Self> {
        let folder = folder()?;
        std::fs::write(
            folder.path().join("prometheus.yml"),
            configuration(targets, &rules.canonicalize()?).to_string(),
        )?;
        let port = ReservedPort::new()?;
        let listen = format!("--web.listen-address=127.0.0.1:{}", port.number());
        let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn", &listen];
        let server = Self(Server::start_in(folder, "prometheus", port, arguments)?);
        eventually("Prometheus is ready", READY, || Ok::<_, anyhow::Error>(get(server.port(), "/-/ready")?.0 == 200))?;
        Ok(server)
    }

    /// Where it serves its page and its API.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The series that an expression has now.
    ///
    /// # Errors
    /// When Prometheus finds a fault in it.
    pub fn query(&self, expr: &str) -> TestResult<Vec<Value>> {
        ask(self.port(), expr)
    }
}

/// The series that an expression has now, in any Prometheus of 127.0.0.1.
///
/// # Errors
/// When it doesn't answer, or finds a fault in the expression.
pub fn ask(port: u16, expr: &str) -> TestResult<Vec<Value>> {
    let (status, body) = get(port, &format!("/api/v1/query?query={}", percent_encoded(expr)))?;
    let body: Value = serde_json::from_str(&body).with_context(|| format!("{status}: {body}"))?;
    match (&body["data"]["result"], &body["error"]) {
        (Value::Array(series), _) => Ok(series.clone()),
        (_, error) => bail!("{expr}: {status} {error}"),
    }
}

fn get(port: u16, path: &str) -> TestResult<(u16, String)> {
    let response = Call::get(port, path).send()?;
    Ok((response.status, response.text()))
}

/// Prometheus reads JSON as YAML.
fn configuration(targets: &[Target], rules: &PathBuf) -> Value {
    let scrapes = targets.iter().map(|target| {
        let of = json!({"targets": [format!("127.0.0.1:{}", target.port)], "labels": {"region": target.region, "job": "holdfast"}});
        json!({"job_name": format!("{}{}", target.port, target.path), "metrics_path": target.path, "static_configs": [of]})
    });
    json!({
        "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
        "rule_files": [rules],
        "scrape_configs": scrapes.collect::<Vec<_>>(),
    })
}
