//! What can be configured, and that every fault is told at once.

use core::time::Duration;
use retry_budget::config::read;
use retry_budget::policy::{Budget, Floor, Policy, RetryUnsafe};
use sdk_shim::ratio::Ratio;

fn accepted(text: &str) -> Policy {
    read(text.as_bytes()).unwrap_or_else(|faults| panic!("{text}: {faults}"))
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn nothing_configured_is_a_fifth_and_one_per_second() {
    let policy = accepted("{}");
    let floor = Floor { count: 1, per: seconds(1) };
    assert_eq!(policy.budget, Budget { ratio: Ratio::from_ppm(200_000).unwrap(), floor, ttl: seconds(10) });
    assert_eq!((policy.retry_unsafe, policy.max_pushback), (RetryUnsafe::Never, seconds(10)));
    assert!(policy.client_retries.is_none() && policy.retry_on.holds(503, None) && !policy.retry_on.holds(429, None));
    for code in 0..=16 {
        assert_eq!(policy.retry_on.holds(200, Some(code)), [1, 4, 8, 13, 14].contains(&code), "{code}");
    }
}

#[test]
fn the_gateway_apis_names_mean_the_same() {
    let ours = accepted(r#"{"ratio": 0.35, "ttl": "20s", "min_retries_per_second": 5}"#).budget;
    let theirs =
        accepted(r#"{"percent": 35, "interval": "20s", "minRetryRate": {"count": 5, "interval": "1s"}}"#).budget;
    assert_eq!(ours, theirs);
    let slow = accepted(r#"{"percent": 0, "minRetryRate": {"count": 1, "interval": "10s"}}"#).budget;
    assert_eq!(slow.floor_ppm(), 1_000_000, "one in ten seconds");
}

#[test]
fn a_floor_is_exact() {
    let floor = |text: &str| accepted(text).budget.floor_ppm();
    assert_eq!(floor(r#"{"min_retries_per_second": 3, "ttl": "1500ms"}"#), 4_500_000);
    assert_eq!(floor(r#"{"min_retries_per_second": 0}"#), 0);
    assert_eq!(floor(r#"{"percent": 20, "minRetryRate": {"count": 1, "interval": "3s"}}"#), 3_333_333);
}

#[test]
fn clients_budgets_have_defaults_of_their_own() {
    let clients = accepted(r#"{"client_retries": {}}"#).client_retries.unwrap();
    assert_eq!(clients.budget.ratio.ppm(), 100_000);
    assert_eq!(clients.headers, ["x-retry-attempt", "x-envoy-attempt-count", "grpc-previous-rpc-attempts"]);
    assert!(clients.trusted_proof.is_none());
}

/// Each configuration, and the paths of its faults in order.
const FAULTY: &[(&str, &[&str])] = &[
    (r#"{"ratio": 2, "ttl": "0s", "min_retries_per_second": -1}"#, &["$.ratio", "$.min_retries_per_second", "$.ttl"]),
    (r#"{"ratio": 0.0000001}"#, &["$.ratio"]),
    (r#"{"mode": "force_open"}"#, &["$.mode"]),
    (r#"{"max_keys": 1001}"#, &["$.max_keys"]),
    (r#"{"mode": "force_closed"}"#, &["$.mode"]),
    (r#"{"ratios": 0.2, "colour": "red"}"#, &["$.colour", "$.ratios"]),
    (r#"{"percent": 20, "ratio": 0.2, "ttl": "1s"}"#, &["$.ratio", "$.ttl"]),
    (
        r#"{"percent": 101, "interval": "500ms", "minRetryRate": {"count": 1.5, "per": "1s"}}"#,
        &["$.percent", "$.interval", "$.minRetryRate.count", "$.minRetryRate.per"],
    ),
    (
        r#"{"chain": "upstream", "retry_unsafe": "never", "client_retries": {}}"#,
        &["$.retry_unsafe", "$.client_retries"],
    ),
    (r#"{"retry_unsafe": "sometimes", "max_pushback": "6m"}"#, &["$.max_pushback", "$.retry_unsafe"]),
    (r#"{"retry_on": {"status": [700], "grpc_status": [0]}}"#, &["$.retry_on.status[0]", "$.retry_on.grpc_status[0]"]),
    (r#"{"client_retries": {"headers": [], "ratio": "x"}}"#, &["$.client_retries.headers", "$.client_retries.ratio"]),
    (
        r#"{"client_retries": {"headers": ["X-Upper", ":path"]}}"#,
        &["$.client_retries.headers[0]", "$.client_retries.headers[1]", "$.client_retries.headers"],
    ),
    (r#"{"client_retries": {"trusted_proof": {"header": "x"}}}"#, &["$.client_retries.trusted_proof"]),
    (
        r#"{"client_retries": {"trusted_proof": {"header": "x", "token": {"literal": "s"}}}}"#,
        &["$.client_retries.trusted_proof.token.literal"],
    ),
];

#[test]
fn every_fault_is_told_with_its_path() {
    for (text, paths) in FAULTY {
        let faults = read(text.as_bytes()).expect_err(text);
        let told: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(&told, paths, "{text}\n{faults}");
    }
}

#[test]
fn a_push_that_changes_only_the_bound_keeps_the_window() {
    let meaning = |text: &str| accepted(text).meaning();
    let usual = meaning("{}");
    for same in
        [r#"{"ratio": 0.5}"#, r#"{"min_retries_per_second": 9}"#, r#"{"mode": "dry_run"}"#, r#"{"chain": "upstream"}"#]
    {
        assert_eq!(meaning(same), usual, "{same}");
    }
    for other in [r#"{"ttl": "11s"}"#, r#"{"key": ["cluster"]}"#] {
        assert_ne!(meaning(other), usual, "{other}");
    }
}
