//! The way back: who answered, and what becomes of the claim.

use super::verdict::tell;
use super::{Gate, Store};
use crate::decide::{self, End, Heard};
use crate::quota;
use crate::request::{Phase, Request, Shared};
use crate::stored::{Kept, Stored};
use sdk_shim::ending::{VIA_UPSTREAM, flags};
use sdk_shim::entry::Flow;
use sdk_shim::headers::{Headers, number};
use sdk_shim::host::{Body, Host, Map};
use sdk_shim::ours;
use sdk_shim::outcome::flag;

/// The same where the pool of connections was full. The flag for it also says that a retry had no room, after an attempt that was sent.
const NO_ROOM: &[u8] = b"upstream_reset_before_response_started{overflow}";
/// Filter state by which the circuit breaker says that it refused an attempt. (Its other one is also there where it re-routed the request.)
const REFUSED_ATTEMPT: &[&str] = &["holdfast.circuit_breaker.refused_attempt"];
/// Answers that may never end, or whose parts are wanted as they come.
const STREAMS: [&[u8]; 4] =
    [b"text/event-stream", b"application/grpc", b"application/x-ndjson", b"multipart/x-mixed-replace"];

impl Gate {
    /// Response headers.
    pub fn answered<H: Host>(&self, host: &H, request: &Shared, end: bool) -> Flow {
        tell(host, &request.borrow());
        if request.borrow().untyped {
            host.remove_header(Map::ResponseHeaders, "content-type");
        }
        let phase = request.borrow().phase;
        match phase {
            Phase::Forwarded => self.judge(host, request, end),
            // The proxy answers in the place of a request that still waits: it will never go on.
            Phase::Asking => {
                self.give_up(host, request);
                Flow::Continue
            }
            Phase::Reading | Phase::Sleeping => {
                request.borrow_mut().phase = Phase::Over;
                Flow::Continue
            }
            _ => Flow::Continue,
        }
    }

    fn judge<H: Host>(&self, host: &H, request: &Shared, end: bool) -> Flow {
        let heard = hear(host);
        let did_nothing = self.policy.release_on.holds(heard.status);
        match decide::end(&heard, did_nothing, self.policy.service_is_idempotent) {
            End::Store => self.capture(host, request, heard.status, end),
            End::Release => {
                self.count(host, request, "released_total", if heard.by_service { "status" } else { "not_sent" });
                // An answer of the service that goes on isn't held, as in `capture`; the proxy's own come in one piece.
                if end || !heard.by_service {
                    return self.release(host, request);
                }
                self.give_up(host, request);
                Flow::Continue
            }
            End::Keep => {
                self.keep(host, request, "no_answer");
                Flow::Continue
            }
        }
    }

    /// The service answered: what is to be kept is taken, and the answer held until it is whole and stored.
    fn capture<H: Host>(&self, host: &H, request: &Shared, status: u16, end: bool) -> Flow {
        let headers = Headers::from(host.headers(Map::ResponseHeaders));
        let Some(stored) = Stored::capture(status, &headers, &self.policy.replay_headers) else {
            self.keep(host, request, "upgrade");
            return Flow::Continue;
        };
        let end = end || (!host.capabilities().tells_end && ends_here(status, &headers));
        let holds = self.holds(host, request, &headers);
        request.borrow_mut().set_answer(stored);
        match (end, holds) {
            (true, _) => self.store(host, request, Some(Vec::new())),
            (false, true) => {
                request.borrow_mut().phase = Phase::Holding;
                if host.capabilities().pause_response_headers { Flow::Pause } else { Flow::Continue }
            }
            // Never paused: Envoy 1.36 loses the part that comes next after a resume within a body.
            (false, false) => {
                self.store_later(host, request, None);
                Flow::Continue
            }
        }
    }

