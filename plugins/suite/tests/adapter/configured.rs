//! One configuration for all: what stands at the top, what stands inside, and every fault at its place.

use crate::support::{envoy, worker};
use sdk_shim::fake::{FakeHost, FakeProxy, Worker};
use suite::Suite;

fn faults(proxy: &FakeProxy, config: &str) -> Vec<String> {
    let refused = Worker::<Suite<FakeHost>>::start(&proxy.worker(), config).expect_err("a refusal");
    refused.iter().map(ToString::to_string).collect()
}

#[test]
fn only_what_is_named_runs() {
    let plugin = worker(&envoy(), r#"{"circuit_breaker": {"mode": "force_open"}, "retry_budget": null}"#);
    assert!(plugin.request(crate::support::GET).reply().is_some());
    let told = faults(&envoy(), "{}");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("$: found no plugin to run, allowed: one of protocol_health, "), "{told:?}");
}

#[test]
fn every_fault_is_told_once_and_where_it_stands() {
    let told = faults(
        &envoy(),
        r#"{"mode": "often", "max_keys": 0, "colour": 1, "circuit_breaker": {"failure_ratio": 2, "mode": "dry_run"},
            "retry_budget": {"ttl": "1 s"}, "idempotency": 7, "protocol_health": {"key": []}}"#,
    );
    let paths: Vec<&str> = told.iter().map(|line| line.split(':').next().unwrap()).collect();
    for path in ["$.idempotency", "$.colour", "$.mode", "$.circuit_breaker.failure_ratio", "$.retry_budget.ttl"] {
        assert!(paths.contains(&path), "{path} in {told:#?}");
    }
    let told = faults(
        &envoy(),
        r#"{"mode": "often", "max_keys": 0, "circuit_breaker": {"failure_ratio": 2, "mode": "dry_run"},
            "retry_budget": {"ttl": "1 s"}, "protocol_health": {"key": []}}"#,
    );
    let mut paths: Vec<&str> = told.iter().map(|line| line.split(':').next().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["$.circuit_breaker.failure_ratio", "$.max_keys", "$.mode", "$.protocol_health.key", "$.retry_budget.ttl"],
        "{told:#?}"
    );
}

#[test]
fn the_chain_is_the_entrys() {
    let told = faults(&envoy(), r#"{"circuit_breaker": {"chain": "upstream"}}"#);
    assert!(told[0].starts_with("$.circuit_breaker.chain: found \"upstream\""), "{told:?}");
    assert!(
        worker(&envoy(), r#"{"chain": "upstream", "circuit_breaker": {"chain": "upstream"}}"#).tick_period().is_some()
    );
    let told = faults(
        &envoy(),
        r#"{"chain": "upstream", "headers_stop_iteration": true, "idempotency": {"store": {"kind": "memory"}}}"#,
    );
    assert!(told[0].starts_with("$.chain"), "{told:?}");
}

#[test]
fn the_form_that_stands_alone_stands_alone_here_too() {
    let four = r#""circuit_breaker": {"timeout": 3000, "threshold": 0.5}, "retry_budget": {}"#;
    worker(&envoy(), &format!(r#"{{"headers_stop_iteration": true, "chain": "downstream", {four}}}"#));
    for (beside, path) in
        [(r#""mode": "dry_run""#, "$.mode"), (r#""max_keys": 10"#, "$.max_keys"), (r#""chain": "upstream""#, "$.chain")]
    {
        let told = faults(&envoy(), &format!("{{{beside}, {four}}}"));
        assert!(told.iter().any(|fault| fault.starts_with(path)), "{beside}: {told:?}");
    }
}

#[test]
fn what_stands_at_the_top_is_read_also_where_nobody_takes_it_over() {
    let told = faults(
        &envoy(),
        r#"{"mode": "nonsense", "instance": 7, "metrics": {"mode": "enforce", "instance": "a", "max_series": 0}}"#,
    );
    let paths: Vec<&str> = told.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(paths, ["$.instance", "$.mode", "$.metrics.max_series"], "{told:#?}");
}
