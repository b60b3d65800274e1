//! A retry budget for gateways.
//!
//! A retry helps where one attempt in a hundred fails. Where all of them fail it multiplies the load on a service that has too much of it
//! already: four attempts per request, through three layers sixty-four. A route's "at most three retries" bounds the retries of one request, and
//! nothing bounds their sum. A budget does: retries in a window never exceed a share of the requests in it.
//!
//! Four things are done differently here than in the budgets one finds in libraries and proxies:
//!
//! - **The bound is exact**, for every ratio, over all workers of a node: counters are the proxy's own, and a retry is counted before anybody
//!   looks whether there was room for it.
//! - **A retry is counted when it is granted**, when the failing attempt is let go, not when it begins: what fails during one back-off can't
//!   spend the same budget twice.
//! - **The client gets the service's own answer** where there is one: a veto is a header by which the router stops, not a reply in its place.
//! - **It sees both ends.** The upstream entry counts attempts, whatever policies ask for them; the downstream entry keeps unsafe requests from being
//!   retried at all, and sheds clients' own retries before first tries.
//!
//! | to find | look in |
//! |---|---|
//! | what can be configured | [`policy`], read by [`config`] |
//! | the window, and the picture of it | [`state`] |
//! | every decision, as pure functions | [`decide`], [`pushback`] |
//! | one budget of one key | [`account`] |
//! | per attempt, per request | [`upstream`], [`downstream`] |
//! | what they tell each other | [`tally`], [`notices`] |
//! | who says that it is a retry | [`marks`] |
//! | how these meet the proxy | [`filter`] |

pub mod account;
pub mod config;
pub mod decide;
pub mod downstream;
pub mod filter;
pub mod marks;
pub mod metrics;
pub mod notices;
pub mod policy;
pub mod pushback;
pub mod state;
pub mod tally;
pub mod upstream;

pub use filter::RetryBudget;

#[cfg(feature = "live")]
sdk_shim::register!(crate::RetryBudget);
