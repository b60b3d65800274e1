//! Whether this node is being taken out of service.
//!
//! No property says so (docs/hosts.md, F8). But Envoy's own health check filter answers 503 once an operator has said `/healthcheck/fail`: an internal
//! listener with that filter is asked, once a second. Without an answer what was known stands.

use core::cell::Cell;
use core::time::Duration;
use sdk_shim::entry::Answer;
use sdk_shim::host::{Callout, CalloutId, Host};
use sdk_shim::time::Instant;

/// Ticks while nothing else is to be done.
pub const PERIOD: Duration = Duration::from_millis(100);
/// How often Envoy is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long it has to answer.
const TIMEOUT: Duration = Duration::from_millis(500);
/// A client that lost its stream comes back after this, and as much again by chance: many lose theirs at once.
const RETRY: u64 = 1_000;

/// The header that Envoy's health check filter leaves on each of its answers.
pub const BY_HEALTH_CHECK: &str = "x-envoy-upstream-healthchecked-cluster";

/// Who says that the node drains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody.
    Nobody,
    /// The configuration.
    Said(bool),
    /// This cluster, by 503.
    Cluster(String),
}

/// What is known.
#[derive(Debug)]
pub struct Drain {
    source: Source,
    draining: Cell<bool>,
    flight: Cell<Option<CalloutId>>,
    asked: Cell<Option<Instant>>,
}

// === impl Source ===

impl Source {
    /// Whether somebody is to be asked.
    pub const fn asks(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

// === impl Drain ===

impl Drain {
    /// From this source; `draining` as it was when somebody asked last.
    pub const fn new(source: Source, draining: bool) -> Self {
        let draining = match source {
            Source::Said(word) => word,
            Source::Cluster(_) => draining,
            Source::Nobody => false,
        };
        Self { source, draining: Cell::new(draining), flight: Cell::new(None), asked: Cell::new(None) }
    }

    /// Whether it drains, as far as is known.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether it ever may.
    pub const fn is_watched(&self) -> bool {
        !matches!(self.source, Source::Nobody)
    }

    /// Whether somebody is to be asked.
    pub const fn asks(&self) -> bool {
        self.source.asks()
    }

    /// Asks, when it is time. In the root's ticks.
    pub fn tick<H: Host>(&self, host: &H) {
        let Source::Cluster(cluster) = &self.source else { return };
        let now = host.now();
        let waits = |asked: Instant| asked <= now && now.since(asked) < EVERY;
        if self.asked.get().is_some_and(waits) {
            return;
        }
        self.asked.set(Some(now));
        let headers = [(":method", "GET"), (":path", "/drain"), (":authority", cluster.as_str())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let callout = Callout { upstream: cluster.clone(), headers, body: Vec::new(), timeout: TIMEOUT };
        self.flight.set(host.dispatch(&callout).ok());
    }

    /// A call of the root was answered with this status; false where it wasn't ours.
    pub fn answered(&self, answer: Answer, status: Option<u32>) -> bool {
        let ours = self.flight.get() == Some(answer.id);
        if ours {
            self.flight.set(None);
            match status {
                Some(503) => self.draining.set(true),
                Some(200) => self.draining.set(false),
                _ => {}
            }
        }
        ours
    }
}

/// What an event stream is told while its node drains, by a draw.
pub fn hint(draw: u64) -> String {
    format!("retry: {}\n\n", RETRY + draw % RETRY)
}

/// Whether an event has just ended: whatever follows begins a new one.
pub fn is_between_events(end: &[u8]) -> bool {
    end.ends_with(b"\n\n") || end.ends_with(b"\r\n\r\n") || end.ends_with(b"\r\r")
}
