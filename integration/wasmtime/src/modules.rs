//! The modules, each compiled once.

use proxy_wasm_host::abi::v0_2_1::{Guest, Host, VmServices};
use proxy_wasm_host::{Engine, Limits};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use crate::lent::Lent;

/// Wasmtime, and the ABI linked to it.
static ENGINE: LazyLock<(Engine, Host)> = LazyLock::new(|| {
    let engine = Engine::new().expect("an engine");
    let host = Host::new(&engine).expect("the functions of the ABI");
    (engine, host)
});

/// A module that was built.
pub trait Module: 'static {
    /// As the plugin calls itself.
    const NAME: &'static str;
    /// In the folder of the modules.
    const FILE: &'static str;

    /// Where it stands once it has been compiled.
    fn compiled() -> &'static OnceLock<proxy_wasm_host::Module>;
}

macro_rules! modules {
    ($($(#[$doc:meta])* $type:ident = $name:literal, $file:literal;)*) => {
        $($(#[$doc])*
        #[derive(Debug)]
        pub enum $type {}

        impl Module for $type {
            const NAME: &'static str = $name;
            const FILE: &'static str = $file;

            fn compiled() -> &'static OnceLock<proxy_wasm_host::Module> {
                static COMPILED: OnceLock<proxy_wasm_host::Module> = OnceLock::new();
                &COMPILED
            }
        })*
    };
}

modules! {
    /// `circuit_breaker.wasm`.
    CircuitBreaker = "circuit-breaker", "circuit_breaker.wasm";
    /// `retry_budget.wasm`.
    RetryBudget = "retry-budget", "retry_budget.wasm";
    /// `idempotency.wasm`.
    Idempotency = "idempotency", "idempotency.wasm";
    /// `protocol_health.wasm`.
    ProtocolHealth = "protocol-health", "protocol_health.wasm";
    /// `metrics.wasm`.
    Metrics = "metrics", "metrics.wasm";
    /// `holdfast_suite.wasm`.
    Suite = "suite", "holdfast_suite.wasm";
}

/// A new VM with the module in it.
pub(crate) fn guest<M: Module>() -> Guest {
    let (engine, host) = &*ENGINE;
    let module = M::compiled().get_or_init(|| {
        let file = folder().join(M::FILE);
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        proxy_wasm_host::Module::new(engine, &bytes).unwrap_or_else(|error| panic!("{}: {error}", M::FILE))
    });
    let lent = Arc::new(Lent::default());
    let services = VmServices::new(lent.clone()).with_clock(lent.clone()).with_shared(lent.clone()).with_callouts(lent);
    // A busy machine is no fault of the module's, and the fake proxy is no proxy in that it has thousands of series.
    let limits = Limits::new().with_cpu_time(Duration::from_mins(1)).with_max_shared_names(None);
    Guest::new(host, module, services, &limits).unwrap_or_else(|error| panic!("{}: {error}", M::FILE))
}

/// Where the built modules are.
///
/// # Panics
/// Where nobody says so.
pub fn folder() -> PathBuf {
    let folder = std::env::var_os("HOLDFAST_MODULES");
    folder.expect("HOLDFAST_MODULES: the folder of the built modules; `cargo xtask test` sets it").into()
}
