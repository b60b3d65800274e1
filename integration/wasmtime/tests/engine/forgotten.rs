//! What becomes of a stream that Kong ends without a word: of one that it answers with an error page of its own, a module hears `proxy_on_delete` alone. And of
//! one that waited in a VM that is gone: the next one hears the answer to a call that it never made.
//!
//! The crate that runs the modules elsewhere here tells of each end. So here, too, is Wasmtime alone, with a host that answers as `WasmX` does.

use crate::anew::begun;
use std::collections::HashMap;
use wasmtime::{Caller, Engine, Extern, Instance, Linker, Memory, Result, Store, WasmParams, WasmResults, bail};

const ROOT: u32 = 1;
const BREAKER: &str =
    r#"{"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2, "open": {"base": "1s", "jitter": 0}}"#;
const GET: &[(&[u8], &[u8])] = &[(b":method", b"GET"), (b":path", b"/orders"), (b":authority", b"kong")];
const POST: &[(&[u8], &[u8])] = &[
    (b":method", b"POST"),
    (b":path", b"/orders"),
    (b":authority", b"kong"),
    (b"content-length", b"2"),
    (b"idempotency-key", b"\"k\""),
];
const BODY: &[u8] = b"{}";
const WEBDIS: &str = r#"{"store": {"kind": "webdis", "cluster": "127.0.0.1:7379"}, "accept_reply_before_store": true, "insecure_literal": true,
    "secret": [{"literal": "a secret of more than sixteen bytes"}]}"#;

/// The module, and the suite with it alone.
fn with_webdis() -> [(&'static str, String); 2] {
    let inner = WEBDIS.replacen(r#""insecure_literal": true,"#, "", 1);
    let suite = format!(r#"{{"insecure_literal": true, "idempotency": {inner}}}"#);
    [("idempotency.wasm", WEBDIS.to_owned()), ("holdfast_suite.wasm", suite)]
}

/// What may be asked at any time, and what only of a request.
const ALWAYS: [(&[u8], &[u8]); 1] = [(b"plugin_root_id", b"0")];
const OF_A_REQUEST: [(&[u8], &[u8]); 5] = [
    (b"plugin_name", b"circuit_breaker"),
    (b"kong\0version", b"3.9.1"),
    (b"kong\0route_id", b"a-route"),
    (b"kong\0service_id", b"a-service"),
    (b"request\0protocol", b"HTTP/1.1"),
];

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;

/// What a host has that answers as `WasmX` does.
#[derive(Default)]
struct Kong {
    /// A request's headers are here. Asking elsewhere for what is of a request traps.
    in_request: bool,
    configuration: String,
    headers: &'static [(&'static [u8], &'static [u8])],
    /// Milliseconds since it began.
    time: u64,
    /// Calls to other services; each one's number is its place.
    calls: u32,
    shared: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    /// Each one's number is its place.
    metrics: Vec<(Vec<u8>, u64)>,
    answered: Option<u32>,
}

type In<'a, 'b> = &'a mut Caller<'b, Kong>;

fn memory(caller: In) -> Memory {
    caller.get_export("memory").and_then(Extern::into_memory).expect("a memory")
}

fn taken(caller: In, at: u32, size: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    memory(caller).read(caller, at as usize, &mut bytes)?;
    Ok(bytes)
}

fn put(caller: In, at: u32, bytes: &[u8]) -> Result<u32> {
    memory(caller).write(caller, at as usize, bytes)?;
    Ok(OK)
}

/// Bytes in the module's own memory, if there are any; where and how many is written to `place` and `size`.
fn given(caller: In, bytes: Option<&[u8]>, place: u32, size: u32) -> Result<u32> {
    let Some(bytes) = bytes else { return Ok(NOT_FOUND) };
    let length = u32::try_from(bytes.len())?;
    let malloc = caller.get_export("malloc").and_then(Extern::into_func).expect("an allocator");
    let at = malloc.typed::<u32, u32>(&*caller)?.call(&mut *caller, length)?;
    put(caller, at, bytes)?;
    put(caller, place, &at.to_le_bytes())?;
    put(caller, size, &length.to_le_bytes())
}

fn found<'a>(pairs: &[(&[u8], &'a [u8])], name: &[u8]) -> Option<&'a [u8]> {
    pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn property(mut caller: Caller<Kong>, path: u32, path_size: u32, place: u32, size: u32) -> Result<u32> {
    let path = taken(&mut caller, path, path_size)?;
    let of_a_request = found(&OF_A_REQUEST, &path);
    if of_a_request.is_some() && !caller.data().in_request {
        bail!("{} isn't here", path.escape_ascii());
    }
    let value = found(&ALWAYS, &path).or(of_a_request);
    given(&mut caller, value, place, size)
}

