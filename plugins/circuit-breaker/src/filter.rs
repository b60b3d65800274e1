//! The adapter: what a proxy calls, and nothing that decides.

use crate::admission::{DEBUG_ANSWER, Outlook};
use crate::breaker::Breaker;
use crate::decide::{Ticket, Verdict};
use crate::judge::{self, Heard};
use crate::policy::Measure;
use crate::track::Track;
use crate::unheard::Expected;
use core::time::Duration;
use sdk_shim::common::Chain;
use sdk_shim::config::Faults;
use sdk_shim::entry::{Flow, Plugin};
use sdk_shim::host::{Host, Map};
use sdk_shim::outcome::{self, Answer};
use sdk_shim::time::Instant;
use std::rc::Rc;

/// The plugin: one breaker per configuration and VM.
#[derive(Debug)]
pub struct CircuitBreaker(Breaker);

/// What is remembered of a request (or an attempt).
#[derive(Debug, Default)]
pub enum Call {
    /// We never saw its request headers: whatever comes is not ours to count.
    #[default]
    Unseen,
    /// Let through without a say, refused, or already judged.
    Done,
    /// Admitted, and not judged yet.
    Pending(Pending),
}

/// A call that was admitted.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact that came at a time of its own")]
pub struct Pending {
    /// Its key.
    pub track: Rc<Track>,
    /// What it brings back.
    pub ticket: Ticket,
    /// When its request was complete, or began if it isn't: a slow upload is the client's.
    pub started: Instant,
    /// The request was its headers alone: such a one is no gRPC call.
    pub bodyless: bool,
    /// The whole request has gone by.
    pub request_sent: bool,
    /// What was heard of the service so far.
    pub heard: Heard,
    /// A gRPC message came.
    pub spoke: bool,
    /// A tunnel (CONNECT): a stream, whatever its status.
    pub tunnel: bool,
    /// How long the service took to its response headers, once they came: counted from the end of the request.
    pub latency: Duration,
    /// Whoever asked shows that he may see the decision.
    pub debug: bool,
    /// Where the host doesn't tell of every end.
    pub expected: Option<Expected>,
}

// === impl Pending ===

impl Pending {
    /// A call that begins now; `end` where its headers are the whole request, `sent` where it is complete.
    pub fn new(track: Rc<Track>, ticket: Ticket, started: Instant, end: bool, sent: bool) -> Self {
        Self {
            track,
            ticket,
            started,
            bodyless: end,
            request_sent: sent,
            heard: Heard::Nothing,
            spoke: false,
            tunnel: false,
            latency: Duration::ZERO,
            debug: false,
            expected: None,
        }
    }

    /// How long the service has taken so far; nothing while the client still sends.
    fn elapsed(&self, now: Instant) -> Duration {
        if self.request_sent { now.since(self.started) } else { Duration::ZERO }
    }
}

// === impl CircuitBreaker ===

