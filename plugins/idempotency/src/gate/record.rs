//! What the store is told of a request's end: its answer, that it is given up, that nobody knows.

use super::claim::{millis, own_call};
use super::{Gate, Store};
use crate::protocol::Owner;
use crate::remote::{Heard, Job};
use crate::request::{Phase, Request, Shared};
use crate::seal;
use crate::store::memory::Memory;
use crate::store::memory::uncertain::Entry;
use crate::store::trip::{Language, Said, Trip};
use crate::store::{Failure, Names, redis};
use crate::stored::{Kept, Stored};
use core::time::Duration;
use sdk_shim::entry::Flow;
use sdk_shim::host::Host;

/// Lines of the index of uncertain keys.
const MOST_UNCERTAIN: u32 = 10_000;
/// How long a claim that arrives late finds that its caller gave up, and how long it is tried to tell the store so.
const TOMBSTONE: Duration = Duration::from_secs(15 * 60);
/// How long it is tried to write a line in the index.
const NOTE: Duration = Duration::from_secs(10);

/// How memcached refuses a value that is longer than its items may be (`-I`).
const TOO_LARGE: &str = "too large for cache";

/// What is to be stored.
struct Sealed {
    names: Names,
    owner: Owner,
    answer: Vec<u8>,
    ttl: u64,
    home: Option<String>,
}

/// A claim that was made, or may have been.
struct Claimed {
    names: Names,
    owner: Owner,
    home: Option<String>,
}

impl Request {
    fn claimed(&self) -> Option<Claimed> {
        let (ticket, owner) = (self.ticket.as_ref()?, self.owner()?);
        Some(Claimed { names: ticket.names.clone()?, owner, home: ticket.home.clone() })
    }
}

impl Claimed {
    fn abandoning<H: Host>(self, host: &H, language: Language) -> Option<(Names, Option<String>, Trip)> {
        let trip = Trip::abandon(language, &self.names, self.owner, millis(TOMBSTONE), host.now().as_millis()).ok()?;
        Some((self.names, self.home, trip))
    }
}

impl Gate {
    /// Stores the answer before the client has it, where the proxy can hold it.
    pub(super) fn store<H: Host>(&self, host: &H, request: &Shared, body: Option<Vec<u8>>) -> Flow {
        let may_hold = host.capabilities().pause_response_headers;
        let enforced = request.borrow().ticket.as_ref().is_some_and(|ticket| ticket.enforced);
        let Store::Remote(remote) = &self.store else {
            self.store_later(host, request, body);
            return Flow::Continue;
        };
        if !may_hold || !enforced {
            self.store_later(host, request, body);
            return Flow::Continue;
        }
        self.keep_body(request, body);
        let Some((names, home, trip)) = self.completion(host, request, remote.language()) else {
            return Flow::Continue;
        };
        match trip.and_then(|trip| remote.ask(host, self.job(host, request, &names, home, trip))) {
            Ok(asked) => {
                let mut request = request.borrow_mut();
                request.phase = Phase::Storing;
                request.call = own_call(asked);
                Flow::Pause
            }
            Err(failure) => {
                self.stored(host, request, &Err(failure));
                Flow::Continue
            }
        }
    }

    /// Stores the answer while, or after, the client has it.
    pub(super) fn store_later<H: Host>(&self, host: &H, request: &Shared, body: Option<Vec<u8>>) {
        self.keep_body(request, body);
        match &self.store {
            Store::Memory(memory) => {
                if let Some(done) = self.complete_in_memory(host, request, memory) {
                    self.stored(host, request, &done.map(Said::Completed));
                }
            }
            Store::Remote(_) => {
                let (what, cause) = if self.errand_of_completion(host, request) {
                    ("stored_total", "later")
                } else {
                    ("not_stored_total", "dropped")
                };
                self.over(host, request, what, cause);
            }
        }
    }

