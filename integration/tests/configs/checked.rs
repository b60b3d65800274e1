//! `holdfastctl check`, which asks the real Envoy of whole bootstraps.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use integration::{TestResult, envoy};
use serde_json::Value;
use tempfile::tempdir;

use crate::shipped;
use crate::{BOOTSTRAPS, hardened, metrics, protocol_health};

/// The command that `cargo xtask test` has built, beside the tests.
fn program() -> TestResult<PathBuf> {
    let test = std::env::current_exe()?;
    let program = test.parent().and_then(Path::parent).context("a folder of what is built")?.join("holdfastctl");
    ensure!(program.exists(), "no {}: cargo build -p holdfastctl", program.display());
    Ok(program)
}

fn check(file: &Path) -> TestResult<Value> {
    let mut command = Command::new(program()?);
    command.args(["--json", "check", "--envoy"]).arg(envoy::binary()?).arg(file);
    let output = command.output()?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))
}

/// `HF118 4:18: the reason` for each finding of Envoy's own.
fn of_envoy(answer: &Value) -> Vec<String> {
    let findings = answer["findings"].as_array().into_iter().flatten().filter(|one| one["code"] == "HF118");
    let text = |one: &Value| format!("{}:{} {}", one["line"], one["column"], one["found"].as_str().unwrap_or_default());
    findings.map(text).collect()
}

/// This machine has nothing in `/etc/holdfast`, no secret in its environment, and whoever checks has neither.
#[test]
fn envoy_takes_every_shipped_bootstrap_without_its_modules_and_secrets() -> TestResult {
    // These are for some versions of Envoy.
    let special = [hardened::NEW, hardened::OLD, metrics::FILE, protocol_health::FILE];
    for name in BOOTSTRAPS.iter().filter(|name| !special.contains(name)) {
        let answer = check(&shipped::folder().join(name))?;
        ensure!(answer["findings"] == serde_json::json!([]), "{name}: {answer}");
        // What is read from beside them isn't here.
        let notes = answer["notes"].as_array().context("notes")?;
        let parts = ["active-active.yaml", "idempotency-redis.yaml"].contains(name);
        ensure!(notes.len() == usize::from(parts), "{name}: {notes:?}");
    }
    Ok(())
}

#[test]
fn what_envoy_refuses_is_told_at_its_place() -> TestResult {
    let text = shipped::text("minimal.yaml")?;
    let cases = [
        ("cluster: service", "cluster: §servise", "unknown cluster 'servise'"),
        ("stat_prefix: edge", "§stat_prefixx: edge", "'stat_prefixx'"),
        ("type: STRICT_DNS", "type: §STRICT_DSN", "'STRICT_DSN'"),
        ("connect_timeout: 0.5s", "connect_timeout: §soon", "duration must start with an integer"),
        ("port_value: 10000", "port_value: §1000000", "less than or equal to 65535"),
    ];
    let folder = tempdir()?;
    for (from, to, why) in cases {
        ensure!(text.contains(from), "no {from}");
        let broken = text.replacen(from, to, 1);
        let (before, _) = broken.split_once('§').context("a mark")?;
        let line = before.lines().count();
        let column = before.lines().last().unwrap_or_default().chars().count() + 1;
        let file = folder.path().join("envoy.yaml");
        std::fs::write(&file, broken.replace('§', ""))?;
        let told = of_envoy(&check(&file)?);
        let [told] = told.as_slice() else { anyhow::bail!("{to}: {told:?}") };
        ensure!(told.starts_with(&format!("{line}:{column} ")) && told.contains(why), "{to}: {line}:{column}: {told}");
    }
    Ok(())
}
