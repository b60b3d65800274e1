//! What a Holdfast plugin may ask of a proxy, and the pure building blocks that all plugins share.
//!
//! A filter that calls its proxy from everywhere can only be tested inside that proxy. So a plugin here talks to one
//! trait, [`host::Host`], and every decision is a pure function over plain values. Two hosts implement the trait: the
//! [`fake`] one (several workers, virtual time, the traps of Envoy and `WasmX` reproduced) and the live one, which
//! exists only in the build of a module (feature `live`).
//!
//! | to find | look in |
//! |---|---|
//! | the port, and what it costs | [`host`], [`flavor`] |
//! | a plugin's shape and `register!` | [`entry`] |
//! | time, chance, exact ratios | [`time`], [`random`], [`ratio`] |
//! | counting and sliding windows | [`meter`], [`labels`], [`window`] |
//! | state shared by workers | [`cell`], [`registry`], [`claim`], [`overrides`], [`notice`] |
//! | who and how: keys, outcomes | [`key`], [`keys`], [`outcome`], [`ending`], [`answers`], [`headers`], [`path`], [`protocol`] |
//! | calls to other services | [`dispatch`] |
//! | JSON, configuration and its faults | [`json`], [`config`], [`common`] |
//! | answers in the service's place | [`refusal`], [`ours`] |
//! | which version, which configuration, which plugins | [`identity`], [`directory`] |
//! | the log | [`journal`] |

pub mod answers;
pub mod body;
pub mod cell;
pub mod claim;
pub mod common;
pub mod config;
pub mod directory;
pub mod dispatch;
pub mod ending;
pub mod entry;
#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
pub mod flavor;
pub mod headers;
pub mod host;
pub mod identity;
pub mod journal;
pub mod json;
pub mod key;
pub mod keys;
pub mod labels;
#[cfg(any(feature = "live", not(target_arch = "wasm32")))]
pub(crate) mod late;
#[cfg(feature = "live")]
pub mod live;
pub mod meter;
pub mod notice;
pub mod ours;
pub mod outcome;
pub mod overrides;
pub mod path;
pub mod protocol;
pub mod random;
pub mod ratio;
pub mod refusal;
pub mod registry;
pub(crate) mod remaining;
pub mod time;
pub mod window;
