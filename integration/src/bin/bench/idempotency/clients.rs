//! The clients: kept HTTP/1 connections, one request under way on each, a key of its own for every request.
//!
//! h2load can't give each request a header of its own. These clients are one thread that does nothing but write and read, so that the proxy is what
//! limits; the row without a filter shows how much they can carry.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::message::{Payload, check, whole};

/// Before anything counts: connections are opened, and waves settle.
const RAMP: Duration = Duration::from_millis(300);
/// For the last answers, and for any answer of a lone request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Many clients at once.
#[derive(Debug)]
pub(crate) struct Clients(Runtime);

/// What a storm came to, in the time that counts.
#[derive(Debug)]
pub(crate) struct Storm<P> {
    pub(crate) answers: f64,
    pub(crate) seconds: f64,
    /// What was looked at when the time began, and when it ended.
    pub(crate) looks: (P, P),
}

/// One client that waits for each answer.
#[derive(Debug)]
pub(crate) struct Lone {
    stream: std::net::TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

#[derive(Debug, Default)]
struct Shared {
    answers: AtomicU64,
    over: AtomicBool,
}

// === impl Clients ===

impl Clients {
    pub(crate) fn new() -> Result<Self> {
        Builder::new_current_thread().enable_all().build().map(Self).context("a runtime for the clients")
    }

    /// Sends `payload` over `connections` connections for `time`, each request after the answer to the one before. `look` sees the begin and the end of
    /// what counts.
    pub(crate) fn storm<P>(
        &self,
        port: u16,
        connections: u32,
        time: Duration,
        payload: &Payload,
        look: impl Fn() -> Result<P>,
    ) -> Result<Storm<P>> {
        let (shared, payload) = (Arc::new(Shared::default()), Arc::new(payload.clone()));
        self.0.block_on(async {
            let mut clients = JoinSet::new();
            for _ in 0..connections {
                clients.spawn(client(port, Arc::clone(&payload), Arc::clone(&shared)));
            }
            let storm = shared.watched(time, look).await;
            shared.over.store(true, Ordering::Relaxed);
            let ends = async {
                while let Some(end) = clients.join_next().await {
                    end??;
                }
                Ok::<_, anyhow::Error>(())
            };
            tokio::time::timeout(PATIENCE, ends).await.context("answers that don't come")??;
            storm
        })
    }
}

// === impl Shared ===

impl Shared {
    async fn watched<P>(&self, time: Duration, look: impl Fn() -> Result<P>) -> Result<Storm<P>> {
        tokio::time::sleep(RAMP).await;
        let (first, begun, before) = (look()?, Instant::now(), self.answers.load(Ordering::Relaxed));
        tokio::time::sleep(time).await;
        let (seconds, after) = (begun.elapsed().as_secs_f64(), self.answers.load(Ordering::Relaxed));
        // Far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let answers = (after - before) as f64;
        Ok(Storm { answers, seconds, looks: (first, look()?) })
    }
}

async fn client(port: u16, payload: Arc<Payload>, shared: Arc<Shared>) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.context("connecting to the proxy")?;
    stream.set_nodelay(true)?;
    let (mut request, mut answer) = (Vec::new(), Vec::with_capacity(2_048));
    while !shared.over.load(Ordering::Relaxed) {
        payload.write(&mut request);
        stream.write_all(&request).await?;
        answer.clear();
        while whole(&answer).is_none() {
            ensure!(stream.read_buf(&mut answer).await? > 0, "the proxy closed a connection");
        }
        check(&answer)?;
        shared.answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

// === impl Lone ===

impl Lone {
    pub(crate) fn connect(port: u16) -> Result<Self> {
        let stream = std::net::TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::new() })
    }

    /// Sends a request and waits for its answer; microseconds from the first byte to the last.
    pub(crate) fn ask(&mut self, payload: &Payload) -> Result<f64> {
        payload.write(&mut self.request);
        let begun = Instant::now();
        self.stream.write_all(&self.request)?;
        self.answer.clear();
        while whole(&self.answer).is_none() {
            let mut chunk = [0; 4_096];
            let count = self.stream.read(&mut chunk)?;
            ensure!(count > 0, "the proxy closed a connection");
            self.answer.extend_from_slice(&chunk[..count]);
        }
        let took = begun.elapsed();
        check(&self.answer)?;
        Ok(took.as_secs_f64() * 1e6)
    }
}
