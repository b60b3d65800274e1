//! Hostcalls without the SDK's panics: each gives its status, and the caller decides.
//!
//! The SDK panics on any status that it doesn't expect, for instance on a header read after the headers were sent on; in
//! Envoy a panic kills the VM with every request in it. The signatures are those of proxy-wasm ABI 0.2.1.
#![allow(unsafe_code)]

use crate::host::HostError;
use core::ptr::null_mut;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, value_size: usize, cas: u32) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, value: *mut *mut u8, value_size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, value: *mut *mut u8, value_size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, size: usize, data: *const u8, data_size: usize) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_done() -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    #[allow(clippy::too_many_arguments)]
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

/// Goes on: what the SDK calls `Action::Continue`.
const CONTINUE: u32 = 0;
/// Nothing is left to be done.
const DONE: u32 = 1;

// The SDK's dispatcher panics where it is called back for a stream or a call that it doesn't know, and where a stream begins while it calls a root. Hosts do
// all of that (guard.rs says when). So `cargo xtask build` exports these in the place of the SDK's callbacks: `guard_` becomes `proxy_`.

/// A callback that isn't made for a stream that the SDK doesn't know: then its answer is `$unknown`.
macro_rules! guard {
    ($check:ident, $guard:ident, $guarded:ident($($argument:ident: $type:ty),*) $(-> $unknown:ident)?) => {
        unsafe extern "C" {
            fn $guarded(context: u32, $($argument: $type),*) $(-> guard!(@u32 $unknown))?;
        }
        #[unsafe(no_mangle)]
        extern "C" fn $guard(context: u32, $($argument: $type),*) $(-> guard!(@u32 $unknown))? {
            if super::guard::$check(context) {
                // SAFETY: the SDK's own callback, called as the host would.
                return unsafe { $guarded(context, $($argument),*) };
            }
            $($unknown)?
        }
    };
    (@u32 $unknown:ident) => { u32 };
}

guard!(knows, guard_on_request_headers, proxy_on_request_headers(count: usize, end: bool) -> CONTINUE);
guard!(knows, guard_on_request_body, proxy_on_request_body(size: usize, end: bool) -> CONTINUE);
guard!(knows, guard_on_request_trailers, proxy_on_request_trailers(count: usize) -> CONTINUE);
guard!(knows, guard_on_response_headers, proxy_on_response_headers(count: usize, end: bool) -> CONTINUE);
guard!(knows_still, guard_on_response_body, proxy_on_response_body(size: usize, end: bool) -> CONTINUE);
guard!(knows_still, guard_on_response_trailers, proxy_on_response_trailers(count: usize) -> CONTINUE);
guard!(knows, guard_on_done, proxy_on_done() -> DONE);
guard!(knows, guard_on_log, proxy_on_log());

unsafe extern "C" {
    fn proxy_on_context_create(context: u32, root: u32);
    fn proxy_on_delete(context: u32);
    fn proxy_on_tick(context: u32);
    fn proxy_on_http_call_response(context: u32, token: u32, headers: usize, body: usize, trailers: usize);
}

#[unsafe(no_mangle)]
extern "C" fn guard_on_context_create(context: u32, root: u32) {
    if !super::guard::ignores(context, root) {
        // SAFETY: the SDK's own callback, called as the host would.
        unsafe { proxy_on_context_create(context, root) };
    }
}

#[unsafe(no_mangle)]
extern "C" fn guard_on_delete(context: u32) {
    super::guard::hears();
    if !super::guard::forgets(context) {
        // SAFETY: the SDK's own callback, called as the host would.
        unsafe { proxy_on_delete(context) };
        // Nobody will answer its calls, and the SDK forgets one only with its answer.
        while let Some(token) = super::guard::takes_call_of(context) {
            // SAFETY: the SDK's own callback; its stream is gone, so it finds nobody to tell.
            unsafe { proxy_on_http_call_response(context, token, 0, 0, 0) };
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn guard_on_http_call_response(context: u32, token: u32, headers: usize, body: usize, trailers: usize) {
    if super::guard::is_answer(token) {
        // SAFETY: the SDK's own callback, called as the host would.
        unsafe { proxy_on_http_call_response(context, token, headers, body, trailers) };
    } else if let Some(root) = super::guard::lost() {
        // SAFETY: the SDK's own callback, called as the host would; the root is there, since a stream of it is.
        unsafe { proxy_on_tick(root) };
    }
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn environ_sizes_get(count: *mut usize, size: *mut usize) -> u16;
    fn environ_get(environ: *mut *mut u8, buffer: *mut u8) -> u16;
    #[cfg(target_os = "unknown")]
    fn random_get(buffer: *mut u8, size: usize) -> u16;
}

/// getrandom's custom backend: the host's WASI, in pieces that Envoy accepts (it refuses large ones).
#[cfg(target_os = "unknown")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(dest: *mut u8, len: usize) -> Result<(), getrandom::Error> {
    // SAFETY: getrandom hands over a buffer of `len` bytes; initialised first, so that a slice of it may exist.
    let buffer = unsafe {
        core::ptr::write_bytes(dest, 0, len);
        core::slice::from_raw_parts_mut(dest, len)
    };
    for piece in buffer.chunks_mut(256) {
        // SAFETY: the piece is valid for its length.
        if unsafe { random_get(piece.as_mut_ptr(), piece.len()) } != 0 {
            return Err(getrandom::Error::UNSUPPORTED);
        }
    }
    Ok(())
}

#[cfg(target_os = "wasi")]
unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Runs what a reactor's libc wants run before anything else; there is none on `wasm32-unknown-unknown`.
pub(super) fn run_constructors() {
    #[cfg(target_os = "wasi")]
    // SAFETY: called once, first, by the module's `_initialize`.
    unsafe {
        __wasm_call_ctors();
    }
}

fn done(status: u32) -> Result<(), HostError> {
    match status {
        0 => Ok(()),
        1 => Err(HostError::NotFound),
        2 => Err(HostError::BadArgument),
        8 => Err(HostError::CasMismatch),
        other => Err(HostError::Status(other)),
    }
}

/// Takes over memory that the host allocated through the module's own `malloc` (the SDK's boxed slice).
fn adopt(data: *mut u8, size: usize) -> Option<Vec<u8>> {
    if data.is_null() {
        return None;
    }
    // SAFETY: the SDK's allocator export made it as a boxed slice of exactly `size` bytes, and the host gave it to us.
    Some(unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(data, size)) }.into_vec())
}

