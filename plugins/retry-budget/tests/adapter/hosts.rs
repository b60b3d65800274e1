//! What a host can't do is refused, with the reason.

use crate::support::{envoy, kong};
use retry_budget::RetryBudget;
use sdk_shim::fake::{FakeProxy, Worker};

fn faults(proxy: &FakeProxy, config: &str) -> Vec<String> {
    match Worker::<RetryBudget>::start(&proxy.worker(), config) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn kong_has_no_retries_to_steer_and_says_so() {
    let told = faults(&kong(), "{}");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("$.client_retries: found null") && told[0].contains("steers_retries"), "{told:?}");
    let told = faults(&kong(), r#"{"ratio": 0.1, "retry_unsafe": "always", "client_retries": {}}"#);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|fault| fault.contains("steers_retries")), "{told:?}");
    let told = faults(&kong(), r#"{"chain": "upstream"}"#);
    assert!(told[0].contains("upstream_chain"), "{told:?}");
    assert!(faults(&kong(), r#"{"client_retries": {}}"#).is_empty());
}

#[test]
fn a_secret_that_isnt_there_is_a_fault() {
    let config = r#"{"client_retries": {"trusted_proof": {"header": "x-proof", "token": {"env": "PROOF"}}}}"#;
    let proxy = envoy();
    assert!(faults(&proxy, config)[0].starts_with("$.client_retries.trusted_proof.token: found no variable PROOF"));
    proxy.set_env("PROOF", "s3cret");
    assert!(faults(&proxy, config).is_empty());
}
