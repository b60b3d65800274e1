//! The breaker again, written as naively as possible: a list of every call there ever was, recounted for each question.
//!
//! It shares no code with the machine but the policy and the types of the answers. Where the machine draws (the jitter of the
//! open wait), the model only knows the bounds, checks them, and then takes the machine's number over.

use circuit_breaker::decide::{Cause, Verdict};
use circuit_breaker::policy::{Policy, Window};

/// One call that was counted.
#[derive(Clone, Copy, Debug)]
struct Call {
    slot: u64,
    failed: bool,
    slow: bool,
}

/// Where the model stands. Times are nanoseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Closed,
    Open { from: u64, until: u64 },
    HalfOpen { leases: Vec<(u32, u64)>, given: u32, good: u32 },
    Recovering { from: u64 },
}

/// What the model says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Admitted { generation: u64, lease: Option<u32> },
    Refused(Cause),
}

#[derive(Debug)]
pub(crate) struct Model {
    policy: Policy,
    calls: Vec<Call>,
    /// Calls before this one lie behind the line of the last transition.
    line: usize,
    /// Calls before this one were forgotten by the window, which a clock that fell far back does.
    window_from: usize,
    newest_slot: u64,
    pub(crate) generation: u64,
    pub(crate) phase: Phase,
    pub(crate) opens: u32,
}

/// Asked for the machine's `until` when the model opens; given how often in a row, and `now`.
type Until<'a> = &'a dyn Fn(u32, u64) -> u64;

impl Model {
    pub(crate) fn new(policy: &Policy, now: u64) -> Self {
        let mut model = Self {
            policy: policy.clone(),
            calls: Vec::new(),
            line: 0,
            window_from: 0,
            newest_slot: 0,
            generation: 0,
            phase: Phase::Closed,
            opens: 0,
        };
        model.newest_slot = model.slot(now);
        model
    }

    /// A window is ten slots and the one under way.
    fn slot(&self, now: u64) -> u64 {
        match self.policy.window {
            Window::Time(window) => now / (window.as_nanos() as u64 / 10),
            Window::Calls(calls) => self.calls.len() as u64 / calls.get().div_ceil(10),
        }
    }

    /// Slots that the window is long: ten, or fewer for a few calls.
    fn slots(&self) -> u64 {
        match self.policy.window {
            Window::Time(_) => 10,
            Window::Calls(calls) => calls.get().div_ceil(calls.get().div_ceil(10)),
        }
    }

    /// Time (or calls) moved on. A clock that fell back by more than the window makes it start anew.
    pub(crate) fn look_at_clock(&mut self, now: u64) {
        let slot = self.slot(now);
        if slot + self.slots() < self.newest_slot {
            self.window_from = self.calls.len();
            self.newest_slot = slot;
        }
        self.newest_slot = self.newest_slot.max(slot);
    }

    fn turn(&mut self, phase: Phase, now: u64) {
        self.generation += 1;
        self.phase = phase;
        self.line = self.calls.len();
        self.window_from = self.line;
        self.newest_slot = self.slot(now);
    }

    fn open(&mut self, now: u64, until: Until<'_>) {
        self.opens += 1;
        let until = until(self.opens, now);
        self.turn(Phase::Open { from: now, until }, now);
    }

    fn close(&mut self, now: u64) {
        self.opens = 0;
        self.turn(Phase::Closed, now);
    }

    fn should_trip(&self) -> bool {
        let since_line = &self.calls[self.line..];
        let window: Vec<_> =
            self.calls[self.window_from..].iter().filter(|call| call.slot + self.slots() >= self.newest_slot).collect();
        let in_a_row = since_line.iter().rev().take_while(|call| call.failed).count() as u64;
        let failed = window.iter().filter(|call| call.failed).count() as u64;
        let slow = window.iter().filter(|call| call.slow).count() as u64;
        let policy = &self.policy;
        let enough = window.len() as u64 >= policy.minimum_calls;
        let too_many = |part: u64, ppm: u32| enough && part * 1_000_000 >= window.len() as u64 * u64::from(ppm);
        (policy.consecutive_failures > 0 && in_a_row >= policy.consecutive_failures)
            || policy.failure_ratio.is_some_and(|ratio| too_many(failed, ratio.ppm()))
            || policy.slow_ratio.is_some_and(|ratio| too_many(slow, ratio.ppm()))
    }

    /// `share` is the draw as a number in 0..1.
    pub(crate) fn request(&mut self, now: u64, share: f64, until: Until<'_>) -> Word {
        let timeout = self.policy.half_open.timeout.as_nanos() as u64;
        match self.phase.clone() {
            Phase::Closed => self.admitted(None),
            Phase::Open { from, until } if now < from => {
                self.phase = Phase::Open { from: now, until: now + (until - from) };
                Word::Refused(Cause::Open)
            }
            Phase::Open { until, .. } if now < until => Word::Refused(Cause::Open),
            Phase::Open { .. } => {
                self.turn(Phase::HalfOpen { leases: vec![(0, now + timeout)], given: 1, good: 0 }, now);
                self.admitted(Some(0))
            }
            Phase::HalfOpen { leases, .. } if leases.iter().any(|(_, deadline)| *deadline <= now) => {
                self.open(now, until);
                Word::Refused(Cause::Open)
            }
            Phase::HalfOpen { leases, given, good } => self.request_half_open(&leases, given, good, now + timeout),
            Phase::Recovering { from } if now < from => {
                self.phase = Phase::Recovering { from: now };
                Word::Refused(Cause::Recovering)
            }
            Phase::Recovering { from } => self.request_recovering(now - from, now, share),
        }
    }

