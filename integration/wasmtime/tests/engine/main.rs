//! The built modules in Wasmtime, behind a fake Envoy and a fake `WasmX`. One program, so that each module is compiled once.
#![allow(missing_docs)]

mod anew;
mod forgotten;
mod glue;
mod table;
