//! The table on the built modules in Wasmtime, behind a fake Envoy and a fake `WasmX`.

use scenarios::{Form, play_all};
use sdk_shim::fake::FakeProxy;
use second_engine::Wasmtime;

#[test]
fn kongs_engine_keeps_what_its_capabilities_allow() {
    play_all::<Wasmtime>(FakeProxy::wasmx, Form::Modules).report("Wasmtime as in Kong");
}

#[test]
fn it_keeps_that_with_the_suite_too() {
    play_all::<Wasmtime>(FakeProxy::wasmx, Form::Suite).report("Wasmtime as in Kong, suite");
}

#[test]
fn behind_an_envoy_it_keeps_every_promise() {
    play_all::<Wasmtime>(FakeProxy::envoy, Form::Modules).report("Wasmtime as in Envoy");
}

#[test]
fn behind_an_envoy_it_keeps_them_with_the_suite_too() {
    play_all::<Wasmtime>(FakeProxy::envoy, Form::Suite).report("Wasmtime as in Envoy, suite");
}
