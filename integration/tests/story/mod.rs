//! What the breaker's stories share: a service, a proxy with a breaker before it, and what that proxy tells.
#![allow(dead_code, reason = "each story uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use integration::{Call, Envoy, Fault, Storm, TestResult, Upstream, Wasm, config, eventually};
use serde_json::{Value, json};

/// For whatever should happen at once: generous, because machines that run tests are busy.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// A breaker that decides within a second over ten calls, stays open for the rest of the story and recovers at once;
/// the fields of `change` replace those (`null` is a value: "never").
pub(crate) fn breaker(change: Value) -> TestResult<Wasm> {
    let mut swift = json!({
        "window": {"time": "1s"},
        "minimum_calls": 10,
        "open": {"base": "60s", "max": "60s", "jitter": 0},
        "recovery": {"over": "0ms"},
    });
    let Value::Object(change) = change else { bail!("{change} is no configuration") };
    change.into_iter().for_each(|(name, value)| swift[name] = value);
    Ok(Wasm::module("circuit_breaker")?.name("breaker").config(&swift))
}

/// A service `orders`, and a proxy with a breaker before its only route, `all`.
pub(crate) struct Story {
    pub(crate) orders: Upstream,
    pub(crate) envoy: Envoy,
    pub(crate) edge: u16,
}

// === impl Story ===

impl Story {
    /// With the breaker of [`breaker`].
    pub(crate) fn begin(change: Value) -> TestResult<Self> {
        Self::with_route(&breaker(change)?, config::route("all", "orders"))
    }

    /// With a route of one's own to the cluster `orders`.
    pub(crate) fn with_route(breaker: &Wasm, route: Value) -> TestResult<Self> {
        let orders = Upstream::start("orders")?;
        let listener = config::listener("edge", &[breaker.filter()], &[route]);
        let envoy = Envoy::start(&config::bootstrap(&[listener], &[config::cluster("orders", &[orders.port()])]))?;
        Ok(Self { edge: envoy.port("edge")?, envoy, orders })
    }

    /// A request to come.
    pub(crate) fn call(&self) -> Call {
        Call::get(self.edge, "/")
    }

    /// A counter or gauge of the route's key: `stale_total`, `rejected_total;cause=open`.
    pub(crate) fn metric(&self, what: &str) -> TestResult<u64> {
        metric(&self.envoy, "all", what)
    }

    /// Lets the service answer 500 until the breaker refuses `/`; the requests that it takes go to `/sick`.
    pub(crate) fn break_it(&self) -> TestResult {
        self.orders.set(Fault::Status(500));
        fail_until_rejected(&Call::get(self.edge, "/sick"))
    }
}

/// Sends calls like this one, in bursts over both workers, until the breaker refuses one and every worker knows.
pub(crate) fn fail_until_rejected(call: &Call) -> TestResult {
    let burst = Storm::new(call.clone().fresh_connection()).concurrency(8).total(16);
    eventually("the breaker refuses", SOON, || Ok::<_, anyhow::Error>(burst.clone().run(SOON)?.rejected() > 0))?;
    until_every_worker_knows();
    Ok(())
}

/// After a transition, a worker may go by its copy of the state for `state_refresh`, 10 ms; longer than that is slept here.
pub(crate) fn until_every_worker_knows() {
    std::thread::sleep(Duration::from_millis(20));
}

/// A counter or gauge of any key of the downstream breaker `default`.
pub(crate) fn metric(envoy: &Envoy, key: &str, what: &str) -> TestResult<u64> {
    let (name, label) = what.split_once(';').map_or((what, String::new()), |(name, label)| (name, format!(";{label}")));
    let head = format!("wasmcustom.holdfast_circuit_breaker_{name};chain=downstream;instance=default");
    envoy.stat(&format!("{head};key={key}{label}"))
}

/// The breaker's lines in the log, of one kind: `open`, `half_open`, `recovering`, `closed`.
pub(crate) fn told(envoy: &Envoy, event: &str) -> TestResult<Vec<Value>> {
    let lines = events(envoy)?;
    Ok(lines.into_iter().filter(|line| line["event"] == event).collect())
}

/// All of the breaker's lines in the log.
pub(crate) fn events(envoy: &Envoy) -> TestResult<Vec<Value>> {
    let log = envoy.log();
    let lines = log.lines().filter(|line| line.contains(r#""holdfast":"circuit-breaker""#));
    lines.map(|line| json_of(line).with_context(|| line.to_owned())).collect()
}

fn json_of(line: &str) -> TestResult<Value> {
    let start = line.find('{').context("no JSON")?;
    Ok(serde_json::from_str(&line[start..])?)
}

/// Both workers had connections: what was seen holds for both.
pub(crate) fn both_workers_served(envoy: &Envoy) -> TestResult {
    let connections = envoy.stats("^listener\\.127.*worker_[01]\\.downstream_cx_total$")?;
    let busy = connections.values().filter(|count| **count > 0).count();
    ensure!(busy == 2, "connections per worker: {connections:?}");
    Ok(())
}
