//! The adapter: what a proxy calls, and nothing that decides.

use crate::attempt::{Attempt, Upstream};
use crate::call::Request;
use crate::request::Downstream;
use core::time::Duration;
use sdk_shim::common::Chain;
use sdk_shim::config::Faults;
use sdk_shim::entry::{Flow, Plugin};
use sdk_shim::host::{Host, MetricKind};
use sdk_shim::labels::Label;
use sdk_shim::overrides::Mode;

/// How old the word of protocol-health may become that it tells of outcomes.
const TICK: Duration = Duration::from_secs(1);

/// The plugin: one entry of one chain per configuration and VM.
#[derive(Debug)]
pub enum Metrics {
    /// Nothing at all.
    Off,
    /// Once per attempt.
    Upstream(Box<Upstream>),
    /// Once per request.
    Downstream(Box<Downstream>),
}

/// What is remembered of a request or an attempt.
#[derive(Debug, Default)]
pub enum Call {
    /// We never saw its request headers.
    #[default]
    Unseen,
    /// An attempt.
    Attempt(Attempt),
    /// A request.
    Request(Box<Request>),
}

impl<H: Host + 'static> Plugin<H> for Metrics {
    type Call = Call;

    const NAME: &'static str = "metrics";

    fn configure(host: &H, bytes: &[u8]) -> Result<Self, Faults> {
        let policy = crate::config::read_and(bytes, |policy| policy.check_host(host.capabilities()))?;
        if policy.common.mode == Mode::Disabled {
            return Ok(Self::Off);
        }
        show_capabilities(host);
        Ok(match policy.common.chain {
            Chain::Upstream => Self::Upstream(Box::new(Upstream::new(host, policy))),
            Chain::Downstream => Self::Downstream(Box::new(Downstream::new(host, policy))),
        })
    }

    fn tick_period(&self) -> Option<Duration> {
        (!matches!(self, Self::Off)).then_some(TICK)
    }

    fn on_tick(&self, host: &H) {
        match self {
            Self::Off => {}
            Self::Upstream(entry) => entry.outcomes.refresh(host),
            Self::Downstream(entry) => entry.outcomes.refresh(host),
        }
    }

    fn call(&self) -> Call {
        Call::Unseen
    }

    fn on_request_headers(&self, call: &mut Call, host: &H, end: bool) -> Flow {
        match self {
            Self::Off => {}
            Self::Upstream(entry) => *call = Call::Attempt(entry.begin(host, end)),
            Self::Downstream(entry) => *call = Call::Request(Box::new(entry.begin(host, end))),
        }
        Flow::Continue
    }

    fn on_request_body(&self, call: &mut Call, host: &H, size: usize, end: bool) -> Flow {
        match (self, call) {
            (Self::Upstream(_), Call::Attempt(attempt)) if end => attempt.sent(),
            (Self::Downstream(entry), Call::Request(request)) => entry.request_body(host, request, size, end),
            _ => {}
        }
        Flow::Continue
    }

    fn on_request_trailers(&self, call: &mut Call, _host: &H) -> Flow {
        match call {
            Call::Attempt(attempt) => attempt.sent(),
            Call::Request(request) => request.sent(),
            Call::Unseen => {}
        }
        Flow::Continue
    }

    fn on_response_headers(&self, call: &mut Call, host: &H, end: bool) -> Flow {
        match (self, call) {
            (Self::Upstream(entry), Call::Attempt(attempt)) => entry.headers(host, attempt, end),
            (Self::Downstream(entry), Call::Request(request)) => entry.headers(host, request, end),
            _ => {}
        }
        Flow::Continue
    }

    fn on_response_body(&self, call: &mut Call, host: &H, size: usize, end: bool) -> Flow {
        match (self, call) {
            (Self::Upstream(_), Call::Attempt(attempt)) => attempt.body(size, end),
            (Self::Downstream(entry), Call::Request(request)) => entry.response_body(host, request, size, end),
            _ => {}
        }
        Flow::Continue
    }

    fn on_response_trailers(&self, call: &mut Call, host: &H) -> Flow {
        match (self, call) {
            (Self::Upstream(entry), Call::Attempt(attempt)) => entry.trailers(host, attempt),
            (Self::Downstream(entry), Call::Request(request)) => entry.trailers(host, request),
            _ => {}
        }
        Flow::Continue
    }

    fn on_done(&self, call: &mut Call, host: &H) {
        if let (Self::Upstream(entry), Call::Attempt(attempt)) = (self, &*call) {
            entry.end(host, attempt);
        }
    }

    fn on_log(&self, call: &mut Call, host: &H) {
        match (self, call) {
            (Self::Downstream(entry), Call::Request(request)) => entry.end(host, request),
            (Self::Downstream(entry), Call::Unseen) => entry.unseen(host),
            _ => {}
        }
    }
}

/// A host that can't do what others can is seen without asking it.
fn show_capabilities<H: Host>(host: &H) {
    for (capability, has) in host.capabilities().named() {
        let name = ["holdfast_host_capability;", Label::Capability.as_str(), "=", capability].concat();
        if let Ok(id) = host.define_metric(MetricKind::Gauge, &name) {
            host.record(id, u64::from(has));
        }
    }
}