fn header(mut caller: Caller<Kong>, map: u32, name: u32, name_size: u32, place: u32, size: u32) -> Result<u32> {
    if map != 0 || !caller.data().in_request {
        bail!("headers {map} aren't here");
    }
    let name = taken(&mut caller, name, name_size)?;
    let value = found(caller.data().headers, &name);
    given(&mut caller, value, place, size)
}

fn headers(mut caller: Caller<Kong>, map: u32, place: u32, size: u32) -> Result<u32> {
    if map != 0 || !caller.data().in_request {
        bail!("headers {map} aren't here");
    }
    let number = |n: usize| u32::try_from(n).expect("few").to_le_bytes();
    let headers = caller.data().headers;
    let mut bytes = number(headers.len()).to_vec();
    bytes.extend(headers.iter().flat_map(|(name, value)| [number(name.len()), number(value.len())].concat()));
    bytes.extend(headers.iter().flat_map(|(name, value)| [*name, b"\0", *value, b"\0"].concat()));
    given(&mut caller, Some(&bytes), place, size)
}

fn buffer(mut caller: Caller<Kong>, which: u32, _: u32, _: u32, place: u32, size: u32) -> Result<u32> {
    let configuration = caller.data().configuration.clone();
    let bytes = match which {
        0 if caller.data().in_request => Some(BODY),
        7 => Some(configuration.as_bytes()),
        _ => None,
    };
    given(&mut caller, bytes, place, size)
}

fn now(mut caller: Caller<Kong>, place: u32) -> Result<u32> {
    let now = (1_800_000_000_000 + caller.data().time) * 1_000_000;
    put(&mut caller, place, &now.to_le_bytes())
}

fn shared(mut caller: Caller<Kong>, name: u32, name_size: u32, place: u32, size: u32, cas: u32) -> Result<u32> {
    let name = taken(&mut caller, name, name_size)?;
    let (value, version) = caller.data().shared.get(&name).cloned().unzip();
    put(&mut caller, cas, &version.unwrap_or(0).to_le_bytes())?;
    given(&mut caller, value.as_deref(), place, size)
}

fn set_shared(mut caller: Caller<Kong>, name: u32, name_size: u32, at: u32, size: u32, cas: u32) -> Result<u32> {
    let (name, value) = (taken(&mut caller, name, name_size)?, taken(&mut caller, at, size)?);
    let shared = &mut caller.data_mut().shared;
    if cas != shared.get(&name).map_or(0, |(_, version)| *version) {
        return Ok(CAS_MISMATCH);
    }
    shared.insert(name, (value, cas + 1));
    Ok(OK)
}

fn define(mut caller: Caller<Kong>, _: u32, name: u32, name_size: u32, place: u32) -> Result<u32> {
    let name = taken(&mut caller, name, name_size)?;
    let metrics = &mut caller.data_mut().metrics;
    let id = metrics.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
        metrics.push((name, 0));
        metrics.len() - 1
    });
    put(&mut caller, place, &u32::try_from(id)?.to_le_bytes())
}

fn increment(mut caller: Caller<Kong>, id: u32, by: u64) -> u32 {
    caller.data_mut().metrics[id as usize].1 += by;
    OK
}

fn record(mut caller: Caller<Kong>, id: u32, value: u64) -> u32 {
    caller.data_mut().metrics[id as usize].1 = value;
    OK
}

fn metric(mut caller: Caller<Kong>, id: u32, place: u32) -> Result<u32> {
    let value = caller.data().metrics[id as usize].1;
    put(&mut caller, place, &value.to_le_bytes())
}

#[allow(clippy::too_many_arguments)]
fn call(
    mut caller: Caller<Kong>,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    token: u32,
) -> Result<u32> {
    let number = caller.data().calls;
    caller.data_mut().calls += 1;
    put(&mut caller, token, &number.to_le_bytes())
}

