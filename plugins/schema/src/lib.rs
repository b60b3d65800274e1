//! What the plugins' configurations may be, as Rust types that a JSON Schema is made of.
//!
//! A plugin reads its configuration by itself and tells every fault at once ([`sdk_shim::config`]). But Kong judges a configuration before a
//! filter sees it, editors complete it while it is written, and both want a schema. The types here are that schema and nothing else: no value of them is
//! ever made, and none of it is in a module. A property test (`tests/agreement.rs`) proves that schema and parser agree, but for the [`rules`] that
//! a schema can't say.
//!
//! The dialect is draft-04, because Kong takes no other.
//!
//!
//! | to find | look in |
//! |---|---|
//! | a plugin's settings | the module of its name |
//! | the settings of every plugin | [`common`] |
//! | how durations, ratios and texts are spelled | [`values`], [`texts`] |
//! | how a type becomes a schema that Kong understands | [`dialect`] |
//! | what a schema can't say | [`rules`] |
//! | the files that Kong reads | [`meta`] |
//! | how much memory Kong must give | [`sizing`] |

#![allow(
    clippy::struct_excessive_bools,
    clippy::zero_sized_map_values,
    reason = "types describe, and no value of them is made"
)]

pub mod circuit_breaker;
pub mod common;
pub mod control;
pub mod dialect;
pub mod idempotency;
pub mod meta;
pub mod metrics;
pub mod protocol_health;
pub mod retry_budget;
pub mod rules;
pub mod sizing;
pub mod suite;
pub mod texts;
pub mod values;

pub use schemars::JsonSchema;
