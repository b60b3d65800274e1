//! A claim: made of a request, sent to the store, and heard of.

use super::verdict::Verdict;
use super::{Gate, Sleeper, Store};
use crate::decide::{self, Cause, Next};
use crate::fingerprint;
use crate::protocol::{Answer, Claim, Fingerprint, StoreMillis};
use crate::quota;
use crate::remote::{Asked, Heard, Job};
use crate::request::{Phase, Request, Shared, Ticket};
use crate::scope::Scope;
use crate::store::trip::{Said, Trip};
use crate::store::{Failure, Names, redis};
use core::cell::RefCell;
use core::time::Duration;
use sdk_shim::dispatch::{self, MAX_WAKES_PER_CALLBACK};
use sdk_shim::host::{Direction, Host};
use std::rc::Rc;

/// How long a claim is remembered at least: a proxy may wait for a connection, and a slow answer may go on, beyond the lease.
const LEAST_CLAIM: Duration = Duration::from_secs(15 * 60);

impl Gate {
    /// Claims a request, whose body is `None` where it isn't read.
    pub(super) fn claim<H: Host>(&self, host: &H, request: &Shared, body: Option<&[u8]>) -> Verdict {
        let made = {
            let mut request = request.borrow_mut();
            request.phase = Phase::Asking;
            request.ticket.as_mut().map(|ticket| self.make_claim(ticket, body))
        };
        match made {
            Some(Some(())) if !self.fits_quota(host, request) => self.refuse(host, request, Cause::TenantBusy, 1),
            Some(Some(())) => self.ask(host, request),
            // Names are made of hex digits: this can't be.
            _ => self.store_failed(host, request, &Failure::Unexpected),
        }
    }

    /// Everything of the claim is made now; the request's headers aren't needed any more.
    fn make_claim(&self, ticket: &mut Ticket, body: Option<&[u8]>) -> Option<()> {
        let headers = core::mem::take(&mut ticket.headers);
        let whole = fingerprint::Request {
            method: &ticket.method,
            target: &ticket.target,
            headers: &headers,
            body: body.unwrap_or_default(),
        };
        let form = match body {
            Some(_) => self.policy.selection.form(&whole),
            None => self.policy.selection.form_without_body(&whole),
        };
        let key = ticket.key.clone().unwrap_or_else(|| form.derived_key());
        let tenant: Vec<&[u8]> = ticket.tenant.iter().map(Vec::as_slice).collect();
        let scope = Scope {
            namespace: &self.policy.namespace,
            tenant: &tenant,
            method: &ticket.method,
            target: &ticket.target,
            key: key.as_bytes(),
        };
        ticket.names = Some(Names::new(scope.names(&self.secrets))?);
        let mut prints = form.fingerprints(&self.secrets).into_iter();
        let fingerprint: Fingerprint = prints.next()?;
        let others = prints.map(|print| print.digest).collect();
        let lease = millis(self.policy.lease);
        // A derived key is forgotten early, but not before its request is over.
        let ttl = millis(self.ttl(ticket).max(LEAST_CLAIM)).max(lease);
        let reexecute = self.policy.reexecute;
        ticket.claim = Some(Claim { owner: self.owner(), fingerprint, others, lease, ttl, reexecute });
        ticket.enforced = ticket.enforced && self.policy.common.enforce_ratio.takes(draw_of(ticket.names.as_ref()));
        Some(())
    }

    /// How long a request's answer is kept.
    pub(super) fn ttl(&self, ticket: &Ticket) -> Duration {
        let derived = self.policy.derive.filter(|_| ticket.key.is_none());
        derived.unwrap_or(self.policy.ttl)
    }

