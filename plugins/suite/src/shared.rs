//! The proxy as the parts see it.
//!
//! What one part has asked in a callback, the time too, the next one isn't told anew by the proxy ([`Facts`]). And what is ours to give is given here: that a held
//! message goes on is noted, because those behind the holder come first; ticks are shared out ([`Pulse`]); the answer to a call goes to whoever made it.

use crate::facts::{Facts, Place};
use crate::parts::PARTS;
use crate::pulse::Pulse;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::time::Duration;
use sdk_shim::flavor::Capabilities;
use sdk_shim::host::{
    Body, Callout, CalloutId, ContextId, Direction, Expect, Host, HostError, Map, MetricId, MetricKind, Reply, Shared,
};
use sdk_shim::time::Instant;

/// The proxy, shared by all parts of one entry.
pub struct SharedHost<H> {
    proxy: H,
    facts: RefCell<Facts>,
    /// When this callback is, once somebody wanted to know.
    now: Cell<Option<Instant>>,
    /// Which part is called.
    part: Cell<usize>,
    /// Bytes of the body that the proxy holds and that have gone by there.
    bodies_begin: Cell<usize>,
    /// Whose callback the parts are told it is, where that isn't so: a stream that goes on within another one's callback.
    posing: Cell<Option<ContextId>>,
    /// For whom is asked, where that isn't whose callback it is.
    effective: Cell<Option<ContextId>>,
    /// Messages that their holders let go.
    released: RefCell<Vec<(ContextId, Direction)>>,
    calls: RefCell<Vec<Call>>,
    /// When each part is ticked.
    pub pulse: Pulse<PARTS>,
    /// Parts that have something to finish before a replaced configuration goes.
    pub unfinished: Cell<[bool; PARTS]>,
}

/// More calls than a busy worker has under way.
const MANY: usize = 4_096;

/// A call to another service that is under way.
#[derive(Clone, Copy, Debug)]
struct Call {
    id: CalloutId,
    part: usize,
    owner: ContextId,
}

impl<H> fmt::Debug for SharedHost<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedHost").field("part", &self.part).field("calls", &self.calls).finish_non_exhaustive()
    }
}

// === impl SharedHost ===

impl<H: Host> SharedHost<H> {
    /// Over a proxy.
    pub fn new(proxy: H) -> Self {
        let pulse = Pulse::new(proxy.now(), proxy.capabilities().one_timer);
        Self {
            proxy,
            facts: RefCell::default(),
            now: Cell::new(None),
            part: Cell::new(0),
            bodies_begin: Cell::new(0),
            posing: Cell::new(None),
            effective: Cell::new(None),
            released: RefCell::default(),
            calls: RefCell::default(),
            pulse,
            unfinished: Cell::new([false; PARTS]),
        }
    }

    /// The proxy itself.
    pub const fn proxy(&self) -> &H {
        &self.proxy
    }

    /// A callback begins: what is known is old.
    pub fn begin(&self) {
        self.facts.borrow_mut().forget_all();
        self.now.set(None);
        self.effective.set(None);
    }

    /// This part is called next.
    pub fn enter(&self, part: usize) {
        self.part.set(part);
        self.bodies_begin.set(0);
    }

    /// For the part that was entered, a body begins behind so many of the bytes that the proxy holds: they have gone by there.
    pub fn begin_bodies_at(&self, start: usize) {
        self.bodies_begin.set(start);
    }

    /// What follows is done in the name of a stream, in whoever's callback; false where it is gone.
    pub fn pose_as(&self, context: ContextId) -> bool {
        self.posing.set(Some(context));
        self.set_context(context)
    }

    /// What follows is the callback's own again.
    pub fn pose_no_more(&self) {
        self.posing.set(None);
        self.set_context(self.proxy.context());
    }

    /// The next message that its holder has let go.
    pub fn next_released(&self) -> Option<(ContextId, Direction)> {
        let mut released = self.released.borrow_mut();
        if released.is_empty() { None } else { Some(released.remove(0)) }
    }

    /// Whose call was answered, or not.
    pub fn caller_of(&self, id: CalloutId) -> Option<usize> {
        let mut calls = self.calls.borrow_mut();
        let at = calls.iter().position(|call| call.id == id)?;
        Some(calls.remove(at).part)
    }

    /// A stream is over: nobody will be told of its calls.
    pub fn forget_calls_of(&self, context: ContextId) {
        let mut calls = self.calls.borrow_mut();
        if !calls.is_empty() {
            calls.retain(|call| call.owner != context);
        }
    }

    fn speaker(&self) -> ContextId {
        self.effective.get().unwrap_or_else(|| self.context())
    }

