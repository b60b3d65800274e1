//! The port itself: every call is recorded, then answered as the real host would.

use super::callouts::Sent;
use super::message::Headers;
use super::metrics::Refusal;
use super::properties::{Asked, is_foreign, lookup};
use super::stream::Phase;
use super::trap::Trap;
use super::vm::FakeHost;
use crate::flavor::{Capabilities, Flavor};
use crate::host::{
    Body, Callout, CalloutId, ContextId, Direction, Expect, Host, HostError, Map, MetricId, MetricKind, Reply, Shared,
};
use crate::time::Instant;
use core::fmt::Display;
use core::time::Duration;

/// The host's own status for what went wrong inside it.
const INTERNAL_FAILURE: HostError = HostError::Status(10);
/// Kong's `client_body_buffer_size`: beyond it a request body is told but not shown.
const WASMX_REQUEST_BUFFER: usize = 8 * 1024;

impl FakeHost {
    pub(super) fn note(&self, name: &'static str, args: impl Display) {
        let call = super::record::HostCall { name, args: args.to_string() };
        self.0.state.borrow_mut().calls.push(call);
    }

    fn metric_name(&self, id: MetricId) -> String {
        self.proxy().0.metrics.borrow().name(id).to_owned()
    }

    /// A status is an answer; a trap is the end.
    fn settle_metric<T>(&self, result: Result<T, Refusal>) -> Result<T, HostError> {
        result.map_err(|refusal| match refusal {
            Refusal::Status(error) => error,
            Refusal::Trap(trap) => self.trap(trap),
        })
    }

    fn check_store(&self) -> Result<(), HostError> {
        let injected = &self.proxy().0.injected;
        if injected.no_shared_memory.get() && self.flavor() == Flavor::WasmX {
            self.trap(Trap::NoSharedMemory);
        }
        if injected.store_down.get() { Err(INTERNAL_FAILURE) } else { Ok(()) }
    }

    /// Whether an injected loss uses up this write.
    fn loses(&self) -> bool {
        let left = &self.proxy().0.injected.mismatches;
        left.replace(left.get().saturating_sub(1)) > 0
    }

    fn read_map<R>(&self, map: Map, read: impl FnOnce(&Headers) -> R) -> Option<R> {
        let state = self.0.state.borrow();
        match map {
            Map::CalloutHeaders => state.current.answer.as_ref().map(|answer| read(&answer.headers)),
            Map::CalloutTrailers => state.current.answer.as_ref().map(|answer| read(&answer.trailers)),
            _ => state.streams.get(&state.current.effective)?.map(self.flavor(), map).map(read),
        }
    }

    fn change_map(&self, map: Map, change: impl FnOnce(&mut Headers)) {
        let mut state = self.0.state.borrow_mut();
        let effective = state.current.effective;
        let headers = state.streams.get_mut(&effective).and_then(|stream| stream.map_mut(self.flavor(), map));
        if let Some(headers) = headers {
            change(headers);
        }
    }

    /// `WasmX` says why there is no answer in a pseudo-header.
    fn dispatch_status(&self, map: Map, name: &str) -> Option<Vec<u8>> {
        let silent = self.read_map(Map::CalloutHeaders, |headers| headers.pairs().is_empty()).unwrap_or(false);
        let asked = map == Map::CalloutHeaders && name == ":dispatch_status" && self.flavor() == Flavor::WasmX;
        (asked && silent).then(|| b"timeout".to_vec())
    }

    fn check_property(&self, path: &[&str]) {
        if self.flavor() == Flavor::Envoy {
            return;
        }
        let phase = self.0.state.borrow().current.phase;
        if path == ["plugin_name"] && !phase.moves_stream() && phase != Phase::Answer {
            self.trap(Trap::PluginNameOutsideRequests);
        }
        if path == ["upstream", "address"] && self.is_unresolved() {
            self.trap(Trap::UnresolvedAddress);
        }
        if is_foreign(path) {
            self.host_log(log::Level::Error, &format!("unknown property: {}", path.join(".")));
        }
    }

    /// Whether a response is there that no upstream gave: a name may not have been resolved.
    fn is_unresolved(&self) -> bool {
        let state = self.0.state.borrow();
        let of_service = |details: &Vec<u8>| details == b"via_upstream";
        state.streams.get(&state.current.effective).is_some_and(|stream| {
            stream.has_response() && !stream.properties.get("response.code_details").is_some_and(of_service)
        })
    }

