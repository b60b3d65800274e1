//! Real stores: a redis-server and a memcached on loopback, killed when dropped.
//!
//! [`Redis::call`] and [`Memcached::call`] do what Envoy's tunnel does: a connection per call, the commands, a half-close, and all that comes
//! back.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::TestResult;
use crate::process::{Process, guarded};

/// To be listening.
const START: Duration = Duration::from_secs(5);
/// For a call.
const CALL: Duration = Duration::from_secs(5);
/// The chosen port may be taken by somebody else in between.
const TRIES: usize = 3;

/// A redis-server without persistence.
#[derive(Debug)]
pub struct Redis(Server);

/// A memcached.
#[derive(Debug)]
pub struct Memcached(Server);

#[derive(Debug)]
struct Server {
    process: Process,
    port: u16,
    /// Its working directory, gone with it.
    _folder: TempDir,
}

// === impl Redis ===

impl Redis {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When it isn't installed, or is not listening within 5 s.
    pub fn start() -> TestResult<Self> {
        let arguments = |port: &str| {
            ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(OsString::from)
        };
        Server::start("redis-server", |port| arguments(port).into()).map(Self)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.0.process.pid()
    }

    /// Sends commands and gives all replies.
    ///
    /// # Errors
    /// When there is no connection, or no end within 5 s.
    pub fn call(&self, commands: &[u8]) -> TestResult<Vec<u8>> {
        self.0.call(commands)
    }
}

// === impl Memcached ===

impl Memcached {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When it isn't installed, or is not listening within 5 s.
    pub fn start() -> TestResult<Self> {
        // It refuses to run as root without being told to; others can't change their user and are not asked to.
        let arguments = |port: &str| ["-l", "127.0.0.1", "-p", port, "-U", "0", "-u", "root"].map(OsString::from);
        Server::start("memcached", |port| arguments(port).into()).map(Self)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.0.process.pid()
    }

    /// Sends commands and gives all replies.
    ///
    /// # Errors
    /// When there is no connection, or no end within 5 s.
    pub fn call(&self, commands: &[u8]) -> TestResult<Vec<u8>> {
        self.0.call(commands)
    }
}

// === impl Server ===

impl Server {
    fn start(program: &str, arguments: impl Fn(&str) -> Vec<OsString>) -> TestResult<Self> {
        let path = on_path(program).with_context(|| format!("no {program} on PATH: run `cargo xtask setup`"))?;
        let mut last = None;
        for _ in 0..TRIES {
            let port = free_port()?;
            match Self::listening(path.as_os_str(), &arguments(&port.to_string()), port) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no try")?.context(format!("starting {program}")))
    }

    fn listening(program: &OsStr, arguments: &[OsString], port: u16) -> TestResult<Self> {
        let folder = tempfile::Builder::new().prefix("holdfast-store-").tempdir()?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut command = guarded(program);
        command.args(arguments).current_dir(folder.path()).stdout(log.try_clone()?).stderr(log);
        let process = Process::spawn(command)?;
        let start = Instant::now();
        while process.is_running() && start.elapsed() < START {
            if TcpStream::connect(address(port)).is_ok() && process.is_running() {
                return Ok(Self { process, port, _folder: folder });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("not listening on port {port}: {}", std::fs::read_to_string(folder.path().join("log"))?.trim())
    }

    fn call(&self, commands: &[u8]) -> TestResult<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address(self.port), CALL)?;
        stream.set_read_timeout(Some(CALL))?;
        stream.set_write_timeout(Some(CALL))?;
        stream.write_all(commands)?;
        stream.shutdown(Shutdown::Write)?;
        let mut replies = Vec::new();
        stream.read_to_end(&mut replies)?;
        Ok(replies)
    }
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn free_port() -> TestResult<u16> {
    Ok(TcpListener::bind(address(0))?.local_addr()?.port())
}

/// Looked for here, since the guard around the process would report a missing program as its own failure.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
