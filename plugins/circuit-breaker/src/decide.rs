//! The decisions, as pure functions: no clock, no randomness, no store, no host.
//!
//! Each takes the state as a value and gives a [`Step`]: an answer and, where the state must change, the next state. The
//! adapter stores that by compare-and-set and asks again if somebody else was first.

mod half_open;

pub use half_open::{probe_succeeded, sent, spoke};

use crate::policy::Policy;
use crate::state::{Counts, Phase, State};
use core::time::Duration;
use half_open::{admit_half_open, lease, settle_probe, sweep};
use sdk_shim::ratio::{PPM, Ratio};
use sdk_shim::time::Instant;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The breaker is open.
    Open,
    /// All probes are given out.
    HalfOpen,
    /// Not this request's turn on the ramp.
    Recovering,
    /// Client-side throttling.
    Throttle,
    /// Forced open by configuration or operator.
    Forced,
}

impl Cause {
    /// As labels, logs and `x-holdfast-reject` spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Recovering => "recovering",
            Self::Throttle => "throttle",
            Self::Forced => "forced",
        }
    }
}

/// What an admitted call brings back with its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// The generation it was admitted in.
    pub generation: u64,
    /// The lease, if it is a probe.
    pub lease: Option<u32>,
}

/// Whether a call may go ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admit(Ticket),
    /// It may not.
    Refuse {
        /// Why.
        cause: Cause,
        /// How long it is useless to ask again. For `Open` exactly: before that the answer is the same, at that time it is
        /// "admit". For the others the time by which the answer should have changed.
        wait: Duration,
    },
}

/// How a call ended, as far as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The service worked.
    Success {
        /// But took long.
        slow: bool,
    },
    /// The service failed.
    Failure {
        /// And took long.
        slow: bool,
    },
    /// Nothing can be said: a client abort, a local reply.
    None,
}

impl Verdict {
    /// Whether it can bring a breaker to open.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failure { .. } | Self::Success { slow: true })
    }
}

/// Why the state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The failure ratio was reached.
    FailureRatio,
    /// The slow-call ratio was reached.
    SlowRatio,
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// A probe failed.
    ProbeFailed,
    /// A probe didn't end in time.
    LeaseExpired,
    /// The open time is over.
    WaitOver,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// The ramp is over.
    RampOver,
    /// Bookkeeping within a phase: a lease given or returned, a clock that stepped back.
    Bookkeeping,
}

impl Why {
    /// As logs spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailureRatio => "failure_ratio",
            Self::SlowRatio => "slow_ratio",
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::ProbeFailed => "probe_failed",
            Self::LeaseExpired => "lease_expired",
            Self::WaitOver => "wait_over",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::RampOver => "ramp_over",
            Self::Bookkeeping => "bookkeeping",
        }
    }
}

/// An answer, and what to store for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// The next state and why; `None` where it stays.
    pub next: Option<(State, Why)>,
    /// The answer, valid once `next` is stored.
    pub answer: T,
}

/// What the counters say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Totals now: where a transition draws its line.
    pub totals: Counts,
    /// Counted within the window.
    pub window: Counts,
    /// Failures since the last success that this worker knows of.
    pub run: u64,
}

const fn stay<T>(answer: T) -> Step<T> {
    Step { next: None, answer }
}

/// Decides whether a call may go ahead.
///
/// `totals` is looked at unless the breaker is closed. `sent` says that the request is complete already. `draw` is uniform in
/// `0..2^64`; with the same inputs the answer is the same.
pub fn admit(policy: &Policy, state: &State, totals: Counts, sent: bool, now: Instant, draw: u64) -> Step<Admission> {
    match &state.phase {
        Phase::Closed => stay(Admission::Admit(ticket(state))),
        Phase::Open { until } => admit_open(policy, state, *until, totals, sent, now),
        Phase::HalfOpen { .. } => admit_half_open(policy, state, totals, sent, now, draw),
        Phase::Recovering => admit_recovering(policy, state, totals, now, draw),
    }
}

const fn ticket(state: &State) -> Ticket {
    Ticket { generation: state.generation, lease: None }
}

fn admit_open(
    policy: &Policy,
    state: &State,
    until: Instant,
    totals: Counts,
    sent: bool,
    now: Instant,
) -> Step<Admission> {
    let wait = until.since(now);
    if now < state.since {
        // The clock stepped back: the wait must not grow by the step.
        let wait = until.since(state.since);
        let next = State { since: now, phase: Phase::Open { until: now.plus(wait) }, ..state.clone() };
        return Step { next: Some((next, Why::Bookkeeping)), answer: Admission::Refuse { cause: Cause::Open, wait } };
    }
    if !wait.is_zero() {
        return stay(Admission::Refuse { cause: Cause::Open, wait });
    }
    let lease = lease(policy, 0, sent, now);
    let next = state.turn(Phase::HalfOpen { leases: vec![lease], issued: 1, succeeded: 0 }, now, totals);
    let ticket = Ticket { generation: next.generation, lease: Some(0) };
    Step { next: Some((next, Why::WaitOver)), answer: Admission::Admit(ticket) }
}

