//! What becomes of a request: on to the service, or an answer in its place. Said in a callback of its stream, or later by whoever has the answer.

use super::{Gate, MARK, STATE};
use crate::decide::Cause;
use crate::request::{Phase, Request, Shared, Ticket};
use crate::seal;
use crate::store::Failure;
use crate::stored::Stored;
use log::Level;
use sdk_shim::entry::Flow;
use sdk_shim::headers::{Headers, is_grpc, number};
use sdk_shim::host::{Direction, Host, Map, Reply};
use sdk_shim::json::Value;
use sdk_shim::ours;
use sdk_shim::refusal::Refusal;

/// Keeps the router from running the service twice (a POST's first attempt may have done its work).
const NO_RETRIES: (&str, &[u8]) = ("x-envoy-max-retries", b"0");
/// Bounds the one attempt that there is: unlike a route's timeout, which the other header would replace, Envoy takes the smaller of the two.
const TRY_TIMEOUT: &str = "x-envoy-upstream-rq-per-try-timeout-ms";
/// The response header that tells the decision.
const DEBUG_ANSWER: &str = "x-holdfast-debug-idempotency";

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To the service.
    Forward,
    /// This instead.
    Reply(Box<Reply>),
    /// An answer is awaited.
    Wait,
}

// === impl Verdict ===

impl Verdict {
    /// Said in a callback of its stream.
    pub(super) fn into_flow(self) -> Flow {
        match self {
            Self::Forward => Flow::Continue,
            Self::Reply(reply) => Flow::Reply(reply),
            Self::Wait => Flow::Pause,
        }
    }

    /// Said of a paused stream, which is in effect.
    pub(super) fn carry_out<H: Host>(self, host: &H) {
        match self {
            Self::Forward => host.resume(Direction::Request),
            Self::Reply(reply) => host.reply(&reply),
            Self::Wait => {}
        }
    }
}

impl Gate {
    /// Claimed: it goes to the service, once.
    pub(super) fn forward<H: Host>(&self, host: &H, request: &Shared, fence: u64) -> Verdict {
        let mut request = request.borrow_mut();
        let request = &mut *request;
        request.phase = Phase::Forwarded;
        request.decision = "claimed";
        let Some(ticket) = request.ticket.as_mut() else { return Verdict::Forward };
        ticket.fence = fence;
        ticket.side.count(host, &self.meter, "claimed_total", "");
        if ticket.enforced {
            host.set_property(STATE, b"claimed");
            host.set_header(Map::RequestHeaders, super::FENCE, fence.to_string().as_bytes());
            self.steer(host, ticket);
        }
        Verdict::Forward
    }

    fn steer<H: Host>(&self, host: &H, ticket: &Ticket) {
        if !host.capabilities().steers_retries {
            return;
        }
        if !self.policy.service_is_idempotent {
            host.set_header(Map::RequestHeaders, NO_RETRIES.0, NO_RETRIES.1);
        }
        // A tenth of the lease is left for storing the answer.
        let lease = self.policy.lease.as_millis();
        let spent = host.now().since(ticket.asked_at).as_millis();
        let most = (lease - lease / 10).saturating_sub(spent).max(1);
        let set = host.header(Map::RequestHeaders, TRY_TIMEOUT).as_deref().and_then(number).filter(|set| *set > 0);
        if set.is_none_or(|set| u128::from(set) > most) {
            host.set_header(Map::RequestHeaders, TRY_TIMEOUT, most.to_string().as_bytes());
        }
    }

    /// The first run's answer, if it can be read.
    pub(super) fn replay<H: Host>(&self, host: &H, request: &Shared, sealed: &[u8]) -> Verdict {
        let stored = {
            let request = request.borrow();
            let names = request.ticket.as_ref().and_then(|ticket| ticket.names.as_ref());
            let open = |names: &crate::store::Names| {
                seal::open(&self.secrets, names.iter().map(crate::store::Name::as_str), sealed)
            };
            names.and_then(open).and_then(|plain| Stored::decode(&plain))
        };
        let Some(stored) = stored else { return self.refuse(host, request, Cause::Unknown, 0) };
        let mut request = request.borrow_mut();
        let request = &mut *request;
        let Some(ticket) = request.ticket.as_ref() else { return Verdict::Wait };
        if ticket.grpc {
            return self.refuse_as(host, request, Cause::NotKept, 0);
        }
        if !ticket.enforced {
            return self.would(host, request, "would_replay_total", "");
        }
        ticket.side.count(host, &self.meter, "replayed_total", "");
        answers(host, "replay");
        request.phase = Phase::Over;
        request.decision = "replay";
        request.untyped = !stored.headers.iter().any(|(name, _)| name == b"content-type");
        Verdict::Reply(Box::new(told(stored.reply(), request)))
    }

