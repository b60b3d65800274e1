//! What a module has and doesn't need.
//!
//! rustc can't know that nobody calls a method of the SDK's contexts, so each module imports what they call. And each module exports all
//! callbacks of a filter, because `WasmX` makes them without a look whether they are there. Neither shows in the module itself, so it is said here; tests hold every
//! line of it (`integration/tests/hardened`): on a real Envoy the plugins do all their work without these, and a callback is left out only where the plugin's source has no such
//! method.

/// A module that the shipped files restrict.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// In `target/modules/`, and in the files.
    pub file: &'static str,
    /// The package of its plugin.
    pub package: &'static str,
    /// What it has and doesn't need, besides [`UNUSED_BY_ALL`].
    pub unused: &'static [&'static str],
}

/// What the SDK brings into every module and none of ours uses: queues, gRPC callouts, foreign functions. And a callback that does nothing:
/// a plugin begins when it is configured.
pub const UNUSED_BY_ALL: [&str; 12] = [
    "proxy_call_foreign_function",
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_on_vm_start",
];

/// The shipped modules. A module that takes the place of others in the files takes the place of their rows.
pub const MODULES: [Module; 5] = [
    Module {
        file: "circuit_breaker.wasm",
        package: "circuit-breaker",
        unused: &["proxy_done", "proxy_http_call", "proxy_set_effective_context", "proxy_on_http_call_response"],
    },
    Module {
        file: "retry_budget.wasm",
        package: "retry-budget",
        unused: &[
            "proxy_done",
            "proxy_http_call",
            "proxy_set_effective_context",
            "proxy_on_http_call_response",
            "proxy_on_request_body",
            "proxy_on_request_trailers",
            "proxy_on_response_body",
            "proxy_on_response_trailers",
        ],
    },
    Module { file: "idempotency.wasm", package: "idempotency", unused: &[] },
    Module {
        file: "protocol_health.wasm",
        package: "protocol-health",
        unused: &["proxy_done", "proxy_get_header_map_pairs", "proxy_on_log"],
    },
    Module { file: "holdfast_suite.wasm", package: "suite", unused: &[] },
];