fn admit_recovering(policy: &Policy, state: &State, totals: Counts, now: Instant, draw: u64) -> Step<Admission> {
    if now < state.since {
        let next = State { since: now, ..state.clone() };
        return Step { next: Some((next, Why::Bookkeeping)), answer: refuse_recovering(policy.ramp) };
    }
    let elapsed = now.since(state.since);
    if elapsed >= policy.ramp {
        let next = close(state, totals, now);
        let answer = Admission::Admit(ticket(&next));
        return Step { next: Some((next, Why::RampOver)), answer };
    }
    let turn = (u128::from(draw) * policy.ramp.as_nanos()) >> 64 < elapsed.as_nanos();
    stay(if turn { Admission::Admit(ticket(state)) } else { refuse_recovering(policy.ramp.saturating_sub(elapsed)) })
}

const fn refuse_recovering(wait: Duration) -> Admission {
    Admission::Refuse { cause: Cause::Recovering, wait }
}

/// Decides whether client-side throttling refuses a call: with probability `max(0, (requests - K * accepts) / (requests + 1))`
/// (Site Reliability Engineering, chapter 21). Throttled requests are requests too.
pub fn throttled(k_ppm: u64, window: &Counts, draw: u64) -> bool {
    let [successes, failures, _, throttled] = window.0.map(u128::from);
    let requests = successes + failures + throttled;
    let scale = u128::from(PPM);
    let excess = (requests * scale).saturating_sub(u128::from(k_ppm) * successes);
    u128::from(draw).saturating_mul((requests + 1).saturating_mul(scale)) >> 64 < excess
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It counted.
    Counted,
    /// It came from another generation, or its lease had run out, and moved nothing.
    Stale,
}

/// Decides what a call's result does. To be asked after the result was added to the counters.
pub fn settle(
    policy: &Policy,
    state: &State,
    ticket: Ticket,
    verdict: Verdict,
    evidence: &Evidence,
    now: Instant,
    draw: u64,
) -> Step<Settled> {
    if ticket.generation != state.generation {
        return stay(Settled::Stale);
    }
    match &state.phase {
        Phase::Closed | Phase::Recovering => settle_admitting(policy, state, verdict, evidence, now, draw),
        Phase::HalfOpen { .. } => settle_probe(policy, state, ticket, verdict, evidence.totals, now, draw),
        Phase::Open { .. } => stay(Settled::Stale),
    }
}

fn settle_admitting(
    policy: &Policy,
    state: &State,
    verdict: Verdict,
    evidence: &Evidence,
    now: Instant,
    draw: u64,
) -> Step<Settled> {
    let why = if verdict.is_bad() { trip(policy, evidence) } else { None };
    Step { next: why.map(|why| (open(policy, state, evidence.totals, now, draw).0, why)), answer: Settled::Counted }
}

/// Decides what has become due without a call: to be asked on each tick.
pub fn tend(policy: &Policy, state: &State, evidence: &Evidence, now: Instant, draw: u64) -> Step<()> {
    let next = match &state.phase {
        Phase::Open { .. } => None,
        Phase::HalfOpen { .. } => sweep(policy, state, evidence.totals, now, draw),
        Phase::Recovering if now.since(state.since) >= policy.ramp => {
            Some((close(state, evidence.totals, now), Why::RampOver))
        }
        Phase::Closed | Phase::Recovering => tripped(policy, state, evidence, now, draw),
    };
    Step { next, answer: () }
}

fn tripped(policy: &Policy, state: &State, evidence: &Evidence, now: Instant, draw: u64) -> Option<(State, Why)> {
    trip(policy, evidence).map(|why| (open(policy, state, evidence.totals, now, draw).0, why))
}

/// Whether the counts open a breaker. Thresholds are reached at `>=`.
pub fn trip(policy: &Policy, evidence: &Evidence) -> Option<Why> {
    let [successes, failures, slow, _] = evidence.window.0;
    let calls = successes.saturating_add(failures);
    let reached = |ratio: Option<Ratio>, part: u64| {
        calls >= policy.minimum_calls && ratio.is_some_and(|ratio| ratio.reached(part, calls))
    };
    if policy.consecutive_failures > 0 && evidence.run >= policy.consecutive_failures {
        Some(Why::ConsecutiveFailures)
    } else if reached(policy.failure_ratio, failures) {
        Some(Why::FailureRatio)
    } else if reached(policy.slow_ratio, slow) {
        Some(Why::SlowRatio)
    } else {
        None
    }
}

fn open(policy: &Policy, state: &State, totals: Counts, now: Instant, draw: u64) -> (State, Duration) {
    let opens = state.opens.saturating_add(1);
    let wait = policy.open.wait(opens, draw);
    (State { opens, ..state.turn(Phase::Open { until: now.plus(wait) }, now, totals) }, wait)
}

fn recover(policy: &Policy, state: &State, totals: Counts, now: Instant) -> State {
    if policy.ramp.is_zero() { close(state, totals, now) } else { state.turn(Phase::Recovering, now, totals) }
}

fn close(state: &State, totals: Counts, now: Instant) -> State {
    State { opens: 0, ..state.turn(Phase::Closed, now, totals) }
}
