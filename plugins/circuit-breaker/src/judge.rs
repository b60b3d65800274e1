//! What a call's end says of the service.
//!
//! The pure half ([`verdict`]) knows the policy; the other half asks the host who answered, or the word that a plugin left which did. That is read only where
//! a response failed, never came, or is a probe's, because a property costs more than the rest of a healthy request.

use crate::decide::Verdict;
use crate::filter::Pending;
use crate::policy::Policy;
use core::time::Duration;
use sdk_shim::common::Chain;
use sdk_shim::ending::{self, VIA_UPSTREAM, details, flags, is_unconnected};
use sdk_shim::headers::{is_grpc, number};
use sdk_shim::host::{Host, Map};
use sdk_shim::ours;
use sdk_shim::outcome::{self, Answer, CALLERS_DEADLINE, Outcome, flag};

/// Filter state that our refusals leave: the cause.
pub const REFUSED: &str = "holdfast.circuit_breaker";

/// Filter state that says in which phase a request met a breaker that wasn't closed.
pub const PHASE: &str = "holdfast.circuit_breaker.phase";

/// Filter state by which an attempt that we refused ourselves is known to the request's other attempts.
pub const REFUSED_ATTEMPT: &str = "holdfast.circuit_breaker.refused_attempt";
/// The same where the stream's maximal duration was over, which a client may have chosen.
const MAX_DURATION: &[u8] = b"max_duration_timeout";

/// What was heard of a call so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    #[default]
    Nothing,
    /// gRPC response headers: the status comes in the trailers.
    Headers,
    /// All that will tell.
    All(Answer),
}

/// What a call's end counts as.
pub fn verdict(policy: &Policy, answer: Answer, latency: Duration) -> Verdict {
    if !Outcome::of(answer).speaks_of_upstream() {
        return Verdict::None;
    }
    let slow = latency >= policy.slow_call;
    let failed = match answer {
        Answer::Service { status, grpc } => policy.failure_on.holds(status, grpc),
        Answer::Judged(outcome) => policy.failure_on.holds_outcome(outcome),
        Answer::NotService { .. } => true,
    };
    if failed || (slow && policy.slow_is_failure) { Verdict::Failure { slow } } else { Verdict::Success { slow } }
}

/// What the response headers tell; `end` where they are the whole response.
pub fn response_headers<H: Host>(host: &H, policy: &Policy, call: &Pending, end: bool) -> Heard {
    let status = host.header(Map::ResponseHeaders, ":status").and_then(|value| number(&value));
    let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
    let caps = host.capabilities();
    let may_be_grpc = status == 200 && !call.bodyless;
    let whole = end || !caps.response_trailers;
    let grpc = if may_be_grpc && whole { grpc_status(host, Map::ResponseHeaders) } else { None };
    // A wrong guess about a probe would close a breaker; beside failures, the proxy's own 204s would hide them.
    let matters = call.ticket.lease.is_some() || call.track.is_failing();
    let doubtful = status >= 400 || status == 0 || matters || grpc.is_some_and(|code| code != 0);
    if doubtful && policy.common.chain == Chain::Downstream && !is_services(host) {
        return Heard::All(not_service(host, policy, call));
    }
    if may_be_grpc && !whole && policy.failure_on.grpc != 0 && is_grpc_response(host) {
        return Heard::Headers;
    }
    Heard::All(Answer::Service { status, grpc })
}

/// A status that says that all is well may mean something else, if protocol-health says so.
pub fn judged(answer: Answer, told: impl FnOnce() -> Option<Outcome>) -> Answer {
    match answer {
        Answer::Service { status: 100..=399, grpc: None } => told().map_or(answer, Answer::Judged),
        _ => answer,
    }
}

/// A gRPC answer that protocol-health held back says in its headers what its trailers will; where the router tries again for it, nobody sees those.
pub fn held_grpc<H: Host>(host: &H) -> Heard {
    let code = outcome::told(host).and_then(|_| grpc_status(host, Map::ResponseHeaders));
    code.map_or(Heard::Headers, |code| Heard::All(Answer::Service { status: 200, grpc: Some(code) }))
}

/// Whether the response is a stream that may live for hours (SSE, an upgrade), to be judged at its headers.
pub fn is_stream<H: Host>(host: &H, heard: Heard) -> bool {
    let upgraded = matches!(heard, Heard::All(Answer::Service { status: 101, .. }));
    upgraded || content_type(host).is_some_and(|kind| kind.starts_with(b"text/event-stream"))
}

/// What the response trailers tell.
pub fn response_trailers<H: Host>(host: &H) -> Heard {
    Heard::All(Answer::Service { status: 200, grpc: grpc_status(host, Map::ResponseTrailers) })
}

