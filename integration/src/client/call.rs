//! One request.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::Response;
use crate::{TestResult, runtime};

type Pool = Client<HttpConnector, Full<Bytes>>;

static HTTP1: LazyLock<Pool> = LazyLock::new(|| pool(false));
static HTTP2: LazyLock<Pool> = LazyLock::new(|| pool(true));

/// Long on a loopback and between containers; a container that is gone doesn't even refuse.
const CONNECT: Duration = Duration::from_secs(1);

/// A request to 127.0.0.1, made step by step; it can be sent any number of times.
#[derive(Clone, Debug)]
pub struct Call {
    address: IpAddr,
    port: u16,
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
    timeout: Duration,
    http2: bool,
    fresh: bool,
}

// === impl Call ===

impl Call {
    /// A GET with a timeout of 10 s.
    pub fn get(port: u16, path: &str) -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port,
            method: Method::GET,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(10),
            http2: false,
            fresh: false,
        }
    }

    /// A POST with a timeout of 10 s.
    pub fn post(port: u16, path: &str, body: &[u8]) -> Self {
        Self { method: Method::POST, body: Bytes::copy_from_slice(body), ..Self::get(port, path) }
    }

    /// Another method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Another machine, as for clients in a container.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// Another port: the same request to another proxy.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Another path.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// Adds a header. The value may hold any byte but controls: `b"\xff"` is data. What the client itself refuses
    /// goes through [`raw`](super::raw).
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Adds several headers.
    #[must_use]
    pub fn headers(self, headers: &[(&str, &str)]) -> Self {
        headers.iter().fold(self, |call, (name, value)| call.header(name, value))
    }

    /// Time until the last byte of the answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Speaks HTTP/2 without TLS (prior knowledge).
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Opens a connection for this request alone, as for a listener that was just replaced.
    #[must_use]
    pub fn fresh_connection(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// Sends it and waits for the whole answer.
    ///
    /// # Errors
    /// When there is no complete answer: refused, cut, or too late. A status is never an error.
    pub fn send(&self) -> TestResult<Response> {
        runtime::block_on(self.fetch())
    }

    pub(crate) async fn fetch(&self) -> TestResult<Response> {
        let start = Instant::now();
        let answer = tokio::time::timeout(self.timeout, async { collect(self.open().await?, start).await });
        answer.await.map_err(|_| anyhow!("no complete answer from {self} within {:?}", self.timeout))?
    }

    /// Sends it and returns at the headers.
    pub(super) async fn open(&self) -> TestResult<hyper::Response<Incoming>> {
        let request = self.request()?;
        let answer = match (self.fresh, self.http2) {
            (true, http2) => pool(http2).request(request).await,
            (false, true) => HTTP2.request(request).await,
            (false, false) => HTTP1.request(request).await,
        };
        answer.map_err(|error| anyhow!("no answer from {self}: {}", causes(&error)))
    }

    fn request(&self) -> TestResult<Request<Full<Bytes>>> {
        let uri = format!("http://{}{}", SocketAddr::from((self.address, self.port)), self.path);
        let mut request = Request::builder().method(self.method.clone()).uri(uri).body(Full::new(self.body.clone()))?;
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value).with_context(|| format!("header {name}"))?;
            request.headers_mut().append(HeaderName::try_from(name)?, value);
        }
        Ok(request)
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}{}", self.method, SocketAddr::from((self.address, self.port)), self.path)
    }
}

/// The messages of an error and of all that caused it: hyper's first one rarely tells.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let inner = error.source().map(|source| format!(": {}", causes(source)));
    format!("{error}{}", inner.unwrap_or_default())
}

fn pool(http2: bool) -> Pool {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    Client::builder(TokioExecutor::new()).http2_only(http2).build(connector)
}

async fn collect(answer: hyper::Response<Incoming>, start: Instant) -> TestResult<Response> {
    let (head, mut incoming) = answer.into_parts();
    let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| cut(head.status.as_u16(), body.len(), &error))?;
        match frame.into_data() {
            Ok(data) => body.extend_from_slice(&data),
            Err(other) => trailers = other.into_trailers().unwrap_or_default(),
        }
    }
    ensure!(!cut_quietly(head.version, &incoming), "status {}, but the stream was cut", head.status.as_u16());
    Ok(Response { status: head.status.as_u16(), headers: head.headers, trailers, body, elapsed: start.elapsed() })
}

/// Envoy 1.36 cuts an HTTP/2 stream with `NO_ERROR`, which hyper takes for an end.
pub(super) fn cut_quietly(version: Version, ended: &Incoming) -> bool {
    version == Version::HTTP_2 && !ended.is_end_stream()
}

fn cut(status: u16, bytes: usize, error: &hyper::Error) -> anyhow::Error {
    anyhow!("status {status}, but the body was cut after {bytes} bytes: {}", causes(error))
}
