//! Webdis: Redis' commands over HTTP, with a pool of connections to Redis.

use serde_json::json;

use super::server::{Server, folder};
use crate::TestResult;
use crate::port::ReservedPort;

/// A Webdis. `POST /` with `SET/key/value` as its body (each part percent-encoded) answers `{"SET": [true, "OK"]}`.
#[derive(Debug)]
pub struct Webdis(Server);

// === impl Webdis ===

impl Webdis {
    /// Starts one on a free port of 127.0.0.1, in front of the Redis on `redis`, with so many threads.
    ///
    /// # Errors
    /// When it isn't installed, or is not listening within 5 s.
    pub fn start(redis: u16, threads: u16) -> TestResult<Self> {
        let port = ReservedPort::new()?;
        let folder = folder()?;
        let settings = json!({
            "redis_host": "127.0.0.1",
            "redis_port": redis,
            "http_host": "127.0.0.1",
            "http_port": port.number(),
            "threads": threads,
            "pool_size": 20,
            "daemonize": false,
            "logfile": "webdis.log",
            "verbosity": 2,
        });
        std::fs::write(folder.path().join("webdis.json"), settings.to_string())?;
        Ok(Self(Server::start_in(folder, "webdis", port, ["webdis.json"])?))
    }

    /// Where it listens, also after a restart.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Stops the process (SIGSTOP): the kernel takes connections and bytes for it, and nothing is answered.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&self) -> TestResult {
        self.0.pause()
    }

    /// Lets it go on.
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

    /// Kills it if it runs, and starts it on the same port.
    ///
    /// # Errors
    /// When it doesn't listen in time.
    pub fn restart(&self) -> TestResult {
        self.0.restart()
    }
}
