//! Words for stories about the whole plugin on the fake host.
#![allow(dead_code, missing_docs)]

use metrics::Metrics;
use sdk_shim::fake::{FakeProxy, InFlight, Worker};

pub(crate) type Plugin = Worker<Metrics>;
pub(crate) type Call = InFlight<Metrics>;

pub(crate) const GET: &[(&str, &str); 3] = &[(":method", "GET"), (":path", "/pay"), (":authority", "shop")];
pub(crate) const GRPC: &[(&str, &str); 3] =
    &[(":method", "POST"), (":path", "/shop.Orders/Get"), ("content-type", "application/grpc")];
pub(crate) const UP: &str = r#"{"chain": "upstream"}"#;

/// An Envoy with one route.
pub(crate) fn envoy() -> FakeProxy {
    let proxy = FakeProxy::envoy();
    proxy.set("xds.route_name", "checkout");
    proxy
}

/// A Kong with one route, and one service behind it.
pub(crate) fn kong() -> FakeProxy {
    let proxy = FakeProxy::wasmx();
    proxy.set("kong.route_id", "checkout");
    proxy.set("kong.service_id", "payments");
    proxy
}

/// One more worker of the proxy, with the plugin in it.
pub(crate) fn worker(proxy: &FakeProxy, config: &str) -> Plugin {
    Worker::start(&proxy.worker(), config).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A request comes and is answered with `status`.
pub(crate) fn call(plugin: &Plugin, status: &str) {
    let mut call = plugin.request(GET);
    call.respond(&[(":status", status)], true);
    call.finish();
}

/// The name of a series of the downstream entry: `requests_total;outcome=ok` on the route `checkout`.
pub(crate) fn name(chain: &str, protocol: &str, what: &str) -> String {
    let (name, labels) =
        what.split_once(';').map_or((what, String::new()), |(name, labels)| (name, format!(";{labels}")));
    format!("holdfast_{name};chain={chain};instance=default;route=checkout;protocol={protocol}{labels}")
}

pub(crate) fn rest(proxy: &FakeProxy, what: &str) -> u64 {
    proxy.metric(&name("downstream", "rest", what))
}

pub(crate) fn of(proxy: &FakeProxy, protocol: &str, what: &str) -> u64 {
    proxy.metric(&name("downstream", protocol, what))
}

pub(crate) fn up(proxy: &FakeProxy, what: &str) -> u64 {
    proxy.metric(&name("upstream", "rest", what))
}

/// The sum of all series whose name begins so.
pub(crate) fn sum(proxy: &FakeProxy, name: &str) -> u64 {
    let begins = format!("holdfast_{name};");
    proxy.metrics().into_iter().filter(|(name, _)| name.starts_with(&begins)).map(|(_, value)| value).sum()
}

/// What the request's line says.
pub(crate) fn line(call: &Call) -> String {
    String::from_utf8(call.filter_state().get("holdfast.request").unwrap_or_default()).unwrap()
}

/// Ends a call and gives its line.
pub(crate) fn ended(call: Call) -> String {
    let state = call.filter_state();
    call.finish();
    String::from_utf8(state.get("holdfast.request").unwrap_or_default()).unwrap()
}
