//! Docker's client: the engine that it speaks to is the environment's affair.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use integration::TestResult;

/// Runs it and returns what it says.
pub(crate) fn docker(args: &[&str]) -> TestResult<String> {
    docker_with("", args)
}

/// The same with something to read.
pub(crate) fn docker_with(input: &str, args: &[&str]) -> TestResult<String> {
    let mut command = Command::new("docker");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("can't start docker")?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who doesn't read it may be gone; what it says then counts.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {}: {}", args.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
