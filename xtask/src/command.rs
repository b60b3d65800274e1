//! A child process with a clean environment, a time limit, a log, and a sign of life every few seconds.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::processes;
use crate::progress::Progress;
use crate::text;

/// How often a running child is looked at.
const POLL: Duration = Duration::from_millis(50);
/// No step is meant to take longer; a test that hangs must not hang the whole run.
const LIMIT: Duration = Duration::from_secs(30 * 60);
/// Lines of a failed step's output that are shown; the whole is in its log.
const TAIL: usize = 80;
/// And of each failed test.
const TAIL_OF_A_TEST: usize = 30;

/// What cargo and rustup set for the programs they start. Passed on, they would make one toolchain's cargo run
/// another one's compiler, or override the flags in `.cargo/config.toml`.
const LEAKS: [&str; 12] = [
    "CARGO",
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTDOC",
    "RUST_RECURSION_COUNT",
    "RUSTFLAGS",
];

/// Set by rustup for the toolchain that runs xtask; wrong for any other one.
const RUSTUP_LEAKS: [&str; 3] = ["RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];

/// A command to be run. Its label names it on the screen and names its log.
pub(crate) struct Cmd {
    command: Command,
    label: String,
    limit: Duration,
    logs: Option<PathBuf>,
    tentative: bool,
}

// === impl Cmd ===

impl Cmd {
    pub(crate) fn new(program: impl AsRef<Path>, label: impl Into<String>) -> Self {
        let mut command = Command::new(program.as_ref());
        let ours = std::env::vars_os().filter_map(|(key, _)| key.into_string().ok());
        for key in ours.filter(|key| is_leak(key)) {
            command.env_remove(key);
        }
        // Logs are read by people and searched by steps; colours would be in the way of both.
        command.env("CARGO_TERM_COLOR", "never").env("TERM", "dumb").stdin(Stdio::null());
        Self { command, label: label.into(), limit: LIMIT, logs: None, tentative: false }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// The folder that gets this command's output; without one the output is thrown away.
    pub(crate) fn logs(mut self, logs: PathBuf) -> Self {
        self.logs = Some(logs);
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Says that its failure is no fault: another way follows, or it is left out.
    pub(crate) fn tentative(mut self) -> Self {
        self.tentative = true;
        self
    }

    /// Forgets which rustup toolchain runs xtask, for commands that must use another one.
    pub(crate) fn without_rustup(mut self) -> Self {
        for key in RUSTUP_LEAKS {
            self.command.env_remove(key);
        }
        self
    }

    /// Runs it with a line of progress; returns all it printed, stdout and stderr as they came.
    ///
    /// A failure carries the end of the output and the log's path.
    pub(crate) fn run(mut self) -> Result<String> {
        let log = self.open_log()?;
        let mut progress = Progress::start(&self.label);
        let ended = self.spawn(&log).and_then(|child| watch(child, self.limit, &mut progress, &log));
        let output = read_lossy(&log);
        match ended {
            Ok(status) if status.success() => {
                progress.done();
                Ok(output)
            }
            failed => {
                progress.failed(self.tentative);
                Err(self.failure(failed, &output, &log))
            }
        }
    }

    /// Runs a short command silently; returns its stdout, or nothing where it is missing or fails.
    pub(crate) fn capture(mut self) -> Option<String> {
        let output = self.command.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs it with this terminal; whether it says that all is well. Its process group is ours: Ctrl-C reaches both.
    pub(crate) fn attached(mut self) -> Result<bool> {
        let status = self.command.status().with_context(|| format!("can't start {}", self.label))?;
        Ok(status.success())
    }

    /// Becomes this command, so that signals reach it and nothing stays behind. Returns only if it can't be started.
    pub(crate) fn exec(mut self) -> anyhow::Error {
        self.command.env_remove("CARGO_TERM_COLOR").stdin(Stdio::inherit());
        if let Some(terminal) = std::env::var_os("TERM") {
            self.command.env("TERM", terminal);
        }
        anyhow!(self.command.exec()).context(format!("can't start {}", self.label))
    }

    fn open_log(&self) -> Result<PathBuf> {
        let Some(folder) = &self.logs else { return Ok(PathBuf::from("/dev/null")) };
        fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
        Ok(folder.join(format!("{}.log", text::slug(&self.label))))
    }

    fn spawn(&mut self, log: &Path) -> Result<Child> {
        let file = File::create(log).with_context(|| format!("can't write {}", log.display()))?;
        self.command.stdout(file.try_clone()?).stderr(file);
        self.command.spawn().with_context(|| format!("can't start `{}`", self.command.get_program().display()))
    }

    fn failure(&self, ended: Result<ExitStatus>, output: &str, log: &Path) -> anyhow::Error {
        let why = match ended {
            Ok(status) => anyhow!("{status}"),
            Err(error) => error,
        };
        let failed = text::failed_tests(output, TAIL_OF_A_TEST);
        let shown = text::indent(&[text::tail(output, TAIL), failed].join("\n"));
        why.context(format!("{} failed\n{shown}\n  log: {}\n  command: {}", self.label, log.display(), self.line()))
    }

    /// As one would type it, without the environment.
    fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
    }
}

fn is_leak(key: &str) -> bool {
    LEAKS.contains(&key) || key.starts_with("CARGO_PKG_")
}

fn watch(mut child: Child, limit: Duration, progress: &mut Progress, log: &Path) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if progress.elapsed() > limit {
            processes::stop_tree(&mut child);
            bail!("stopped after {} s", limit.as_secs());
        }
        progress.beat(|| text::last_line(&read_lossy(log)));
        sleep(POLL);
    }
}

fn read_lossy(path: &Path) -> String {
    // /dev/null reads as empty, so a command without a log just says nothing.
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_environment_keeps_what_users_set() {
        assert!(is_leak("RUSTFLAGS") && is_leak("CARGO_PKG_NAME") && is_leak("CARGO"));
        assert!(!is_leak("CARGO_HOME") && !is_leak("CARGO_TARGET_DIR") && !is_leak("CARGO_NET_OFFLINE"));
    }

    #[test]
    fn a_failure_shows_the_output() {
        let dir = std::env::temp_dir().join(format!("xtask-failure-{}", std::process::id()));
        let error = Cmd::new("sh", "a try").logs(dir.clone()).args(["-c", "echo why; exit 3"]).run().unwrap_err();
        let shown = text::chain(&error);
        assert!(shown.contains("a try failed") && shown.contains("why") && shown.contains("exit status: 3"), "{shown}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_command_that_hangs_is_stopped_with_its_children() {
        let slow = Cmd::new("sh", "hanging").args(["-c", "sleep 7321; true"]).limit(Duration::from_millis(200));
        assert!(text::chain(&slow.run().unwrap_err()).contains("stopped after"));
        let left = processes::table().expect("a process table").len();
        assert!(left > 0);
        let sleeping = Cmd::new("pgrep", "look").args(["-f", "sleep 7321"]).capture();
        assert_eq!(sleeping, None);
    }

    #[test]
    fn a_missing_program_is_no_output() {
        assert_eq!(Cmd::new("no-such-program-here", "missing").capture(), None);
    }
}
