//! Real proxies, scriptable upstreams and bounded clients.
//!
//! A filter that is right against a fake host may still be wrong in Envoy. The scenario tests, the demo and the bench
//! therefore run the real binary, and this crate lets them read as a user's story:
//!
//! ```no_run
//! use std::time::Duration;
//! use integration::{client, config, eventually, Envoy, Fault, TestResult, Upstream, Wasm};
//!
//! fn opens_when_the_service_fails() -> TestResult {
//!     let orders = Upstream::start("orders")?;
//!     let breaker = Wasm::module("circuit_breaker")?.config(&serde_json::json!({"minimum_calls": 5}));
//!     let envoy = Envoy::start(&config::bootstrap(
//!         &[config::listener("edge", &[breaker.filter()], &[config::route("all", "orders")])],
//!         &[config::cluster("orders", &[orders.port()])],
//!     ))?;
//!     let edge = envoy.port("edge")?;
//!
//!     orders.set(Fault::Status(500));
//!     eventually("the breaker opens", Duration::from_secs(5), || {
//!         Ok::<_, anyhow::Error>(client::get(edge, "/", &[])?.rejected_by().is_some())
//!     })
//! }
//! ```
//!
//! Choices made:
//! - **Everything blocks.** A test is a story told by one thread; one shared runtime does the I/O. Don't call this crate
//!   from async code.
//! - **Everything ends.** Each wait has a deadline, each load a total. Envoy is killed when its handle is dropped, and (where
//!   `setpriv` exists) by the kernel when the test process dies first.
//! - **Nothing collides.** All ports are chosen by the kernel, on 127.0.0.1; each Envoy has a directory of its own.
//!
//! Environment: `HOLDFAST_ENVOY` (the binary), `HOLDFAST_ENVOY_VERSION`, `HOLDFAST_MODULES` (folder of the built
//! modules). `cargo xtask test` sets them. `HOLDFAST_HARDENED=1` allows each module what it needs and
//! nothing else ([`capabilities`]). `HOLDFAST_KEEP=1` keeps Envoy's directory (configuration, log) for a look.
#![allow(clippy::disallowed_methods, reason = "the harness lives in real time")]

pub mod board;
pub mod capabilities;
pub mod chaos;
pub mod client;
pub mod command;
pub mod config;
pub mod draw;
pub mod envoy;
pub mod ledger;
pub mod observability;
mod port;
mod process;
pub mod registry;
mod runtime;
mod serve;
pub mod shop;
pub mod simulation;
pub mod store;
pub mod upstream;
mod wait;

pub use client::{Call, Response, Storm, Tally};
pub use config::wasm::Wasm;
pub use config::xds::{DynamicFilter, XdsFile};
pub use envoy::Envoy;
pub use ledger::Ledger;
pub use port::ReservedPort;
pub use upstream::{Answer, Fault, Grpc, Upstream};
pub use wait::{Check, eventually, eventually_eq, eventually_some, throughout};

/// What a test returns: `?` works on every error, and the failure prints the chain of causes.
pub type TestResult<T = ()> = anyhow::Result<T>;
