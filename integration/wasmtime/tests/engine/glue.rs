//! What only a module has: the glue between its plugin and the ABI.

use sdk_shim::entry::Plugin as _;
use sdk_shim::fake::{FakeHost, FakeProxy, InFlight, Worker};
use second_engine::{Call, CircuitBreaker, Idempotency, Loaded, Metrics, Suite};

type Keys = Worker<Loaded<Idempotency>>;

const WEBDIS: &str = r#"{"store": {"kind": "webdis", "cluster": "127.0.0.1:7379"}, "accept_reply_before_store": true,
    "insecure_literal": true, "secret": [{"literal": "a secret of more than sixteen bytes"}]}"#;
const MEMORY: &str = r#"{"store": {"kind": "memory", "accept_eviction": true}, "accept_reply_before_store": true}"#;
const GET: &[(&str, &str); 3] = &[(":method", "GET"), (":path", "/pay"), (":authority", "shop")];

/// A request with a key, as a client in front of Kong sends it.
fn pay(worker: &Keys) -> InFlight<Loaded<Idempotency>> {
    let length = ("content-length", "9");
    let headers =
        [(":method", "POST"), (":path", "/pay"), (":authority", "shop"), length, ("idempotency-key", "\"k\"")];
    let mut call = worker.stream().with_body().request(&headers);
    call.request_body(b"amount=10", true);
    call
}

#[test]
fn a_wrong_value_refuses_the_module_and_is_told_by_its_path() {
    let wrong = r#"{"minimum_calls": 0, "colour": 1}"#;
    for host in [FakeHost::envoy(), FakeHost::wasmx()] {
        let faults = Worker::<Loaded<CircuitBreaker>>::start(&host, wrong).expect_err("a refusal").to_string();
        assert!(faults.contains("$.minimum_calls") && faults.contains("$.colour"), "{faults}");
    }
    let faults = Worker::<Loaded<Suite>>::start(&FakeHost::wasmx(), "{}").expect_err("a refusal").to_string();
    assert!(faults.contains("no plugin to run"), "{faults}");
}

#[test]
fn what_kong_lacks_is_refused_by_name() {
    let faults = Worker::<Loaded<CircuitBreaker>>::start(&FakeHost::wasmx(), r#"{"chain": "upstream"}"#);
    let faults = faults.expect_err("a refusal").to_string();
    assert!(faults.contains("$.chain") && faults.contains("upstream_chain"), "{faults}");
}

#[test]
fn in_kong_a_request_waits_for_its_own_call() {
    let worker = Keys::start(&FakeHost::wasmx(), WEBDIS).expect("a configuration");
    let silent = pay(&worker);
    assert!(silent.paused());
    let (call, sent) = worker.host().pending_callouts().pop().expect("a call");
    assert_eq!(sent.upstream, "127.0.0.1:7379");
    worker.answer_nothing(call);
    let reply = silent.finish().reply.expect("a refusal");
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains(&("x-holdfast-reject".into(), "idempotency; cause=store".into())), "{reply:?}");
}

/// The host tells the end of such an answer in one piece only; the module counts what goes by.
#[test]
fn in_kong_an_answer_of_two_pieces_ends_with_the_second() {
    let worker = Keys::start(&FakeHost::wasmx(), MEMORY).expect("a configuration");
    let mut first = pay(&worker);
    first.respond(&[(":status", "201"), ("content-length", "7")], false).body(b"rec", false).body(b"eipt", false);
    first.finish();
    let reply = pay(&worker).finish().reply.expect("a replay");
    assert_eq!((reply.status, reply.body.as_slice()), (201, &b"receipt"[..]));
}

#[test]
fn a_client_that_leaves_takes_its_call_along() {
    let worker = Keys::start(&FakeHost::wasmx(), WEBDIS).expect("a configuration");
    let gone = pay(&worker);
    let (call, _) = worker.host().pending_callouts().pop().expect("a call");
    gone.abort();
    assert!(!worker.answer(call, &[(":status", "200")], b"{}"), "nobody hears it");
    assert!(worker.hung().is_empty());
}

/// In Kong a plugin is configured for good by the first request that it sees; others may have begun by then. With a plugin of their own they would define
/// everything again, and nobody would tick it.
#[test]
fn requests_that_begin_before_the_first_one_is_seen_have_its_plugin_too() {
    let host = FakeProxy::wasmx().worker();
    let plugin = Loaded::<Metrics>::configure(&host, b"{}").expect("a configuration");
    let [mut first, mut second] = [(); 2].map(|()| plugin.opened(host.pretend_request(GET)));
    let pass = |call: &mut Call| {
        plugin.on_request_headers(call, &host, true);
        plugin.on_log(call, &host);
    };
    pass(&mut second);
    host.clear_calls();
    pass(&mut first);
    let defined: Vec<String> = host.call_lines().into_iter().filter(|call| call.starts_with("define_metric")).collect();
    assert!(defined.is_empty(), "{defined:?}");
    let requests = |(name, _): &(String, u64)| name.starts_with("holdfast_requests_total;");
    assert_eq!(host.proxy().metrics().into_iter().find(requests).map(|(_, count)| count), Some(2));
}

#[test]
fn a_configuration_that_was_replaced_goes_and_the_next_one_serves() {
    let proxy = FakeProxy::envoy();
    let host = proxy.worker();
    let before = Worker::<Loaded<CircuitBreaker>>::start(&host, r#"{"mode": "force_open"}"#).expect("a configuration");
    assert!(before.request(GET).reply().is_some());
    let pushed = Worker::<Loaded<CircuitBreaker>>::start(&host, "{}").expect("a configuration");
    before.retire();
    assert!(before.is_gone() && !pushed.is_gone());
    assert!(pushed.request(GET).passed());
}
