//! Words for stories about the whole plugin on the fake host.
#![allow(dead_code, missing_docs)]

use protocol_health::ProtocolHealth;
use sdk_shim::fake::{FakeProxy, InFlight, Worker};

pub(crate) type Plugin = Worker<ProtocolHealth>;
pub(crate) type Call = InFlight<ProtocolHealth>;

pub(crate) const GET: &[(&str, &str); 3] = &[(":method", "GET"), (":path", "/orders?all"), (":authority", "shop")];
pub(crate) const QUERY: &[(&str, &str); 4] = &[
    (":method", "POST"),
    (":path", "/graphql?op=a"),
    ("content-type", "application/json"),
    ("accept-encoding", "gzip"),
];
pub(crate) const GRPC: &[(&str, &str); 3] =
    &[(":method", "POST"), (":path", "/shop.Orders/Place"), ("content-type", "application/grpc")];

/// The entry of attempts, which may hold what it must read.
pub(crate) const UP: &str = r#"{"chain": "upstream", "headers_stop_iteration": true,
    "hold": {"grpc_methods": ["/shop.Orders/Place"], "max_bytes": 100, "time": "100ms"}}"#;

/// `UP` with further fields.
pub(crate) fn up(more: &str) -> String {
    UP.trim_end().trim_end_matches('}').to_owned() + "}, " + more + "}"
}

/// An Envoy that can hold answers back.
pub(crate) fn envoy() -> FakeProxy {
    let proxy = FakeProxy::envoy();
    proxy.stop_iteration(true);
    proxy
}

pub(crate) fn worker(proxy: &FakeProxy, config: &str) -> Plugin {
    Worker::start(&proxy.worker(), config).unwrap_or_else(|faults| panic!("{faults}"))
}

/// An attempt with a body, sent whole.
pub(crate) fn post(plugin: &Plugin, headers: &[(&str, &str)]) -> Call {
    let mut attempt = plugin.stream().attempt(1).with_body().request(headers);
    attempt.request_body(b"{}", true);
    attempt
}

/// What filter state says of a call.
pub(crate) fn told(call: &Call) -> String {
    String::from_utf8(call.filter_state().get("holdfast.outcome").unwrap_or_default()).unwrap()
}

/// The mark in its headers.
pub(crate) fn mark(call: &Call) -> Option<String> {
    call.response_header("x-holdfast-outcome")
}

/// So many attempts that came to this.
pub(crate) fn attempts(proxy: &FakeProxy, protocol: &str, outcome: &str) -> u64 {
    proxy.metric(&format!(
        "holdfast_protocol_health_attempts_total;chain=upstream;instance=default;protocol={protocol};outcome={outcome}"
    ))
}

pub(crate) fn counted(proxy: &FakeProxy, chain: &str, what: &str, cause: &str) -> u64 {
    proxy.metric(&format!("holdfast_protocol_health_{what};chain={chain};instance=default;cause={cause}"))
}
