//! All of Holdfast's plugins in one module.
//!
//! Five filters in a row are five times the way from the proxy into a VM and back, and each asks again what the one before it has asked. This module is one
//! filter that is called once and asks once. It runs the plugins that its configuration names, in the order in which they belong in a chain, and each of them is the
//! very code of its own module: what one of them can't tell is whether it runs here or there.
//!
//! What a row of filters has that one filter hasn't is made up for here: a plugin that holds a request or an answer stops those behind it, and
//! they go on when it lets go ([`chain`]); each plugin has ticks of its own ([`pulse`]) and hears the answers to its own calls ([`shared`]).
//!
//! One thing is different: a trap ends the VM, and with it all five. Where that isn't wanted, the separate modules may have VMs of their own.
//!
//! | to find | look in |
//! |---|---|
//! | what can be configured | [`config`] |
//! | who runs when | [`parts`] |
//! | how a chain goes on | [`chain`] |
//! | what is asked once, and what plugins ask for that is ours to give | [`shared`], [`facts`] |
//! | when each is ticked | [`pulse`] |
//! | how these meet the proxy | [`filter`] |

pub mod chain;
pub mod config;
pub mod facts;
pub mod filter;
pub mod parts;
pub mod pulse;
pub mod shared;

pub use filter::Suite;

#[cfg(feature = "live")]
sdk_shim::register!(crate::Suite<sdk_shim::live::LiveHost>);
