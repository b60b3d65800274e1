//! A memcached.

use super::server::Server;
use crate::TestResult;
use crate::port::ReservedPort;

/// A memcached: keeps nothing when it ends, and evicts when its memory (64 MB) is full.
#[derive(Debug)]
pub struct Memcached(Server);

// === impl Memcached ===

impl Memcached {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When it isn't installed, or is not listening within 5 s.
    pub fn start() -> TestResult<Self> {
        let port = ReservedPort::new()?;
        let number = port.number().to_string();
        // It refuses to run as root without being told to; others can't change their user and are not asked to.
        let arguments = ["-l", "127.0.0.1", "-p", &number, "-U", "0", "-u", "root"];
        Ok(Self(Server::start("memcached", port, arguments)?))
    }

    /// Where it listens, also after a restart.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Sends commands and gives all replies.
    ///
    /// # Errors
    /// When there is no connection, or no end within 5 s.
    pub fn call(&self, commands: &[u8]) -> TestResult<Vec<u8>> {
        self.0.call(commands)
    }

    /// Stops the process (SIGSTOP): the kernel takes connections and bytes for it, and nothing is answered.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&self) -> TestResult {
        self.0.pause()
    }

    /// Lets it go on: what was sent in the meantime is done now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&self) -> TestResult {
        self.0.resume()
    }

    /// Kills it (SIGKILL); its port refuses connections from now on.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Kills it if it runs, and starts it on the same port, empty.
    ///
    /// # Errors
    /// When it doesn't listen in time.
    pub fn restart(&self) -> TestResult {
        self.0.restart()
    }
}
