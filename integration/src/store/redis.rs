//! A redis-server.

use std::time::Duration;

use anyhow::ensure;

use super::server::Server;
use crate::port::ReservedPort;
use crate::{TestResult, eventually_eq};

/// To have read what it kept.
const LOADED: Duration = Duration::from_secs(10);

/// A redis-server, without persistence unless told otherwise.
#[derive(Debug)]
pub struct Redis(Server);

/// A Redis to be: keeps nothing, evicts nothing.
#[derive(Clone, Debug)]
pub struct RedisOptions(Vec<String>);

/// A command as Redis wants it: an array of its parts.
pub fn command(parts: &[&str]) -> Vec<u8> {
    let bulks: Vec<String> = parts.iter().map(|part| format!("${}\r\n{part}\r\n", part.len())).collect();
    format!("*{}\r\n{}", parts.len(), bulks.concat()).into_bytes()
}

// === impl Redis ===

impl Redis {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When it isn't installed, or doesn't serve in time.
    pub fn start() -> TestResult<Self> {
        Self::options().start()
    }

    /// One with other options.
    pub fn options() -> RedisOptions {
        RedisOptions(Vec::new()).set("--save", "").set("--appendonly", "no").set("--bind", "127.0.0.1")
    }

    /// Where it listens, also after a restart.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Sends commands and gives all replies. Redis cuts the replies of a long pipeline when it sees the half-close, unless `QUIT` is its end.
    ///
    /// # Errors
    /// When there is no connection, or no end within 5 s.
    pub fn call(&self, commands: &[u8]) -> TestResult<Vec<u8>> {
        self.0.call(commands)
    }

    /// Sends one command, and gives its reply as it is sent.
    ///
    /// # Errors
    /// When there is none, or it is an error.
    pub fn ask(&self, parts: &[&str]) -> TestResult<String> {
        let reply = String::from_utf8_lossy(&self.call(&command(parts))?).into_owned();
        ensure!(!reply.is_empty() && !reply.starts_with('-'), "{parts:?}: {reply:?}");
        Ok(reply)
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

    /// Kills it if it runs, starts it on the same port and folder, and waits until it has read what it kept.
    ///
    /// # Errors
    /// When it doesn't serve in time.
    pub fn restart(&self) -> TestResult {
        self.0.restart()?;
        self.until_loaded()
    }

    fn until_loaded(&self) -> TestResult {
        eventually_eq("Redis has loaded", LOADED, &"+PONG\r\n".to_owned(), || self.ask(&["PING"]))
    }
}

// === impl RedisOptions ===

impl RedisOptions {
    /// Writes every command to disk before it is acknowledged (`appendfsync always`).
    #[must_use]
    pub fn durable(self) -> Self {
        self.set("--appendonly", "yes").set("--appendfsync", "always")
    }

    /// Drops keys by `policy` (for example `allkeys-lru`) when they take more than `bytes`.
    #[must_use]
    pub fn evicting(self, policy: &str, bytes: u64) -> Self {
        self.set("--maxmemory-policy", policy).set("--maxmemory", &bytes.to_string())
    }

    /// Any other option of redis-server's, as `"--requirepass", "secret"`; the last one of a name counts.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.0.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub fn start(self) -> TestResult<Redis> {
        self.start_on(ReservedPort::new()?)
    }

    pub(super) fn start_on(self, port: ReservedPort) -> TestResult<Redis> {
        let options = self.set("--port", &port.number().to_string());
        let redis = Redis(Server::start("redis-server", port, options.0)?);
        redis.until_loaded()?;
        Ok(redis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        assert_eq!(command(&["GET", "€"]), "*2\r\n$3\r\nGET\r\n$3\r\n€\r\n".as_bytes());
    }
}