fn kong_linker(engine: &Engine) -> Linker<Kong> {
    let mut linker = Linker::new(engine);
    let answer = |mut caller: Caller<Kong>, status, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| {
        caller.data_mut().answered = Some(status);
        OK
    };
    let mut link = || {
        linker.func_wrap("env", "proxy_get_property", property)?;
        linker.func_wrap("env", "proxy_get_header_map_value", header)?;
        linker.func_wrap("env", "proxy_get_header_map_pairs", headers)?;
        linker.func_wrap("env", "proxy_get_buffer_bytes", buffer)?;
        linker.func_wrap("env", "proxy_get_current_time_nanoseconds", now)?;
        linker.func_wrap("env", "proxy_get_shared_data", shared)?;
        linker.func_wrap("env", "proxy_set_shared_data", set_shared)?;
        linker.func_wrap("env", "proxy_define_metric", define)?;
        linker.func_wrap("env", "proxy_increment_metric", increment)?;
        linker.func_wrap("env", "proxy_record_metric", record)?;
        linker.func_wrap("env", "proxy_get_metric", metric)?;
        linker.func_wrap("env", "proxy_send_local_response", answer)?;
        linker.func_wrap("env", "proxy_http_call", call)?;
        Ok::<_, wasmtime::Error>(())
    };
    link().expect("a host like Kong");
    linker
}

/// A VM in Kong.
struct Vm(Store<Kong>, Instance);

// === impl Vm ===

impl Vm {
    /// A VM that is configured.
    fn of(file: &str, configuration: &str) -> Self {
        let kong = Kong { configuration: configuration.to_owned(), headers: GET, ..Kong::default() };
        let (store, instance) = begun(file, kong, kong_linker);
        let mut vm = Self(store, instance);
        let length = u32::try_from(configuration.len()).expect("short");
        assert_eq!(vm.call::<_, u32>("proxy_on_vm_start", (ROOT, 0)), 1);
        assert_eq!(vm.call::<_, u32>("proxy_on_configure", (ROOT, length)), 1, "{configuration}");
        vm
    }

    /// So many milliseconds later, the timer.
    fn tick(&mut self, later: u64) {
        self.0.data_mut().time += later;
        self.call::<_, ()>("proxy_on_tick", ROOT);
    }

    /// A request with these headers, of which nothing is said; in its callbacks it may be asked for them.
    fn begin(&mut self, stream: u32, headers: &'static [(&'static [u8], &'static [u8])]) {
        self.0.data_mut().headers = headers;
        self.call::<_, ()>("proxy_on_context_create", (stream, ROOT));
    }

    /// A callback of its own; what becomes of it.
    fn within<P: WasmParams>(&mut self, callback: &str, arguments: P) -> u32 {
        self.0.data_mut().in_request = true;
        let action = self.call(callback, arguments);
        self.0.data_mut().in_request = false;
        action
    }

    /// An answer that is none, to a stream's call with this number.
    fn lost(&mut self, token: u32) -> Option<u32> {
        self.0.data_mut().in_request = true;
        let answered = self.silence(token);
        self.0.data_mut().in_request = false;
        answered
    }

    /// The same where it isn't known that there is a stream.
    fn silence(&mut self, token: u32) -> Option<u32> {
        self.call::<_, ()>("proxy_on_http_call_response", (ROOT, token, 0, 0, 0));
        self.0.data_mut().answered.take()
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, callback: &str, arguments: P) -> R {
        let Self(store, instance) = self;
        let function = instance.get_typed_func::<P, R>(&mut *store, callback).expect("a callback");
        function.call(store, arguments).unwrap_or_else(|error| panic!("{callback}: {error:?}"))
    }

    /// How much memory it has.
    fn pages(&mut self) -> u64 {
        let Self(store, instance) = self;
        instance.get_memory(&mut *store, "memory").expect("a memory").size(store)
    }

    /// A request whose service can't be reached, and the status that it is answered with before that.
    fn unreachable(&mut self, stream: u32) -> Option<u32> {
        self.begin(stream, GET);
        self.within("proxy_on_request_headers", (stream, 3, 0));
        self.call::<_, ()>("proxy_on_delete", stream);
        self.0.data_mut().answered.take()
    }
}