    fn holds<H: Host>(&self, host: &H, request: &Shared, headers: &Headers) -> bool {
        let kind = headers.get("content-type").unwrap_or_default();
        let is_stream = STREAMS.iter().any(|stream| starts_with(kind, stream));
        let fits = crate::intake::body_length(headers).is_none_or(|length| length <= self.policy.max_body);
        let request = request.borrow();
        let dry = request.ticket.as_ref().is_none_or(|ticket| !ticket.enforced);
        // A dry run holds nothing up.
        !is_stream && fits && !(dry && host.capabilities().pause_response_headers)
    }

    /// A part of a response's body; `size` bytes are there by now.
    pub fn answer_body<H: Host>(&self, host: &H, request: &Shared, size: usize, end: bool) -> Flow {
        let phase = request.borrow().phase;
        match phase {
            // Held any longer, it would be more than the proxy buffers: the client has it now, and a repeat will have to do without.
            Phase::Holding if size > self.policy.max_body => {
                self.store_later(host, request, None);
                Flow::Continue
            }
            Phase::Holding if !host.capabilities().pause_response_headers => {
                self.gather(host, request, size, end);
                Flow::Continue
            }
            Phase::Holding if end => {
                let body = if size == 0 { Some(Vec::new()) } else { host.body(Body::Response, size) };
                self.store(host, request, body.filter(|body| body.len() >= size))
            }
            // The same: nobody waits for the store any longer, whose answer may be missed.
            Phase::Storing if size > self.policy.max_body => {
                self.store_again(host, request);
                Flow::Continue
            }
            Phase::Releasing if size > self.policy.max_body => {
                self.give_up(host, request);
                Flow::Continue
            }
            Phase::Holding | Phase::Storing | Phase::Releasing => Flow::Pause,
            _ => Flow::Continue,
        }
    }

    /// A part of a response that can't be held: it is copied as it passes.
    fn gather<H: Host>(&self, host: &H, request: &Shared, size: usize, end: bool) {
        let part = if size == 0 { Some(Vec::new()) } else { host.body(Body::Response, size) };
        let part = part.filter(|part| part.len() >= size);
        let whole = part.is_some_and(|part| request.borrow_mut().gather(part, self.policy.max_body));
        if end || !whole {
            let body = request.borrow_mut().gathered().filter(|_| whole);
            self.store_later(host, request, body);
        }
    }

    /// A response ended in trailers, which are not kept.
    pub fn answer_trailers<H: Host>(&self, host: &H, request: &Shared) -> Flow {
        let phase = request.borrow().phase;
        match phase {
            Phase::Holding => {
                let body = host.body(Body::Response, self.policy.max_body.saturating_add(1)).unwrap_or_default();
                self.store(host, request, Some(body))
            }
            Phase::Storing | Phase::Releasing => Flow::Pause,
            _ => Flow::Continue,
        }
    }

    /// Nothing ran, or it doesn't matter: the key is free again.
    fn give_up<H: Host>(&self, host: &H, request: &Shared) {
        self.abandon(host, request);
        request.borrow_mut().phase = Phase::Over;
    }

    /// Nobody knows what came of it: the claim stays.
    fn keep<H: Host>(&self, host: &H, request: &Shared, cause: &'static str) {
        self.note_uncertain(host, request, None);
        self.over(host, request, "uncertain_total", cause);
    }

    /// The stream is over, whatever it was waiting for.
    pub fn end<H: Host>(&self, host: &H, request: &Shared) {
        if let (Store::Remote(remote), Some(id)) = (&self.store, request.borrow_mut().call.take()) {
            remote.forget(host, id);
        }
        let phase = request.borrow().phase;
        match phase {
            // The claim may be there, or arrive yet.
            Phase::Asking | Phase::Releasing => self.give_up(host, request),
            Phase::Forwarded => self.end_unanswered(host, request),
            Phase::Holding => self.end_half_answered(host, request),
            // Its call may have died with it.
            Phase::Storing => self.store_again(host, request),
            _ => {}
        }
        self.leave_quota(host, request);
        request.borrow_mut().phase = Phase::Over;
    }

    /// The client left, or the proxy cut the stream, before there was an answer.
    fn end_unanswered<H: Host>(&self, host: &H, request: &Shared) {
        if host.capabilities().response_flags && attempts(host) == 0 {
            self.count(host, request, "released_total", "not_sent");
            return self.give_up(host, request);
        }
        self.keep(host, request, "no_answer");
    }

