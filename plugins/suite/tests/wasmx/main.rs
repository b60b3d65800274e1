//! Kong, in whatever order things happen: no call that kills a worker, no wake-up that is lost, no request without an end.
//!
//! Two workers run each plugin, and the suite. Requests come, send their bodies and are answered; clients leave, ticks come, calls to other services are answered
//! well, badly or never, shared data fails or is lost, the clock steps back, the configuration is loaded anew, all in any order. The fake host dies
//! where a real worker would ([`sdk_shim::fake::Trap`]). In the end whatever is under way is answered or timed out, and then everybody must have an answer:
//! the service's, or one of ours.
#![allow(missing_docs)]

mod play;

use play::{Happening, play};
use proptest::prelude::*;
use sdk_shim::fake::FakeHost;

const PROBES: &str = r#"{"allow_degraded": true, "graphql": {"paths": ["/graphql"]}, "deadline": {},
    "probes": [{"path": "/healthz/deep", "clusters": ["10.0.0.1:80", "stock:80"], "target": "/up", "fresh": "1s", "stale": "2s"}]}"#;
const BUDGET: &str = r#"{"client_retries": {"ratio": 0.5, "ttl": "1s"}}"#;
const BREAKER: &str = r#"{"consecutive_failures": 2, "open": {"base": "50ms"}, "window": {"time": "1s"}, "recovery": {"over": "100ms"}, "throttle": {"k": 2.0}}"#;
const WEBDIS: &str = r#"{"store": {"kind": "webdis", "cluster": "127.0.0.1:7379"}, "accept_reply_before_store": true, "insecure_literal": true,
    "secret": [{"literal": "a secret of more than sixteen bytes"}], "per_tenant_in_flight": 3}"#;
const MEMORY: &str = r#"{"store": {"kind": "memory", "slots": 8, "accept_eviction": true}, "accept_reply_before_store": true, "too_large": "pass"}"#;

/// Names of the module's file: with metrics, and without.
const FILES: [&str; 2] = ["holdfast_suite", "circuit-breaker"];

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(Happening::any(), 1..120)
}

fn file() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&FILES[..])
}

fn suite(idempotency: &str) -> String {
    format!(
        r#"{{"protocol_health": {PROBES}, "metrics": {{}}, "idempotency": {idempotency}, "circuit_breaker": {BREAKER}, "retry_budget": {BUDGET}}}"#
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_breaker_survives(file in file(), happenings in happenings()) {
        play::<circuit_breaker::CircuitBreaker>(file, BREAKER, &happenings);
    }

    #[test]
    fn the_budget_survives(file in file(), happenings in happenings()) {
        play::<retry_budget::RetryBudget>(file, BUDGET, &happenings);
    }

    #[test]
    fn idempotency_survives(file in file(), happenings in happenings()) {
        play::<idempotency::Idempotency>(file, WEBDIS, &happenings);
        play::<idempotency::Idempotency>(file, MEMORY, &happenings);
    }

    #[test]
    fn health_survives(file in file(), happenings in happenings()) {
        play::<protocol_health::ProtocolHealth>(file, PROBES, &happenings);
    }

    #[test]
    fn metrics_survive(file in file(), happenings in happenings()) {
        play::<metrics::Metrics>(file, r#"{"max_series": 40}"#, &happenings);
    }

    #[test]
    fn the_suite_survives(file in file(), happenings in happenings()) {
        play::<suite::Suite<FakeHost>>(file, &suite(WEBDIS), &happenings);
        play::<suite::Suite<FakeHost>>(file, &suite(MEMORY), &happenings);
    }
}
