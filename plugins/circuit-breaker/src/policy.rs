//! What is configured: validated once, `Eq`, without floats. `config.rs` makes it, `decide.rs` obeys it.

use core::num::NonZeroU64;
use core::time::Duration;
use sdk_shim::answers::AnswerSet;
use sdk_shim::common::Common;
use sdk_shim::config::Faults;
use sdk_shim::flavor::Capabilities;
use sdk_shim::host::Host;
use sdk_shim::key::digest;
use sdk_shim::random::below;
use sdk_shim::ratio::{PPM, Ratio};

/// How far back failures are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last while.
    Time(Duration),
    /// The last calls.
    Calls(NonZeroU64),
}

/// Until when a call's latency is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Until its response headers. Streams live for hours, and say nothing new by ending.
    Headers,
    /// Until its end; streams (SSE, WebSocket) are still judged at their headers.
    Completion,
}

/// How long the breaker stays open: `base * factor^(n-1)`, at most `max`, for the n-th time in a row; then jittered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTime {
    /// The first time.
    pub base: Duration,
    /// Growth in parts per million; 1,000,000 for none.
    pub factor_ppm: u64,
    /// The most, before jitter.
    pub max: Duration,
    /// Spread to either side, so that nodes that opened together don't probe together.
    pub jitter: Ratio,
}

/// Growth steps after which the wait grows no more, whatever the factor; a bound for a count that comes from a cell.
const MAX_GROWTH: u32 = 1_000;

impl OpenTime {
    /// The wait when opening for the `nth` time in a row (1 is the first).
    ///
    /// Jitter is drawn in nanoseconds of the whole wait. tower draws seconds and nanoseconds apart, so that there a base of
    /// one second has a single outcome.
    pub fn wait(&self, nth: u32, draw: u64) -> Duration {
        let wait = self.without_jitter(nth);
        let spread = self.jitter.of(wait);
        Duration::from_nanos((wait - spread).saturating_add(below(draw, spread.saturating_mul(2).saturating_add(1))))
    }

    /// The longest wait that this policy can give.
    pub fn longest(&self) -> Duration {
        let max = sdk_shim::time::nanos(self.max);
        Duration::from_nanos(max.saturating_add(self.jitter.of(max)))
    }

    fn without_jitter(&self, nth: u32) -> u64 {
        let (mut wait, max) = (sdk_shim::time::nanos(self.base), sdk_shim::time::nanos(self.max));
        for _ in 1..nth.min(MAX_GROWTH) {
            if wait >= max || self.factor_ppm <= u64::from(PPM) {
                break;
            }
            let grown = u128::from(wait) * u128::from(self.factor_ppm) / u128::from(PPM);
            wait = u64::try_from(grown).unwrap_or(u64::MAX);
        }
        wait.min(max)
    }
}

/// How an open breaker finds out whether the service is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfOpen {
    /// Probes under way at one time, over all workers.
    pub permits: u32,
    /// Successful probes that it takes.
    pub successes: u32,
    /// After which a probe that hasn't ended has failed. Must outlast the longest request.
    pub timeout: Duration,
}

/// An answer in the service's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplySpec {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body; `None` for problem+json (RFC 9457).
    pub body: Option<String>,
}

/// A way around the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reroute {
    /// The request header on which a route of the proxy matches.
    pub header: String,
    /// Its value.
    pub value: String,
    /// Data residency: only requests whose header has one of these values may be moved.
    pub only_if: Option<(String, Vec<String>)>,
}

/// What a refused request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnOpen {
    /// This answer,
    pub reply: ReplySpec,
    /// unless it may go this way.
    pub reroute: Option<Reroute>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The settings of every plugin.
    pub common: Common,
    /// How far back.
    pub window: Window,
    /// Calls in the window below which no ratio trips.
    pub minimum_calls: u64,
    /// Failures per call from which it opens; `None` for never.
    pub failure_ratio: Option<Ratio>,
    /// Latency from which a call is slow.
    pub slow_call: Duration,
    /// Slow calls per call from which it opens; `None` for never.
    pub slow_ratio: Option<Ratio>,
    /// A slow call is a failure as well.
    pub slow_is_failure: bool,
    /// Failures in a row from which it opens; 0 for never.
    pub consecutive_failures: u64,
    /// Until when latency is taken.
    pub measure: Measure,
    /// Which answers of the service are failures. A call without an answer always is one.
    pub failure_on: AnswerSet,
    /// How long it stays open.
    pub open: OpenTime,
    /// How it probes.
    pub half_open: HalfOpen,
    /// How long the linear ramp back to all traffic takes; zero for none.
    pub ramp: Duration,
    /// K of client-side throttling, in parts per million; `None` for off.
    pub throttle_k: Option<u64>,
    /// What a refused request gets.
    pub on_open: OnOpen,
}

impl Policy {
    /// A hash of the fields that give the counts their meaning. Cells are named by it: a push that changes anything else
    /// keeps the state, one that changes these starts afresh.
    pub fn meaning(&self) -> String {
        let window = match self.window {
            Window::Time(time) => format!("{}ms", time.as_millis()),
            Window::Calls(calls) => format!("{calls}"),
        };
        digest(format!("{window} {} {}", self.common.key.describe(), self.failure_on.describe()).as_bytes())
    }

    /// What this host lacks for this policy, its secrets included.
    pub fn check_on<H: Host>(&self, host: &H) -> Faults {
        let mut faults = self.check_host(host.capabilities());
        if let Some(Err(missing)) = self.common.debug_token.as_ref().map(|token| token.resolve(host, "$.debug_token")) {
            faults.append(missing);
        }
        faults
    }

    /// What this host lacks for this policy.
    pub fn check_host(&self, caps: &Capabilities) -> Faults {
        let mut faults = self.common.check_host(caps);
        if self.failure_on.grpc_explicit && !caps.response_trailers && !self.common.allow_degraded {
            let allowed = "no grpc_status, or \"allow_degraded\": true (then only a status in headers counts): this host lacks the capability response_trailers";
            faults.push("$.failure_on.grpc_status", "gRPC statuses", allowed);
        }
        if self.on_open.reroute.is_some() && !caps.reroute_by_header {
            faults.push(
                "$.on_open.reroute",
                "an object",
                "\"reply\": this host lacks the capability reroute_by_header",
            );
        }
        faults
    }
}