pub(super) fn now() -> u64 {
    let mut time = 0;
    // SAFETY: the pointer is valid for the call.
    unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
    time
}

pub(super) fn define_metric(kind: u32, name: &str) -> Result<u32, HostError> {
    let mut id = 0;
    // SAFETY: pointers and sizes come from live values.
    done(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) }).map(|()| id)
}

pub(super) fn get_metric(id: u32) -> Result<u64, HostError> {
    let mut value = 0;
    // SAFETY: the pointer is valid for the call.
    done(unsafe { proxy_get_metric(id, &raw mut value) }).map(|()| value)
}

pub(super) fn record_metric(id: u32, value: u64) {
    // SAFETY: no pointers.
    unsafe { proxy_record_metric(id, value) };
}

pub(super) fn increment_metric(id: u32, by: i64) {
    // SAFETY: no pointers.
    unsafe { proxy_increment_metric(id, by) };
}

pub(super) fn get_shared(key: &str) -> Result<(Option<Vec<u8>>, u32), HostError> {
    let (mut data, mut size, mut cas) = (null_mut(), 0, 0);
    // SAFETY: pointers and sizes come from live values.
    done(unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), &raw mut data, &raw mut size, &raw mut cas) })?;
    Ok((adopt(data, size), cas))
}

pub(super) fn set_shared(key: &str, value: &[u8], cas: u32) -> Result<(), HostError> {
    // SAFETY: pointers and sizes come from live values.
    done(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
}

pub(super) fn get_property(path: &[u8]) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: pointers and sizes come from live values.
    done(unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size) }).ok()?;
    // A property that is there but empty comes without memory.
    Some(adopt(data, size).unwrap_or_default())
}

pub(super) fn set_property(path: &[u8], value: &[u8]) {
    // SAFETY: pointers and sizes come from live values.
    unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) };
}

pub(super) fn get_header(map: u32, name: &str) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: pointers and sizes come from live values.
    done(unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), &raw mut data, &raw mut size) }).ok()?;
    // A header that is there but empty comes without memory.
    Some(adopt(data, size).unwrap_or_default())
}

pub(super) fn get_headers(map: u32) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: pointers and sizes come from live values.
    done(unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) }).ok()?;
    adopt(data, size)
}

pub(super) fn set_header(map: u32, name: &str, value: &[u8]) {
    // SAFETY: pointers and sizes come from live values.
    unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

pub(super) fn remove_header(map: u32, name: &str) {
    // SAFETY: pointers and sizes come from live values.
    unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) };
}

pub(super) fn retire() {
    // SAFETY: nothing is passed.
    unsafe { proxy_done() };
}

pub(super) fn get_buffer(buffer: u32, start: usize, max: usize) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: pointers and sizes come from live values.
    done(unsafe { proxy_get_buffer_bytes(buffer, start, max, &raw mut data, &raw mut size) }).ok()?;
    adopt(data, size)
}

/// A start behind the end appends.
pub(super) fn append_to_buffer(buffer: u32, bytes: &[u8]) {
    // SAFETY: pointers and sizes come from live values.
    unsafe { proxy_set_buffer_bytes(buffer, usize::MAX, 0, bytes.as_ptr(), bytes.len()) };
}

pub(super) fn continue_stream(stream: u32) {
    // SAFETY: no pointers.
    unsafe { proxy_continue_stream(stream) };
}

pub(super) fn set_effective_context(context: u32) -> bool {
    // SAFETY: no pointers.
    unsafe { proxy_set_effective_context(context) == 0 }
}

pub(super) fn send_local_response(status: u32, headers: &[u8], body: &[u8], grpc_status: i32) {
    // SAFETY: pointers and sizes come from live values.
    unsafe {
        proxy_send_local_response(
            status,
            core::ptr::null(),
            0,
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        );
    }
}

/// The environment as `NAME=value` bytes, each ended by a zero byte.
pub(super) fn environment() -> Option<Vec<u8>> {
    let (mut count, mut size) = (0usize, 0usize);
    // SAFETY: the pointers are valid for the call.
    if unsafe { environ_sizes_get(&raw mut count, &raw mut size) } != 0 {
        return None;
    }
    let (mut places, mut buffer) = (vec![null_mut::<u8>(); count], vec![0u8; size]);
    // SAFETY: both buffers have the sizes that the host just told.
    (unsafe { environ_get(places.as_mut_ptr(), buffer.as_mut_ptr()) } == 0).then_some(buffer)
}