    /// Where the answer has no room, it is kept without its body.
    fn complete_in_memory<H: Host>(
        &self,
        host: &H,
        request: &Shared,
        memory: &Memory,
    ) -> Option<Result<bool, Failure>> {
        let request = request.borrow();
        let Sealed { names, owner, answer, ttl, .. } = self.seal(&request)?;
        let whole = request.ticket.as_ref()?.answer.as_ref()?;
        let small = self.seal_one(&names, &Stored { body: Kept::Nothing, ..whole.clone() })?;
        Some(memory.complete(host, &names.first, owner, &answer, &small, ttl, host.now().as_millis()))
    }

    /// A completion's end. A failed one never replaces the service's answer; it is tried again without anybody waiting.
    pub(super) fn stored<H: Host>(&self, host: &H, request: &Shared, heard: &Heard) {
        match heard {
            Ok(Said::Completed(true)) => self.over(host, request, "stored_total", "in_time"),
            Ok(_) => self.over(host, request, "not_stored_total", "claim_lost"),
            Err(failure) => {
                if matches!(failure, Failure::Refused(why) if why.ends_with(TOO_LARGE)) {
                    // It will never take it. That there was an answer is kept all the same.
                    self.keep_body(request, None);
                }
                let taken = self.errand_of_completion(host, request);
                self.over(host, request, "not_stored_total", if taken { failure.cause() } else { "dropped" });
            }
        }
    }

    pub(super) fn over<H: Host>(&self, host: &H, request: &Shared, what: &'static str, cause: &'static str) {
        self.count(host, request, what, cause);
        let mut request = request.borrow_mut();
        request.phase = Phase::Over;
        // It may be long, and the stream may live on.
        if let Some(ticket) = request.ticket.as_mut() {
            ticket.answer = None;
        }
    }

    /// Whether the VM has room for an answer until the store has it.
    fn may_hold(&self, bytes: usize) -> bool {
        match &self.store {
            Store::Memory(_) => true,
            Store::Remote(remote) => remote.may_hold(bytes),
        }
    }

    fn keep_body(&self, request: &Shared, body: Option<Vec<u8>>) {
        let mut request = request.borrow_mut();
        let Some(answer) = request.ticket.as_mut().and_then(|ticket| ticket.answer.as_mut()) else { return };
        answer.body = match body {
            Some(body) if !self.policy.store_body => Kept::digest(&body),
            Some(body) if self.may_hold(body.len()) => Kept::Whole(body),
            _ => Kept::Nothing,
        };
    }

    /// The answer, sealed.
    fn seal(&self, request: &Request) -> Option<Sealed> {
        let ticket = request.ticket.as_ref()?;
        let (names, owner, answer) = (ticket.names.clone()?, request.owner()?, ticket.answer.as_ref()?);
        let sealed = self.seal_one(&names, answer)?;
        Some(Sealed { names, owner, answer: sealed, ttl: millis(self.ttl(ticket)), home: ticket.home.clone() })
    }

    /// Each time with a salt of its own: one salt for two texts would give both away.
    fn seal_one(&self, names: &Names, answer: &Stored) -> Option<Vec<u8>> {
        let secret = self.secrets.iter().next()?;
        Some(seal::seal(secret, names.first.as_str(), self.token(), &answer.encode()))
    }

    fn completion<H: Host>(
        &self,
        host: &H,
        request: &Shared,
        language: Language,
    ) -> Option<(Names, Option<String>, Result<Trip, Failure>)> {
        let Sealed { names, owner, answer, ttl, home } = self.seal(&request.borrow())?;
        let trip = Trip::complete(language, &names, owner, answer, ttl, host.now().as_millis());
        Some((names, home, trip))
    }

    /// False where it is not even tried.
    pub(super) fn errand_of_completion<H: Host>(&self, host: &H, request: &Shared) -> bool {
        let Store::Remote(remote) = &self.store else { return false };
        let Some((names, home, Ok(trip))) = self.completion(host, request, remote.language()) else { return false };
        self.errand(host, &names, home, trip)
    }

