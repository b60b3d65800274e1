//! The one table of metrics that rules and dashboard are made of: names, kinds, labels, and who exports them.

use super::labels::{
    CAPABILITY, CAUSE, CHAIN, CLUSTER, CONFIG, GIT, INSTANCE, KEY, LISTENER, OUTCOME, PLUGIN, PROTOCOL, RESULT, ROUTE,
    STORE, TO, VERSION,
};

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It grows, until the proxy starts again.
    Counter,
    /// It stands at a value.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
}

/// Who exports a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Envoy itself.
    Envoy,
    /// One of the plugins that keep state or judge.
    Plugin,
    /// `plugins/metrics`, and what every module says of itself.
    Metrics,
}

/// A metric with all its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// As Prometheus knows it, without a histogram's endings.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Who exports it.
    pub source: Source,
    /// Labels besides those of [`super::labels::OF_ANY`].
    pub labels: &'static [&'static str],
}

/// A constant for each name, and the table of all.
macro_rules! families {
    ($($constant:ident = $name:literal, $kind:ident, $source:ident, [$($label:expr),*];)*) => {
        $(#[doc = concat!("`", $name, "`.")] pub const $constant: &str = $name;)*

        /// Each metric that a rule or a panel may name.
        pub const FAMILIES: &[Family] = &[
            $(Family { name: $name, kind: Kind::$kind, source: Source::$source, labels: &[$($label),*] },)*
        ];
    };
}

families! {
    REQUESTS = "holdfast_requests_total", Counter, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL, OUTCOME];
    REQUEST_TTFB = "holdfast_request_ttfb_us", Histogram, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL, OUTCOME];
    REQUEST_DURATION = "holdfast_request_duration_us", Histogram, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL, OUTCOME];
    REQUESTS_IN_FLIGHT = "holdfast_requests_in_flight", Gauge, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL];
    STREAMS_OPEN = "holdfast_streams_open", Gauge, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL];
    STREAMS = "holdfast_streams_total", Counter, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL, OUTCOME];
    REQUEST_BYTES = "holdfast_request_bytes_total", Counter, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL];
    RESPONSE_BYTES = "holdfast_response_bytes_total", Counter, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL];
    UPSTREAM_ERRORS = "holdfast_upstream_errors_total", Counter, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL, CAUSE];
    REJECTIONS = "holdfast_rejections_total", Counter, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL, PLUGIN, CAUSE];
    ATTEMPTS = "holdfast_attempts_total", Counter, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL, OUTCOME];
    ATTEMPT_TTFB = "holdfast_attempt_ttfb_us", Histogram, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL, OUTCOME];
    ATTEMPT_DURATION = "holdfast_attempt_duration_us", Histogram, Metrics, [CHAIN, INSTANCE, ROUTE, PROTOCOL, OUTCOME];
    BUILD_INFO = "holdfast_build_info", Gauge, Metrics, [VERSION, GIT];
    CONFIG_INFO = "holdfast_config_info", Gauge, Metrics, [CHAIN, INSTANCE, PLUGIN, CONFIG];
    HOST_CAPABILITY = "holdfast_host_capability", Gauge, Metrics, [CAPABILITY];
    SERIES_DROPPED = "holdfast_series_dropped_total", Counter, Metrics, [CHAIN, INSTANCE];

    BREAKER_CALLS = "holdfast_circuit_breaker_calls_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, OUTCOME];
    BREAKER_REJECTED = "holdfast_circuit_breaker_rejected_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, CAUSE];
    BREAKER_WOULD_REJECT = "holdfast_circuit_breaker_would_reject_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, CAUSE];
    BREAKER_TRANSITIONS = "holdfast_circuit_breaker_transitions_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, TO];
    BREAKER_PROBES = "holdfast_circuit_breaker_probes_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, RESULT];
    BREAKER_STATE = "holdfast_circuit_breaker_state", Gauge, Plugin, [CHAIN, INSTANCE, KEY];
    BREAKER_DROPPED = "holdfast_circuit_breaker_series_dropped_total", Counter, Plugin, [CHAIN, INSTANCE];

    BUDGET_REQUESTS = "holdfast_retry_budget_requests_total", Counter, Plugin, [CHAIN, INSTANCE, KEY];
    BUDGET_RETRIES = "holdfast_retry_budget_retries_total", Counter, Plugin, [CHAIN, INSTANCE, KEY];
    BUDGET_REFUSED = "holdfast_retry_budget_refused_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, CAUSE];
    BUDGET_WOULD_REFUSE = "holdfast_retry_budget_would_refuse_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, CAUSE];
    BUDGET_STEERED = "holdfast_retry_budget_steered_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, CAUSE];
    BUDGET_LEFT = "holdfast_retry_budget_left", Gauge, Plugin, [CHAIN, INSTANCE, KEY];
    BUDGET_DROPPED = "holdfast_retry_budget_series_dropped_total", Counter, Plugin, [CHAIN, INSTANCE];

    CLAIMED = "holdfast_idempotency_claimed_total", Counter, Plugin, [CHAIN, INSTANCE, KEY];
    REPLAYED = "holdfast_idempotency_replayed_total", Counter, Plugin, [CHAIN, INSTANCE, KEY];
    IDEMPOTENCY_REFUSED = "holdfast_idempotency_refused_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, CAUSE];
    IDEMPOTENCY_WOULD_REFUSE = "holdfast_idempotency_would_refuse_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, CAUSE];
    UNPROTECTED = "holdfast_idempotency_unprotected_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, CAUSE];
    STORED = "holdfast_idempotency_stored_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, CAUSE];
    UNCERTAIN = "holdfast_idempotency_uncertain_total", Counter, Plugin, [CHAIN, INSTANCE, KEY, CAUSE];
    STORE_CALLS = "holdfast_idempotency_store_calls_total", Counter, Plugin, [CHAIN, INSTANCE, STORE];
    STORE_FAILURES = "holdfast_idempotency_store_failures_total", Counter, Plugin, [CHAIN, INSTANCE, CAUSE];
    STORE_ERRANDS = "holdfast_idempotency_store_errands_total", Counter, Plugin, [CHAIN, INSTANCE, STORE];
    STORE_ERRANDS_ENDED = "holdfast_idempotency_store_errands_ended_total", Counter, Plugin, [CHAIN, INSTANCE, STORE];
    STORE_MAY_EVICT = "holdfast_idempotency_store_may_evict", Gauge, Plugin, [CHAIN, INSTANCE, STORE];
    IDEMPOTENCY_DROPPED = "holdfast_idempotency_series_dropped_total", Counter, Plugin, [CHAIN, INSTANCE];

    HEALTH_ATTEMPTS = "holdfast_protocol_health_attempts_total", Counter, Plugin, [CHAIN, INSTANCE, PROTOCOL, OUTCOME];
    HEALTH_REFUSED = "holdfast_protocol_health_refused_total", Counter, Plugin, [CHAIN, INSTANCE, CAUSE];
    HEALTH_WOULD_REFUSE = "holdfast_protocol_health_would_refuse_total", Counter, Plugin, [CHAIN, INSTANCE, CAUSE];
    HEALTH_MALFORMED = "holdfast_protocol_health_malformed_deadlines_total", Counter, Plugin, [CHAIN, INSTANCE, CAUSE];
    HEALTH_DROPPED = "holdfast_protocol_health_series_dropped_total", Counter, Plugin, [CHAIN, INSTANCE];

    CX_OVERFLOW = "envoy_cluster_upstream_cx_overflow", Counter, Envoy, [CLUSTER];
    // Envoy doesn't say it so; relays that add what counters end in elsewhere do.
    CX_OVERFLOW_TOTAL = "envoy_cluster_upstream_cx_overflow_total", Counter, Envoy, [CLUSTER];
    PENDING_OVERFLOW = "envoy_cluster_upstream_rq_pending_overflow", Counter, Envoy, [CLUSTER];
    PENDING_ACTIVE = "envoy_cluster_upstream_rq_pending_active", Gauge, Envoy, [CLUSTER];
    CX_ACTIVE = "envoy_cluster_upstream_cx_active", Gauge, Envoy, [CLUSTER];
    EJECTIONS_ACTIVE = "envoy_cluster_outlier_detection_ejections_active", Gauge, Envoy, [CLUSTER];
    UPSTREAM_TLS_ERROR = "envoy_cluster_ssl_connection_error", Counter, Envoy, [CLUSTER];
    UPSTREAM_TLS_NO_CERT = "envoy_cluster_ssl_fail_verify_no_cert", Counter, Envoy, [CLUSTER];
    UPSTREAM_TLS_UNTRUSTED = "envoy_cluster_ssl_fail_verify_error", Counter, Envoy, [CLUSTER];
    UPSTREAM_TLS_NAME = "envoy_cluster_ssl_fail_verify_san", Counter, Envoy, [CLUSTER];
    UPSTREAM_TLS_PIN = "envoy_cluster_ssl_fail_verify_cert_hash", Counter, Envoy, [CLUSTER];
    DOWNSTREAM_TLS_HANDSHAKES = "envoy_listener_ssl_handshake", Counter, Envoy, [LISTENER];
    DOWNSTREAM_TLS_ERROR = "envoy_listener_ssl_connection_error", Counter, Envoy, [LISTENER];
    DOWNSTREAM_TLS_NO_CERT = "envoy_listener_ssl_fail_verify_no_cert", Counter, Envoy, [LISTENER];
    DOWNSTREAM_TLS_UNTRUSTED = "envoy_listener_ssl_fail_verify_error", Counter, Envoy, [LISTENER];
}

/// The counters of series that a cap kept out, and whose they are.
pub const DROPPED: [(&str, &str); 5] = [
    ("circuit-breaker", BREAKER_DROPPED),
    ("retry-budget", BUDGET_DROPPED),
    ("idempotency", IDEMPOTENCY_DROPPED),
    ("protocol-health", HEALTH_DROPPED),
    ("metrics", SERIES_DROPPED),
];

/// The counters of what a dry run would have refused, and whose they are.
pub const WOULD_REJECT: [(&str, &str); 4] = [
    ("circuit-breaker", BREAKER_WOULD_REJECT),
    ("retry-budget", BUDGET_WOULD_REFUSE),
    ("idempotency", IDEMPOTENCY_WOULD_REFUSE),
    ("protocol-health", HEALTH_WOULD_REFUSE),
];

/// The family that a name in an expression belongs to, a histogram's endings taken off.
pub fn family(name: &str) -> Option<&'static Family> {
    let plain = FAMILIES.iter().find(|family| family.name == name);
    plain.or_else(|| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending))?;
        FAMILIES.iter().find(|family| family.name == base && family.kind == Kind::Histogram)
    })
}
