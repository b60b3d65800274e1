//! Words for stories about the suite on the fake host.

use sdk_shim::fake::{FakeHost, FakeProxy, InFlight, Worker};
use sdk_shim::host::Reply;
use suite::Suite;

pub(crate) type Plugin = Worker<Suite<FakeHost>>;
pub(crate) type Call = InFlight<Suite<FakeHost>>;

pub(crate) const GET: &[(&str, &str); 3] = &[(":method", "GET"), (":path", "/pay"), (":authority", "shop")];
/// With a key, whose claim waits for the body.
pub(crate) const POST: &[(&str, &str); 5] = &[
    (":method", "POST"),
    (":path", "/pay"),
    (":authority", "shop"),
    ("content-type", "application/json"),
    ("idempotency-key", "\"a\""),
];
pub(crate) const ORDER: &[u8] = br#"{"amount": 10}"#;

/// All of a listener's plugins, with a store in memory and a breaker that two failures open.
pub(crate) const DOWN: &str = r#"{"headers_stop_iteration": true, "protocol_health": {}, "metrics": {}, "idempotency": {"store": {"kind": "memory"}},
    "circuit_breaker": {"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2}, "retry_budget": {}}"#;
/// All of a cluster's.
pub(crate) const UP: &str = r#"{"chain": "upstream", "headers_stop_iteration": true, "metrics": {}, "circuit_breaker": {}, "retry_budget": {},
    "protocol_health": {"hold": {"time": "100ms"}}}"#;

/// An Envoy with one route that can hold messages back.
pub(crate) fn envoy() -> FakeProxy {
    let proxy = FakeProxy::envoy();
    proxy.set("xds.route_name", "checkout");
    proxy.stop_iteration(true);
    proxy
}

pub(crate) fn worker(proxy: &FakeProxy, config: &str) -> Plugin {
    Worker::start(&proxy.worker(), config).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A request with a key and its whole body.
pub(crate) fn pay(plugin: &Plugin) -> Call {
    let mut call = plugin.stream().with_body().request(POST);
    call.request_body(ORDER, true);
    call
}

/// A request comes, and is answered with `status` if it passes. Gives whether it did.
pub(crate) fn call(plugin: &Plugin, status: &str) -> bool {
    let mut call = plugin.request(GET);
    let passed = call.passed();
    if passed {
        call.respond(&[(":status", status)], true);
    }
    call.finish();
    passed
}

/// Who refused it, and why.
pub(crate) fn cause(reply: &Reply) -> &str {
    reply.headers.iter().find(|(name, _)| name == "x-holdfast-reject").map_or("", |(_, value)| value)
}

/// How often the host was asked for this.
pub(crate) fn count(plugin: &Plugin, line: &str) -> usize {
    plugin.host().call_lines().iter().filter(|call| call.starts_with(line)).count()
}
