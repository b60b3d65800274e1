//! The finer points of Envoy's retries: back-off, pushback, tries with a time limit, hedges.

use std::time::Duration;

use serde_json::{Value, json};

use super::listener::seconds;
use super::patch;

/// The same route (of [`with_retries`](super::with_retries)) with this back-off; Envoy draws each wait from below it.
pub fn with_back_off(route: Value, base: Duration, max: Duration) -> Value {
    with_policy(route, &json!({"retry_back_off": {"base_interval": seconds(base), "max_interval": seconds(max)}}))
}

/// The same route, which waits as many seconds as a response header says, and up to half as long again.
pub fn with_reset_header(route: Value, header: &str) -> Value {
    let back_off = json!({"reset_headers": [{"name": header, "format": "SECONDS"}], "max_interval": "300s"});
    with_policy(route, &json!({"rate_limited_retry_back_off": back_off}))
}

/// The same route with a time limit for each try.
pub fn with_per_try_timeout(route: Value, timeout: Duration) -> Value {
    with_policy(route, &json!({"per_try_timeout": seconds(timeout)}))
}

/// The same route, which sends another try after that time and waits for both.
pub fn with_hedging(route: Value, after: Duration) -> Value {
    patch(with_per_try_timeout(route, after), json!({"route": {"hedge_policy": {"hedge_on_per_try_timeout": true}}}))
}

/// The same cluster with circuit breakers so wide that no retry, request or connection meets them: by default Envoy drops all
/// retries but three at a time.
pub fn without_limits(cluster: Value) -> Value {
    let wide = json!({"max_retries": 10_000, "max_requests": 10_000, "max_pending_requests": 10_000, "max_connections": 10_000});
    patch(cluster, json!({"circuit_breakers": {"thresholds": [wide]}}))
}

fn with_policy(route: Value, change: &Value) -> Value {
    patch(route, json!({"route": {"retry_policy": change}}))
}