    fn known(&self, place: Place, name: &[&str], ask: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        if let Some(known) = self.facts.borrow().recall(place, name) {
            return known;
        }
        let told = ask();
        self.facts.borrow_mut().learn(place, name, told.as_deref());
        told
    }
}

/// A callout's answer is looked at once, by one part.
const fn is_shared(map: Map) -> bool {
    !matches!(map, Map::CalloutHeaders | Map::CalloutTrailers)
}

impl<H: Host> Host for SharedHost<H> {
    fn capabilities(&self) -> &'static Capabilities {
        self.proxy.capabilities()
    }

    /// One callback is one moment.
    fn now(&self) -> Instant {
        let now = self.now.get().unwrap_or_else(|| self.proxy.now());
        self.now.set(Some(now));
        now
    }

    fn log(&self, level: log::Level, line: &str) {
        self.proxy.log(level, line);
    }

    fn seed(&self) -> u64 {
        self.proxy.seed()
    }

    fn env(&self, name: &str) -> Option<String> {
        self.proxy.env(name)
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, HostError> {
        self.proxy.define_metric(kind, name)
    }

    fn increment(&self, id: MetricId, by: u32) {
        self.proxy.increment(id, by);
    }

    fn adjust(&self, id: MetricId, by: i64) {
        self.proxy.adjust(id, by);
    }

    fn record(&self, id: MetricId, value: u64) {
        self.proxy.record(id, value);
    }

    fn metric(&self, id: MetricId) -> Result<u64, HostError> {
        self.proxy.metric(id)
    }

    fn shared_get(&self, name: &str) -> Result<Shared, HostError> {
        self.proxy.shared_get(name)
    }

    fn shared_set(&self, name: &str, value: &[u8], expect: Expect) -> Result<(), HostError> {
        self.proxy.shared_set(name, value, expect)
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.known(Place::Property, path, || self.proxy.property(path))
    }

    fn set_property(&self, path: &[&str], value: &[u8]) {
        self.facts.borrow_mut().forget(Place::Property, path);
        self.proxy.set_property(path, value);
    }

    fn header(&self, map: Map, name: &str) -> Option<Vec<u8>> {
        let ask = || self.proxy.header(map, name);
        if is_shared(map) { self.known(Place::Header(map), &[name], ask) } else { ask() }
    }

    fn headers(&self, map: Map) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.proxy.headers(map)
    }

    fn set_header(&self, map: Map, name: &str, value: &[u8]) {
        self.facts.borrow_mut().forget(Place::Header(map), &[name]);
        self.proxy.set_header(map, name, value);
    }

    fn remove_header(&self, map: Map, name: &str) {
        // Most that are removed aren't there, and somebody may know that.
        let place = Place::Header(map);
        if self.facts.borrow().recall(place, &[name]) == Some(None) {
            return;
        }
        self.proxy.remove_header(map, name);
        let mut facts = self.facts.borrow_mut();
        facts.forget(place, &[name]);
        facts.learn(place, &[name], None);
    }

    fn body_from(&self, body: Body, start: usize, max: usize) -> Option<Vec<u8>> {
        let start = if matches!(body, Body::Callout) { start } else { start + self.bodies_begin.get() };
        self.proxy.body_from(body, start, max)
    }

    fn append_body(&self, body: Body, bytes: &[u8]) {
        self.proxy.append_body(body, bytes);
    }

    fn reply(&self, reply: &Reply) {
        self.proxy.reply(reply);
    }

    /// Noted: those behind the holder come first.
    fn resume(&self, direction: Direction) {
        self.released.borrow_mut().push((self.speaker(), direction));
    }

    fn tick_every(&self, period: Option<Duration>) {
        self.pulse.change(&self.proxy, self.part.get(), period);
    }

    fn retire(&self) {
        let mut unfinished = self.unfinished.get();
        if let Some(part) = unfinished.get_mut(self.part.get()) {
            *part = false;
        }
        self.unfinished.set(unfinished);
        if unfinished == [false; PARTS] {
            self.proxy.retire();
        }
    }

    fn context(&self) -> ContextId {
        self.posing.get().unwrap_or_else(|| self.proxy.context())
    }

    fn set_context(&self, id: ContextId) -> bool {
        if self.speaker() != id {
            self.facts.borrow_mut().forget_all();
        }
        let is_there = self.proxy.set_context(id);
        if is_there {
            self.effective.set(Some(id));
        }
        is_there
    }

    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError> {
        let id = self.proxy.dispatch(callout)?;
        let (owner, mut calls) = (self.speaker(), self.calls.borrow_mut());
        // Not every host tells that a call of the root failed.
        let first = if calls.len() < MANY { None } else { calls.iter().position(|call| call.owner == owner) };
        if let Some(first) = first {
            calls.remove(first);
        }
        calls.push(Call { id, part: self.part.get(), owner });
        Ok(id)
    }
}
