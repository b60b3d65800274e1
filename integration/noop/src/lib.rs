//! The floor that benchmarks measure against: a proxy-wasm module that does nothing, straight on the SDK.
//!
//! It doesn't use sdk-shim's own glue, which is part of what is measured.
#![cfg(feature = "live")]

use sdk_shim::live::proxy_wasm::set_root_context;
use sdk_shim::live::proxy_wasm::traits::{Context, HttpContext, RootContext};
use sdk_shim::live::proxy_wasm::types::ContextType;

struct Nothing;

impl Context for Nothing {}
impl HttpContext for Nothing {}
impl RootContext for Nothing {
    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Nothing))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

// The proxy calls this symbol by name.
#[allow(unsafe_code, missing_docs, unreachable_pub)]
mod module {
    #[unsafe(no_mangle)]
    pub extern "C" fn _initialize() {
        super::set_root_context(|_| Box::new(super::Nothing));
    }
}
