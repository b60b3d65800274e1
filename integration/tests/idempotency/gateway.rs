//! One proxy.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use integration::{DynamicFilter, Envoy, ReservedPort, TestResult, Wasm, config};
use serde_json::{Value, json};

use super::budget::Entries;
use super::store::Store;

/// A route's timeout: below the default lease, as the docs ask for.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What makes a proxy ours.
pub(crate) struct Parts {
    pub(crate) plugin: Option<DynamicFilter>,
    pub(crate) breaker: Option<Wasm>,
    pub(crate) budget: Option<Entries>,
}

/// An Envoy with two workers and the listener `edge` before the ledger. Its port stays the same when it is killed and restarted.
pub(crate) struct Gateway {
    port: ReservedPort,
    bootstrap: Value,
    plugin: Option<DynamicFilter>,
    envoy: Mutex<Option<Envoy>>,
}

// === impl Gateway ===

impl Gateway {
    pub(crate) fn start(parts: Parts, ledger: u16, store: &Store) -> TestResult<Self> {
        let port = ReservedPort::new()?;
        let bootstrap = store.tunnel(bootstrap(&parts, port.number(), ledger, store));
        let envoy = Mutex::new(Some(Envoy::start(&bootstrap)?));
        Ok(Self { port, bootstrap, plugin: parts.plugin, envoy })
    }

    /// Where clients connect.
    pub(crate) fn edge(&self) -> u16 {
        self.port.number()
    }

    /// Ends it as `kill -9` does: requests under way are cut, its port refuses.
    pub(crate) fn kill(&self) {
        // Dropping it kills it.
        drop(self.envoy().take());
    }

    /// Kills it if it runs, and starts it on its port.
    pub(crate) fn restart(&self) -> TestResult {
        self.kill();
        *self.envoy() = Some(Envoy::start(&self.bootstrap)?);
        Ok(())
    }

    /// Pushes another configuration of the plugin under traffic (ECDS); poll for the effect.
    pub(crate) fn push(&self, plugin: &Wasm) -> TestResult {
        self.plugin.as_ref().context("a proxy without the plugin")?.update(&plugin.typed_config())
    }

    /// Looks at the process while it runs.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Envoy) -> TestResult<T>) -> TestResult<T> {
        look(self.envoy().as_ref().context("the proxy was killed")?)
    }

    /// The sum of the plugin's counter `what` over its series that carry these labels.
    pub(crate) fn counted(&self, what: &str, labels: &[(&str, &str)]) -> TestResult<u64> {
        self.look(|envoy| counted(envoy, what, labels))
    }

    /// No request was lost to a broken filter, and the proxy hasn't died.
    pub(crate) fn assert_no_trap(&self) {
        let envoy = self.envoy();
        assert_no_trap(envoy.as_ref().expect("a proxy that was not killed"));
    }

    fn envoy(&self) -> MutexGuard<'_, Option<Envoy>> {
        self.envoy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The service may be tried four times, after resets too: what runs a payment twice without the plugin.
fn bootstrap(parts: &Parts, edge: u16, ledger: u16, store: &Store) -> Value {
    let mut filters: Vec<Value> = parts.plugin.iter().map(DynamicFilter::filter).collect();
    filters.extend(parts.breaker.iter().map(Wasm::filter));
    filters.extend(parts.budget.iter().map(|budget| budget.downstream.filter()));
    let pay = config::with_retries(config::route("pay", "ledger"), "5xx,reset,connect-failure", 3);
    // What is asked there never reaches the service: a story sees by it which configuration is at work.
    let asked = config::direct("stage", "/stage", 200, "not this one");
    let mut routes = vec![asked, config::with_timeout(pay, TIMEOUT)];
    if parts.plugin.is_none() && !store.is_memory() {
        routes.insert(0, config::route_at("store", "/store", "store"));
    }
    let mut listener = config::listener("edge", &filters, &routes);
    config::virtual_host_mut(&mut listener)["include_request_attempt_count"] = json!(true);
    listener["address"]["socket_address"]["port_value"] = json!(edge);
    let cluster = config::without_limits(config::cluster("ledger", &[ledger]));
    let cluster = match &parts.budget {
        Some(budget) => config::upstream_filters(cluster, &[budget.upstream.filter()]),
        None => cluster,
    };
    config::bootstrap(&[listener], &[cluster])
}

/// The sum of the plugin's counter `what` over its series that carry these labels.
pub(super) fn counted(envoy: &Envoy, what: &str, labels: &[(&str, &str)]) -> TestResult<u64> {
    let series = envoy.stats(&format!("^wasmcustom\\.holdfast_idempotency_{what};"))?;
    let label =
        |name: &str, (label, value): &(&str, &str)| name.split(';').any(|part| part == format!("{label}={value}"));
    let wanted = series.iter().filter(|(name, _)| labels.iter().all(|pair| label(name, pair)));
    Ok(wanted.map(|(_, value)| value).sum())
}

/// No module broke, and the process lives.
pub(super) fn assert_no_trap(envoy: &Envoy) {
    let log = envoy.log();
    let broken = |line: &&str| line.contains("panicked") || line.contains("Uncaught");
    let bad: Vec<&str> = log.lines().filter(broken).collect();
    assert!(bad.is_empty() && envoy.is_running(), "{bad:#?}");
    let reloads = envoy.stats("^wasm\\..*(reload|crash|fail)").expect("the proxy's own counters");
    assert!(reloads.values().all(|count| *count == 0), "{reloads:?}");
}
