//! Metrics: what happens to requests, per route, in the words of the other plugins.
//!
//! A proxy counts statuses. So a gRPC service that fails with `200` looks well, a breaker's 503 looks like the service's, and whoever wants to know how many
//! attempts a request took has to divide two numbers that count different things. This plugin counts each request once by what it came to, and each attempt once;
//! the quotient of the two is how much a route amplifies. It counts what the other plugins did in the service's place as theirs.
//!
//! | to find | look in |
//! |---|---|
//! | what can be configured | [`policy`], read by [`config`] |
//! | which series there are, and how many at most | [`series`], [`row`] |
//! | what is spoken | [`spoken`], [`frames`] |
//! | what a response tells, and who gave it | [`heard`], [`local`] |
//! | per request | [`request`], [`call`] |
//! | a request that was never seen | [`unseen`] |
//! | the one line about a request for access logs | [`mod@line`] |
//! | per attempt | [`attempt`] |
//! | how these meet the proxy | [`filter`] |

pub mod attempt;
pub mod call;
pub mod config;
pub mod filter;
pub mod frames;
pub mod heard;
pub mod line;
pub mod local;
pub mod policy;
pub mod request;
pub mod row;
pub mod series;
pub mod spoken;
pub mod unseen;

pub use filter::Metrics;

#[cfg(feature = "live")]
sdk_shim::register!(crate::Metrics);
