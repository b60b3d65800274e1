//! Words for stories about the whole plugin on the fake host.
#![allow(dead_code, missing_docs)]

use retry_budget::RetryBudget;
use sdk_shim::fake::{FakeProxy, FilterState, InFlight, Worker};
use sdk_shim::host::Reply;

pub(crate) type Plugin = Worker<RetryBudget>;
pub(crate) type Call = InFlight<RetryBudget>;

pub(crate) const GET: &[(&str, &str); 3] = &[(":method", "GET"), (":path", "/pay"), (":authority", "shop")];
pub(crate) const POST: &[(&str, &str); 3] = &[(":method", "POST"), (":path", "/pay"), (":authority", "shop")];
pub(crate) const SECOND: core::time::Duration = core::time::Duration::from_secs(1);
/// One retry for five requests, and none besides.
pub(crate) const STRICT: &str = r#"{"chain": "upstream", "min_retries_per_second": 0}"#;

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
    entry(&proxy.worker(), config)
}

/// One more entry in a worker.
pub(crate) fn entry(host: &sdk_shim::fake::FakeHost, config: &str) -> Plugin {
    Worker::start(host, config).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A request's attempts, which know of each other.
pub(crate) struct Tries<'a> {
    pub(crate) plugin: &'a Plugin,
    pub(crate) state: FilterState,
}

impl<'a> Tries<'a> {
    pub(crate) fn of(plugin: &'a Plugin) -> Self {
        Self { plugin, state: FilterState::default() }
    }

    /// The next one begins, with this number.
    pub(crate) fn begin(&self, nth: u32) -> Call {
        self.plugin.stream().attempt(nth).sharing(&self.state).request(GET)
    }

    /// It begins and is answered. Gives whether it was vetoed.
    pub(crate) fn answer(&self, nth: u32, status: &str) -> bool {
        vetoed(self.begin(nth), &[(":status", status)])
    }

    /// It begins, and there is no answer.
    pub(crate) fn reset(&self, nth: u32) {
        let _ = self.begin(nth).fail_upstream("");
    }

    /// What they left for each other.
    pub(crate) fn line(&self) -> String {
        String::from_utf8(self.state.get("holdfast.retry_budget").unwrap_or_default()).unwrap()
    }
}

/// The service answers an attempt. Gives whether the router was told to stop.
pub(crate) fn vetoed(mut attempt: Call, answer: &[(&str, &str)]) -> bool {
    assert!(attempt.passed());
    attempt.respond(answer, true);
    let vetoed = attempt.response_header("x-envoy-ratelimited").is_some();
    attempt.finish();
    vetoed
}

/// So many requests that nothing is wrong with.
pub(crate) fn healthy(plugin: &Plugin, count: usize) {
    (0..count).for_each(|_| assert!(!Tries::of(plugin).answer(1, "200")));
}

pub(crate) fn header(reply: &Reply, name: &str) -> Option<String> {
    reply.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

/// A metric of the key `checkout`: `refused_total;cause=budget`.
pub(crate) fn metric(proxy: &FakeProxy, chain: &str, what: &str) -> u64 {
    let (name, label) = what.split_once(';').map_or((what, String::new()), |(name, label)| (name, format!(";{label}")));
    proxy.metric(&format!("holdfast_retry_budget_{name};chain={chain};instance=default;key=checkout{label}"))
}

pub(crate) fn up(proxy: &FakeProxy, what: &str) -> u64 {
    metric(proxy, "upstream", what)
}

pub(crate) fn down(proxy: &FakeProxy, what: &str) -> u64 {
    metric(proxy, "downstream", what)
}

/// How often the host was asked for each kind of thing since the last `clear_calls`.
pub(crate) fn count(plugin: &Plugin, name: &str) -> usize {
    plugin.host().calls().iter().filter(|call| call.name == name).count()
}
