//! `observability/rules/holdfast.rules.yaml`: what is recorded, and what somebody is told.

use serde_yaml_ng::{Mapping, Value};

use super::alerts::{self, Alert};
use super::labels::{CAUSE, CLUSTER, INSTANCE, JOB, KEY, LISTENER, NODE, REGION, ROUTE};
use super::slo;
use super::table::{
    ATTEMPTS, BUDGET_REFUSED, BUDGET_STEERED, CX_OVERFLOW, CX_OVERFLOW_TOTAL, DOWNSTREAM_TLS_ERROR,
    DOWNSTREAM_TLS_HANDSHAKES, DOWNSTREAM_TLS_NO_CERT, DOWNSTREAM_TLS_UNTRUSTED, DROPPED, REQUESTS, UPSTREAM_TLS_ERROR,
    UPSTREAM_TLS_NAME, UPSTREAM_TLS_NO_CERT, UPSTREAM_TLS_PIN, UPSTREAM_TLS_UNTRUSTED, WOULD_REJECT,
};

/// Connections that a full pool refused, per second, node and cluster.
pub const POOL_OVERFLOW: &str = "holdfast:pool_overflow:rate5m";
/// Attempts per request, by region and route.
pub const AMPLIFICATION: &str = "holdfast:amplification:ratio_rate5m";
/// Requests per second, by region and route.
pub const REQUEST_RATE: &str = "holdfast:requests:rate5m";
/// Retries that the budget kept back, per second, by region and key.
pub const BUDGET_EXHAUSTED: &str = "holdfast:budget_exhausted:rate5m";
/// What a dry run would have refused, per second, by plugin.
pub const WOULD_REJECT_RATE: &str = "holdfast:would_reject:rate5m";
/// Series that a cap kept out in the last hour, by node and plugin.
pub const SERIES_DROPPED_HOUR: &str = "holdfast:series_dropped:increase1h";
/// VMs that were started again, or couldn't be, per node since it runs.
pub const VM_RELOADS: &str = "holdfast:vm_reloads:sum";
/// Handshakes with services that failed, per second, by region and cluster.
pub const UPSTREAM_TLS_FAILURES: &str = "holdfast:upstream_tls_failures:rate5m";
/// Handshakes with clients that failed, per second, by node and listener.
pub const DOWNSTREAM_TLS_FAILURES: &str = "holdfast:downstream_tls_failures:rate5m";
/// The share of handshakes with clients that failed.
pub const DOWNSTREAM_TLS_RATIO: &str = "holdfast:downstream_tls_failures:ratio_rate5m";

/// The counters that Envoy raises when a VM broke have its name in theirs. `..._vm_reload`, without an ending, never moves (Envoy 1.36 to 1.40).
pub const VM_RELOAD_NAMES: &str = "envoy_wasm_.+_vm_reload_(success|failure)";

/// A recorded series.
pub struct Recording {
    /// Its name.
    pub name: String,
    /// What it is.
    pub expr: String,
    /// A label that tells it from others of the same name.
    pub plugin: Option<&'static str>,
}

/// All that is recorded.
pub fn recordings() -> Vec<Recording> {
    rates().into_iter().chain(slo::recordings()).collect()
}

/// The file. What is recorded stands in one group with the alerts that ask for it: groups run side by side, the rules of one in their order.
pub fn file() -> String {
    let groups = [("holdfast", rates(), alerts::general()), ("holdfast-slo", slo::recordings(), alerts::objective())];
    let groups: Vec<Value> = groups.iter().map(|(name, recorded, told)| group(name, recorded, told)).collect();
    let yaml = serde_yaml_ng::to_string(&fields([("groups", groups.into())])).unwrap_or_default();
    format!("{HEAD}{yaml}")
}

const HEAD: &str = "\
# Prometheus rules of Holdfast: recordings, the availability objective, alerts. observability/README.md says how to load them.
# Made from integration/src/observability; `HOLDFAST_BLESS=1 cargo test -p integration --test observability committed` writes it anew.
";

/// A mapping whose fields stay in order.
pub(super) fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Mapping {
    pairs.into_iter().map(|(name, value)| (Value::from(name), value)).collect()
}

