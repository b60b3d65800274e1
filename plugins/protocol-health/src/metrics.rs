//! What is counted. Labels are words of ours, so there are only so many series.

use crate::protocol::Protocol;
use core::cell::RefCell;
use sdk_shim::common::Common;
use sdk_shim::host::Host;
use sdk_shim::labels::Label;
use sdk_shim::meter::{Counter, Lazy, Meter};
use sdk_shim::outcome::Outcome;

/// Far more than there are names and labels.
pub const MOST_SERIES: u32 = 256;

/// The counters of one entry, each defined when it is first needed.
#[derive(Debug)]
pub struct Metrics {
    meter: Meter,
    /// By protocol and outcome, both in the order of their types: looked up for each attempt.
    attempts: [[Lazy; Outcome::ALL.len()]; Protocol::ALL.len()],
    counters: RefCell<Vec<(Name, Counter)>>,
}

/// A counter and its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    what: &'static str,
    cause: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Of an entry.
    pub fn new<H: Host>(host: &H, common: &Common) -> Self {
        let meter = Meter::new(host, "protocol_health", common.chain.as_str(), &common.instance, MOST_SERIES);
        Self { meter, attempts: Default::default(), counters: RefCell::default() }
    }

    /// An attempt came to this.
    pub fn attempt<H: Host>(&self, host: &H, protocol: Protocol, outcome: Outcome) {
        let lazy = self.attempts.get(protocol as usize).and_then(|outcomes| outcomes.get(outcome as usize));
        let labels = [(Label::Protocol, protocol.as_str()), (Label::Outcome, outcome.as_str())];
        if let Some(lazy) = lazy {
            lazy.get(|| self.meter.counter(host, "attempts_total", &labels)).add(host);
        }
    }

    /// One more of something with a cause.
    pub fn count<H: Host>(&self, host: &H, what: &'static str, cause: &'static str) {
        let name = Name { what, cause };
        let known = self.counters.borrow().iter().find(|(known, _)| *known == name).map(|(_, counter)| *counter);
        known.unwrap_or_else(|| self.define(host, name)).add(host);
    }

    fn define<H: Host>(&self, host: &H, name: Name) -> Counter {
        let counter = self.meter.counter(host, name.what, &[(Label::Cause, name.cause)]);
        self.counters.borrow_mut().push((name, counter));
        counter
    }
}