impl<H: Host + 'static> Plugin<H> for CircuitBreaker {
    type Call = Call;

    const NAME: &'static str = "circuit-breaker";

    fn configure(host: &H, bytes: &[u8]) -> Result<Self, Faults> {
        let policy = crate::config::read_and(bytes, |policy| policy.check_on(host))?;
        Breaker::new(host, policy, bytes).map(Self)
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(self.0.tick_period())
    }

    fn on_tick(&self, host: &H) {
        self.0.tick(host);
    }

    fn call(&self) -> Call {
        Call::Unseen
    }

    fn on_request_headers(&self, call: &mut Call, host: &H, end: bool) -> Flow {
        *call = Call::Done;
        match self.0.admit(host, end) {
            Outlook::Pass => Flow::Continue,
            Outlook::Judge(pending) => {
                *call = Call::Pending(pending);
                Flow::Continue
            }
            Outlook::Refuse(reply) => Flow::Reply(reply),
        }
    }

    fn on_request_body(&self, call: &mut Call, host: &H, _size: usize, end: bool) -> Flow {
        if end {
            self.sent(call, host);
        }
        Flow::Continue
    }

    fn on_request_trailers(&self, call: &mut Call, host: &H) -> Flow {
        self.sent(call, host);
        Flow::Continue
    }

    fn on_response_headers(&self, call: &mut Call, host: &H, end: bool) -> Flow {
        let Call::Pending(pending) = call else { return Flow::Continue };
        let (policy, now) = (self.0.policy(), host.now());
        pending.latency = pending.elapsed(now);
        pending.heard = judge::response_headers(host, policy, pending, end);
        if pending.debug {
            let value = self.0.describe(&pending.track, Some(pending.ticket));
            host.set_header(Map::ResponseHeaders, DEBUG_ANSWER, value.as_bytes());
        }
        if pending.heard == Heard::Headers && self.0.outcomes.known() {
            pending.heard = judge::held_grpc(host);
        }
        let Heard::All(mut answer) = pending.heard else { return Flow::Continue };
        if self.0.outcomes.known() {
            answer = judge::judged(answer, || outcome::told(host));
            pending.heard = Heard::All(answer);
        }
        if policy.measure == Measure::Headers || pending.tunnel || judge::is_stream(host, pending.heard) {
            self.finish(call, host, Some(answer), now);
        }
        Flow::Continue
    }

    /// A gRPC stream may live for hours. As a probe it has shown enough when it still sends after a slow call's time; if its
    /// lease runs out or its client leaves before, it counts that a message came at all.
    fn on_response_body(&self, call: &mut Call, host: &H, size: usize, end: bool) -> Flow {
        let Call::Pending(pending) = call else { return Flow::Continue };
        if let (true, false, Heard::All(answer)) = (end, host.capabilities().words_to_the_end, pending.heard)
            && self.0.outcomes.known()
        {
            // Later it can't be asked any more.
            pending.heard = Heard::All(judge::judged(answer, || outcome::told_at_last(host)));
        }
        if pending.heard != Heard::Headers || pending.ticket.lease.is_none() || size == 0 {
            return Flow::Continue;
        }
        let now = host.now();
        if pending.elapsed(now) >= self.0.policy().slow_call {
            self.finish(call, host, Some(judge::SPOKE), now);
        } else if !core::mem::replace(&mut pending.spoke, true) {
            self.0.spoke(host, pending, now);
        }
        Flow::Continue
    }

    fn on_response_trailers(&self, call: &mut Call, host: &H) -> Flow {
        if let Call::Pending(Pending { heard: heard @ Heard::Headers, .. }) = call {
            *heard = judge::response_trailers(host);
            if let (Heard::All(answer), Measure::Headers) = (*heard, self.0.policy().measure) {
                self.finish(call, host, Some(answer), host.now());
            }
        }
        Flow::Continue
    }

    fn on_done(&self, call: &mut Call, host: &H) {
        if self.0.policy().common.chain == Chain::Upstream {
            self.end(call, host);
        }
    }

    fn on_log(&self, call: &mut Call, host: &H) {
        self.end(call, host);
    }
}

impl CircuitBreaker {
    /// The whole request has gone by.
    fn sent<H: Host>(&self, call: &mut Call, host: &H) {
        if let Call::Pending(pending) = call {
            (pending.started, pending.request_sent) = (host.now(), true);
            if let Some(expected) = &mut pending.expected {
                expected.sent(pending.started);
            }
            self.0.sent(host, pending);
        }
    }

    fn end<H: Host>(&self, call: &mut Call, host: &H) {
        let Call::Pending(pending) = call else { return };
        let now = host.now();
        let mut answer = judge::end(host, self.0.policy(), pending);
        if self.0.outcomes.known() && pending.heard != Heard::Nothing && host.capabilities().words_to_the_end {
            // What could not be held back is known only now.
            answer = answer.map(|answer| judge::judged(answer, || outcome::told_at_last(host)));
        }
        if pending.heard == Heard::Nothing || self.0.policy().measure == Measure::Completion {
            pending.latency = pending.elapsed(now);
        }
        self.finish(call, host, answer, now);
    }

    fn finish<H: Host>(&self, call: &mut Call, host: &H, answer: Option<Answer>, now: Instant) {
        if let Call::Pending(mut pending) = core::mem::replace(call, Call::Done) {
            if let Some(expected) = &mut pending.expected {
                expected.heard();
            }
            let policy = self.0.policy();
            let trusted = pending.latency < policy.slow_call || self.0.is_time_sound(pending.started, now);
            let latency = if trusted { pending.latency } else { Duration::ZERO };
            let verdict = answer.map_or(Verdict::None, |answer| judge::verdict(policy, answer, latency));
            self.0.settle(host, &pending, verdict, now);
        }
    }
}