#[test]
fn streams_that_are_only_forgotten_open_the_breaker() {
    let mut vm = Vm::of("circuit_breaker.wasm", BREAKER);
    assert_eq!([vm.unreachable(2), vm.unreachable(3)], [None; 2]);
    vm.tick(0);
    assert_eq!(vm.unreachable(4), Some(503));
}

const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

/// Before 3.8, a failed call ends its request so.
#[test]
fn a_stream_that_waits_and_is_only_forgotten_gives_its_key_up() {
    for (file, configuration) in with_webdis() {
        let mut vm = Vm::of(file, &configuration);
        for stream in 2..5 {
            vm.begin(stream, POST);
            assert_eq!(vm.within("proxy_on_request_headers", (stream, 5, 0)), CONTINUE, "{file}");
            assert_eq!(vm.within("proxy_on_request_body", (stream, 2, 1)), PAUSE, "{file}");
            vm.call::<_, ()>("proxy_on_delete", stream);
        }
        assert_eq!(vm.0.data().calls, 3, "{file}: a claim each");
        // What the store is like is asked too.
        vm.tick(1_000);
        vm.tick(1_000);
        assert!(vm.0.data().calls >= 6, "{file}: {}", vm.0.data().calls);
        assert_eq!([0, 1, 2].map(|token| vm.silence(token)), [None; 3], "{file}");
        assert_eq!(vm.unreachable(5), None, "{file}");
    }
}

/// What is kept of a call must not wait for an answer that nobody gives.
#[test]
fn clients_that_leave_while_they_wait_leave_nothing_behind() {
    for (file, configuration) in with_webdis() {
        let mut vm = Vm::of(file, &configuration);
        let mut many = |streams: std::ops::Range<u32>| {
            for stream in streams {
                vm.begin(stream, POST);
                vm.within::<_>("proxy_on_request_headers", (stream, 5, 0));
                assert_eq!(vm.within("proxy_on_request_body", (stream, 2, 1)), PAUSE, "{file}");
                vm.within("proxy_on_done", stream);
                vm.call::<_, ()>("proxy_on_log", stream);
                vm.call::<_, ()>("proxy_on_delete", stream);
            }
            (vm.0.data().calls, vm.pages())
        };
        let (few, before) = many(2..10_000);
        let (most, after) = many(10_000..60_000);
        assert_eq!((few, most), (9_998, 59_998), "{file}: a claim each");
        assert_eq!(before, after, "{file}: pages of memory");
    }
}

/// All that such a VM hears is that its stream is made, and an answer. Behind that, Kong lets the request go on.
#[test]
fn a_stream_that_waited_in_a_vm_that_is_gone_is_refused() {
    for (file, configuration) in with_webdis() {
        let mut vm = Vm::of(file, &configuration);
        vm.begin(7, POST);
        assert_eq!((vm.lost(41), vm.lost(42)), (Some(503), None), "{file}: once");
    }
}

/// To ask for one, or to answer it, would be the end of the worker.
#[test]
fn where_there_may_be_no_stream_none_is_refused() {
    let file = "idempotency.wasm";
    assert_eq!(Vm::of(file, WEBDIS).silence(41), None, "a call of the former root's");
    let mut vm = Vm::of(file, WEBDIS);
    vm.tick(5);
    vm.begin(7, POST);
    assert_eq!(vm.silence(41), None, "the same, behind a stream that is made");
    let mut open = Vm::of(file, &WEBDIS.replace(r#""store":"#, r#""on_store_error": "open", "store":"#));
    open.begin(7, POST);
    assert_eq!(open.lost(41), None, "it may pass");
}

#[test]
fn a_stream_whose_headers_a_former_vm_has_heard_is_judged_with_its_body() {
    for (file, configuration) in with_webdis() {
        let mut vm = Vm::of(file, &configuration);
        vm.begin(7, POST);
        assert_eq!(vm.within("proxy_on_request_body", (7, 2, 1)), PAUSE, "{file}");
        assert_eq!(vm.0.data().calls, 1, "{file}: its claim");
        vm.begin(8, GET);
        assert_eq!(vm.within("proxy_on_request_body", (8, 2, 1)), CONTINUE, "{file}");
    }
}
