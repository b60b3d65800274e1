//! A connection to one node.
//!
//! Own code, on the encoder that the plugin has: the `redis` crate would bring another one, and its replies would have to be made into ours before the
//! plugin's functions can read them. What is needed besides is a socket, a deadline, and TLS, which is here already for registries.

use super::address::split;
use idempotency::store::Failure;
use idempotency::store::resp;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most bytes that replies may have: a page of the index is below one of 64.
const MOST: usize = 32 << 20;
const CHUNK: usize = 64 << 10;

pub(super) struct Connection {
    stream: Stream,
    timeout: Duration,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// Who is believed: the certificate authorities of this machine (`SSL_CERT_FILE` names others).
pub(super) fn tls() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.and_then(rustls::ConfigBuilder::with_platform_verifier);
    config.map(|config| Arc::new(config.with_no_client_auth())).map_err(|error| format!("TLS: {error}"))
}

// === impl Connection ===

impl Connection {
    pub(super) fn open(node: &str, tls: Option<&Arc<ClientConfig>>, timeout: Duration) -> Result<Self, String> {
        let (host, port) = split(node).ok_or("no HOST:PORT")?;
        let tcp = connect(host, port, timeout).map_err(|error| told(&error))?;
        tcp.set_nodelay(true).map_err(|error| told(&error))?;
        let stream = match tls {
            None => Stream::Plain(tcp),
            Some(config) => {
                let name =
                    ServerName::try_from(host.to_owned()).map_err(|_| "no name that a certificate could have")?;
                let session =
                    ClientConnection::new(Arc::clone(config), name).map_err(|error| format!("TLS: {error}"))?;
                Stream::Tls(Box::new(StreamOwned::new(session, tcp)))
            }
        };
        Ok(Self { stream, timeout })
    }

    /// Sends commands, and waits for so many replies, all of them within the timeout. After a failure nobody knows whose bytes would come next: the
    /// connection must be dropped.
    pub(super) fn exchange(&mut self, commands: &[u8], wanted: usize) -> Result<Vec<u8>, String> {
        let until = now() + self.timeout;
        let failed = |error: io::Error| told(&error);
        self.wait_until(until).map_err(failed)?;
        self.stream.write_all(commands).and_then(|()| self.stream.flush()).map_err(failed)?;
        let (mut body, mut chunk) = (Vec::new(), vec![0; CHUNK]);
        loop {
            if is_whole(&body, wanted)? {
                return Ok(body);
            }
            self.wait_until(until).map_err(failed)?;
            match self.stream.read(&mut chunk).map_err(failed)? {
                0 if body.is_empty() => {
                    return Err("it closed the connection without a word; does it want TLS (rediss://)?".to_owned());
                }
                0 => return Err("the connection ended before the answer was whole".to_owned()),
                read => body.extend(chunk.iter().take(read)),
            }
            if body.len() > MOST {
                return Err("an answer of more than 32 MiB".to_owned());
            }
        }
    }

    fn wait_until(&self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        let tcp = match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref(),
        };
        tcp.set_read_timeout(Some(left))?;
        tcp.set_write_timeout(Some(left))
    }
}

/// A command's time on somebody's machine; no plugin's clock.
#[allow(clippy::disallowed_methods, reason = "the command has no host that would tell the time")]
fn now() -> Instant {
    Instant::now()
}

/// Each address of the host in turn.
fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "no such host");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn is_whole(body: &[u8], wanted: usize) -> Result<bool, String> {
    let mut failures = resp::replies(body, wanted).into_iter().filter_map(Result::err);
    match failures.next() {
        None => Ok(true),
        Some(Failure::Missing) => Ok(false),
        Some(_) => Err("what answers isn't a Redis, or wants TLS (rediss://)".to_owned()),
    }
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "no answer in time".to_owned(),
        ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "it cut the connection; does it want TLS (rediss://)?".to_owned()
        }
        ErrorKind::UnexpectedEof => "the connection ended before the answer was whole".to_owned(),
        ErrorKind::InvalidData => format!("TLS: {error}"),
        _ => error.to_string(),
    }
}

// === impl Stream ===

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
