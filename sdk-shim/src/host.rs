//! The port: everything a plugin may ask of the proxy that runs it.
//!
//! One trait with one type parameter (`H: Host`) instead of the SDK's hostcalls, because those panic where a header map is
//! gone or a byte is not UTF-8, and a panic kills the VM with every request in it. Here an absent answer is a value.
//! Prices are microseconds in Envoy 1.40 (docs/hosts.md).

use crate::flavor::Capabilities;
use crate::time::Instant;
use core::fmt;
use core::time::Duration;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only goes up; on Envoy one process-wide atomic, so it is the cheap memory that all workers share.
    Counter,
    /// Goes anywhere; the last writer wins.
    Gauge,
    /// A distribution.
    Histogram,
}

/// A metric as the host knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MetricId(pub u32);

/// Which headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Map {
    /// The request's headers; gone once they were sent on, back in `on_log`.
    RequestHeaders,
    /// The response's headers; gone once they were sent on, back in `on_log`.
    ResponseHeaders,
    /// The response's trailers; never on `WasmX`.
    ResponseTrailers,
    /// The headers of a callout's answer.
    CalloutHeaders,
    /// The trailers of a callout's answer.
    CalloutTrailers,
}

/// Which body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// The request's, as far as buffered.
    Request,
    /// The response's, as far as buffered.
    Response,
    /// A callout's answer.
    Callout,
}

/// Which half of a paused stream to let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// On to the service.
    Request,
    /// Back to the client.
    Response,
}

/// Why a host call gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostError {
    /// Nothing of that name is there (any more).
    NotFound,
    /// The host did not accept the arguments, or not in this phase.
    BadArgument,
    /// Somebody else wrote first.
    CasMismatch,
    /// Everything else; the host's own status number.
    Status(u32),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::BadArgument => f.write_str("bad argument"),
            Self::CasMismatch => f.write_str("somebody else wrote first"),
            Self::Status(code) => write!(f, "host status {code}"),
        }
    }
}

/// What must be true of a shared value for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expect {
    /// The name was never written. Atomic on both hosts, by different means (flavor.rs).
    Absent,
    /// Nobody wrote since the read that gave this number.
    Version(u32),
}

/// A shared value as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// The bytes; `None` where the name was never written.
    pub value: Option<Vec<u8>>,
    /// The number that a conditional write needs; `None` where the name was never written.
    pub version: Option<u32>,
}

impl Shared {
    /// The condition under which a write replaces exactly what was read.
    pub fn expect(&self) -> Expect {
        self.version.map_or(Expect::Absent, Expect::Version)
    }
}

/// An answer of our own, sent in place of the service's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Name and value.
    pub headers: Vec<(String, String)>,
    /// The body; for a gRPC request Envoy turns it into `grpc-message`.
    pub body: Vec<u8>,
    /// The gRPC status, where the request is gRPC.
    pub grpc_status: Option<u32>,
}

/// A call to another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callout {
    /// Cluster name (Envoy) or `host:port` (`WasmX`).
    pub upstream: String,
    /// With `:method`, `:path` and `:authority`, or `WasmX` traps.
    pub headers: Vec<(String, String)>,
    /// The request's body.
    pub body: Vec<u8>,
    /// After which the host gives up and calls back with no headers.
    pub timeout: Duration,
}

/// A callout under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalloutId(pub u32);

/// A context (root or stream) as the host numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(pub u32);

/// Everything a plugin may ask of the proxy that runs it.
pub trait Host {
    /// What this host can do; known after `configure` began.
    fn capabilities(&self) -> &'static Capabilities;
    /// The wall clock. 0.05 us.
    fn now(&self) -> Instant;
    /// Writes one line to the proxy's log.
    fn log(&self, level: log::Level, line: &str);
    /// Entropy for this VM's generator. Asked for once, in `configure`.
    fn seed(&self) -> u64;
    /// A variable of the proxy's environment that its configuration lets through.
    fn env(&self, name: &str) -> Option<String>;

    /// Makes a metric known; the same name gives the same metric in every VM. Costs a lock: once per name. Without
    /// [`Capabilities::metrics_at_once`] there may be none.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, HostError>;
    /// Adds to a counter. 0.05 us.
    fn increment(&self, id: MetricId, by: u32);
    /// Moves a gauge up or down, which workers can do at once; [`Host::record`] would have the last one win. Only where
    /// [`Capabilities::gauges_count`]. 0.05 us.
    fn adjust(&self, id: MetricId, by: i64);
    /// Sets a gauge, or records in a histogram. 0.05 us.
    fn record(&self, id: MetricId, value: u64);
    /// Reads a counter or gauge; on Envoy the sum over all workers. 0.05 us.
    fn metric(&self, id: MetricId) -> Result<u64, HostError>;

    /// Reads a shared value. 0.7 us.
    fn shared_get(&self, name: &str) -> Result<Shared, HostError>;
    /// Writes a shared value if `expect` holds. 0.3 us.
    fn shared_set(&self, name: &str, value: &[u8], expect: Expect) -> Result<(), HostError>;

    /// A property of the stream or the node. 0.75 us.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;
    /// Sets filter state that later filters, the other chain and access logs can read. 0.3 us.
    fn set_property(&self, path: &[&str], value: &[u8]);
    /// One header as bytes; `None` where it, or the whole map, is absent. 0.2 us.
    fn header(&self, map: Map, name: &str) -> Option<Vec<u8>>;
    /// All headers as bytes; empty where the map is gone. 1.4 us.
    fn headers(&self, map: Map) -> Vec<(Vec<u8>, Vec<u8>)>;
    /// Replaces or adds a header. 0.3 us.
    fn set_header(&self, map: Map, name: &str, value: &[u8]);
    /// Removes a header.
    fn remove_header(&self, map: Map, name: &str);
    /// At most `max` bytes of a body.
    fn body(&self, body: Body, max: usize) -> Option<Vec<u8>> {
        self.body_from(body, 0, max)
    }
    /// At most `max` bytes of a body behind its first `start`. `WasmX` gives them from the first one on, whatever `start` is.
    fn body_from(&self, body: Body, start: usize, max: usize) -> Option<Vec<u8>>;
    /// Adds bytes behind what is here of a body, in that body's own callback.
    fn append_body(&self, body: Body, bytes: &[u8]);
    /// Answers the client ourselves. At most once per stream.
    fn reply(&self, reply: &Reply);
    /// Lets a paused half of the effective stream go on.
    fn resume(&self, direction: Direction);

    /// How often the root ticks from now on, `None` for never. Only where [`Capabilities::ticks_at_will`]; in a tick they can only be stopped,
    /// since the timer that has fired must not be replaced. 1 us.
    fn tick_every(&self, period: Option<Duration>);

    /// A plugin that wished to finish something before it goes has finished it; in a callback of the root. See
    /// [`crate::entry::Plugin::on_retire`].
    fn retire(&self);

    /// The context that is being called back.
    fn context(&self) -> ContextId;
    /// Makes the next calls speak for another context; false where it is gone.
    fn set_context(&self, id: ContextId) -> bool;
    /// Starts a callout for the effective context. A callout of a stream dies with it; see [`crate::dispatch`].
    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError>;
}
