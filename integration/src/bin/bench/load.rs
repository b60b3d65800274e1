//! The load: h2load over HTTP/1, eight kept connections, a fixed number of requests.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::NamedTempFile;

use crate::bed::Stand;
use crate::subject::Paths;

/// Connections, each with one request under way.
const CONNECTIONS: &str = "8";
/// A proxy that stops answering must not stop the bench.
const INACTIVITY: &str = "20s";

/// h2load and the paths it asks for.
#[derive(Debug)]
pub(crate) struct Loader {
    one: NamedTempFile,
    thousand: NamedTempFile,
}

// === impl Loader ===

impl Loader {
    /// Looks for h2load.
    pub(crate) fn find() -> Result<Self> {
        let found = Command::new("h2load").arg("--version").output();
        found.context("h2load is missing: `cargo xtask setup` installs it (Debian: nghttp2-client; macOS: nghttp2)")?;
        Ok(Self { one: paths(1)?, thousand: paths(1_000)? })
    }

    /// Sends `requests` requests and waits for the answers, all of which must be 2xx.
    pub(crate) fn send(&self, stand: &Stand<'_>, requests: u32) -> Result<()> {
        let file = match stand.subject.paths {
            Paths::One | Paths::OnePosted => &self.one,
            Paths::Thousand => &self.thousand,
        };
        let base = format!("http://127.0.0.1:{}", stand.port);
        let mut command = Command::new("h2load");
        command.args(["--h1", "-t", "1", "-c", CONNECTIONS, "-N", INACTIVITY]);
        if stand.subject.paths == Paths::OnePosted {
            command.args(["-H", ":method: POST"]);
        }
        command.args(["-n", &requests.to_string(), "-B", &base, "-i"]).arg(file.path());
        let output = command.output().context("running h2load")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let answered = succeeded(&text) == Some(requests);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(answered, "{}: not every request was answered with 2xx\n{text}{errors}", stand.subject.name);
        Ok(())
    }
}

fn paths(count: u32) -> Result<NamedTempFile> {
    let mut text = String::new();
    for n in 0..count {
        writeln!(text, "/shop/item-{n:04}")?;
    }
    let file = NamedTempFile::new().context("a file for the paths")?;
    std::fs::write(&file, text).context("writing the paths")?;
    Ok(file)
}

/// The number of 2xx answers.
fn succeeded(output: &str) -> Option<u32> {
    let line = output.lines().find_map(|line| line.strip_prefix("status codes: "))?;
    line.split_once(" 2xx")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted() {
        let output = "requests: 5 total\nstatus codes: 4 2xx, 0 3xx, 0 4xx, 1 5xx\n";
        assert_eq!(succeeded(output), Some(4));
        assert_eq!(succeeded("nonsense"), None);
    }
}
