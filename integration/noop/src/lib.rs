//! The floors that benchmarks measure against: proxy-wasm modules straight on the SDK.
//!
//! The no-op does nothing. With the feature `host-calls` it makes the host calls that its configuration lists, such as a plugin's for a healthy
//! GET, and does nothing with what they give: the floor of any filter that needs to know as much. Neither uses sdk-shim's own glue, which is
//! part of what is measured.
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
    #[cfg(feature = "host-calls")]
    fn on_configure(&mut self, _size: usize) -> bool {
        host_calls::configure(&self.get_plugin_configuration().unwrap_or_default())
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

#[cfg(not(feature = "host-calls"))]
impl Context for Stream {}
#[cfg(not(any(feature = "host-calls", feature = "forbidden-calls")))]
impl HttpContext for Stream {}

#[cfg(feature = "forbidden-calls")]
mod forbidden_calls;

#[cfg(feature = "host-calls")]
mod host_calls;

// The proxy calls this symbol by name.
#[allow(unsafe_code, missing_docs, unreachable_pub)]
mod module {
    #[unsafe(no_mangle)]
    pub extern "C" fn _initialize() {
        super::set_root_context(|_| Box::new(super::Root));
    }
}
