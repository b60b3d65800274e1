//! Once per request: how long it may take, and nothing that we say among ourselves reaches a client.

use crate::deadline::{self, Deadline, Deadlines, Given, decide};
use crate::grpc_timeout;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::protocol::Protocol;
use crate::spoken;
use crate::upstream::PROMOTED;
use core::cell::RefCell;
use core::time::Duration;
use sdk_shim::entry::Flow;
use sdk_shim::host::{Host, Map};
use sdk_shim::outcome::{MARK, TOLD};
use sdk_shim::overrides::Mode;
use sdk_shim::random::SplitMix64;
use sdk_shim::refusal::Refusal;

/// gRPC's `INVALID_ARGUMENT`.
const INVALID_ARGUMENT: u32 = 3;
/// gRPC's `DEADLINE_EXCEEDED`.
const DEADLINE_EXCEEDED: u32 = 4;

/// The entry in a listener's filters.
#[derive(Debug)]
pub struct Edge {
    policy: Policy,
    metrics: Metrics,
    random: RefCell<SplitMix64>,
}

/// What is remembered of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    protocol: Protocol,
}

// === impl Edge ===

impl Edge {
    /// An entry.
    pub fn new<H: Host>(host: &H, policy: Policy) -> Self {
        let metrics = Metrics::new(host, &policy.common);
        let random = RefCell::new(SplitMix64::new(host.seed()));
        Self { policy, metrics, random }
    }

    /// A request's headers; `end` where they are all of it.
    pub fn begin<H: Host>(&self, host: &H, end: bool) -> (Option<Request>, Flow) {
        if self.policy.common.mode == Mode::Disabled {
            return (None, Flow::Continue);
        }
        let protocol = spoken::of(host, &self.policy, end).protocol;
        let flow =
            self.policy.deadline.as_ref().map_or(Flow::Continue, |deadlines| self.limit(host, deadlines, protocol));
        (Some(Request { protocol }), flow)
    }

    fn limit<H: Host>(&self, host: &H, deadlines: &Deadlines, protocol: Protocol) -> Flow {
        let given = given(host, protocol);
        let decided = decide(deadlines, protocol, is_stream(host), &given);
        if let Some(name) = decided.ignored {
            self.metrics.count(host, "malformed_deadlines_total", name);
        }
        let (cause, title, status, grpc_status) = match decided.deadline {
            Deadline::None => return Flow::Continue,
            Deadline::Within(time) => {
                if self.acts() {
                    set(host, protocol, &given, time);
                }
                return Flow::Continue;
            }
            Deadline::Expired => ("deadline", "The request had no time left when it came", 504, DEADLINE_EXCEEDED),
            Deadline::Malformed(_) => (
                "malformed_deadline",
                "A header that says how long the request may take can't be read",
                400,
                INVALID_ARGUMENT,
            ),
        };
        let enforced = self.acts();
        self.metrics.count(host, if enforced { "refused_total" } else { "would_refuse_total" }, cause);
        if !enforced {
            return Flow::Continue;
        }
        let mark = self.policy.common.mark_rejections;
        let refusal = Refusal { plugin: "protocol-health", cause, title, status, grpc_status, retry_after: 0, mark };
        Flow::Reply(Box::new(refusal.reply(protocol == Protocol::Grpc)))
    }

    /// Whether this decision is acted on.
    fn acts(&self) -> bool {
        self.policy.common.mode == Mode::Enforce
            && self.policy.common.enforce_ratio.takes(self.random.borrow_mut().draw())
    }

    /// A response's headers on their way to the client; `end` where they are all of it.
    pub fn headers<H: Host>(&self, host: &H, request: Request, end: bool) {
        host.remove_header(Map::ResponseHeaders, MARK);
        if request.protocol == Protocol::Grpc && !end && host.header(Map::ResponseHeaders, "grpc-status").is_some() {
            // A service may have said it itself: only what we have put there is taken away.
            let told = host.property(TOLD).unwrap_or_default();
            if told.ends_with(PROMOTED.as_bytes()) {
                host.remove_header(Map::ResponseHeaders, "grpc-status");
            }
        }
    }
}

/// What the request says of its time.
fn given<H: Host>(host: &H, protocol: Protocol) -> Given {
    let header = |name| host.header(Map::RequestHeaders, name);
    let is_grpc = matches!(protocol, Protocol::Grpc | Protocol::GrpcWeb);
    Given {
        grpc: if is_grpc { header(deadline::GRPC) } else { None },
        others: deadline::OTHERS.map(header),
        router: header(deadline::ROUTER),
    }
}

/// What lives long by design.
fn is_stream<H: Host>(host: &H) -> bool {
    let accepts = host.header(Map::RequestHeaders, "accept");
    accepts.is_some_and(|accept| accept.to_ascii_lowercase().starts_with(b"text/event-stream"))
        || host.header(Map::RequestHeaders, "upgrade").is_some()
}

/// The router obeys, and whoever serves is told in the form in which the client said it.
fn set<H: Host>(host: &H, protocol: Protocol, given: &Given, time: Duration) {
    host.set_header(Map::RequestHeaders, deadline::ROUTER, deadline::for_router(time).as_bytes());
    if matches!(protocol, Protocol::Grpc | Protocol::GrpcWeb) {
        host.set_header(Map::RequestHeaders, deadline::GRPC, grpc_timeout::write(time).as_bytes());
    }
    for (name, said) in deadline::OTHERS.into_iter().zip(&given.others) {
        if let Some(said) = said {
            host.set_header(Map::RequestHeaders, name, deadline::like(said, time).as_bytes());
        }
    }
}
