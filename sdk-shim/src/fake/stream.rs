//! One stream as its host sees it, and which header maps the filter may see when (T1).

use super::message::{Half, Headers, Stage};
use crate::entry::Flow;
use crate::flavor::Flavor;
use crate::host::{Direction, Map, Reply};
use crate::remaining::Remaining;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Which chain a stream's filter runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Chain {
    /// Once per request.
    #[default]
    Downstream,
    /// Once per attempt, behind the router; never on `WasmX`.
    Upstream,
}

/// What the host is calling back for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Nobody: a test calls the host by itself.
    Idle,
    Configure,
    Tick,
    RootAnswer,
    RequestHeaders,
    RequestBody,
    /// A callout of a stream was answered. The stream stays in the phase in which it waits.
    Answer,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
    Done,
    Log,
}

impl Phase {
    /// Whether it belongs to one stream's own course.
    pub(super) const fn moves_stream(self) -> bool {
        !matches!(self, Self::Idle | Self::Configure | Self::Tick | Self::RootAnswer | Self::Answer)
    }

    pub(super) const fn is_request(self) -> bool {
        matches!(self, Self::RequestHeaders | Self::RequestBody)
    }

    /// Whether all has gone by.
    pub(super) const fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Log)
    }

    /// Whether `WasmX` lets a callout start.
    pub(super) const fn may_dispatch(self) -> bool {
        self.is_request() || matches!(self, Self::Idle | Self::Tick | Self::RootAnswer | Self::Answer)
    }
}

/// Filter state of one request: its filters, its attempts and its access log share it (E8).
#[derive(Clone, Debug, Default)]
pub struct FilterState(pub(super) Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

impl FilterState {
    /// What a filter set under a name; an access log prints it with `%FILTER_STATE(wasm.<name>:PLAIN)%`.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.borrow().get(name).cloned()
    }

    /// Sets one, as another filter of the request does.
    pub fn set(&self, name: &str, value: &[u8]) {
        self.0.borrow_mut().insert(name.to_owned(), value.to_vec());
    }
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) chain: Chain,
    pub(super) phase: Phase,
    /// False where an earlier filter answered and request headers never came (T12).
    pub(super) seen: bool,
    pub(super) request: Half,
    pub(super) response: Half,
    /// What a module's own entry knows of the response's body.
    pub(super) remaining: Remaining,
    pub(super) trailers: Headers,
    pub(super) properties: BTreeMap<String, Vec<u8>>,
    pub(super) state: FilterState,
    pub(super) reply: Option<Reply>,
    pub(super) flow: Flow,
}

impl Stream {
    pub(super) fn new(chain: Chain, request: Half, properties: BTreeMap<String, Vec<u8>>, state: FilterState) -> Self {
        Self {
            chain,
            phase: Phase::RequestHeaders,
            seen: true,
            request,
            response: Half::default(),
            remaining: Remaining::default(),
            trailers: Headers::default(),
            properties,
            state,
            reply: None,
            flow: Flow::Continue,
        }
    }

    pub(super) fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.request.paused.is_some() || self.response.paused.is_some()
    }

    pub(super) fn has_response(&self) -> bool {
        self.response.stage != Stage::Absent
    }

    /// Whether the request's headers can be read now.
    pub(super) fn shows_request(&self, flavor: Flavor) -> bool {
        let held = self.seen && self.request.stage == Stage::Here && self.phase != Phase::Done;
        flavor == Flavor::WasmX || self.phase == Phase::Log || held
    }

    /// Whether the response's headers can be read now.
    pub(super) fn shows_response(&self, flavor: Flavor) -> bool {
        let held = self.response.stage == Stage::Here && self.phase != Phase::Done;
        self.has_response() && (flavor == Flavor::WasmX || self.phase == Phase::Log || held)
    }

    /// Whether the trailers can be read now.
    pub(super) fn shows_trailers(&self, flavor: Flavor) -> bool {
        flavor == Flavor::Envoy && matches!(self.phase, Phase::ResponseTrailers | Phase::Log)
    }

    /// The map, where the host still has it.
    pub(super) fn map(&self, flavor: Flavor, map: Map) -> Option<&Headers> {
        match map {
            Map::RequestHeaders => self.shows_request(flavor).then_some(&self.request.headers),
            Map::ResponseHeaders => self.shows_response(flavor).then_some(&self.response.headers),
            Map::ResponseTrailers => self.shows_trailers(flavor).then_some(&self.trailers),
            Map::CalloutHeaders | Map::CalloutTrailers => None,
        }
    }

    /// The map to change, where the host still has it.
    pub(super) fn map_mut(&mut self, flavor: Flavor, map: Map) -> Option<&mut Headers> {
        self.map(flavor, map)?;
        match map {
            Map::RequestHeaders => Some(&mut self.request.headers),
            Map::ResponseHeaders => Some(&mut self.response.headers),
            Map::ResponseTrailers => Some(&mut self.trailers),
            Map::CalloutHeaders | Map::CalloutTrailers => None,
        }
    }

    pub(super) fn is_grpc(&self) -> bool {
        let kind = self.request.headers.get("content-type").unwrap_or_default();
        kind.starts_with(b"application/grpc") && !kind.starts_with(b"application/grpc-web")
    }
}
