//! Protocol health: what a call came to, whatever it was spoken in.
//!
//! A gateway that sees HTTP statuses only believes a GraphQL service that answers `200 {"errors":[…]}`, and a gRPC service that answers `200` and
//! `grpc-status: 14` in its trailers, to be well: nothing is ejected, nothing fails over. This plugin reads what they mean. Its entry in a cluster's
//! filters judges each attempt, and tells Envoy in words that it understands; its entry in a listener's filters keeps deadlines, and what was said
//! among ourselves from clients.
//!
//! | to find | look in |
//! |---|---|
//! | what can be configured | [`policy`], read by [`config`] |
//! | what is spoken | [`sdk_shim::protocol`], [`spoken`] |
//! | what an attempt came to, as pure functions | [`judge`] |
//! | a GraphQL answer's top level, and what it means | [`graphql`] |
//! | the status in a gRPC-Web body | [`grpc_web`] |
//! | what a REST service says besides its status | [`predicate`] |
//! | how long a request may take | [`deadline`], [`grpc_timeout`] |
//! | per attempt: what is held back, what Envoy is told | [`upstream`], [`held`] |
//! | probes of this node and of services | [`probe`] |
//! | whether this node drains | [`drain`] |
//! | per request | [`edge`] |
//! | how these meet the proxy | [`filter`] |

pub mod config;
pub mod deadline;
pub mod drain;
pub mod edge;
pub mod filter;
pub mod graphql;
pub mod grpc_timeout;
pub mod grpc_web;
pub mod held;
pub mod judge;
pub mod metrics;
pub mod policy;
pub mod predicate;
pub mod probe;
pub mod spoken;
pub mod upstream;

pub use filter::ProtocolHealth;
pub use sdk_shim::protocol;

#[cfg(feature = "live")]
sdk_shim::register!(crate::ProtocolHealth);