    fn fits_quota<H: Host>(&self, host: &H, request: &Shared) -> bool {
        let limit = self.policy.per_tenant_in_flight;
        let mut request = request.borrow_mut();
        let Some(ticket) = request.ticket.as_mut().filter(|_| limit > 0) else { return true };
        let Some(owner) = ticket.claim.as_ref().map(|claim| claim.owner) else { return true };
        let tenant = self.tenant_hash(ticket);
        let token = quota::token(owner);
        let granted = quota::take(host, self.keys.prefix(), tenant, limit, token, host.now(), self.policy.lease);
        // A count that can't be kept refuses nobody.
        ticket.counted = matches!(granted, Ok(true));
        granted.unwrap_or(true)
    }

    /// Sends a claim, or the same one again.
    pub(super) fn ask<H: Host>(&self, host: &H, request: &Shared) -> Verdict {
        let now = host.now();
        let Some((names, claim, home)) = prepare(&mut request.borrow_mut(), now) else {
            return self.store_failed(host, request, &Failure::Unexpected);
        };
        match &self.store {
            Store::Memory(memory) => {
                let answer = memory.claim(host, &names.first, &claim, now.as_millis());
                self.decide(host, request, answer.map(Said::Claim))
            }
            Store::Remote(_) if !self.hears_failures(host) => self.store_failed(host, request, &Failure::Unheard),
            Store::Remote(remote) => {
                let trip = Trip::claim(remote.language(), &names, claim, now.as_millis());
                let sent = trip.and_then(|trip| remote.ask(host, self.job(host, request, &names, home, trip)));
                match sent {
                    Ok(asked) => {
                        request.borrow_mut().call = own_call(asked);
                        Verdict::Wait
                    }
                    Err(failure) => self.store_failed(host, request, &failure),
                }
            }
        }
    }

    /// Asked once: no proxy changes its version.
    fn hears_failures<H: Host>(&self, host: &H) -> bool {
        let known = self.hears_failures.get().unwrap_or_else(|| dispatch::tells_failures(host));
        self.hears_failures.set(Some(known));
        known
    }

    /// A verb of the current stream.
    pub(super) fn job<H: Host>(
        &self,
        host: &H,
        request: &Shared,
        names: &Names,
        home: Option<String>,
        trip: Trip,
    ) -> Job<Shared> {
        let (cluster, slot) = self.place(names, home);
        let context = request.borrow().context.unwrap_or_else(|| host.context());
        Job::new(trip, Some(Rc::clone(request)), context, cluster, slot)
    }

    /// Where a key is kept.
    pub(super) fn place(&self, names: &Names, home: Option<String>) -> (String, Option<u16>) {
        let crate::policy::Store::Remote(remote) = &self.policy.store else { return Default::default() };
        let slot = remote.cluster_mode.then(|| redis::slot(names));
        (home.unwrap_or_else(|| remote.cluster.clone()), slot)
    }

    /// A verb's end, with its stream in effect: what was waited for goes on.
    pub(super) fn hear<H: Host>(&self, host: &H, request: &Shared, heard: Heard) {
        let phase = request.borrow().phase;
        match phase {
            Phase::Asking => self.decide(host, request, heard).carry_out(host),
            Phase::Storing => {
                self.stored(host, request, &heard);
                host.resume(Direction::Response);
            }
            Phase::Releasing => {
                self.released(host, request, &heard);
                host.resume(Direction::Response);
            }
            _ => {}
        }
    }

    fn decide<H: Host>(&self, host: &H, request: &Shared, heard: Heard) -> Verdict {
        let answer = match heard {
            Ok(Said::Claim(answer)) => answer,
            Ok(_) => return self.store_failed(host, request, &Failure::Unexpected),
            Err(failure) => return self.store_failed(host, request, &failure),
        };
        let (left, asked) = self.patience(host, request);
        if let Answer::Uncertain { fence } = answer {
            self.note_uncertain(host, request, Some(fence));
        }
        match decide::next(answer, left, asked) {
            Next::Forward { fence } => self.forward(host, request, fence),
            Next::Replay(sealed) => self.replay(host, request, &sealed),
            Next::Refuse { cause, retry_after } => self.refuse(host, request, cause, retry_after),
            Next::AskAgain(pause) => self.sleep(host, request, pause),
        }
    }

