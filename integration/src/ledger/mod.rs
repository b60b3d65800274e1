//! A payment service that knows what it did: the judge of "at most once".
//!
//! It speaks HTTP/1 and HTTP/2 without TLS on one port of 127.0.0.1. Every request but GET and HEAD, on any path, is one *execution*, booked as
//! soon as its body is there: before the delay, before whatever [`Trouble`] follows, and whether its client still waits or not. The answer is
//! 201, unique:
//!
//! ```text
//! location: /payments/7          etag: "7"            content-type: application/json
//! set-cookie: session=7          x-trace-id: 7        x-upstream: ledger
//! {"payment": 7, "key": "\"k-1\""}
//! ```
//!
//! GET and HEAD execute nothing and are answered with 200 and the number of executions, unless [`Ledger::trouble_reads`] lets them meet the same.
//!
//! ```no_run
//! # use integration::{Ledger, TestResult, ledger::Trouble};
//! # fn main() -> TestResult {
//! let ledger = Ledger::start()?;
//! ledger.trouble(Trouble::Reset, 5);
//! // … a storm of repeated payments through the gateways …
//! assert!(ledger.repeated().is_empty(), "paid twice: {:?}", ledger.repeated());
//! # Ok(()) }
//! ```

mod book;
mod server;
mod trouble;

pub use book::Execution;
pub use trouble::{Delay, Trouble};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::port::address;
use crate::{TestResult, runtime};
use server::State;

/// A running service; dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Ledger {
    state: Arc<State>,
}

// === impl Ledger ===

impl Ledger {
    /// Starts one that is well, on a port that the kernel chooses.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> TestResult<Self> {
        Self::start_at("ledger", address(0))
    }

    /// Starts one under a name of its own, at an address that is known beforehand.
    ///
    /// # Errors
    /// When something else listens there.
    pub fn start_at(name: &str, address: SocketAddr) -> TestResult<Self> {
        Ok(Self { state: server::start_at(name, address)? })
    }

    /// Its port, also after a restart.
    pub fn port(&self) -> u16 {
        self.state.port.number()
    }

    /// How long answers take from now on.
    pub fn delay(&self, delay: Delay) {
        self.state.switches().delay = delay;
    }

    /// What happens from now on to so many of 100 requests, drawn anew for each, the same in every run.
    pub fn trouble(&self, trouble: Trouble, percent: u8) {
        let mut switches = self.state.switches();
        (switches.trouble, switches.percent) = (trouble, percent);
    }

    /// Whether GET and HEAD meet trouble and delay too from now on. At first they don't.
    pub fn trouble_reads(&self, reads: bool) {
        self.state.switches().reads = reads;
    }

    /// Adds so many bytes to each answer's body from now on.
    pub fn pad_answers(&self, bytes: usize) {
        self.state.switches().padding = bytes;
    }

    /// Cuts all connections, those of payments under way too, and refuses new ones: the whole service is killed. Its book is kept.
    pub fn kill(&self) {
        runtime::block_on(self.state.port.serve(false));
    }

    /// Serves again, on the same port.
    pub fn restart(&self) {
        runtime::block_on(self.state.port.serve(true));
    }

    /// The executions of one key (the header `idempotency-key` as it came; empty where there was none), in their order.
    pub fn executions(&self, key: &str) -> Vec<Execution> {
        self.state.book().of(key)
    }

    /// All executions, in their order.
    pub fn all(&self) -> Vec<Execution> {
        self.state.book().all().to_vec()
    }

    /// The keys that were executed more than once, and how often. Requests without a key are none.
    pub fn repeated(&self) -> BTreeMap<String, usize> {
        self.state.book().repeated()
    }

    /// How often each key was executed. Requests without a key are none.
    pub fn executed(&self) -> BTreeMap<String, usize> {
        self.state.book().executed()
    }

    /// How many keys were executed.
    pub fn keys(&self) -> usize {
        self.state.book().keys()
    }

    /// Executions in all.
    pub fn total(&self) -> usize {
        self.state.book().all().len()
    }

    /// Requests that came, reads among them where trouble meets those too.
    pub fn asked(&self) -> u64 {
        self.state.asked()
    }

    /// Payments that [`Trouble::Decline`] or [`Trouble::Degrade`] met: nothing was done.
    pub fn declined(&self) -> usize {
        self.state.book().declined
    }

    /// The fences (`x-holdfast-fence`) that a key's executions came with, in their order; `None` where one was missing or no number.
    pub fn fences(&self, key: &str) -> Vec<Option<u64>> {
        self.executions(key).iter().map(|execution| execution.fence).collect()
    }

    /// Forgets all executions.
    pub fn forget(&self) {
        self.state.book().forget();
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.state.port.stop();
    }
}
