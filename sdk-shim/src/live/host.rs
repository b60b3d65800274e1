//! The port, answered by the proxy.

use super::{guard, raw};
use crate::flavor::{Capabilities, ENVOY, detect};
use crate::host::{
    Body, Callout, CalloutId, ContextId, Direction, Expect, Host, HostError, Map, MetricId, MetricKind, Reply, Shared,
};
use crate::late::Late;
use crate::time::Instant;
use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::time::Duration;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{LogLevel, Status};

thread_local! {
    /// Found out once per VM; a VM has one thread.
    static CAPABILITIES: Cell<Option<&'static Capabilities>> = const { Cell::new(None) };
    /// The context being called back.
    static CONTEXT: Cell<u32> = const { Cell::new(0) };
    /// Which metrics there may be, on a host that doesn't take them at once.
    static LATE: ManuallyDrop<Late> = const { ManuallyDrop::new(Late::new()) };
}

/// The proxy that runs this module. Has no state of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveHost;

impl LiveHost {
    /// Finds out what this host can do; to be called in `on_configure`.
    pub(super) fn detect() {
        CAPABILITIES.set(Some(detect(|path| raw::get_property(&joined(path)))));
    }

    /// Whether ticks may do anything yet.
    pub(super) fn may_tick() -> bool {
        LiveHost.capabilities().metrics_at_once || LATE.with(|late| late.is_known())
    }

    /// A request has come.
    pub(super) fn meet() {
        LATE.with(|late| late.learn(&LiveHost));
    }

    /// Notes which context is called back.
    pub(super) fn enter(id: u32) {
        CONTEXT.set(id);
    }

    /// The plugin's configuration, as it was written.
    pub(super) fn configuration() -> Vec<u8> {
        raw::get_buffer(7, 0, usize::MAX).unwrap_or_default()
    }
}

impl Host for LiveHost {
    fn capabilities(&self) -> &'static Capabilities {
        CAPABILITIES.get().unwrap_or(&ENVOY)
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(raw::now())
    }

    fn log(&self, level: log::Level, line: &str) {
        let level = match level {
            log::Level::Error => LogLevel::Error,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Info => LogLevel::Info,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Trace => LogLevel::Trace,
        };
        let _ = hostcalls::log(level, line);
    }

    fn seed(&self) -> u64 {
        let mut seed = [0u8; 8];
        // Without entropy the clock still tells VMs apart, if less well.
        if getrandom::fill(&mut seed).is_err() { raw::now() } else { u64::from_le_bytes(seed) }
    }

    fn env(&self, name: &str) -> Option<String> {
        let environment = raw::environment()?;
        let text =
            environment.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, HostError> {
        let code = match kind {
            MetricKind::Counter => 0,
            MetricKind::Gauge => 1,
            MetricKind::Histogram => 2,
        };
        let define = || raw::define_metric(code, name).map(MetricId);
        if self.capabilities().metrics_at_once {
            return define();
        }
        LATE.with(|late| late.define(kind, name, define))
    }

    fn increment(&self, id: MetricId, by: u32) {
        raw::increment_metric(id.0, i64::from(by));
    }

    fn adjust(&self, id: MetricId, by: i64) {
        raw::increment_metric(id.0, by);
    }

    fn record(&self, id: MetricId, value: u64) {
        raw::record_metric(id.0, value);
    }

    fn metric(&self, id: MetricId) -> Result<u64, HostError> {
        raw::get_metric(id.0)
    }

    fn shared_get(&self, name: &str) -> Result<Shared, HostError> {
        match raw::get_shared(name) {
            Ok((value, cas)) => Ok(Shared { value: Some(value.unwrap_or_default()), version: Some(cas) }),
            Err(HostError::NotFound) => Ok(Shared::default()),
            Err(error) => Err(error),
        }
    }

    fn shared_set(&self, name: &str, value: &[u8], expect: Expect) -> Result<(), HostError> {
        let cas = match expect {
            Expect::Absent => self.capabilities().absent_cas,
            Expect::Version(version) => version,
        };
        raw::set_shared(name, value, cas)
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        let mut own = [""; 4];
        let path = self.capabilities().place(path, &mut own);
        // On every request: joined on the stack, as far as it is short.
        let mut buffer = [0; SHORT_PATH];
        match joined_in(&mut buffer, path) {
            Some(joined) => raw::get_property(joined),
            None => raw::get_property(&joined(path)),
        }
    }

    fn set_property(&self, path: &[&str], value: &[u8]) {
        let mut own = [""; 4];
        raw::set_property(&joined(self.capabilities().place(path, &mut own)), value);
    }

    fn header(&self, map: Map, name: &str) -> Option<Vec<u8>> {
        raw::get_header(map_code(map), name).filter(|value| self.capabilities().tells_empty || !value.is_empty())
    }

    fn headers(&self, map: Map) -> Vec<(Vec<u8>, Vec<u8>)> {
        raw::get_headers(map_code(map)).and_then(|bytes| pairs(&bytes)).unwrap_or_default()
    }

    fn set_header(&self, map: Map, name: &str, value: &[u8]) {
        raw::set_header(map_code(map), name, value);
    }

    fn remove_header(&self, map: Map, name: &str) {
        raw::remove_header(map_code(map), name);
    }

    fn body_from(&self, body: Body, start: usize, max: usize) -> Option<Vec<u8>> {
        raw::get_buffer(buffer_code(body), start, max)
    }

    fn append_body(&self, body: Body, bytes: &[u8]) {
        raw::append_to_buffer(buffer_code(body), bytes);
    }

    fn reply(&self, reply: &Reply) {
        let grpc = reply.grpc_status.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
        raw::send_local_response(u32::from(reply.status), &serialized(&reply.headers), &reply.body, grpc);
    }

    fn resume(&self, direction: Direction) {
        raw::continue_stream(match direction {
            Direction::Request => 0,
            Direction::Response => 1,
        });
    }

    fn tick_every(&self, period: Option<Duration>) {
        let _ = hostcalls::set_tick_period(period.unwrap_or_default());
    }

    fn retire(&self) {
        raw::retire();
    }

    fn context(&self) -> ContextId {
        ContextId(CONTEXT.get())
    }

    fn set_context(&self, id: ContextId) -> bool {
        raw::set_effective_context(id.0)
    }

    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError> {
        // The SDK's own dispatch, because its dispatcher panics on an answer to a call that it didn't start.
        let headers = callout.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        match hostcalls::dispatch_http_call(&callout.upstream, headers, Some(&callout.body), vec![], callout.timeout) {
            Ok(token) => {
                guard::note_call(token, CONTEXT.get());
                Ok(CalloutId(token))
            }
            Err(Status::BadArgument) => Err(HostError::BadArgument),
            Err(other) => Err(HostError::Status(other as u32)),
        }
    }
}