    fn errand<H: Host>(&self, host: &H, names: &Names, home: Option<String>, trip: Trip) -> bool {
        let Store::Remote(remote) = &self.store else { return false };
        let (cluster, slot) = self.place(names, home);
        let job = Job::new(trip, None, host.context(), cluster, slot);
        remote.send_errand(host, job, host.now().plus(TOMBSTONE))
    }

    /// Frees the key before the client has its answer, where the proxy can hold that: a client may try again at once.
    pub(super) fn release<H: Host>(&self, host: &H, request: &Shared) -> Flow {
        let enforced = request.borrow().ticket.as_ref().is_some_and(|ticket| ticket.enforced);
        let sent = match &self.store {
            Store::Remote(remote)
                if enforced && !self.policy.reexecute && host.capabilities().pause_response_headers =>
            {
                let trip = request.borrow().claimed().and_then(|claimed| claimed.abandoning(host, remote.language()));
                trip.map(|(names, home, trip)| remote.ask(host, self.job(host, request, &names, home, trip)))
            }
            _ => None,
        };
        let Some(Ok(asked)) = sent else {
            self.abandon(host, request);
            request.borrow_mut().phase = Phase::Over;
            return Flow::Continue;
        };
        let mut request = request.borrow_mut();
        request.phase = Phase::Releasing;
        request.call = own_call(asked);
        Flow::Pause
    }

    /// A release's end. Where it failed, it is tried again without anybody waiting.
    pub(super) fn released<H: Host>(&self, host: &H, request: &Shared, heard: &Heard) {
        if heard.is_err() {
            self.abandon(host, request);
        }
        request.borrow_mut().phase = Phase::Over;
    }

    /// Releases the claim, whether it has arrived yet or not.
    pub(super) fn abandon<H: Host>(&self, host: &H, request: &Shared) {
        // A claim that took over what nobody knew must not make it look as if nothing had happened: it runs out, and is taken over in turn.
        if self.policy.reexecute {
            return;
        }
        let Some(claimed) = request.borrow().claimed() else { return };
        match &self.store {
            Store::Memory(memory) => {
                let keep = millis(self.policy.lease);
                // What can't be released now is uncertain when its lease is over.
                let _ = memory.abandon(host, &claimed.names.first, claimed.owner, keep, host.now().as_millis());
            }
            Store::Remote(remote) => {
                if let Some((names, home, trip)) = claimed.abandoning(host, remote.language()) {
                    self.errand(host, &names, home, trip);
                }
            }
        }
    }

    /// Puts a request into the store's index of those that somebody must look at. The index is help, not truth: nobody waits for it.
    pub(super) fn note_uncertain<H: Host>(&self, host: &H, request: &Shared, fence: Option<u64>) {
        let request = request.borrow();
        let Some(ticket) = &request.ticket else { return };
        let Some(names) = &ticket.names else { return };
        // Not the key of the metrics, which may be made of what a client sent.
        let route = host.property(host.capabilities().route).unwrap_or_default();
        let route = &*String::from_utf8_lossy(&route);
        let (tenant, fence) = (self.tenant_hash(ticket), fence.unwrap_or(ticket.fence));
        match &self.store {
            Store::Memory(memory) => {
                let (id, route, at) = (names.first.as_str().to_owned(), route.to_owned(), host.now().as_millis());
                let _ = memory.note_uncertain(host, &Entry { id, at, route, tenant, fence });
            }
            Store::Remote(remote) if remote.language() != Language::Memcached => {
                let tenant = if ticket.tenant.is_empty() { String::new() } else { format!("{tenant:016x}") };
                let entry = redis::Entry { names, fence, route, tenant: &tenant };
                let ttl = millis(self.ttl(ticket));
                let call = redis::Call::index(&self.policy.namespace, &entry, MOST_UNCERTAIN, ttl);
                let slot = call.slot();
                let (cluster, clustered) = self.place(names, ticket.home.clone());
                let job = Job::new(Trip::index(call), None, host.context(), cluster, clustered.map(|_| slot));
                remote.send_note(host, job, host.now().plus(NOTE));
            }
            Store::Remote(_) => {}
        }
    }
}
