//! A stream before its first callback.

use super::driver::Worker;
use super::flight::InFlight;
use super::message::Headers;
use super::stream::{Chain, FilterState, Phase};
use super::vm::FakeHost;
use crate::entry::Plugin;
use std::collections::BTreeMap;

/// A stream about to be opened: which chain, which properties, whether a body follows.
#[must_use = "nothing arrives before `request` or `unseen`"]
#[derive(Debug)]
pub struct Opening<P: Plugin<FakeHost>> {
    worker: Worker<P>,
    chain: Chain,
    end: bool,
    properties: BTreeMap<String, Vec<u8>>,
    state: FilterState,
}

impl<P: Plugin<FakeHost>> Opening<P> {
    pub(super) fn new(worker: Worker<P>) -> Self {
        let (properties, state) = (BTreeMap::new(), FilterState::default());
        Self { worker, chain: Chain::Downstream, end: true, properties, state }
    }

    /// With a property of its own, by its dotted path.
    pub fn property(self, path: &str, value: &str) -> Self {
        self.property_bytes(path, value.as_bytes())
    }

    /// With a number, as Envoy tells one.
    pub fn property_number(self, path: &str, value: i64) -> Self {
        self.property_bytes(path, &value.to_le_bytes())
    }

    /// With a property of any bytes.
    pub fn property_bytes(mut self, path: &str, value: &[u8]) -> Self {
        self.properties.insert(path.to_owned(), value.to_vec());
        self
    }

    /// A body follows the request's headers.
    pub fn with_body(mut self) -> Self {
        self.end = false;
        self
    }

    /// In the upstream chain, as the try number `attempt` (from 1). Envoy only.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.chain = Chain::Upstream;
        self.property_number("upstream.request_attempt_count", i64::from(attempt))
    }

    /// Sees the filter state of another stream of the same request.
    pub fn sharing(mut self, state: &FilterState) -> Self {
        self.state = state.clone();
        self
    }

    /// The request arrives.
    ///
    /// # Panics
    /// On a trap, as everything that runs the plugin.
    pub fn request(self, headers: impl Into<Headers>) -> InFlight<P> {
        let flight = self.open(headers.into());
        flight.worker().request_headers(flight.id());
        flight
    }

    /// An earlier filter answers, and this one never sees the request (T12).
    pub fn unseen(self) -> InFlight<P> {
        let flight = self.open(Headers::default());
        flight.worker().host().with(flight.id(), |stream| {
            stream.seen = false;
            stream.phase = Phase::ResponseHeaders;
        });
        flight
    }

    fn open(self, headers: Headers) -> InFlight<P> {
        let id = self.worker.host().open(self.chain, headers, self.end, self.properties, self.state);
        InFlight::new(self.worker, id)
    }
}