    fn effective(&self) -> ContextId {
        self.0.state.borrow().current.effective
    }
}

impl Host for FakeHost {
    fn capabilities(&self) -> &'static Capabilities {
        self.proxy().0.capabilities
    }

    fn now(&self) -> Instant {
        self.note("now", "");
        let now = self.proxy().clock().now();
        if self.flavor() == Flavor::WasmX { Instant::from_millis(now.as_millis()) } else { now }
    }

    fn log(&self, level: log::Level, line: &str) {
        self.note("log", level);
        self.host_log(level, line);
    }

    fn seed(&self) -> u64 {
        self.note("seed", "");
        self.0.seed
    }

    fn env(&self, name: &str) -> Option<String> {
        self.note("env", name);
        self.proxy().0.env.borrow().get(name).cloned()
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, HostError> {
        let define = || {
            self.note("define_metric", format_args!("{kind:?} {name}"));
            if let Some(trap) = self.proxy().refuses_metrics() {
                self.trap(trap);
            }
            let id = self.proxy().0.metrics.borrow_mut().define(kind, &self.proxy().file(), name);
            self.settle_metric(id)
        };
        if self.capabilities().metrics_at_once { define() } else { self.0.late.define(kind, name, define) }
    }

    fn increment(&self, id: MetricId, by: u32) {
        self.note("increment", format_args!("{} +{by}", self.metric_name(id)));
        let done = self.proxy().0.metrics.borrow_mut().increment(id, u64::from(by));
        // The port tells nobody; neither does the live host.
        let _ = self.settle_metric(done);
    }

    fn adjust(&self, id: MetricId, by: i64) {
        self.note("adjust", format_args!("{} {by:+}", self.metric_name(id)));
        let done = self.proxy().0.metrics.borrow_mut().adjust(id, by);
        let _ = self.settle_metric(done);
    }

    fn record(&self, id: MetricId, value: u64) {
        self.note("record", format_args!("{} {value}", self.metric_name(id)));
        let done = self.proxy().0.metrics.borrow_mut().record(id, value);
        let _ = self.settle_metric(done);
    }

    fn metric(&self, id: MetricId) -> Result<u64, HostError> {
        self.note("metric", self.metric_name(id));
        let value = self.proxy().0.metrics.borrow_mut().read(id);
        self.settle_metric(value)
    }

    fn shared_get(&self, name: &str) -> Result<Shared, HostError> {
        self.note("shared_get", name);
        self.check_store()?;
        let other = self.proxy().0.injected.on_next_get.borrow_mut().take();
        if let Some(other) = other {
            other();
        }
        Ok(self.proxy().shared_in(&self.0.scope, name))
    }

    fn shared_set(&self, name: &str, value: &[u8], expect: Expect) -> Result<(), HostError> {
        self.note("shared_set", format_args!("{name} {expect:?}"));
        self.check_store()?;
        let other = self.proxy().0.injected.on_next_set.borrow_mut().take();
        if let Some(other) = other {
            other();
        }
        if self.loses() {
            return Err(HostError::CasMismatch);
        }
        let cas = match expect {
            Expect::Absent => self.capabilities().absent_cas,
            Expect::Version(version) => version,
        };
        self.proxy().0.store.borrow_mut().set(&self.0.scope, name, value, cas)
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.note("property", path.join("."));
        self.check_property(path);
        let state = self.0.state.borrow();
        let stream = state.streams.get(&state.current.effective);
        let common = self.proxy().0.properties.borrow();
        let mut own = [""; 4];
        let path = self.capabilities().place(path, &mut own);
        lookup(&Asked { flavor: self.flavor(), phase: state.current.phase, stream, common: &common }, path)
    }

    fn set_property(&self, path: &[&str], value: &[u8]) {
        self.note("set_property", path.join("."));
        let mut own = [""; 4];
        let path = self.capabilities().place(path, &mut own);
        let is_end = self.0.state.borrow().current.phase.is_end();
        if is_end && self.flavor() == Flavor::WasmX {
            self.trap(Trap::WordAtTheEnd);
        }
        let state = self.0.state.borrow();
        // WasmX knows no other place.
        let ((Flavor::Envoy, [name]) | (Flavor::WasmX, ["kong", "ctx", "shared", name])) = (self.flavor(), path) else {
            return;
        };
        if let Some(stream) = state.streams.get(&state.current.effective) {
            stream.state.0.borrow_mut().insert((*name).to_owned(), value.to_vec());
        }
    }

    fn header(&self, map: Map, name: &str) -> Option<Vec<u8>> {
        self.note("header", format_args!("{map:?} {name}"));
        let value = self.read_map(map, |headers| headers.get(name).map(<[u8]>::to_vec)).flatten();
        value.or_else(|| self.dispatch_status(map, name))
    }

    fn headers(&self, map: Map) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.note("headers", format_args!("{map:?}"));
        let most = self.capabilities().max_headers;
        self.read_map(map, |headers| headers.first(most)).unwrap_or_default()
    }

    fn set_header(&self, map: Map, name: &str, value: &[u8]) {
        self.note("set_header", format_args!("{map:?} {name}: {}", String::from_utf8_lossy(value)));
        self.change_map(map, |headers| headers.set(name, value));
    }

    fn remove_header(&self, map: Map, name: &str) {
        self.note("remove_header", format_args!("{map:?} {name}"));
        self.change_map(map, |headers| headers.remove(name));
    }

    fn body_from(&self, body: Body, start: usize, max: usize) -> Option<Vec<u8>> {
        let behind = if start == 0 { String::new() } else { format!(" behind {start}") };
        self.note("body", format_args!("{body:?} {max}{behind}"));
        let start = if self.flavor() == Flavor::WasmX { 0 } else { start };
        let state = self.0.state.borrow();
        let stream = state.streams.get(&state.current.effective);
        let bytes = match body {
            Body::Callout => state.current.answer.as_ref().map(|answer| &answer.body),
            Body::Request => stream.map(|stream| &stream.request.buffer),
            Body::Response => stream.map(|stream| &stream.response.buffer),
        };
        let limited = body == Body::Request && self.flavor() == Flavor::WasmX;
        let limit = if limited { WASMX_REQUEST_BUFFER } else { usize::MAX };
        let shown = bytes.filter(|bytes| (1..=limit).contains(&bytes.len()))?;
        Some(shown.iter().copied().skip(start).take(max).collect())
    }

    fn append_body(&self, body: Body, bytes: &[u8]) {
        self.note("append_body", format_args!("{body:?} {}", String::from_utf8_lossy(bytes)));
        let mut state = self.0.state.borrow_mut();
        let effective = state.current.effective;
        if let (Some(stream), Body::Response) = (state.streams.get_mut(&effective), body) {
            stream.response.buffer.extend_from_slice(bytes);
        }
    }

    fn reply(&self, reply: &Reply) {
        let effective = self.effective();
        self.take_reply(effective, reply);
        self.count_wake(effective);
    }

    fn resume(&self, direction: Direction) {
        self.note("resume", format_args!("{direction:?}"));
        let effective = self.effective();
        self.check_retry(effective, direction);
        // Nobody has seen WasmX let a stream go from another one's callback, or from a root's.
        if self.flavor() == Flavor::WasmX && effective != self.context() {
            return;
        }
        if self.let_go(effective, direction) {
            self.count_wake(effective);
        }
    }

    fn tick_every(&self, period: Option<Duration>) {
        self.note("tick_every", format_args!("{period:?}"));
        let (root, phase) = (self.0.state.borrow().root, self.0.state.borrow().current.phase);
        if self.flavor() == Flavor::WasmX {
            self.trap(Trap::SecondPeriod);
        }
        if phase == Phase::Tick && period.is_some() {
            self.trap(Trap::PeriodInTick);
        }
        self.set_timer(root, period);
    }

    fn retire(&self) {
        self.note("retire", "");
        if self.flavor() == Flavor::WasmX {
            self.trap(Trap::Retired);
        }
        let root = self.0.state.borrow().root;
        self.forget_root(root);
    }

    fn context(&self) -> ContextId {
        self.0.state.borrow().current.context
    }

    fn set_context(&self, id: ContextId) -> bool {
        self.note("set_context", id.0);
        let mut state = self.0.state.borrow_mut();
        let known = state.knows(id);
        if known {
            state.current.effective = id;
        }
        known
    }

    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError> {
        self.note("dispatch", &callout.upstream);
        self.check_dispatch(callout)?;
        let mut state = self.0.state.borrow_mut();
        let id = CalloutId(u32::try_from(state.callouts.len()).map_or(u32::MAX, |sent| sent + 1));
        let (owner, root) = (state.current.effective, state.root);
        state.current.dispatched += 1;
        state.callouts.push(Sent { id, owner, root, callout: callout.clone(), answered: false });
        Ok(id)
    }
}
