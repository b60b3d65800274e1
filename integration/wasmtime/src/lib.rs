//! The built modules in a second real engine: Wasmtime.
//!
//! Envoy runs modules in V8, Kong in Wasmtime. A module that V8 takes may be refused there, or be compiled to something else; and the glue between the
//! plugins and proxy-wasm (`sdk-shim/src/live`) exists in modules only, so that no native test ever runs it. Here the very bytes that are shipped run
//! in Wasmtime, through the crate `proxy-wasm-host`.
//!
//! That crate speaks the ABI and has nothing of a proxy: no phases, no buffering, no pausing. Those are the fake proxy's (`sdk_shim::fake`), with the
//! traps of Envoy and `WasmX` as they were observed. So [`Loaded`] is a plugin like any other to it, whose callbacks call a module, and whose host calls go
//! back to the host that called ([`lent`]). One table, one proxy; the plugins are Rust in one place, and a module in the other.

mod callback;
mod convert;
mod lent;
mod loaded;
mod modules;

pub use loaded::{Call, Loaded};
pub use modules::{CircuitBreaker, Idempotency, Metrics, Module, ProtocolHealth, RetryBudget, Suite, folder};

/// Runs the built modules.
#[derive(Debug)]
pub struct Wasmtime;

impl scenarios::Engine for Wasmtime {
    type CircuitBreaker = Loaded<CircuitBreaker>;
    type RetryBudget = Loaded<RetryBudget>;
    type Idempotency = Loaded<Idempotency>;
    type ProtocolHealth = Loaded<ProtocolHealth>;
    type Metrics = Loaded<Metrics>;
    type Suite = Loaded<Suite>;
}
