//! Half-open: probes, and the leases that they hold.
//!
//! A lease is how all workers know of a probe under way. It runs out, so that nothing that happens to a client, a worker or the service can
//! keep the breaker half-open for ever.

use super::{Admission, Cause, Settled, Step, Ticket, Verdict, Why, open, recover, refuse_recovering, stay, ticket};
use crate::policy::Policy;
use crate::state::{Counts, Lease, Phase, State};
use sdk_shim::time::Instant;

/// A lease given now. A request that isn't complete has a slow call's time to become so: a client that stalls must not hold
/// the only permit, nor have its silence taken for the service's.
pub(super) fn lease(policy: &Policy, id: u32, sent: bool, now: Instant) -> Lease {
    let lasting = if sent { policy.half_open.timeout } else { policy.half_open.timeout.min(policy.slow_call) };
    Lease { id, deadline: now.plus(lasting), sent, spoke: false }
}

pub(super) fn admit_half_open(
    policy: &Policy,
    state: &State,
    totals: Counts,
    sent: bool,
    now: Instant,
    draw: u64,
) -> Step<Admission> {
    let swept = sweep(policy, state, totals, now, draw);
    let state = swept.as_ref().map_or(state, |(next, _)| next);
    let Phase::HalfOpen { leases, issued, succeeded } = &state.phase else {
        let answer = match state.phase {
            Phase::Open { until } => Admission::Refuse { cause: Cause::Open, wait: until.since(now) },
            Phase::Closed => Admission::Admit(ticket(state)),
            _ => refuse_recovering(policy.ramp),
        };
        return Step { next: swept, answer };
    };
    if leases.len() >= policy.half_open.permits as usize {
        return Step { answer: refuse_half_open(policy), next: swept };
    }
    let mut leases = leases.clone();
    leases.push(lease(policy, *issued, sent, now));
    let phase = Phase::HalfOpen { leases, issued: issued.saturating_add(1), succeeded: *succeeded };
    let ticket = Ticket { generation: state.generation, lease: Some(*issued) };
    Step { next: Some((State { phase, ..state.clone() }, Why::Bookkeeping)), answer: Admission::Admit(ticket) }
}

/// Ends leases that ran out. The service was silent about a complete request: it failed. It had begun to answer: it works. The
/// request never became complete: nobody knows. And no lease lasts longer than one given now: the clock may have stepped back.
pub(super) fn sweep(policy: &Policy, state: &State, totals: Counts, now: Instant, draw: u64) -> Option<(State, Why)> {
    let Phase::HalfOpen { leases, issued, succeeded } = &state.phase else { return None };
    let most = now.plus(policy.half_open.timeout);
    if leases.iter().all(|lease| lease.deadline > now && lease.deadline <= most) {
        return None;
    }
    let (over, running): (Vec<Lease>, Vec<Lease>) = leases.iter().partition(|lease| lease.deadline <= now);
    if over.iter().any(|lease| lease.sent && !lease.spoke) {
        return Some((open(policy, state, totals, now, draw).0, Why::LeaseExpired));
    }
    let spoke = over.iter().filter(|lease| lease.spoke).count();
    let succeeded = succeeded.saturating_add(u32::try_from(spoke).unwrap_or(u32::MAX));
    if spoke > 0 && succeeded >= policy.half_open.successes {
        return Some((recover(policy, state, totals, now), Why::ProbesSucceeded));
    }
    let leases = running.into_iter().map(|lease| Lease { deadline: lease.deadline.min(most), ..lease }).collect();
    let phase = Phase::HalfOpen { leases, issued: *issued, succeeded };
    Some((State { phase, ..state.clone() }, Why::Bookkeeping))
}

/// Notes that a probe's request is complete: its time begins now.
pub fn sent(policy: &Policy, state: &State, ticket: Ticket, now: Instant) -> Step<()> {
    let deadline = now.plus(policy.half_open.timeout);
    change_lease(state, ticket, |lease| Lease { sent: true, deadline, ..lease })
}

/// Notes that the service began to answer a probe.
pub fn spoke(state: &State, ticket: Ticket) -> Step<()> {
    change_lease(state, ticket, |lease| Lease { spoke: true, ..lease })
}

fn change_lease(state: &State, ticket: Ticket, change: impl Fn(Lease) -> Lease) -> Step<()> {
    let (Phase::HalfOpen { leases, issued, succeeded }, Some(id)) = (&state.phase, ticket.lease) else {
        return stay(());
    };
    if ticket.generation != state.generation || !leases.iter().any(|lease| lease.id == id) {
        return stay(());
    }
    let changed = |lease: &Lease| if lease.id == id { change(*lease) } else { *lease };
    let leases = leases.iter().map(changed).collect();
    let phase = Phase::HalfOpen { leases, issued: *issued, succeeded: *succeeded };
    Step { next: Some((State { phase, ..state.clone() }, Why::Bookkeeping)), answer: () }
}

/// Nobody knows when a probe ends; the slow-call bound is the time by which it should.
fn refuse_half_open(policy: &Policy) -> Admission {
    Admission::Refuse { cause: Cause::HalfOpen, wait: policy.slow_call.min(policy.half_open.timeout) }
}

pub(super) fn settle_probe(
    policy: &Policy,
    state: &State,
    ticket: Ticket,
    verdict: Verdict,
    totals: Counts,
    now: Instant,
    draw: u64,
) -> Step<Settled> {
    let Phase::HalfOpen { leases, issued, succeeded } = &state.phase else { return stay(Settled::Stale) };
    let Some(lease) = ticket.lease.and_then(|id| leases.iter().find(|lease| lease.id == id)) else {
        return stay(Settled::Stale);
    };
    if lease.deadline <= now {
        return Step { next: sweep(policy, state, totals, now, draw), answer: Settled::Stale };
    }
    let (next, why) = match probe_succeeded(policy, verdict) {
        Some(false) => (open(policy, state, totals, now, draw).0, Why::ProbeFailed),
        Some(true) if succeeded.saturating_add(1) >= policy.half_open.successes => {
            (recover(policy, state, totals, now), Why::ProbesSucceeded)
        }
        answered => {
            let leases = leases.iter().filter(|other| other.id != lease.id).copied().collect();
            let succeeded = succeeded.saturating_add(u32::from(answered.is_some()));
            let phase = Phase::HalfOpen { leases, issued: *issued, succeeded };
            (State { phase, ..state.clone() }, Why::Bookkeeping)
        }
    };
    Step { next: Some((next, why)), answer: Settled::Counted }
}

/// Whether a probe speaks for the service. A slow probe speaks against it where slow calls alone can open the breaker.
pub fn probe_succeeded(policy: &Policy, verdict: Verdict) -> Option<bool> {
    match verdict {
        Verdict::Success { slow } => Some(!(slow && policy.slow_ratio.is_some())),
        Verdict::Failure { .. } => Some(false),
        Verdict::None => None,
    }
}
