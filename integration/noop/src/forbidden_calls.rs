//! The intruder: `x-try: proxy_http_call` makes it call another cluster, and so on.

use super::Stream;
use core::fmt::Debug;
use core::time::Duration;
use sdk_shim::host::{Body, Direction, Host, Map, Reply};
use sdk_shim::live::LiveHost;
use sdk_shim::live::proxy_wasm::hostcalls;
use sdk_shim::live::proxy_wasm::traits::HttpContext;
use sdk_shim::live::proxy_wasm::types::{Action, MapType};

/// Where it calls.
const ELSEWHERE: &str = "elsewhere";
const SECOND: Duration = Duration::from_secs(1);

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let Some(asked) = LiveHost.header(Map::RequestHeaders, "x-try") else { return Action::Continue };
        let outcome = attempt(&String::from_utf8_lossy(&asked));
        LiveHost.reply(&Reply { status: 200, headers: Vec::new(), body: outcome.into_bytes(), grpc_status: None });
        Action::Pause
    }
}

/// What came of it. The SDK panics where it gets an error that it doesn't expect.
fn attempt(call: &str) -> String {
    let called = [(":method", "GET"), (":path", "/stolen"), (":authority", ELSEWHERE)];
    match call {
        "environ_sizes_get" => said(LiveHost.env("HOLDFAST_SECRET")),
        "proxy_add_header_map_value" => said(hostcalls::add_map_value(MapType::HttpRequestHeaders, "x-a", "b")),
        "proxy_call_foreign_function" => said(hostcalls::call_foreign_function("clear_route_cache", None)),
        "proxy_close_stream" => said(hostcalls::close_downstream()),
        "proxy_continue_stream" => did(|| LiveHost.resume(Direction::Response)),
        "proxy_dequeue_shared_queue" => said(hostcalls::dequeue_shared_queue(1)),
        "proxy_done" => said(hostcalls::done()),
        "proxy_enqueue_shared_queue" => said(hostcalls::enqueue_shared_queue(1, None)),
        "proxy_get_header_map_pairs" => said(hostcalls::get_map_bytes(MapType::HttpRequestHeaders)),
        "proxy_get_status" => said(hostcalls::get_grpc_status()),
        "proxy_grpc_call" => said(hostcalls::dispatch_grpc_call(ELSEWHERE, "a.B", "C", vec![], None, SECOND)),
        "proxy_grpc_cancel" => said(hostcalls::cancel_grpc_call(1)),
        "proxy_grpc_close" => said(hostcalls::close_grpc_stream(1)),
        "proxy_grpc_send" => said(hostcalls::send_grpc_stream_message(1, None, true)),
        "proxy_grpc_stream" => said(hostcalls::open_grpc_stream(ELSEWHERE, "a.B", "C", vec![])),
        "proxy_http_call" => said(hostcalls::dispatch_http_call(ELSEWHERE, called.to_vec(), None, vec![], SECOND)),
        "proxy_register_shared_queue" => said(hostcalls::register_shared_queue("q")),
        "proxy_resolve_shared_queue" => said(hostcalls::resolve_shared_queue("", "q")),
        "proxy_set_buffer_bytes" => did(|| LiveHost.append_body(Body::Response, b"x")),
        "proxy_set_effective_context" => said(hostcalls::set_effective_context(1)),
        "proxy_set_header_map_pairs" => said(hostcalls::set_map(MapType::HttpRequestHeaders, vec![])),
        other => format!("don't know {other}"),
    }
}

fn said(outcome: impl Debug) -> String {
    format!("{outcome:?}")
}

/// A call whose status nobody looks at.
fn did(call: impl FnOnce()) -> String {
    call();
    "made".into()
}
