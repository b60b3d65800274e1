//! What a module may ask of `WasmX`, the host in Kong: the same questions that nginx asks when it loads one, asked at our desk.
//!
//! A module that imports what the host hasn't got doesn't link, and the worker dies at its start; one that lacks a callback crashes it, since most are
//! made without a look. Both end every request of the gateway, so neither is to be found out there. The lists are what `ngx_wasm_module` provides
//! (`docs/hosts.md`).

use std::collections::BTreeSet;

use wasmparser::{Validator, WasmFeatures};

use super::Surface;
use crate::TestResult;

/// What works there.
pub const WORKS: [&str; 26] = [
    "proxy_add_header_map_value",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_get_metric",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];

/// What links and traps as soon as it is called.
pub const TRAPS: [&str; 10] = [
    "proxy_call_foreign_function",
    "proxy_close_stream",
    "proxy_done",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_resolve_shared_queue",
];

/// WASI besides, as far as a module of Rust asks for it.
pub const WASI: [&str; 8] = [
    "args_get",
    "args_sizes_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
    "random_get",
];

/// The callbacks that it makes without looking whether they are there, and those without which a plugin hears nothing.
pub const CALLBACKS: [&str; 13] = [
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_done",
    "proxy_on_http_call_response",
    "proxy_on_log",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

/// WebAssembly 2.0: all of it is on by default in every Wasmtime that Kong came with, up to 26.
const FEATURES: WasmFeatures = WasmFeatures::WASM2;

/// Why a module can't be loaded there; nothing where it can.
///
/// # Errors
/// When it is no Wasm module.
pub fn obstacles(module: &[u8]) -> TestResult<Vec<String>> {
    let Surface { imports, callbacks } = Surface::of(module)?;
    let given: BTreeSet<&str> = WORKS.into_iter().chain(TRAPS).chain(WASI).collect();
    let foreign = imports.iter().filter(|name| !given.contains(name.as_str()));
    let foreign = foreign.map(|name| format!("it imports {name}, which isn't there"));
    let silent = CALLBACKS.iter().filter(|name| !callbacks.contains(**name));
    let silent = silent.map(|name| format!("it lacks {name}"));
    let invalid = Validator::new_with_features(FEATURES).validate_all(module).err();
    let invalid = invalid.map(|error| format!("it wants more of the engine than WebAssembly 2.0: {error}"));
    Ok(foreign.chain(silent).chain(invalid).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_links_nowhere_in_kong_is_told_by_its_name() {
        // `(import "env" "proxy_get_log_level" (func))`.
        let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x1b\x01\x03env\x13proxy_get_log_level\0\0";
        let told = obstacles(module).unwrap();
        assert_eq!(told[0], "it imports proxy_get_log_level, which isn't there");
        assert_eq!(told.len(), 1 + CALLBACKS.len(), "{told:#?}");
    }

    #[test]
    fn what_the_engine_may_not_have_is_told() {
        // `(memory 1 1 shared)`: threads.
        let told = obstacles(b"\0asm\x01\0\0\0\x05\x04\x01\x03\x01\x01").unwrap();
        assert!(told.last().unwrap().starts_with("it wants more of the engine"), "{told:#?}");
    }

    #[test]
    fn nothing_is_in_two_lists() {
        let all: BTreeSet<&str> = WORKS.into_iter().chain(TRAPS).chain(WASI).collect();
        assert_eq!(all.len(), WORKS.len() + TRAPS.len() + WASI.len());
    }
}
