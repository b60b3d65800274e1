//! A real OCI registry on 127.0.0.1: Debian's `docker-registry`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::TestResult;
use crate::port::ReservedPort;
use crate::store::server::{Server, folder};

/// bcrypt of `secret`.
const PASSWORD: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// A registry with nothing in it, gone with its handle.
#[derive(Debug)]
pub struct Registry {
    server: Server,
    folder: PathBuf,
}

// === impl Registry ===

impl Registry {
    /// Starts one that lets everybody in.
    ///
    /// # Errors
    /// When it isn't installed, or is not listening within 5 s.
    pub fn start() -> TestResult<Self> {
        Self::with("")
    }

    /// Starts one that lets `user` in, whose password is `secret`, and nobody else.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn closed() -> TestResult<Self> {
        Self::with("auth: {htpasswd: {realm: test, path: htpasswd}}\n")
    }

    fn with(auth: &str) -> TestResult<Self> {
        let (port, folder) = (ReservedPort::new()?, folder()?);
        let path = folder.path().to_owned();
        fs::write(path.join("htpasswd"), PASSWORD)?;
        let settings = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: data}}}}\nhttp: {{addr: '127.0.0.1:{}', secret: none}}\n{auth}",
            port.number()
        );
        fs::write(path.join("config.yml"), settings)?;
        let server = Server::start_in(folder, "docker-registry", port, ["serve", "config.yml"])?;
        Ok(Self { server, folder: path })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The file of a blob or a manifest, by its digest.
    ///
    /// # Errors
    /// When the digest isn't one.
    pub fn file(&self, digest: &str) -> TestResult<PathBuf> {
        let hex = digest.strip_prefix("sha256:").context("a sha256 digest")?;
        let start = hex.get(..2).context("a digest in hex")?;
        Ok(self.folder.join("data/docker/registry/v2/blobs/sha256").join(start).join(hex).join("data"))
    }
}
