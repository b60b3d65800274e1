//! What the service saw: the proof that a proxy held requests back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::header::HeaderMap;
use hyper::{Method, Request, Version};

/// A load beyond this is counted, not kept.
const KEPT: usize = 100_000;

/// One request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When its headers were complete.
    pub at: Instant,
    /// Method.
    pub method: Method,
    /// Path without the query.
    pub path: String,
    /// Headers as they came, added ones of the proxy included.
    pub headers: HeaderMap,
    /// HTTP version.
    pub version: Version,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) hits: u64,
    pub(super) health_checks: u64,
    pub(super) by_path: BTreeMap<String, u64>,
    pub(super) in_flight: usize,
    pub(super) peak: usize,
    pub(super) seen: Vec<Seen>,
}

/// A request in flight, until dropped.
#[derive(Debug)]
pub(super) struct Visit {
    ledger: Arc<Ledger>,
    /// Requests before this one, since the last reset.
    pub(super) turn: u64,
}

// === impl Seen ===

impl Seen {
    /// A header's first value; `None` where it is absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter<B>(self: &Arc<Self>, request: &Request<B>) -> Visit {
        let turn = self.lock().enter(request);
        Visit { ledger: Arc::clone(self), turn }
    }
}

// === impl Counts ===

impl Counts {
    pub(super) fn reset(&mut self) {
        *self = Self { in_flight: self.in_flight, peak: self.in_flight, ..Self::default() };
    }

    fn enter<B>(&mut self, request: &Request<B>) -> u64 {
        let turn = self.hits;
        self.hits += 1;
        *self.by_path.entry(request.uri().path().to_owned()).or_insert(0) += 1;
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
        if self.seen.len() < KEPT {
            self.seen.push(Seen::new(request));
        }
        turn
    }
}

// === impl Visit ===

impl Drop for Visit {
    fn drop(&mut self) {
        self.ledger.lock().in_flight -= 1;
    }
}

impl Seen {
    fn new<B>(request: &Request<B>) -> Self {
        Self {
            at: Instant::now(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            headers: request.headers().clone(),
            version: request.version(),
        }
    }
}
