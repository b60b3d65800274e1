//! A service that fails on command.
//!
//! It speaks HTTP/1 and HTTP/2 without TLS on one port of 127.0.0.1:
//!
//! | request | answer |
//! |---|---|
//! | any path | 200, JSON `{"upstream": name, "path": …, "body_bytes": …}` |
//! | `/echo` | the same with the request's `headers` (an object of arrays) |
//! | `/sse?events=10&every_ms=100` | that many events `data: <n>` |
//! | `/ws` with an upgrade | a WebSocket that echoes |
//! | POST with `content-type: application/grpc…` | the message echoed and `grpc-status`, as [`Grpc`] says |
//! | the same to `/grpc.health.v1.Health/Check`, after [`Upstream::serve_grpc_health`] | `SERVING`, and the status as above |
//! | `/healthz` | 200, or what [`Upstream::set_health`] says; never counted |
//! | `/control?fault=status:503&health=hang&grpc=trailers:14` | moves the same switches from outside; never counted |
//!
//! Every answer carries `x-upstream: <name>`. A request with `x-upstream-fault: <fault>` meets that fault alone, and one with
//! `x-upstream-answer: {"status": 201, "headers": [["location", "/1"]], "body": "made"}` gets that answer.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use integration::{Fault, TestResult, Upstream};
//! # fn main() -> TestResult {
//! let orders = Upstream::start("orders")?;
//! orders.set(Fault::Slow(Duration::from_millis(300)));
//! // … requests through the proxy …
//! assert!(orders.hits() <= 5 && orders.peak_concurrency() == 1);
//! # Ok(()) }
//! ```

mod fault;
mod ledger;
mod reply;
mod server;

pub use fault::{Answer, Fault, Grpc};
pub use ledger::Seen;

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderValue};

use crate::port::address;
use crate::{TestResult, runtime};
use server::State;

/// A running service; dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Upstream {
    state: Arc<State>,
}

// === impl Upstream ===

impl Upstream {
    /// Starts a healthy service on a port that the kernel chooses.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(name: &str) -> TestResult<Self> {
        Self::start_at(name, address(0))
    }

    /// Starts a healthy service at an address that is known beforehand.
    ///
    /// # Errors
    /// When something else listens there.
    pub fn start_at(name: &str, address: SocketAddr) -> TestResult<Self> {
        Ok(Self { state: server::start_at(name, address)? })
    }

    /// The name that it answers with.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Its port; it keeps it while it refuses connections.
    pub fn port(&self) -> u16 {
        self.state.port.number()
    }

    /// What requests meet from now on. [`Fault::Refuse`] cuts all connections, and has taken effect when this returns.
    pub fn set(&self, fault: Fault) {
        runtime::block_on(self.meet(fault));
    }

    /// The same for who is on the runtime already.
    pub(crate) async fn meet(&self, fault: Fault) {
        self.state.set_fault(fault).await;
    }

    /// What gRPC calls are answered with while the fault is [`Fault::Healthy`] or [`Fault::Slow`].
    pub fn set_grpc(&self, grpc: Grpc) {
        self.state.switches().grpc = grpc;
    }

    /// Answers gRPC's health checks by `SERVING` from now on, where other calls are echoed.
    pub fn serve_grpc_health(&self) {
        self.state.switches().serving = true;
    }

    /// What requests that are no gRPC calls, streams or health checks are answered with while the fault is [`Fault::Healthy`] or [`Fault::Slow`].
    pub fn set_answer(&self, answer: Answer) {
        self.state.switches().answer = Some(answer);
    }

    /// Headers of all answers from now on, besides their own; a value may hold any byte but controls.
    ///
    /// # Errors
    /// When HTTP has no such header.
    pub fn set_headers(&self, headers: &[(&str, &[u8])]) -> TestResult {
        let parsed = headers.iter().map(|(name, value)| anyhow::Ok((name.parse()?, HeaderValue::from_bytes(value)?)));
        self.state.switches().headers = parsed.collect::<TestResult<HeaderMap>>()?;
        Ok(())
    }

    /// What `/healthz` meets.
    pub fn set_health(&self, fault: Fault) {
        self.state.switches().health = fault;
    }

    /// Requests received since the start or [`Upstream::reset_counts`].
    pub fn hits(&self) -> u64 {
        self.state.ledger.lock().hits
    }

    /// Requests received for one path (without its query).
    pub fn hits_on(&self, path: &str) -> u64 {
        self.state.ledger.lock().by_path.get(path).copied().unwrap_or(0)
    }

    /// Health checks received.
    pub fn health_checks(&self) -> u64 {
        self.state.ledger.lock().health_checks
    }

    /// The most requests that were in flight at once; a request that hangs, or a stream, is in flight until it is cut.
    pub fn peak_concurrency(&self) -> usize {
        self.state.ledger.lock().peak
    }

    /// Requests in flight now.
    pub fn in_flight(&self) -> usize {
        self.state.ledger.lock().in_flight
    }

    /// The requests since the start or the last reset with their time and headers, the first 100,000 of them.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.ledger.lock().seen.clone()
    }

    /// Forgets all counts; the peak starts again from the requests in flight.
    pub fn reset_counts(&self) {
        self.state.ledger.lock().reset();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.state.port.stop();
    }
}
