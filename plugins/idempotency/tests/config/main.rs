//! What can be configured, and that every fault is told at once.

mod accepted;
mod any;
mod faults;
mod hosts;
mod secrets;

use idempotency::config::{read, read_and};
use idempotency::policy::Policy;
use sdk_shim::config::Faults;
use sdk_shim::fake::{FakeHost, FakeProxy};

const MEMORY: &str = r#""store": {"kind": "memory"}"#;
const REDIS: &str = r#""store": {"kind": "redis", "cluster": "store"}, "secret": [{"env": "KEY"}]"#;
const MEMCACHED: &str =
    r#""store": {"kind": "memcached", "cluster": "store", "accept_eviction": true}, "secret": [{"env": "KEY"}]"#;

fn accepted(text: &str) -> Policy {
    read(text.as_bytes()).unwrap_or_else(|faults| panic!("{text}: {faults}"))
}

/// With these fields besides.
fn with(base: &str, more: &str) -> String {
    format!("{{{base}, {more}}}")
}

fn in_memory(more: &str) -> Policy {
    accepted(&with(MEMORY, more))
}

fn paths(faults: &Faults) -> Vec<&str> {
    faults.iter().map(|fault| fault.path.as_str()).collect()
}

/// What a host refuses of a configuration.
fn refused(host: &FakeHost, text: &str) -> Vec<String> {
    let faults = read_and(text.as_bytes(), |policy| policy.check_on(host)).err().unwrap_or_default();
    faults.iter().map(ToString::to_string).collect()
}

/// One fault for each of these, in order: how it begins, and what else it says.
fn refuses(host: &FakeHost, text: &str, expected: &[(&str, &str)]) {
    let faults = refused(host, text);
    assert_eq!(faults.len(), expected.len(), "{text}: {faults:?}");
    for (fault, (path, says)) in faults.iter().zip(expected) {
        assert!(fault.starts_with(&format!("{path}: ")) && fault.contains(says), "{text}: {fault}");
    }
}

fn with_key(proxy: &FakeProxy) -> FakeHost {
    proxy.set_env("KEY", "0123456789abcdef");
    proxy.worker()
}

fn envoy() -> FakeHost {
    with_key(&FakeProxy::envoy())
}

/// Kong hands on no environment, but a test may.
fn kong() -> FakeHost {
    with_key(&FakeProxy::wasmx())
}
