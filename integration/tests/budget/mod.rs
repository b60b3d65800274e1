//! What the budget's stories share: a service, a proxy that retries, a budget in both of its chains, and what is counted.
#![allow(dead_code, reason = "each story uses its part")]
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

use std::time::Duration;

use integration::client::Tally;
use integration::{Call, Envoy, Response, Storm, TestResult, Upstream, Wasm, config, envoy, eventually_eq};
use serde_json::{Value, json};

/// Deadline of whatever should happen at once: long, because only a failure waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Where the service's answer came from.
pub(crate) const REFUSED: Option<&str> = Some("retry-budget; cause=budget");

/// The two entries of one budget.
pub(crate) struct Entries {
    pub(crate) downstream: Wasm,
    pub(crate) upstream: Wasm,
}

/// A fifth of the requests of ten seconds may be retried, and nothing besides; `change` goes into both entries, except for what only
/// the listener's has.
pub(crate) fn entries(change: Value) -> TestResult<Entries> {
    let policy = config::patch(json!({"ratio": 0.2, "min_retries_per_second": 0, "ttl": "10s"}), change);
    let of_attempts = json!({"chain": "upstream", "retry_unsafe": null, "client_retries": null});
    let module = Wasm::module("retry_budget")?.name("budget");
    Ok(Entries {
        downstream: module.clone().config(&policy),
        upstream: module.config(&config::patch(policy, of_attempts)),
    })
}

/// A budget that no story uses up.
pub(crate) fn plenty(change: Value) -> TestResult<Entries> {
    entries(config::patch(json!({"min_retries_per_second": 1000}), change))
}

/// A route that tries three times more on whatever `5xx` stands for: statuses, resets, timeouts, refused connections.
pub(crate) fn route() -> Value {
    config::with_retries(config::route("all", "orders"), "5xx", 3)
}

/// The filters that a proxy has: in its listener, in its cluster.
pub(crate) type Filters = (Vec<Value>, Vec<Value>);

/// A service, and a proxy before it.
pub(crate) struct Story {
    pub(crate) orders: Upstream,
    pub(crate) envoy: Envoy,
    pub(crate) edge: u16,
}

// === impl Entries ===

impl Entries {
    pub(crate) fn both(&self) -> Filters {
        (vec![self.downstream.filter()], vec![self.upstream.filter()])
    }

    /// Nothing in the listener: no steering, and what the cluster's entry adds to an answer shows.
    pub(crate) fn upstream_only(&self) -> Filters {
        (vec![], vec![self.upstream.filter()])
    }
}

// === impl Story ===

impl Story {
    /// With a budget in both chains.
    pub(crate) fn begin(change: Value) -> TestResult<Self> {
        Self::on(&route(), &entries(change)?.both())
    }

    /// With nothing but Envoy's own retries: the control.
    pub(crate) fn without_budget(route: &Value) -> TestResult<Self> {
        Self::on(route, &Filters::default())
    }

    /// With a route and filters of one's own.
    pub(crate) fn on(route: &Value, filters: &Filters) -> TestResult<Self> {
        Self::with(route, filters, |cluster| cluster)
    }

    /// With an upstream that speaks gRPC.
    pub(crate) fn over_grpc(route: &Value, filters: &Filters) -> TestResult<Self> {
        Self::with(route, filters, config::http2)
    }

    fn with(route: &Value, filters: &Filters, change: fn(Value) -> Value) -> TestResult<Self> {
        let orders = Upstream::start("orders")?;
        let (envoy, edge) = gateway(orders.port(), route, filters, change)?;
        Ok(Self { orders, envoy, edge })
    }

    pub(crate) fn get(&self) -> TestResult<Response> {
        Call::get(self.edge, "/").send()
    }

    /// So many requests that are answered, over both workers, eight at a time.
    pub(crate) fn many(&self, total: usize) -> TestResult<Tally> {
        answered(&Call::get(self.edge, "/"), total)
    }

    /// What the service took beyond the first tries.
    pub(crate) fn retries(&self) -> u64 {
        self.orders.seen().iter().filter(|seen| seen.header("x-envoy-attempt-count") != Some("1")).count() as u64
    }

    /// The sum of a counter over all its series: `granted_total`, `refused_total;cause=budget`.
    pub(crate) fn counted(&self, what: &str) -> TestResult<u64> {
        counted(&self.envoy, what, &[])
    }

    /// No request was lost to a broken filter.
    pub(crate) fn assert_no_trap(&self) {
        let log = self.envoy.log();
        let bad: Vec<&str> =
            log.lines().filter(|line| line.contains("panicked") || line.contains("Uncaught")).collect();
        assert!(bad.is_empty() && self.envoy.is_running(), "{bad:#?}");
    }
}

/// An Envoy with listener `edge` that tells the service which attempt it gets, and whose cluster's circuit breakers are out of the way.
pub(crate) fn gateway(
    port: u16,
    route: &Value,
    (downstream, upstream): &Filters,
    change: fn(Value) -> Value,
) -> TestResult<(Envoy, u16)> {
    let mut listener = config::listener("edge", downstream, std::slice::from_ref(route));
    config::virtual_host_mut(&mut listener)["include_request_attempt_count"] = json!(true);
    let cluster = change(config::without_limits(config::cluster("orders", &[port])));
    let cluster = if upstream.is_empty() { cluster } else { config::upstream_filters(cluster, upstream) };
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
    let edge = envoy.port("edge")?;
    Ok((envoy, edge))
}

/// So many requests like this one, all of which are answered.
pub(crate) fn answered(call: &Call, total: usize) -> TestResult<Tally> {
    let tally = Storm::new(call.clone()).concurrency(8).total(total).run(SOON)?;
    assert_eq!(tally.len(), total, "{:?}", tally.errors());
    assert!(tally.errors().is_empty(), "{:?}", tally.errors());
    Ok(tally)
}

/// The sum of the budget's counter `what` over all series that carry these labels. Envoy 1.36 keeps the metrics of a cluster's filters
/// under the cluster's name.
pub(crate) fn counted(envoy: &Envoy, what: &str, labels: &[(&str, &str)]) -> TestResult<u64> {
    let (name, label) = what.split_once(';').map_or((what, None), |(name, label)| (name, label.split_once('=')));
    let series = envoy.stats(&format!("^(cluster\\.[^.]+\\.)?wasmcustom\\.holdfast_retry_budget_{name};"))?;
    let wanted = |name: &str| {
        labels.iter().chain(&label).all(|(label, value)| name.split(';').any(|part| part == format!("{label}={value}")))
    };
    Ok(series.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| value).sum())
}

/// Waits for a counter.
pub(crate) fn until_counted(story: &Story, what: &str, expected: u64) -> TestResult {
    eventually_eq(what, SOON, &expected, || story.counted(what))
}

/// Whether both chains of this Envoy read each other's counters: the older one keeps them apart.
pub(crate) fn chains_share_counters() -> TestResult<bool> {
    Ok(envoy::version()? >= (1, 40, 0))
}
