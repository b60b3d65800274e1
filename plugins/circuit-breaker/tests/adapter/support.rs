//! Words for stories about the whole plugin on the fake host.
#![allow(dead_code, missing_docs)]

use circuit_breaker::CircuitBreaker;
use circuit_breaker::state::State;
use core::time::Duration;
use sdk_shim::cell;
use sdk_shim::fake::{FakeProxy, InFlight, Worker};
use sdk_shim::host::{Host, Reply};

pub(crate) type Plugin = Worker<CircuitBreaker>;
pub(crate) type Call = InFlight<CircuitBreaker>;

pub(crate) const GET: &[(&str, &str); 3] = &[(":method", "GET"), (":path", "/pay"), (":authority", "shop")];

/// Opens at the second of two failures, without ratios; no jitter, so that times are exact.
pub(crate) const BRISK: &str = r#"{"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2,
    "open": {"base": "1s", "jitter": 0}, "recovery": {"over": "10s"}}"#;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// `BRISK` with further fields.
pub(crate) fn brisk(more: &str) -> String {
    BRISK.trim_end().trim_end_matches('}').to_owned() + "}, " + more + "}"
}

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

/// A Kong whose module is called `circuit-breaker.wasm`: it has no metrics.
pub(crate) fn hyphenated() -> FakeProxy {
    let proxy = kong();
    proxy.set("plugin_name", "circuit-breaker");
    proxy
}

/// What decides about `checkout`: successes, failures, slow calls, throttled requests, in metrics or in the cell that stands in for them.
pub(crate) fn counted(proxy: &FakeProxy) -> [u64; 4] {
    let name = "holdfast_circuit_breaker_calls;chain=downstream;instance=default;key=checkout";
    let Some(value) = proxy.shared(name).value else {
        return ["calls_total;outcome=success", "calls_total;outcome=failure", "slow_calls_total", "throttled_total"]
            .map(|what| metric(proxy, what));
    };
    let text = String::from_utf8(value[2 + name.len()..].to_vec()).unwrap();
    let totals: Vec<u64> = text.split(' ').map(|total| total.parse().unwrap()).collect();
    totals.try_into().unwrap()
}

/// One more worker of the proxy, with the plugin in it.
pub(crate) fn worker(proxy: &FakeProxy, config: &str) -> Plugin {
    Worker::start(&proxy.worker(), config).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A request comes, and is answered with `status` if it passes. Gives whether it did.
pub(crate) fn call(plugin: &Plugin, status: &str) -> bool {
    answer(plugin.request(GET), status)
}

/// The service answers what passed.
pub(crate) fn answer(mut call: Call, status: &str) -> bool {
    let passed = call.passed();
    if passed {
        call.respond(&[(":status", status)], true);
    }
    call.finish();
    passed
}

/// Fails twice, which opens a brisk breaker.
pub(crate) fn break_it(plugin: &Plugin) {
    assert!(call(plugin, "503") && call(plugin, "503"), "it was open before");
}

/// Why a request was refused: the cause in `x-holdfast-reject`.
pub(crate) fn cause(plugin: &Plugin) -> Option<String> {
    let call = plugin.request(GET);
    let reply = call.reply();
    call.finish();
    reply.map(|reply| cause_of(&reply))
}

pub(crate) fn cause_of(reply: &Reply) -> String {
    header(reply, "x-holdfast-reject").unwrap().trim_start_matches("circuit-breaker; cause=").to_owned()
}

pub(crate) fn header(reply: &Reply, name: &str) -> Option<String> {
    reply.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

/// A metric of the key `checkout`, by what stands before and behind the common labels: `rejected_total;cause=open`.
pub(crate) fn metric(proxy: &FakeProxy, what: &str) -> u64 {
    metric_of(proxy, "checkout", what)
}

pub(crate) fn metric_of(proxy: &FakeProxy, key: &str, what: &str) -> u64 {
    let (name, label) = what.split_once(';').map_or((what, String::new()), |(name, label)| (name, format!(";{label}")));
    proxy.metric(&format!("holdfast_circuit_breaker_{name};chain=downstream;instance=default;key={key}{label}"))
}

/// The name of a key's cell under this configuration.
pub(crate) fn cell_name(config: &str, key: &str) -> String {
    let policy = circuit_breaker::config::read(config.as_bytes()).unwrap();
    let common = &policy.common;
    let encoding = circuit_breaker::state::ENCODING;
    format!(
        "holdfast;circuit-breaker;{};{};{};e{encoding};{key}",
        common.chain.as_str(),
        common.instance,
        policy.meaning()
    )
}

/// What is stored about `checkout`.
pub(crate) fn stored(plugin: &Plugin, config: &str) -> Option<State> {
    cell::read(plugin.host(), &cell_name(config, "checkout")).unwrap().record
}

/// How often the host was asked for each kind of thing since the last `clear_calls`.
pub(crate) fn count(plugin: &Plugin, name: &str) -> usize {
    plugin.host().calls().iter().filter(|call| call.name == name).count()
}

/// As `host.now()`, without being recorded as a call of the plugin.
pub(crate) fn now_of(proxy: &FakeProxy) -> sdk_shim::time::Instant {
    proxy.worker().now()
}
