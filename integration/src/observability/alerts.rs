//! The alerts. Thresholds are here, and nowhere else; docs/runbook.md has a section for each.

use serde_yaml_ng::{Mapping, Value};

use super::labels::{CAUSE, CHAIN, CLUSTER, CONFIG, GIT, INSTANCE, JOB, KEY, NODE, PLUGIN, REGION, STORE, VERSION};
use super::rules::{
    AMPLIFICATION, BUDGET_EXHAUSTED, DOWNSTREAM_TLS_FAILURES, DOWNSTREAM_TLS_RATIO, POOL_OVERFLOW, REQUEST_RATE,
    SERIES_DROPPED_HOUR, UPSTREAM_TLS_FAILURES, VM_RELOADS, WOULD_REJECT_RATE, fields,
};
use super::slo::burns;
use super::table::{
    BREAKER_STATE, BUILD_INFO, CONFIG_INFO, PENDING_ACTIVE, STORE_FAILURES, STORE_MAY_EVICT, UNCERTAIN, UNPROTECTED,
};

/// What is done when the gateway runs out of room, in this order.
pub const ESCALATION: &str = "auto-scale -> traffic-shift -> dns-failover";
/// Where the alerts are explained.
pub const RUNBOOK: &str = "docs/runbook.md";

/// Who has to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nobody, now.
    Info,
    /// Somebody, in working hours.
    Warning,
    /// Somebody, now: it pages.
    Critical,
}

/// Something that somebody is told.
pub struct Alert {
    /// Its name; in lower case it is the anchor of its section in the runbook.
    pub name: &'static str,
    /// When.
    pub expr: String,
    /// For how long before anybody is told.
    pub hold: &'static str,
    /// Who has to act.
    pub severity: Severity,
    /// Whether more room is needed: then [`ESCALATION`] goes with it.
    pub escalates: bool,
    /// One line.
    pub summary: &'static str,
    /// With values.
    pub description: &'static str,
}

/// All of them.
pub fn alerts() -> Vec<Alert> {
    general().into_iter().chain(objective()).collect()
}

/// All but those of the objective, the most urgent matter first.
pub(super) fn general() -> Vec<Alert> {
    [capacity(), retries(), idempotency(), skew(), own()].into_iter().flatten().collect()
}

fn capacity() -> Vec<Alert> {
    vec![
        Alert::critical("HoldfastPoolExhaustion", format!("{POOL_OVERFLOW} > 10"), "2m")
            .says(
                "The connection pool of {{ $labels.envoy_cluster_name }} is full",
                "{{ $labels.instance }} refuses {{ $value | humanize }} connections a second to {{ $labels.envoy_cluster_name }} ({{ $labels.region }}): every one is a request that fails or waits.",
            )
            .escalating(),
        Alert::warning("HoldfastQueueDepth", format!("sum by ({REGION}, {JOB}, {NODE}, {CLUSTER}) ({PENDING_ACTIVE}) > 100"), "2m")
            .says(
                "Requests queue for a connection to {{ $labels.envoy_cluster_name }}",
                "{{ $value }} requests wait on {{ $labels.instance }} for a connection to {{ $labels.envoy_cluster_name }} ({{ $labels.region }}). The pool overflows next.",
            )
            .escalating(),
        Alert::critical("HoldfastUpstreamTlsFailures", format!("{UPSTREAM_TLS_FAILURES} > 0.1"), "2m").says(
            "TLS handshakes with {{ $labels.envoy_cluster_name }} fail",
            "{{ $value | humanize }} handshakes a second with {{ $labels.envoy_cluster_name }} fail ({{ $labels.region }}). In a failover that is a certificate that doesn't hold for the other region.",
        ),
        Alert::warning(
            "HoldfastDownstreamTlsFailures",
            format!("{DOWNSTREAM_TLS_RATIO} > 0.1 and {DOWNSTREAM_TLS_FAILURES} > 0.5"),
            "5m",
        )
        .says(
            "Clients fail their TLS handshakes with {{ $labels.envoy_listener_address }}",
            "{{ $value | humanizePercentage }} of the handshakes of {{ $labels.envoy_listener_address }} on {{ $labels.instance }} fail ({{ $labels.region }}).",
        ),
    ]
}

