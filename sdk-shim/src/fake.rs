//! A proxy for tests: several workers, virtual time, and the traps of the real ones.
//!
//! What kills a filter in production is rarely its arithmetic. It is a header map that is gone, a compare-and-set that was
//! not checked, a callout that died with its client, or a second worker between a read and its write. So this host
//! reproduces what docs/hosts.md observed, row by row, in both flavors: where a real proxy would die, the test panics
//! with that row's text ([`Trap`]).
//!
//! A [`FakeProxy`] is the process. It owns what workers share: metrics, shared data, environment, routes and the clock. Each
//! [`FakeHost`] is one worker's VM and implements [`crate::host::Host`]. A [`Worker`] runs a plugin in it as a proxy does, and
//! each [`InFlight`] is a stream that the test leads through its callbacks, as many at once and as interleaved as it likes.
//!
//! ```
//! use sdk_shim::config::Faults;
//! use sdk_shim::entry::{Flow, Plugin};
//! use sdk_shim::fake::{FakeHost, FakeProxy, Worker};
//! use sdk_shim::host::{Host, Map, MetricId, MetricKind};
//!
//! /// Counts what fails.
//! struct Failures(MetricId);
//!
//! impl<H: Host + 'static> Plugin<H> for Failures {
//!     type Call = ();
//!     const NAME: &'static str = "failures";
//!
//!     fn configure(host: &H, _: &[u8]) -> Result<Self, Faults> {
//!         Ok(Self(host.define_metric(MetricKind::Counter, "failures_total").unwrap()))
//!     }
//!     fn call(&self) {}
//!     fn on_response_headers(&self, _: &mut (), host: &H, _: bool) -> Flow {
//!         if host.header(Map::ResponseHeaders, ":status").is_some_and(|status| status[0] == b'5') {
//!             host.increment(self.0, 1);
//!         }
//!         Flow::Continue
//!     }
//! }
//!
//! // An Envoy with two workers runs the filter.
//! let envoy = FakeProxy::envoy();
//! let workers = [(); 2].map(|()| Worker::<Failures>::start(&envoy.worker(), "{}").unwrap());
//!
//! // Two requests are under way at once, one in each worker.
//! let mut first = workers[0].request(&[(":method", "GET"), (":path", "/pay")]);
//! let mut second = workers[1].request(&[(":method", "GET"), (":path", "/pay")]);
//! workers[0].host().clear_calls();
//!
//! // The service fails the first; for the second nobody could be reached (flags 32: UF).
//! first.respond(&[(":status", "500")], true);
//! second.local_reply(503, 32, "upstream_reset_before_response_started");
//!
//! // Every worker added to the same counter, and the price of a failure is known to the call.
//! assert_eq!(envoy.metric("failures_total"), 2);
//! assert_eq!(workers[0].host().call_lines(), ["header(ResponseHeaders :status)", "increment(failures_total +1)"]);
//! assert_eq!(first.finish().status, Some(500));
//! ```
//!
//! | to make happen | call |
//! |---|---|
//! | time passes, a timer fires | [`FakeProxy::advance`], [`Worker::tick`] |
//! | another worker writes in between | [`FakeProxy::on_next_set`], [`FakeProxy::on_next_get`], [`FakeProxy::mismatch_next`] |
//! | the store is down, a value is evicted | [`FakeProxy::fail_shared`], [`FakeProxy::evict_shared`] |
//! | the client leaves, an attempt fails | [`InFlight::abort`], [`InFlight::fail_upstream`] |
//! | an earlier filter answered | [`Worker::unseen`] |
//! | a callout is answered, or never | [`Worker::answer`], [`Worker::answer_nothing`] |

mod callouts;
mod crc32;
mod driver;
mod effects;
mod flight;
mod message;
mod metrics;
mod opening;
mod port;
mod properties;
mod proxy;
mod record;
mod store;
mod stream;
mod trap;
mod vm;

pub use callouts::CalloutAnswer;
pub use driver::Worker;
pub use flight::{Ended, InFlight};
pub use message::Headers;
pub use opening::Opening;
pub use proxy::FakeProxy;
pub use record::{HostCall, LogLine};
pub use stream::{Chain, FilterState};
pub use trap::Trap;
pub use vm::FakeHost;
