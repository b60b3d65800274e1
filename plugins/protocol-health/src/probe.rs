//! Health of services, asked for in their own protocol and answered in one form.
//!
//! [`ask`] is what a service is asked and what its answer means, [`cache`] how long that stands, [`answer`] what the prober gets: all of it pure.
//! [`desk`] brings them together: many ask, one call per worker goes out.

pub mod answer;
pub mod ask;
pub mod cache;
pub mod desk;

pub use ask::{Ask, Health};

use core::time::Duration;

/// One probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The path on which this gateway is asked, without a query.
    pub path: String,
    /// Whom it asks: clusters by name; on hosts without them `host:port`.
    pub clusters: Vec<String>,
    /// What it asks.
    pub ask: Ask,
    /// `:authority` of the call; the cluster's name where there is none.
    pub authority: Option<String>,
    /// One that is well is enough.
    pub any: bool,
    /// An answer takes no longer.
    pub timeout: Duration,
    /// So long an answer stands.
    pub fresh: Duration,
    /// So long it stands while a new one is fetched.
    pub stale: Duration,
}
