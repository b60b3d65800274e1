//! What is counted per key of the configuration (`route` unless configured otherwise), each counter defined when it is first needed.

use core::cell::RefCell;
use sdk_shim::common::Common;
use sdk_shim::host::Host;
use sdk_shim::labels::Label;
use sdk_shim::meter::{Counter, Meter};

/// Metrics per key, at most.
pub const SERIES_PER_KEY: u32 = 48;

/// The meter of an entry.
pub fn meter<H: Host>(host: &H, common: &Common) -> Meter {
    let cap = common.max_keys.saturating_mul(SERIES_PER_KEY).saturating_add(64);
    Meter::new(host, "idempotency", common.chain.as_str(), &common.instance, cap)
}

/// The metrics of one key.
#[derive(Debug)]
pub struct Side {
    key: String,
    /// By metric and label; both are words of ours, so there are only so many.
    counters: RefCell<Vec<((&'static str, &'static str), Counter)>>,
}

// === impl Side ===

impl Side {
    /// Nothing is defined before it is needed.
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned(), counters: RefCell::default() }
    }

    /// The key's name.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Adds 1 to `what`, labelled with `cause` unless that is empty.
    pub fn count<H: Host>(&self, host: &H, meter: &Meter, what: &'static str, cause: &'static str) {
        let known = self.counters.borrow().iter().find(|(name, _)| *name == (what, cause)).map(|(_, counter)| *counter);
        known.unwrap_or_else(|| self.define(host, meter, what, cause)).add(host);
    }

    fn define<H: Host>(&self, host: &H, meter: &Meter, what: &'static str, cause: &'static str) -> Counter {
        let key = (Label::Key, self.key.as_str());
        let counter = match cause {
            "" => meter.counter(host, what, &[key]),
            cause => meter.counter(host, what, &[key, (Label::Cause, cause)]),
        };
        self.counters.borrow_mut().push(((what, cause), counter));
        counter
    }
}