fn group(name: &str, recorded: &[Recording], told: &[Alert]) -> Value {
    let rules: Vec<Value> = recorded.iter().map(Recording::yaml).chain(told.iter().map(Alert::yaml)).collect();
    fields([("name", name.into()), ("rules", rules.into())]).into()
}

fn rates() -> Vec<Recording> {
    let node = format!("{REGION}, {JOB}, {NODE}");
    let mut rules = vec![
        // Joined by `or`, not by a pattern for the name: where both names have the same labels, a rate of both is an error.
        Recording::new(POOL_OVERFLOW, format!("rate({CX_OVERFLOW}[5m]) or rate({CX_OVERFLOW_TOTAL}[5m])")),
        Recording::new(REQUEST_RATE, format!("sum by ({REGION}, {ROUTE}) (rate({REQUESTS}[5m]))")),
        Recording::new(
            AMPLIFICATION,
            format!("sum by ({REGION}, {ROUTE}) (rate({ATTEMPTS}[5m]))\n  / ({REQUEST_RATE} > 0)"),
        ),
        Recording::new(
            BUDGET_EXHAUSTED,
            format!(
                "sum by ({REGION}, {INSTANCE}, {KEY}) (\n  rate({BUDGET_REFUSED}{{{CAUSE}=\"budget\"}}[5m])\n  or rate({BUDGET_STEERED}{{{CAUSE}=\"budget\"}}[5m])\n)"
            ),
        ),
        Recording::new(VM_RELOADS, format!("sum by ({node}) ({{__name__=~\"{VM_RELOAD_NAMES}\"}})")),
        Recording::new(
            UPSTREAM_TLS_FAILURES,
            format!(
                "sum by ({REGION}, {CLUSTER}) (\n  rate({UPSTREAM_TLS_ERROR}[5m]) + rate({UPSTREAM_TLS_NO_CERT}[5m]) + rate({UPSTREAM_TLS_UNTRUSTED}[5m])\n  + rate({UPSTREAM_TLS_NAME}[5m]) + rate({UPSTREAM_TLS_PIN}[5m])\n)"
            ),
        ),
        Recording::new(
            DOWNSTREAM_TLS_FAILURES,
            format!(
                "sum by ({node}, {LISTENER}) (\n  rate({DOWNSTREAM_TLS_ERROR}[5m]) + rate({DOWNSTREAM_TLS_NO_CERT}[5m]) + rate({DOWNSTREAM_TLS_UNTRUSTED}[5m])\n)"
            ),
        ),
        Recording::new(
            DOWNSTREAM_TLS_RATIO,
            format!(
                "{DOWNSTREAM_TLS_FAILURES}\n  / ({DOWNSTREAM_TLS_FAILURES} + sum by ({node}, {LISTENER}) (rate({DOWNSTREAM_TLS_HANDSHAKES}[5m])) > 0)"
            ),
        ),
    ];
    rules.extend(WOULD_REJECT.map(|(plugin, counter)| {
        Recording::of(plugin, WOULD_REJECT_RATE, format!("sum by ({REGION}, {INSTANCE}) (rate({counter}[5m]))"))
    }));
    rules.extend(DROPPED.map(|(plugin, counter)| {
        Recording::of(plugin, SERIES_DROPPED_HOUR, format!("sum by ({node}) (increase({counter}[1h]))"))
    }));
    rules
}

// === impl Recording ===

impl Recording {
    /// A series without labels of its own.
    pub fn new(name: &str, expr: String) -> Self {
        Self { name: name.to_owned(), expr, plugin: None }
    }

    fn of(plugin: &'static str, name: &str, expr: String) -> Self {
        Self { plugin: Some(plugin), ..Self::new(name, expr) }
    }

    fn yaml(&self) -> Value {
        let mut rule = fields([("record", self.name.as_str().into()), ("expr", self.expr.as_str().into())]);
        if let Some(plugin) = self.plugin {
            rule.insert("labels".into(), fields([("plugin", plugin.into())]).into());
        }
        rule.into()
    }
}
