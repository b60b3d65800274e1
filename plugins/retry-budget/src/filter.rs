//! The adapter: what a proxy calls, and nothing that decides.

use crate::downstream::{Downstream, Request};
use crate::upstream::{Attempt, Upstream};
use core::time::Duration;
use sdk_shim::common::Chain;
use sdk_shim::config::Faults;
use sdk_shim::entry::{Flow, Plugin};
use sdk_shim::host::Host;

/// The plugin: one entry of one chain per configuration and VM.
#[derive(Debug)]
pub enum RetryBudget {
    /// Once per attempt.
    Upstream(Box<Upstream>),
    /// Once per request.
    Downstream(Box<Downstream>),
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

impl<H: Host + 'static> Plugin<H> for RetryBudget {
    type Call = Call;

    const NAME: &'static str = "retry-budget";

    fn configure(host: &H, bytes: &[u8]) -> Result<Self, Faults> {
        let policy = crate::config::read_and(bytes, |policy| policy.check_on(host))?;
        Ok(match policy.common.chain {
            Chain::Upstream => Self::Upstream(Box::new(Upstream::new(host, policy, bytes))),
            Chain::Downstream => Self::Downstream(Box::new(Downstream::new(host, policy, bytes)?)),
        })
    }

    fn tick_period(&self) -> Option<Duration> {
        match self {
            Self::Upstream(entry) => Some(entry.tick_period()),
            Self::Downstream(entry) => entry.tick_period(),
        }
    }

    fn on_tick(&self, host: &H) {
        match self {
            Self::Upstream(entry) => entry.tick(host),
            Self::Downstream(entry) => entry.tick(host),
        }
    }

    fn call(&self) -> Call {
        Call::Unseen
    }

    fn on_request_headers(&self, call: &mut Call, host: &H, end: bool) -> Flow {
        match self {
            Self::Upstream(entry) => {
                let (attempt, flow) = entry.begin(host, end);
                *call = attempt.map_or(Call::Unseen, Call::Attempt);
                flow
            }
            Self::Downstream(entry) => {
                let (request, flow) = entry.begin(host);
                *call = request.map_or(Call::Unseen, Call::Request);
                flow
            }
        }
    }

    fn on_response_headers(&self, call: &mut Call, host: &H, _end: bool) -> Flow {
        match (self, call) {
            (Self::Upstream(entry), Call::Attempt(attempt)) => entry.answered(host, attempt),
            (Self::Downstream(entry), Call::Request(request)) => entry.answered(host, request),
            _ => {}
        }
        Flow::Continue
    }

    fn on_done(&self, call: &mut Call, host: &H) {
        if let (Self::Upstream(entry), Call::Attempt(attempt)) = (self, call) {
            entry.end(host, attempt);
        }
    }

    fn on_log(&self, call: &mut Call, host: &H) {
        if let (Self::Downstream(entry), Call::Request(request)) = (self, call) {
            entry.end(host, request);
        }
    }
}