    /// The service had said its status. If it was the client that left, that is known, and only the body isn't; if the answer was cut, or the host
    /// doesn't say who did it, nobody knows.
    fn end_half_answered<H: Host>(&self, host: &H, request: &Shared) {
        if flags(host) & flag::CLIENT_ABORT != 0 {
            return self.store_later(host, request, None);
        }
        self.keep(host, request, "answer_cut");
    }

    fn store_again<H: Host>(&self, host: &H, request: &Shared) {
        self.errand_of_completion(host, request);
        self.over(host, request, "stored_total", "later");
    }

    fn leave_quota<H: Host>(&self, host: &H, request: &Shared) {
        let mut request = request.borrow_mut();
        let owner = request.owner();
        let Some(ticket) = request.ticket.as_mut() else { return };
        if let (true, Some(owner)) = (core::mem::take(&mut ticket.counted), owner) {
            let tenant = self.tenant_hash(ticket);
            // What can't be given back is over with its lease.
            let _ = quota::give_back(host, self.keys.prefix(), tenant, quota::token(owner));
        }
    }

    pub(super) fn count<H: Host>(&self, host: &H, request: &Shared, what: &'static str, cause: &'static str) {
        if let Some(ticket) = &request.borrow().ticket {
            ticket.side.count(host, &self.meter, what, cause);
        }
    }
}

impl Request {
    fn set_answer(&mut self, answer: Stored) {
        if let Some(ticket) = self.ticket.as_deref_mut() {
            ticket.answer = Some(answer);
        }
    }

    /// One more part of the answer's body; false where that makes it longer than `most`.
    fn gather(&mut self, part: Vec<u8>, most: usize) -> bool {
        let Some(answer) = self.ticket.as_mut().and_then(|ticket| ticket.answer.as_mut()) else { return false };
        match &mut answer.body {
            Kept::Whole(body) => body.extend(part),
            body => *body = Kept::Whole(part),
        }
        matches!(&answer.body, Kept::Whole(body) if body.len() <= most)
    }

    /// All parts so far.
    fn gathered(&mut self) -> Option<Vec<u8>> {
        let answer = self.ticket.as_mut()?.answer.as_mut()?;
        match core::mem::replace(&mut answer.body, Kept::Nothing) {
            Kept::Whole(body) => Some(body),
            _ => None,
        }
    }
}

/// Whether no body follows these headers (RFC 9110, 15), on a host that doesn't say.
fn ends_here(status: u16, headers: &Headers) -> bool {
    matches!(status, 204 | 205 | 304) || crate::intake::body_length(headers) == Some(0)
}

/// Who answered. A host that can't tell may have answered itself with the statuses of gateways.
fn hear<H: Host>(host: &H) -> Heard {
    let status = host.header(Map::ResponseHeaders, ":status").as_deref().and_then(number);
    let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
    if !host.capabilities().response_flags {
        // A filter behind this one refused: it was never sent. By the word alone, for a service can write the header.
        if ours::says_answered(host) {
            return Heard { status, ..Heard::default() };
        }
        let by_service = !matches!(status, 0 | 502..=504);
        return Heard { by_service, status, attempts: 1, ..Heard::default() };
    }
    let details = host.property(&["response", "code_details"]).unwrap_or_default();
    let by_service = details == VIA_UPSTREAM;
    let attempts = attempts(host);
    let mut heard = Heard { by_service, status, attempts, ..Heard::default() };
    if !by_service && attempts > 0 {
        heard.flags = flags(host);
        heard.no_room = details == NO_ROOM;
        heard.refused_by_us = host.property(REFUSED_ATTEMPT).is_some_and(|cause| !cause.is_empty());
    }
    heard
}

fn attempts<H: Host>(host: &H) -> u32 {
    let bytes = host.property(&["upstream", "request_attempt_count"]).unwrap_or_default();
    let count = bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn starts_with(kind: &[u8], prefix: &[u8]) -> bool {
    kind.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}