fn retries() -> Vec<Alert> {
    let amplified = |bound| format!("{AMPLIFICATION} > {bound} and {REQUEST_RATE} > 0.2");
    vec![
        Alert::critical("HoldfastRetryStorm", amplified("2"), "2m")
            .says(
                "Each request of {{ $labels.route }} becomes {{ $value | humanize }} attempts",
                "{{ $labels.route }} ({{ $labels.region }}) is tried {{ $value | humanize }} times per request: its service gets more than twice its load while it fails.",
            )
            .escalating(),
        Alert::warning("HoldfastRetryAmplification", amplified("1.3"), "5m").says(
            "Retries add to the load of {{ $labels.route }}",
            "{{ $labels.route }} ({{ $labels.region }}) is tried {{ $value | humanize }} times per request.",
        ),
        Alert::warning("HoldfastBudgetExhausted", format!("{BUDGET_EXHAUSTED} > 0.1"), "2m").says(
            "The retry budget of {{ $labels.key }} is used up",
            "{{ $value | humanize }} retries a second of {{ $labels.key }} ({{ $labels.region }}, instance {{ $labels.holdfast_instance }}) are kept back: its clients see the service's errors.",
        ),
        Alert::warning(
            "HoldfastBreakerOpen",
            format!(
                "count by ({REGION}, {CHAIN}, {INSTANCE}, {KEY}) ({BREAKER_STATE} == 1 or {BREAKER_STATE} == 2)"
            ),
            "1m",
        )
        .says(
            "The circuit breaker of {{ $labels.key }} is open",
            "On {{ $value }} nodes ({{ $labels.region }}) the {{ $labels.chain }} breaker of {{ $labels.key }} (instance {{ $labels.holdfast_instance }}) is open or probes.",
        ),
    ]
}

fn idempotency() -> Vec<Alert> {
    let of_key = format!("sum by ({REGION}, {INSTANCE}, {KEY}, {CAUSE})");
    vec![
        Alert::critical("HoldfastIdempotencyUnprotected", news(&of_key, &format!("{UNPROTECTED}{{{CAUSE}=~\"store|too_large\"}}")), "0m").says(
            "Requests of {{ $labels.key }} went on without protection",
            "{{ $value | humanize }} requests of {{ $labels.key }} ({{ $labels.region }}) went on unprotected in the last 15 minutes, cause {{ $labels.cause }}: repeats of them run again.",
        ),
        Alert::critical(
            "HoldfastIdempotencyStoreEvicts",
            format!("max by ({REGION}, {INSTANCE}, {STORE}) ({STORE_MAY_EVICT}) == 1"),
            "1m",
        )
        .says(
            "The {{ $labels.store }} of idempotency may forget what ran",
            "The {{ $labels.store }} of instance {{ $labels.holdfast_instance }} ({{ $labels.region }}) may evict records: a request whose record is gone runs a second time. Without accept_eviction it is refused instead.",
        ),
        // A store that is down is left alone for up to 5 s at a time: few calls fail, and all of them.
        Alert::warning("HoldfastIdempotencyStoreFailing", format!("sum by ({REGION}, {INSTANCE}, {CAUSE}) (rate({STORE_FAILURES}[5m])) > 0.05"), "2m").says(
            "The store of idempotency fails",
            "{{ $value | humanize }} calls a second of instance {{ $labels.holdfast_instance }} ({{ $labels.region }}) to its store fail, cause {{ $labels.cause }}.",
        ),
        Alert::warning("HoldfastIdempotencyUncertain", news(&of_key, UNCERTAIN), "0m").says(
            "Nobody knows whether requests of {{ $labels.key }} ran",
            "{{ $value | humanize }} requests of {{ $labels.key }} ({{ $labels.region }}) became uncertain in the last 15 minutes, cause {{ $labels.cause }}: their repeats get 409 until somebody settles them.",
        ),
    ]
}

/// Those of the objective.
pub(super) fn objective() -> Vec<Alert> {
    let fast = format!("{} or {}", burns("14.4", "1h", "5m"), burns("6", "6h", "30m"));
    let slow = format!("{} or {}", burns("3", "1d", "2h"), burns("1", "3d", "6h"));
    vec![
        Alert::critical("HoldfastErrorBudgetFastBurn", fast, "2m")
            .says(
                "{{ $labels.route }} burns its error budget fast",
                "{{ $value | humanizePercentage }} of the requests of {{ $labels.route }} ({{ $labels.region }}) fail: a month's error budget is gone within days.",
            )
            .escalating(),
        Alert::warning("HoldfastErrorBudgetSlowBurn", slow, "15m").says(
            "{{ $labels.route }} burns its error budget",
            "{{ $value | humanizePercentage }} of the requests of {{ $labels.route }} ({{ $labels.region }}) fail, for hours: the error budget doesn't last the month.",
        ),
    ]
}

