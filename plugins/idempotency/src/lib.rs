//! Idempotency keys for gateways: at most one execution per key, on any node, and the client gets its answer.
//!
//! Clients, proxies and networks repeat requests. A payment that is repeated is paid twice, unless somebody remembers. This plugin
//! claims a key in a store that all nodes share before the request goes to the service, and stores what the service answered under it.
//!
//! Five things are done differently here than in the idempotency layers one finds in gateways and frameworks:
//!
//! - **Only the owner completes or releases**: a claim carries a token, so a slow request can't overwrite who came after it.
//! - **A claim that runs out isn't free.** It is uncertain, and says so: nobody knows whether the payment was made.
//! - **A key counts for its tenant, method and path**, and its request is compared by what it means, not by its bytes.
//! - **Giving up is certain**: whoever stops waiting for the store leaves a mark that a claim arriving late obeys.
//! - **The store is the one that there is**: Envoy itself speaks to Redis and memcached, through a tunnel, without a sidecar.
//!
//! | to find | look in |
//! |---|---|
//! | what can be configured | [`policy`], read by [`config`] |
//! | the protocol between nodes, and the picture of it | [`protocol`] |
//! | what follows from an answer | [`decide`] |
//! | which requests, whose, and what they are | [`intake`], [`header`], [`scope`], [`fingerprint`], [`canonical`] |
//! | what is kept of an answer, and how it is sealed | [`stored`], [`seal`], [`secret`] |
//! | the stores | [`store`], and [`remote`] for who asks them when |
//! | a request's way in and out | [`gate`], [`request`] |
//! | how these meet the proxy | [`filter`] |

pub mod canonical;
pub mod config;
pub mod decide;
pub mod encoding;
pub mod filter;
pub mod fingerprint;
pub mod gate;
pub mod header;
pub mod health;
pub mod intake;
pub mod metrics;
pub mod pace;
pub mod policy;
pub mod protocol;
pub mod quota;
pub mod remote;
pub mod request;
pub mod scope;
pub mod seal;
pub mod secret;
pub mod store;
pub mod stored;
pub mod target;

pub use filter::Idempotency;

#[cfg(feature = "live")]
sdk_shim::register!(crate::Idempotency);
