//! A store's process, or Prometheus'.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::TestResult;
use crate::port::{ReservedPort, address};
use crate::process::{Process, guarded};

/// To be listening.
const START: Duration = Duration::from_secs(5);
/// For a call.
const CALL: Duration = Duration::from_secs(5);

/// A program that serves one port of 127.0.0.1, in a folder of its own. Both stay what they are when it is started again.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    arguments: Vec<OsString>,
    port: ReservedPort,
    process: Mutex<Process>,
    /// Its working directory, gone with it.
    folder: TempDir,
}

// === impl Server ===

impl Server {
    /// Starts `program` and waits until it listens.
    pub(super) fn start<A: Into<OsString>>(
        program: &str,
        port: ReservedPort,
        arguments: impl IntoIterator<Item = A>,
    ) -> TestResult<Self> {
        Self::start_in(folder()?, program, port, arguments)
    }

    /// The same in a folder where something has been put for it.
    pub(crate) fn start_in<A: Into<OsString>>(
        folder: TempDir,
        program: &str,
        port: ReservedPort,
        arguments: impl IntoIterator<Item = A>,
    ) -> TestResult<Self> {
        let path = on_path(program).with_context(|| format!("no {program} on PATH: run `cargo xtask setup`"))?;
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let process = Mutex::new(spawn(path.as_os_str(), &arguments, &folder)?);
        let server = Self { program: path, arguments, port, process, folder };
        server.until_listening().with_context(|| format!("starting {program}"))?;
        Ok(server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(super) fn pid(&self) -> u32 {
        self.process().pid()
    }

    pub(super) fn pause(&self) -> TestResult {
        self.process().signal(Signal::STOP)
    }

    pub(super) fn resume(&self) -> TestResult {
        self.process().signal(Signal::CONT)
    }

    pub(super) fn kill(&self) {
        self.process().kill();
    }

    /// Kills it if it runs, and starts it again on the same port, in the same folder.
    pub(super) fn restart(&self) -> TestResult {
        self.kill();
        *self.process() = spawn(self.program.as_os_str(), &self.arguments, &self.folder)?;
        self.until_listening()
    }

    pub(super) fn call(&self, commands: &[u8]) -> TestResult<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address(self.port()), CALL)?;
        stream.set_read_timeout(Some(CALL))?;
        stream.set_write_timeout(Some(CALL))?;
        stream.write_all(commands)?;
        stream.shutdown(Shutdown::Write)?;
        let mut replies = Vec::new();
        stream.read_to_end(&mut replies)?;
        Ok(replies)
    }

    fn until_listening(&self) -> TestResult {
        let start = Instant::now();
        while self.process().is_running() && start.elapsed() < START {
            if TcpStream::connect(address(self.port())).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = std::fs::read_to_string(self.folder.path().join("log"))?;
        bail!("not listening on port {}: {}", self.port(), log.trim())
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn folder() -> TestResult<TempDir> {
    tempfile::Builder::new().prefix("holdfast-store-").tempdir().context("a folder for a store")
}

fn spawn(program: &OsStr, arguments: &[OsString], folder: &TempDir) -> TestResult<Process> {
    let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log"))?;
    let mut command = guarded(program);
    command.args(arguments).current_dir(folder.path()).stdout(log.try_clone()?).stderr(log);
    Process::spawn(command)
}

/// Looked for here, since the guard around the process would report a missing program as its own failure.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
