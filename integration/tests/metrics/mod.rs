//! What the stories of the metrics plugin share: one proxy with two workers, the plugin in both of its chains, and a route for each thing that can happen.
#![allow(dead_code, reason = "each story uses its part")]
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

use std::time::Duration;

use integration::config::{self, patch};
use integration::envoy::Envoy;
use integration::{ReservedPort, TestResult, Upstream, Wasm, eventually};
use sdk_shim::labels::rules::stats_config;
use serde_json::{Value, json};

/// Deadline of whatever should happen at once: long, because only a failure waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// How the access logs of these stories begin.
pub(crate) const LOG: &str =
    "line=[%FILTER_STATE(wasm.holdfast.request:PLAIN)%] status=%RESPONSE_CODE% path=%REQ(:PATH)%";

/// The entry of requests.
pub(crate) fn down(policy: &Value) -> TestResult<Wasm> {
    Ok(Wasm::module("metrics")?.name("metrics").config(policy))
}

/// The entry of attempts.
pub(crate) fn up(policy: Value) -> TestResult<Wasm> {
    Ok(Wasm::module("metrics")?.name("metrics-up").config(&patch(json!({"chain": "upstream"}), policy)))
}

/// The rules that make labels, and histograms that are shown at once.
pub(crate) fn tagged(bootstrap: Value) -> TestResult<Value> {
    Ok(patch(patch(bootstrap, config::from_yaml(&stats_config())?), json!({"stats_flush_interval": "0.2s"})))
}

/// A listener with an access log of the request's line.
pub(crate) fn listener(filters: &[Value], routes: &[Value]) -> Value {
    let mut listener = config::listener("edge", filters, routes);
    config::hcm_mut(&mut listener)["access_log"] = config::access_log(LOG);
    listener
}

/// The services of a stage: one for each thing that can happen.
pub(crate) struct Services {
    pub(crate) well: Upstream,
    pub(crate) sick: Upstream,
    pub(crate) flaky: Upstream,
    pub(crate) reset: Upstream,
    pub(crate) silent: Upstream,
    pub(crate) cut: Upstream,
    pub(crate) grpc: Upstream,
    pub(crate) grpc_sick: Upstream,
    gone: ReservedPort,
}

// === impl Services ===

impl Services {
    pub(crate) fn start() -> TestResult<Self> {
        use integration::{Fault, Grpc};
        let services = Self {
            well: Upstream::start("well")?,
            sick: Upstream::start("sick")?,
            flaky: Upstream::start("flaky")?,
            reset: Upstream::start("reset")?,
            silent: Upstream::start("silent")?,
            cut: Upstream::start("cut")?,
            grpc: Upstream::start("grpc")?,
            grpc_sick: Upstream::start("grpc-sick")?,
            gone: ReservedPort::new()?,
        };
        services.sick.set(Fault::Status(503));
        services.flaky.set(Fault::Fail { percent: 50, status: 503 });
        services.reset.set(Fault::Reset);
        services.silent.set(Fault::Hang);
        services.cut.set(Fault::Cut);
        services.grpc_sick.set_grpc(Grpc::MessageThen(14));
        Ok(services)
    }

    pub(crate) fn clusters(&self, filters: &[Value]) -> Vec<Value> {
        let cluster = |name: &str, ports: &[u16]| config::without_limits(config::cluster(name, ports));
        let closed = json!({"circuit_breakers": {"thresholds": [{"max_pending_requests": 0}]}});
        let clusters = [
            cluster("well", &[self.well.port()]),
            cluster("sick", &[self.sick.port()]),
            cluster("flaky", &[self.flaky.port()]),
            cluster("reset", &[self.reset.port()]),
            cluster("silent", &[self.silent.port()]),
            cluster("cut", &[self.cut.port()]),
            config::http2(cluster("grpc", &[self.grpc.port()])),
            config::http2(cluster("grpc-sick", &[self.grpc_sick.port()])),
            cluster("gone", &[self.gone.number()]),
            cluster("nobody", &[]),
            patch(cluster("full", &[self.well.port()]), closed),
        ];
        clusters.into_iter().map(|cluster| config::upstream_filters(cluster, filters)).collect()
    }
}

/// A route for each of them, by the first part of its path.
pub(crate) fn routes() -> Vec<Value> {
    let at = |name: &str, cluster: &str| config::route_at(name, &format!("/{name}"), cluster);
    vec![
        config::with_timeout(at("sse", "well"), Duration::ZERO),
        config::with_timeout(at("ws", "well"), Duration::ZERO),
        at("graphql", "well"),
        at("rest", "well"),
        at("sick", "sick"),
        config::with_retries(at("retried", "flaky"), "5xx", 3),
        at("reset", "reset"),
        config::with_timeout(at("late", "silent"), Duration::from_millis(100)),
        config::with_timeout(at("left", "silent"), Duration::ZERO),
        at("cut", "cut"),
        at("gone", "gone"),
        at("nobody", "nobody"),
        at("full", "full"),
        config::direct("closed", "/closed", 403, "closed"),
        at("pay", "well"),
        at("shop.Orders", "grpc"),
        at("shop.Sick", "grpc-sick"),
    ]
}

/// A counter of one entry, summed over what isn't named.
pub(crate) fn counted(envoy: &Envoy, name: &str, labels: &[(&str, &str)]) -> TestResult<u64> {
    let sum = envoy.prometheus()?.sum(&format!("holdfast_{name}"), labels);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test")]
    Ok(sum as u64)
}

/// Waits until a counter shows this, and tells what it showed if it doesn't.
pub(crate) fn shows(envoy: &Envoy, name: &str, labels: &[(&str, &str)], wanted: u64) -> TestResult {
    let what = format!("{name} {labels:?} is {wanted}");
    eventually(&what, SOON, || {
        let is = counted(envoy, name, labels)?;
        anyhow::ensure!(is == wanted, "it is {is}");
        Ok::<_, anyhow::Error>(true)
    })
}