/// A gRPC call that answered, though nobody heard its end.
pub const SPOKE: Answer = Answer::Service { status: 200, grpc: Some(0) };

/// What the end of a call tells that was not judged before; `None` where nobody can say.
pub fn end<H: Host>(host: &H, policy: &Policy, call: &Pending) -> Option<Answer> {
    let (flags, request_sent) = (flags(host), call.request_sent);
    match (call.heard, policy.common.chain) {
        (Heard::Nothing, Chain::Upstream) => attempt_without_response(host, policy, call, flags),
        (Heard::Nothing, Chain::Downstream) => Some(not_service(host, policy, call)),
        (Heard::Headers, _) if flags & flag::CLIENT_ABORT != 0 && call.spoke => Some(SPOKE),
        (_, _) if flags & flag::CLIENT_ABORT != 0 => None,
        (_, Chain::Downstream) if was_cut(flags) => Some(Answer::NotService { flags, request_sent }),
        // A gRPC response without trailers: cut, but nobody says by whom.
        (Heard::Headers, _) => None,
        (Heard::All(answer), _) => Some(answer),
    }
}

/// A response that had begun was cut by the service or by a timeout.
const fn was_cut(flags: u64) -> bool {
    flags
        & (flag::UPSTREAM_REMOTE_RESET | flag::UPSTREAM_TERMINATION | flag::UPSTREAM_TIMEOUT | flag::UPSTREAM_PROTOCOL)
        != 0
}

/// The proxy answered, or nobody did. A stream's maximal duration has no flag, and a client may have chosen it
/// (`grpc-timeout`): it is the service's fault only if that had a slow call's time.
fn not_service<H: Host>(host: &H, policy: &Policy, call: &Pending) -> Answer {
    let (mut flags, request_sent) = (flags(host), call.request_sent);
    let long = || host.now().since(call.started) >= policy.slow_call;
    if flags == 0 && request_sent && details(host).starts_with(MAX_DURATION) && long() {
        flags = flag::MAX_DURATION;
    }
    // The retry budget refused another try, of which there is one only where the try before it failed without an answer.
    if flags == 0 && host.property(ending::REFUSED_ATTEMPT).is_some_and(|cause| !cause.is_empty()) {
        flags = flag::UPSTREAM_REMOTE_RESET;
    }
    if flags & flag::UPSTREAM_TIMEOUT != 0 && !long() && is_callers_deadline(host) {
        flags = flag::CLIENT_ABORT;
    }
    Answer::NotService { flags, request_sent }
}

/// Whether the time that was over was its caller's choice, as protocol-health's deadlines allow it.
fn is_callers_deadline<H: Host>(host: &H) -> bool {
    host.property(CALLERS_DEADLINE).is_some_and(|word| !word.is_empty())
}

/// Upstream, an attempt without a response is unreachable if a connection failed, unknown for client aborts, hedge losers and
/// where our own refusal of another attempt ended the request, else a timeout (a reset can't be told apart there).
fn attempt_without_response<H: Host>(host: &H, policy: &Policy, call: &Pending, flags: u64) -> Option<Answer> {
    if is_unconnected(host) {
        return Some(Answer::NotService { flags: flag::CONNECT_FAILURE, request_sent: call.request_sent });
    }
    // A request that its client never finished: the silence is the client's.
    if flags & flag::CLIENT_ABORT != 0 || !call.request_sent {
        return None;
    }
    let details = details(host);
    let is_long = host.now().since(call.started) >= policy.slow_call;
    let hurried = !is_long && (details.starts_with(MAX_DURATION) || is_callers_deadline(host));
    let refused = || host.property(&[REFUSED_ATTEMPT]).is_some_and(|cause| !cause.is_empty());
    if hurried || details == VIA_UPSTREAM || refused() {
        return None;
    }
    Some(Answer::NotService { flags: flag::UPSTREAM_TIMEOUT, request_sent: true })
}

/// Whether the service answered, as far as the host tells: one without flags takes the proxy's own answers for its.
fn is_services<H: Host>(host: &H) -> bool {
    if host.capabilities().response_flags { details(host) == VIA_UPSTREAM } else { !ours::answered(host) }
}

fn grpc_status<H: Host>(host: &H, map: Map) -> Option<u32> {
    host.header(map, "grpc-status").and_then(|value| number(&value))
}

fn content_type<H: Host>(host: &H) -> Option<Vec<u8>> {
    host.header(Map::ResponseHeaders, "content-type")
}

fn is_grpc_response<H: Host>(host: &H) -> bool {
    content_type(host).is_some_and(|kind| is_grpc(&kind))
}