    /// Refuses a request that is ours.
    pub(super) fn refuse<H: Host>(&self, host: &H, request: &Shared, cause: Cause, retry_after: u64) -> Verdict {
        self.refuse_as(host, &mut request.borrow_mut(), cause, retry_after)
    }

    fn refuse_as<H: Host>(&self, host: &H, request: &mut Request, cause: Cause, retry_after: u64) -> Verdict {
        let Some(ticket) = request.ticket.as_ref() else { return Verdict::Forward };
        if !ticket.enforced {
            return self.would(host, request, "would_refuse_total", cause.as_str());
        }
        ticket.side.count(host, &self.meter, "refused_total", cause.as_str());
        answers(host, cause.as_str());
        let reply = self.refusal(cause, retry_after).reply(ticket.grpc);
        request.phase = Phase::Over;
        request.decision = cause.as_str();
        Verdict::Reply(Box::new(told(reply, request)))
    }

    /// A dry run counts what it would have done, and lets the request pass.
    fn would<H: Host>(&self, host: &H, request: &mut Request, what: &'static str, cause: &'static str) -> Verdict {
        if let Some(ticket) = &request.ticket {
            ticket.side.count(host, &self.meter, what, cause);
        }
        request.phase = Phase::Over;
        request.decision = if cause.is_empty() { what } else { cause };
        Verdict::Forward
    }

    /// Refuses a request for what its headers say.
    pub(super) fn refuse_unclaimed<H: Host>(
        &self,
        host: &H,
        request: &Shared,
        cause: Cause,
        headers: &Headers,
    ) -> Flow {
        let mut request = request.borrow_mut();
        request.phase = Phase::Over;
        request.decision = cause.as_str();
        let enforced = self.policy.common.mode == sdk_shim::overrides::Mode::Enforce
            && self.policy.common.enforce_ratio.takes(self.random.borrow_mut().draw());
        let what = if enforced { "refused_total" } else { "would_refuse_total" };
        self.side(host).count(host, &self.meter, what, cause.as_str());
        if !enforced {
            return Flow::Continue;
        }
        answers(host, cause.as_str());
        let grpc = headers.get("content-type").is_some_and(is_grpc);
        Flow::Reply(Box::new(told(self.refusal(cause, 0).reply(grpc), &request)))
    }

    /// A request waited for the store in a VM that is gone: nobody knows what it was told.
    pub fn refuse_lost<H: Host>(&self, host: &H) -> Flow {
        if self.policy.fail_open {
            return Flow::Continue;
        }
        self.refuse_unclaimed(host, &Shared::default(), Cause::Store, &Headers::default())
    }

    const fn refusal(&self, cause: Cause, retry_after: u64) -> Refusal<'static> {
        Refusal {
            plugin: "idempotency",
            cause: cause.as_str(),
            title: cause.title(),
            status: cause.status(),
            grpc_status: cause.grpc_status(),
            retry_after,
            mark: self.policy.common.mark_rejections,
        }
    }

    /// The store gave no answer to a claim, which may be there all the same: it is given up.
    pub(super) fn store_failed<H: Host>(&self, host: &H, request: &Shared, failure: &Failure) -> Verdict {
        self.journal.note(host, Level::Warn, "store_failed", &[("cause", Value::from(failure.cause()))]);
        if !matches!(failure, Failure::LeftAlone | Failure::Evicts | Failure::Unheard) {
            self.abandon(host, request);
        }
        if self.policy.fail_open {
            return self.unprotected(host, request, Cause::Store);
        }
        self.refuse(host, request, Cause::Store, 1)
    }

    /// It passes, and the service is told that nobody will remember.
    pub(super) fn unprotected<H: Host>(&self, host: &H, request: &Shared, cause: Cause) -> Verdict {
        let mut request = request.borrow_mut();
        request.phase = Phase::Over;
        request.decision = "unprotected";
        if let Some(ticket) = &request.ticket {
            ticket.side.count(host, &self.meter, "unprotected_total", cause.as_str());
            if ticket.enforced {
                host.set_header(Map::RequestHeaders, MARK, b"unprotected");
                host.set_property(STATE, b"unprotected");
            }
        }
        Verdict::Forward
    }
}

/// It is answered here: that, and how, is left for other filters and for access logs.
fn answers<H: Host>(host: &H, decision: &str) {
    host.set_property(STATE, decision.as_bytes());
    ours::note(host, "idempotency");
}

/// Whoever may know is told what was decided, on the service's answer.
pub(super) fn tell<H: Host>(host: &H, request: &Request) {
    if request.debug && !request.decision.is_empty() {
        host.set_header(Map::ResponseHeaders, DEBUG_ANSWER, request.decision.as_bytes());
    }
}

/// The same on our own.
fn told(mut reply: Reply, request: &Request) -> Reply {
    if request.debug {
        reply.headers.push((DEBUG_ANSWER.to_owned(), request.decision.to_owned()));
    }
    reply
}
