//! The adapter: what a proxy calls, and nothing that decides.

use crate::edge::{Edge, Request};
use crate::upstream::{Attempt, Upstream};
use core::time::Duration;
use sdk_shim::common::Chain;
use sdk_shim::config::Faults;
use sdk_shim::entry::{Answer, Flow, Plugin};
use sdk_shim::host::Host;

/// The plugin: one entry of one chain per configuration and VM.
#[derive(Debug)]
pub enum ProtocolHealth {
    /// Once per attempt.
    Upstream(Box<Upstream>),
    /// Once per request.
    Edge(Box<Edge>),
}

/// What is remembered of a request or an attempt.
#[derive(Debug, Default)]
pub enum Call {
    /// We never saw its request headers, or have no say: whatever comes is not ours.
    #[default]
    Unseen,
    /// An attempt.
    Attempt(Attempt),
    /// A request.
    Request(Request),
}

impl<H: Host + 'static> Plugin<H> for ProtocolHealth {
    type Call = Call;

    const NAME: &'static str = "protocol-health";

    fn configure(host: &H, bytes: &[u8]) -> Result<Self, Faults> {
        let policy = crate::config::read_and(bytes, |policy| policy.check_on(host))?;
        Ok(match policy.common.chain {
            Chain::Upstream => Self::Upstream(Box::new(Upstream::new(host, policy))),
            Chain::Downstream => Self::Edge(Box::new(Edge::new(host, policy))),
        })
    }

    fn tick_period(&self) -> Option<Duration> {
        match self {
            Self::Upstream(_) => None,
            Self::Edge(entry) => entry.tick_period(),
        }
    }

    fn on_tick(&self, host: &H) {
        match self {
            Self::Upstream(entry) => entry.tick(host),
            Self::Edge(entry) => entry.tick(host),
        }
    }

    fn call(&self) -> Call {
        Call::Unseen
    }

    fn on_request_headers(&self, call: &mut Call, host: &H, end: bool) -> Flow {
        match self {
            Self::Upstream(entry) => {
                *call = entry.begin(host, end).map_or(Call::Unseen, Call::Attempt);
                Flow::Continue
            }
            Self::Edge(entry) => {
                let (request, flow) = entry.begin(host, end);
                *call = request.map_or(Call::Unseen, Call::Request);
                flow
            }
        }
    }

    fn on_request_body(&self, call: &mut Call, _host: &H, _size: usize, end: bool) -> Flow {
        if let (Call::Attempt(attempt), true) = (call, end) {
            attempt.sent();
        }
        Flow::Continue
    }

    fn on_request_trailers(&self, call: &mut Call, _host: &H) -> Flow {
        if let Call::Attempt(attempt) = call {
            attempt.sent();
        }
        Flow::Continue
    }

    fn on_response_headers(&self, call: &mut Call, host: &H, end: bool) -> Flow {
        match (self, call) {
            (Self::Upstream(entry), Call::Attempt(attempt)) => entry.headers(host, attempt, end),
            (Self::Edge(entry), Call::Request(request)) => {
                entry.headers(host, request, end);
                Flow::Continue
            }
            _ => Flow::Continue,
        }
    }

    fn on_response_body(&self, call: &mut Call, host: &H, size: usize, end: bool) -> Flow {
        match (self, call) {
            (Self::Upstream(entry), Call::Attempt(attempt)) => entry.body(host, attempt, size, end),
            (Self::Edge(entry), Call::Request(request)) => {
                entry.body(host, request, size, end);
                Flow::Continue
            }
            _ => Flow::Continue,
        }
    }

    fn on_response_trailers(&self, call: &mut Call, host: &H) -> Flow {
        if let (Self::Upstream(entry), Call::Attempt(attempt)) = (self, call) {
            entry.trailers(host, attempt);
        }
        Flow::Continue
    }

    fn on_answer(&self, call: &mut Call, host: &H, answer: Answer) {
        if let (Self::Edge(entry), Call::Request(request)) = (self, call) {
            entry.answered_own(host, request, answer);
        }
    }

    fn on_root_answer(&self, host: &H, answer: Answer) {
        if let Self::Edge(entry) = self {
            entry.answered(host, answer);
        }
    }

    fn on_done(&self, call: &mut Call, host: &H) {
        match (self, call) {
            (Self::Upstream(entry), Call::Attempt(attempt)) => entry.end(host, attempt),
            (Self::Edge(entry), Call::Request(request)) => entry.end(host, request),
            _ => {}
        }
    }
}
