//! The table on both fake hosts, with the plugins as Rust.
#![allow(missing_docs)]

use scenarios::{Engine, Form, play_all};
use sdk_shim::fake::{FakeHost, FakeProxy};

/// The plugins as the Rust that they are.
struct Native;

impl Engine for Native {
    type CircuitBreaker = circuit_breaker::CircuitBreaker;
    type RetryBudget = retry_budget::RetryBudget;
    type Idempotency = idempotency::Idempotency;
    type ProtocolHealth = protocol_health::ProtocolHealth;
    type Metrics = metrics::Metrics;
    type Suite = suite::Suite<FakeHost>;
}

#[test]
fn envoy_keeps_every_promise() {
    play_all::<Native>(FakeProxy::envoy, Form::Modules).report("fake Envoy");
}

#[test]
fn envoy_keeps_them_with_the_suite_too() {
    play_all::<Native>(FakeProxy::envoy, Form::Suite).report("fake Envoy, suite");
}

#[test]
fn kong_keeps_those_that_its_capabilities_allow() {
    play_all::<Native>(FakeProxy::wasmx, Form::Modules).report("fake WasmX");
}

#[test]
fn kong_keeps_them_with_the_suite_too() {
    play_all::<Native>(FakeProxy::wasmx, Form::Suite).report("fake WasmX, suite");
}
