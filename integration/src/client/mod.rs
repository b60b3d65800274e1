//! Clients with a bound on everything: HTTP/1, HTTP/2, raw bytes, gRPC, SSE, WebSocket, and many of them at once.
//!
//! ```no_run
//! use std::time::Duration;
//! use integration::{client, Call, Storm, TestResult};
//!
//! fn talk(port: u16) -> TestResult {
//!     let reply = client::get(port, "/orders", &[("x-tenant", "blue")])?;
//!     assert_eq!((reply.status, reply.served_by()), (200, Some("first")));
//!
//!     let tally = Storm::new(Call::get(port, "/")).concurrency(64).total(1_000).run(Duration::from_secs(10))?;
//!     assert_eq!(tally.status(200), 1_000);
//!     Ok(())
//! }
//! ```

mod call;
mod grpc;
mod raw;
mod response;
mod sse;
mod storm;
mod tally;
mod ws;

pub use call::Call;
pub use grpc::{GrpcReply, grpc, grpc_call};
pub(crate) use grpc::{framed, unframed};
pub use raw::raw;
pub use response::Response;
pub use sse::{Event, Sse, Transcript};
pub use storm::{Running, Storm};
pub use tally::{Sample, Tally};
pub use ws::WebSocket;

use std::time::Duration;

use crate::TestResult;

/// GET over HTTP/1 on a kept-alive connection, with a timeout of 10 s. [`Call`] has the rest.
///
/// # Errors
/// When there is no complete answer: refused, cut, or too late. A status is never an error.
pub fn get(port: u16, path: &str, headers: &[(&str, &str)]) -> TestResult<Response> {
    Call::get(port, path).headers(headers).send()
}

/// `total` GETs, `concurrency` at a time, over in `deadline`. [`Storm`] has the rest.
///
/// # Errors
/// When `path` is not a path.
pub fn storm(port: u16, path: &str, concurrency: usize, total: usize, deadline: Duration) -> TestResult<Tally> {
    Storm::new(Call::get(port, path)).concurrency(concurrency).total(total).run(deadline)
}