    fn request_half_open(&mut self, leases: &[(u32, u64)], given: u32, good: u32, deadline: u64) -> Word {
        let leases = self.clamp(leases, given, good, deadline);
        if leases.len() as u32 >= self.policy.half_open.permits {
            return Word::Refused(Cause::HalfOpen);
        }
        let leases = leases.iter().copied().chain([(given, deadline)]).collect();
        self.phase = Phase::HalfOpen { leases, given: given + 1, good };
        self.admitted(Some(given))
    }

    /// After the clock stepped back no lease lasts longer than one given now.
    fn clamp(&mut self, leases: &[(u32, u64)], given: u32, good: u32, deadline: u64) -> Vec<(u32, u64)> {
        let leases: Vec<_> = leases.iter().map(|(id, old)| (*id, (*old).min(deadline))).collect();
        self.phase = Phase::HalfOpen { leases: leases.clone(), given, good };
        leases
    }

    fn request_recovering(&mut self, elapsed: u64, now: u64, share: f64) -> Word {
        let ramp = self.policy.ramp.as_nanos() as u64;
        if elapsed >= ramp {
            self.close(now);
        } else if share >= elapsed as f64 / ramp as f64 {
            return Word::Refused(Cause::Recovering);
        }
        self.admitted(None)
    }

    fn admitted(&self, lease: Option<u32>) -> Word {
        Word::Admitted { generation: self.generation, lease }
    }

    /// A call of `generation` ended. Gives whether it counted.
    pub(crate) fn end(
        &mut self,
        generation: u64,
        lease: Option<u32>,
        verdict: Verdict,
        now: u64,
        until: Until<'_>,
    ) -> bool {
        if generation != self.generation || (verdict == Verdict::None && lease.is_none()) {
            return false;
        }
        self.look_at_clock(now);
        let slot = self.newest_slot;
        match verdict {
            Verdict::Success { slow } => self.calls.push(Call { slot, failed: false, slow }),
            Verdict::Failure { slow } => self.calls.push(Call { slot, failed: true, slow }),
            Verdict::None => {}
        }
        let bad = !matches!(verdict, Verdict::Success { slow: false } | Verdict::None);
        match self.phase.clone() {
            Phase::Closed | Phase::Recovering { .. } => {
                if bad && self.should_trip() {
                    self.open(now, until);
                }
                true
            }
            Phase::HalfOpen { leases, given, good } => {
                let Some(mine) = leases.iter().find(|(id, _)| Some(*id) == lease) else { return false };
                let in_time = now < mine.1;
                if !in_time {
                    self.open(now, until);
                    return false;
                }
                let rest = leases.iter().copied().filter(|other| other != mine).collect();
                self.probe_ended(rest, given, good, verdict, now, until);
                true
            }
            Phase::Open { .. } => false,
        }
    }

    fn probe_ended(
        &mut self,
        leases: Vec<(u32, u64)>,
        given: u32,
        good: u32,
        verdict: Verdict,
        now: u64,
        until: Until<'_>,
    ) {
        let failed = match verdict {
            Verdict::Failure { .. } => true,
            Verdict::Success { slow } => slow && self.policy.slow_ratio.is_some(),
            Verdict::None => {
                self.phase = Phase::HalfOpen { leases, given, good };
                return;
            }
        };
        if failed {
            self.open(now, until);
        } else if good + 1 < self.policy.half_open.successes {
            self.phase = Phase::HalfOpen { leases, given, good: good + 1 };
        } else if self.policy.ramp.is_zero() {
            self.close(now);
        } else {
            self.turn(Phase::Recovering { from: now }, now);
        }
    }

    /// The timer fires.
    pub(crate) fn tick(&mut self, now: u64, until: Until<'_>) {
        self.look_at_clock(now);
        match self.phase.clone() {
            Phase::HalfOpen { leases, .. } if leases.iter().any(|(_, deadline)| *deadline <= now) => {
                self.open(now, until);
            }
            Phase::HalfOpen { leases, given, good } => {
                self.clamp(&leases, given, good, now + self.policy.half_open.timeout.as_nanos() as u64);
            }
            Phase::Recovering { from } if now.saturating_sub(from) >= self.policy.ramp.as_nanos() as u64 => {
                self.close(now);
            }
            Phase::Closed | Phase::Recovering { .. } if self.should_trip() => self.open(now, until),
            _ => {}
        }
    }
}
