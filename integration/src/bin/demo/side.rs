//! One Envoy and the two regions behind it. There are two of these: with Holdfast, and without.

use std::collections::BTreeMap;

use integration::config::patch;
use integration::{Envoy, Fault, TestResult, Upstream, client};
use serde_json::{Value, json};

use crate::shipped::Shipped;
use crate::spans::{Collector, Heard};

const HOLDFAST: &str = "active-active-holdfast.yaml";
const FILTERS: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
const CLUSTERS: &str = "/static_resources/clusters";
/// The names of the breaker's metrics begin with it.
const METRIC: &str = "wasmcustom.holdfast_circuit_breaker_";
/// What Envoy 1.36 puts before them: all that a VM counts is under the cluster whose filters began it.
const BEFORE: &str = r"^(cluster\.[^.]+\.)?";
const SCOPE: &str = "chain=downstream;instance=default;key=orders-eu";

/// One Envoy and its services.
#[derive(Debug)]
pub(crate) struct Side {
    /// The region that will fall ill.
    pub(crate) eu: [Upstream; 2],
    /// The one that stays well.
    pub(crate) us: [Upstream; 2],
    pub(crate) envoy: Envoy,
    pub(crate) edge: u16,
    /// Envoy's files, which must live as long as it does.
    shipped: Shipped,
    collector: Collector,
}

/// What `/stats` says of the breaker of region eu.
#[derive(Clone, Debug, Default)]
pub(crate) struct Breaker {
    /// The state's number, as in the gauge.
    pub(crate) state: u64,
    /// How often each state was entered.
    pub(crate) transitions: BTreeMap<String, u64>,
}

// === impl Side ===

impl Side {
    /// As shipped.
    pub(crate) fn with_holdfast() -> TestResult<Self> {
        Self::start(|_| {})
    }

    /// What Envoy's tracer told of requests so far.
    pub(crate) fn spans(&self) -> Heard {
        self.collector.heard()
    }

    /// The same with Holdfast's lines taken out. Envoy's own defences (outlier detection, health checks) stay.
    pub(crate) fn without_holdfast() -> TestResult<Self> {
        Self::start(|config| {
            if let Some(filters) = config.pointer_mut(FILTERS).and_then(Value::as_array_mut) {
                filters.retain(|filter| filter["name"] != "holdfast");
            }
            if let Some(clusters) = config.pointer_mut(CLUSTERS).and_then(Value::as_array_mut) {
                let options = "typed_extension_protocol_options";
                clusters.iter_mut().filter_map(Value::as_object_mut).for_each(|cluster| drop(cluster.remove(options)));
            }
        })
    }

    fn start(change: impl Fn(&mut Value)) -> TestResult<Self> {
        let eu = [Upstream::start("eu-1")?, Upstream::start("eu-2")?];
        let us = [Upstream::start("us-1")?, Upstream::start("us-2")?];
        let ports = [(8081, eu[0].port()), (8082, eu[1].port()), (8083, us[0].port()), (8084, us[1].port())];
        let mut shipped = Shipped::read("active-active.yaml", &ports)?;
        change(&mut shipped.config);
        let collector = Collector::start()?;
        collector.trace(&mut shipped.config)?;
        let envoy = Envoy::options().concurrency(2).start(&shipped.config)?;
        let edge = envoy.port("edge")?;
        Ok(Self { eu, us, envoy, edge, shipped, collector })
    }

    /// Changes the breaker's settings while it runs, over ECDS.
    pub(crate) fn set_policy(&self, change: Value) -> TestResult {
        self.shipped.push_policy(HOLDFAST, &patch(self.shipped.policy(HOLDFAST)?, change))
    }

    /// Where Prometheus reads what was counted.
    pub(crate) fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/stats/prometheus", self.envoy.admin_port())
    }

    /// The region that serves a user who may be served anywhere.
    pub(crate) fn home_of(&self, user: &str) -> TestResult<String> {
        let reply = client::get(self.edge, "/orders", &[("x-user-id", user), ("x-data-region", "any")])?;
        Ok(reply.served_by().unwrap_or_default().to_owned())
    }

    /// What requests to region eu meet from now on. Its health checks go on to be answered, as they so often do.
    pub(crate) fn strike(&self, fault: &Fault) {
        self.eu.iter().for_each(|instance| instance.set(fault.clone()));
    }

    /// Requests that region eu received.
    pub(crate) fn eu_hits(&self) -> u64 {
        self.eu.iter().map(Upstream::hits).sum()
    }

    /// What `/stats` says of the breaker of region eu.
    pub(crate) fn breaker(&self) -> TestResult<Breaker> {
        let found = self.envoy.stats(&format!("{BEFORE}{METRIC}(state|transitions_total);"))?;
        let found: BTreeMap<&str, u64> =
            found.iter().filter_map(|(name, value)| Some((name.get(name.find(METRIC)?..)?, *value))).collect();
        let state = found.get(format!("{METRIC}state;{SCOPE}").as_str()).copied().unwrap_or(0);
        let prefix = format!("{METRIC}transitions_total;{SCOPE};to=");
        let to = |(name, count): (&&str, &u64)| Some((name.strip_prefix(&prefix)?.to_owned(), *count));
        Ok(Breaker { state, transitions: found.iter().filter_map(to).collect() })
    }
}

/// Shorter windows for the short story.
pub(crate) fn fast_policy() -> Value {
    json!({"circuit_breaker": {"window": {"time": "2s"}, "open": {"base": "1s", "max": "2s"}, "recovery": {"over": "3s"}}})
}
