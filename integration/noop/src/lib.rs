//! The floors that benchmarks measure against: proxy-wasm modules straight on the SDK.
//!
//! The no-op does nothing. With the feature `host-calls` it makes the host calls that the breaker makes for a healthy GET, and does
//! nothing with what they give: the floor of any filter that needs to know as much. Neither uses sdk-shim's own glue, which is part of
//! what is measured.
//!
//! With the feature `forbidden-calls` it is no floor but an intruder: it makes whatever host call a request asks it for, so that a test sees which of
//! them Envoy denies.
#![cfg(feature = "live")]

use sdk_shim::live::proxy_wasm::set_root_context;
use sdk_shim::live::proxy_wasm::traits::{Context, HttpContext, RootContext};
use sdk_shim::live::proxy_wasm::types::ContextType;

struct Root;
struct Stream;

impl Context for Root {}
impl RootContext for Root {
    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Stream {}
#[cfg(not(any(feature = "host-calls", feature = "forbidden-calls")))]
impl HttpContext for Stream {}

#[cfg(feature = "forbidden-calls")]
mod forbidden_calls;

#[cfg(feature = "host-calls")]
mod host_calls {
    use super::Stream;
    use sdk_shim::host::{Host, Map, MetricId, MetricKind};
    use sdk_shim::live::LiveHost;
    use sdk_shim::live::proxy_wasm::traits::HttpContext;
    use sdk_shim::live::proxy_wasm::types::Action;
    use std::cell::LazyCell;

    thread_local! {
        static CALLS: LazyCell<Option<MetricId>> =
            const { LazyCell::new(|| LiveHost.define_metric(MetricKind::Counter, "host_calls_total").ok()) };
    }

    impl HttpContext for Stream {
        fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
            let _ = LiveHost.property(&["xds", "route_name"]);
            let _ = LiveHost.now();
            Action::Continue
        }

        fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
            let _ = LiveHost.now();
            let _ = LiveHost.header(Map::ResponseHeaders, ":status");
            CALLS.with(|id| id.iter().for_each(|id| LiveHost.increment(*id, 1)));
            Action::Continue
        }
    }
}

// The proxy calls this symbol by name.
#[allow(unsafe_code, missing_docs, unreachable_pub)]
mod module {
    #[unsafe(no_mangle)]
    pub extern "C" fn _initialize() {
        super::set_root_context(|_| Box::new(super::Root));
    }
}
