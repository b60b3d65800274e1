//! The real proxy: the port over proxy-wasm's ABI, and the glue that lets a proxy call a plugin.
//!
//! Only the build of a module has this (feature `live`). `raw` holds every `unsafe` line of the project.

#[macro_use]
mod unused;
mod context;
mod guard;
mod host;
mod raw;

pub use context::start;
pub use host::LiveHost;
#[doc(hidden)]
pub use proxy_wasm;