fn skew() -> Vec<Alert> {
    let several = |by: &str, of: &str, what: &str| format!("count by ({by}) (count by ({by}, {of}) ({what} == 1)) > 1");
    vec![
        Alert::warning("HoldfastConfigSkew", several(&format!("{PLUGIN}, {CHAIN}, {INSTANCE}, {REGION}"), CONFIG, CONFIG_INFO), "15m").says(
            "Nodes run different configurations of {{ $labels.plugin }}",
            "{{ $value }} configurations of {{ $labels.plugin }} ({{ $labels.chain }}, instance {{ $labels.holdfast_instance }}) are in force in {{ $labels.region }}.",
        ),
        Alert::warning("HoldfastVersionSkew", several(REGION, &format!("{VERSION}, {GIT}"), BUILD_INFO), "1h").says(
            "Nodes run different versions of Holdfast",
            "{{ $value }} versions of Holdfast run in {{ $labels.region }}.",
        ),
        Alert::info("HoldfastFormerVersion", several(&format!("{REGION}, {JOB}, {NODE}"), &format!("{VERSION}, {GIT}"), BUILD_INFO), "1h").says(
            "{{ $labels.instance }} has served more than one version of Holdfast",
            "{{ $labels.instance }} ({{ $labels.region }}) tells of {{ $value }} versions: its modules differ, or were replaced while it ran.",
        ),
        Alert::warning(
            "HoldfastMissing",
            format!("(up == 1 unless on ({JOB}, {NODE}) {BUILD_INFO}) and on ({JOB}) {BUILD_INFO}"),
            "5m",
        )
        .says(
            "{{ $labels.instance }} runs without Holdfast",
            "{{ $labels.instance }} ({{ $labels.region }}) answers, and tells nothing of Holdfast, as others of {{ $labels.job }} do: its requests go unprotected.",
        ),
    ]
}

fn own() -> Vec<Alert> {
    vec![
        Alert::warning("HoldfastVmTrapped", format!("increase({VM_RELOADS}[10m]) > 0"), "0m").says(
            "A plugin crashed on {{ $labels.instance }}",
            "{{ $value | humanize }} VMs broke on {{ $labels.instance }} ({{ $labels.region }}) in the last 10 minutes; each crash is a request that got 503.",
        ),
        Alert::warning("HoldfastSeriesDropped", format!("{SERIES_DROPPED_HOUR} > 0"), "5m").says(
            "{{ $labels.plugin }} counts less than there is on {{ $labels.instance }}",
            "{{ $value | humanize }} times in the last hour {{ $labels.plugin }} on {{ $labels.instance }} ({{ $labels.region }}) had no room for a series: what it counts is too low.",
        ),
        Alert::info("HoldfastDryRunWouldReject", format!("{WOULD_REJECT_RATE} > 0"), "5m").says(
            "A dry run of {{ $labels.plugin }} would have refused requests",
            "{{ $labels.plugin }} (instance {{ $labels.holdfast_instance }}, {{ $labels.region }}) would have refused {{ $value | humanize }} requests a second.",
        ),
    ]
}

/// More of a counter in the last 15 minutes. It doesn't exist before the first event, and nothing that begins at 1 has increased: so what wasn't there
/// then counts whole.
fn news(by: &str, counter: &str) -> String {
    format!("{by} (\n  ({counter} unless {counter} offset 15m)\n  or increase({counter}[15m])\n) > 0")
}

// === impl Severity ===

impl Severity {
    /// As the label spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

// === impl Alert ===

impl Alert {
    fn new(name: &'static str, expr: String, hold: &'static str, severity: Severity) -> Self {
        Self { name, expr, hold, severity, escalates: false, summary: "", description: "" }
    }

    fn critical(name: &'static str, expr: String, hold: &'static str) -> Self {
        Self::new(name, expr, hold, Severity::Critical)
    }

    fn warning(name: &'static str, expr: String, hold: &'static str) -> Self {
        Self::new(name, expr, hold, Severity::Warning)
    }

    fn info(name: &'static str, expr: String, hold: &'static str) -> Self {
        Self::new(name, expr, hold, Severity::Info)
    }

    fn says(mut self, summary: &'static str, description: &'static str) -> Self {
        (self.summary, self.description) = (summary, description);
        self
    }

    fn escalating(mut self) -> Self {
        self.escalates = true;
        self
    }

    /// Its section in the runbook.
    pub fn anchor(&self) -> String {
        self.name.to_lowercase()
    }

    pub(super) fn yaml(&self) -> Value {
        let mut labels = fields([("severity", self.severity.as_str().into())]);
        let mut annotations = fields([("summary", self.summary.into()), ("description", self.description.into())]);
        annotations.insert("runbook_url".into(), format!("{RUNBOOK}#{}", self.anchor()).into());
        if self.escalates {
            for told in [&mut labels, &mut annotations] {
                told.insert("escalation_path".into(), ESCALATION.into());
            }
        }
        let mut rule: Mapping = fields([("alert", self.name.into()), ("expr", self.expr.as_str().into())]);
        rule.extend(fields([
            ("for", self.hold.into()),
            ("labels", labels.into()),
            ("annotations", annotations.into()),
        ]));
        rule.into()
    }
}
