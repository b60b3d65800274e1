//! What is counted. Labels are words of ours, so there are only so many series.

use core::cell::RefCell;
use sdk_shim::common::Common;
use sdk_shim::host::Host;
use sdk_shim::meter::{Counter, Meter};

/// Far more than there are names and labels.
const MOST_SERIES: u32 = 256;

/// The counters of one entry, each defined when it is first needed.
#[derive(Debug)]
pub struct Metrics {
    meter: Meter,
    counters: RefCell<Vec<(Name, Counter)>>,
}

/// A counter and its labels' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    what: &'static str,
    labels: [Option<(&'static str, &'static str)>; 2],
}

// === impl Metrics ===

impl Metrics {
    /// Of an entry.
    pub fn new<H: Host>(host: &H, common: &Common) -> Self {
        let meter = Meter::new(host, "protocol_health", common.chain.as_str(), &common.instance, MOST_SERIES);
        Self { meter, counters: RefCell::default() }
    }

    /// An attempt came to this.
    pub fn attempt<H: Host>(&self, host: &H, protocol: &'static str, outcome: &'static str) {
        self.add(
            host,
            Name { what: "attempts_total", labels: [Some(("protocol", protocol)), Some(("outcome", outcome))] },
        );
    }

    /// One more of something with a cause.
    pub fn count<H: Host>(&self, host: &H, what: &'static str, cause: &'static str) {
        self.add(host, Name { what, labels: [Some(("cause", cause)), None] });
    }

    fn add<H: Host>(&self, host: &H, name: Name) {
        let known = self.counters.borrow().iter().find(|(known, _)| *known == name).map(|(_, counter)| *counter);
        known.unwrap_or_else(|| self.define(host, name)).add(host);
    }

    fn define<H: Host>(&self, host: &H, name: Name) -> Counter {
        let labels: Vec<_> = name.labels.into_iter().flatten().collect();
        let counter = self.meter.counter(host, name.what, &labels);
        self.counters.borrow_mut().push((name, counter));
        counter
    }
}
