//! A circuit breaker for gateways.
//!
//! When a service behind a gateway fails or hangs, each further request to it costs its caller a timeout, the gateway a connection
//! and the service the last of its strength. A breaker counts how calls end, and when too many end badly it answers in the
//! service's place, at once, until the service has shown that it is back.
//!
//! Three things are done differently here than in the breakers one finds in libraries and proxies:
//!
//! - **All workers of a node decide as one.** Counts are the proxy's own counters, which its workers share without a lock, and
//!   windows are differences of their snapshots. Only what must change once (the phase, a probe's lease) is in shared
//!   data, changed by compare-and-set.
//! - **It can't get stuck, and it doesn't rush back.** Probes hold leases that run out; a closed door opens along a ramp;
//!   results from before a transition never count after it.
//! - **It only believes what speaks of the service.** A rate limit's 429, an authorisation filter's 403, a client that went away: none
//!   of them opens a breaker.
//!
//! | to find | look in |
//! |---|---|
//! | what can be configured | [`policy`], read by [`config`] |
//! | what is stored, and the picture of it | [`state`] |
//! | every decision, as pure functions | [`decide`] |
//! | what a call's end means | [`judge`] |
//! | what a refused request gets | [`reply`] |
//! | windows and counters of one worker | [`track`], [`metrics`] |
//! | how these meet the proxy | [`admission`], [`breaker`], [`filter`] |

pub mod admission;
pub mod breaker;
pub mod config;
pub mod decide;
pub mod filter;
#[cfg(feature = "test-hooks")]
pub mod hooks;
pub mod judge;
pub mod metrics;
pub mod policy;
pub mod reply;
pub mod state;
pub mod track;
pub mod unheard;

pub use filter::CircuitBreaker;

#[cfg(feature = "live")]
sdk_shim::register!(crate::CircuitBreaker);