/// Bytes of a property path that needs no allocation.
const SHORT_PATH: usize = 64;

fn joined_in<'a>(buffer: &'a mut [u8; SHORT_PATH], path: &[&str]) -> Option<&'a [u8]> {
    let mut end = 0;
    for (n, part) in path.iter().enumerate() {
        // The buffer is zeroed, so a separator is a step.
        let start = end + usize::from(n > 0);
        end = start + part.len();
        buffer.get_mut(start..end)?.copy_from_slice(part.as_bytes());
    }
    buffer.get(..end)
}

fn joined(path: &[&str]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(SHORT_PATH);
    for (n, part) in path.iter().enumerate() {
        joined.extend_from_slice(if n > 0 { b"\0" } else { b"" });
        joined.extend_from_slice(part.as_bytes());
    }
    joined
}

const fn buffer_code(body: Body) -> u32 {
    match body {
        Body::Request => 0,
        Body::Response => 1,
        Body::Callout => 4,
    }
}

const fn map_code(map: Map) -> u32 {
    match map {
        Map::RequestHeaders => 0,
        Map::ResponseHeaders => 2,
        Map::ResponseTrailers => 3,
        Map::CalloutHeaders => 6,
        Map::CalloutTrailers => 7,
    }
}

/// The ABI's form of a header map: count, then each pair's two lengths, then the bytes, each ended by a zero byte.
fn serialized(headers: &[(String, String)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(headers.len()).to_vec();
    for (name, value) in headers {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn pairs(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (count, rest) = take_number(bytes)?;
    let (mut sizes, mut data) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_size, rest) = take_number(sizes)?;
        let (value_size, rest) = take_number(rest)?;
        let (name, tail) = data.split_at_checked(name_size)?;
        let (value, tail) = tail.get(1..)?.split_at_checked(value_size)?;
        pairs.push((name.to_vec(), value.to_vec()));
        (sizes, data) = (rest, tail.get(1..)?);
    }
    Some(pairs)
}

fn take_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}
