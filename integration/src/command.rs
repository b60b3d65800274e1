//! `holdfastctl`, as its users run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::TestResult;

/// What a command answered.
#[derive(Debug)]
pub struct Reply(Output);

// === impl Reply ===

impl Reply {
    /// It did what it was asked to.
    ///
    /// # Errors
    /// With what it told, if not.
    pub fn good(&self) -> TestResult {
        ensure!(self.0.status.success(), "{}", self.told());
        Ok(())
    }

    /// What it answered.
    ///
    /// # Errors
    /// As [`Self::good`], or when that is no JSON.
    pub fn json(&self) -> TestResult<Value> {
        self.good()?;
        Ok(serde_json::from_slice(&self.0.stdout)?)
    }

    /// What it answered, for people.
    ///
    /// # Errors
    /// As [`Self::good`].
    pub fn text(&self) -> TestResult<String> {
        self.good()?;
        Ok(String::from_utf8(self.0.stdout.clone())?)
    }

    /// It ended with this code, and said this.
    ///
    /// # Errors
    /// When it didn't.
    pub fn ends_with(&self, code: i32, what: &str) -> TestResult {
        let told = self.all();
        ensure!(self.0.status.code() == Some(code), "ended with {}: {told}", self.0.status);
        ensure!(told.contains(what), "{what:?} isn't said: {told}");
        Ok(())
    }

    /// It couldn't be done, and says why in one line.
    ///
    /// # Errors
    /// When it didn't say so.
    pub fn refuses(&self, why: &str) -> TestResult {
        let told = self.told();
        ensure!(self.0.status.code() == Some(2), "ended with {}: {told}", self.0.status);
        ensure!(told.contains(why), "{why:?} isn't said: {told}");
        ensure!(told.starts_with("holdfastctl: ") && !told.contains("panicked"), "{told}");
        Ok(())
    }

    /// How it ended; `None` when it was killed.
    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// All that it has said, for people and programs and of faults.
    pub fn all(&self) -> String {
        [self.0.stdout.as_slice(), &self.0.stderr].map(String::from_utf8_lossy).concat()
    }

    fn told(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).trim().to_owned()
    }
}

/// The command that `cargo xtask test` has built, beside the tests.
fn program() -> TestResult<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("a folder of what is built")?;
    let program = folder.join("holdfastctl");
    ensure!(program.exists(), "no {}: cargo build -p holdfastctl", program.display());
    Ok(program)
}

/// Runs it.
///
/// # Errors
/// When it isn't built.
pub fn holdfastctl(arguments: &[&str]) -> TestResult<Reply> {
    holdfastctl_as(&[], arguments)
}

/// Runs it with these variables in its environment.
///
/// # Errors
/// When it isn't built.
pub fn holdfastctl_as(variables: &[(&str, &str)], arguments: &[&str]) -> TestResult<Reply> {
    let mut command = Command::new(program()?);
    command.args(arguments).current_dir(std::env::temp_dir());
    command.env_remove("HOLDFAST_REGISTRY_USER").env_remove("HOLDFAST_REGISTRY_PASSWORD").env_remove("HOLDFAST_STORE");
    Ok(Reply(command.envs(variables.iter().copied()).output()?))
}