    /// How long it may still wait for another one's end, and how often it asked.
    fn patience<H: Host>(&self, host: &H, request: &Shared) -> (Duration, u32) {
        let (mut request, now) = (request.borrow_mut(), host.now());
        let Some(ticket) = request.ticket.as_mut().filter(|ticket| ticket.enforced) else { return (Duration::ZERO, 0) };
        // Where the clock stepped back, the wait begins anew, once.
        ticket.began = ticket.began.min(now);
        (self.policy.wait.saturating_sub(now.since(ticket.began)), ticket.asked.saturating_sub(1))
    }

    fn sleep<H: Host>(&self, host: &H, request: &Shared, pause: Duration) -> Verdict {
        let Some(context) = request.borrow().context else { return Verdict::Wait };
        request.borrow_mut().phase = Phase::Sleeping;
        let until = host.now().plus(pause);
        self.sleepers.borrow_mut().push(Sleeper { until, context, request: Rc::downgrade(request) });
        Verdict::Wait
    }

    /// Those whose pause is over ask again, as many as one callback may wake; how many were woken.
    pub(super) fn wake_sleepers<H: Host>(&self, host: &H) -> usize {
        let (now, mut woken) = (host.now(), 0);
        for sleeper in self.due_sleepers(now) {
            let Some(request) = sleeper.request.upgrade().filter(is_sleeping) else { continue };
            if !host.set_context(sleeper.context) {
                continue;
            }
            request.borrow_mut().phase = Phase::Asking;
            let verdict = self.ask(host, &request);
            woken += usize::from(verdict != Verdict::Wait);
            verdict.carry_out(host);
        }
        host.set_context(host.context());
        woken
    }

    fn due_sleepers(&self, now: sdk_shim::time::Instant) -> Vec<Sleeper> {
        let mut sleepers = self.sleepers.borrow_mut();
        let mut due = Vec::new();
        let all = core::mem::take(&mut *sleepers);
        for sleeper in all {
            // A clock that stepped back doesn't prolong a pause by more than the longest wait.
            let late = sleeper.until <= now || sleeper.until.since(now) > self.policy.wait;
            if late && due.len() < MAX_WAKES_PER_CALLBACK {
                due.push(sleeper);
            } else {
                sleepers.push(sleeper);
            }
        }
        due
    }

    /// Eight bytes that tell one tenant from another, and say nothing of either.
    pub(super) fn tenant_hash(&self, ticket: &Ticket) -> u64 {
        let mut encoding = crate::encoding::Encoding::of("tenant");
        encoding.list(&ticket.tenant);
        let mac = self.secrets.iter().next().map(|secret| secret.mac(&encoding)).unwrap_or_default();
        mac.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

fn prepare(request: &mut Request, now: sdk_shim::time::Instant) -> Option<(Names, Claim, Option<String>)> {
    let ticket = request.ticket.as_mut()?;
    ticket.asked_at = now;
    ticket.asked = ticket.asked.saturating_add(1);
    Some((ticket.names.clone()?, ticket.claim.clone()?, ticket.home.clone()))
}

pub(super) fn own_call(asked: Asked) -> Option<sdk_shim::host::CalloutId> {
    match asked {
        Asked::Alone(id) => Some(id),
        Asked::Queued => None,
    }
}

fn is_sleeping(request: &Rc<RefCell<Request>>) -> bool {
    request.borrow().phase == Phase::Sleeping
}

/// All requests of one key are enforced, or none: the draw is the key's.
fn draw_of(names: Option<&Names>) -> u64 {
    let digits = names.and_then(|names| names.first.as_str().get(6..22));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

pub(super) fn millis(time: Duration) -> StoreMillis {
    StoreMillis::try_from(time.as_millis()).unwrap_or(StoreMillis::MAX)
}
