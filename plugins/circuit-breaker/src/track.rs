//! One key as this worker sees it: its copy of the shared state, its ring of snapshots, its metrics.
//!
//! The state is re-read at most every `state_refresh`; a bad result or a probe's reads it anew, so that a failure from before
//! a transition never counts after it.

use crate::decide::{Evidence, Step, Why};
use crate::metrics::KeyMetrics;
use crate::policy::{Policy, Window};
use crate::state::{Counts, ENCODING, PREVIOUS, Phase, State};
use crate::unheard::Unheard;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::cell::{self, CellError};
use sdk_shim::host::Host;
use sdk_shim::keys::Named;
use sdk_shim::overrides::{Mode, Override};
use sdk_shim::time::{Instant, nanos};
use sdk_shim::window::{Ring, SLOTS};

/// One key as this worker sees it.
#[derive(Debug)]
pub struct Track {
    /// The key, clean.
    pub name: String,
    /// Its metrics.
    pub metrics: KeyMetrics,
    /// Counted, but never opened: it stands for everybody beyond the registry's bound.
    pub observe_only: bool,
    /// This worker has laid its configuration's claim to the key, and has heard of no other one.
    pub claimed: Cell<bool>,
    /// Calls of whose end this worker was never told.
    pub unheard: RefCell<Vec<Unheard>>,
    /// When it was asked for those last.
    pub listened: Cell<Instant>,
    /// Its cell's name before the encoding's number.
    prefix: String,
    state: RefCell<State>,
    read_at: Cell<Option<Instant>>,
    /// `None` before the key was first looked at.
    ring: RefCell<Option<Ring<4>>>,
    /// The window holds a failure, or did when the current slot began.
    failing: Cell<bool>,
    run: Cell<Run>,
}

/// Failures since the last success, as far as this worker can prove: `base` is the failures' total when it last saw that the
/// successes' total had moved. It may see a run late, but never one that was none.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    successes: u64,
    base: u64,
}

/// A stored change of state.
#[derive(Clone, Debug)]
pub struct Change {
    /// The phase that was left.
    pub from: Phase,
    /// The state that was stored.
    pub to: State,
    /// The reason.
    pub why: Why,
}

impl Track {
    /// A key that this worker has just heard of.
    pub fn new(key: Named<'_>, metrics: KeyMetrics) -> Self {
        Self {
            name: key.name.to_owned(),
            metrics,
            observe_only: key.observe_only,
            claimed: Cell::new(false),
            unheard: RefCell::default(),
            listened: Cell::default(),
            prefix: key.prefix.to_owned(),
            state: RefCell::default(),
            read_at: Cell::new(None),
            ring: RefCell::default(),
            failing: Cell::new(false),
            run: Cell::default(),
        }
    }

    fn cell(&self, encoding: u8) -> String {
        format!("{};e{encoding};{}", self.prefix, self.name)
    }

    /// The cell that says which configuration decides about the key.
    pub fn claim_cell(&self) -> String {
        format!("{};claim;{}", self.prefix, self.name)
    }

    /// This worker's copy of the state.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Whether the copy says closed, and by which generation: the question of every healthy request.
    pub fn closed_generation(&self) -> Option<u64> {
        let state = self.state.borrow();
        matches!(state.phase, Phase::Closed).then_some(state.generation)
    }

    /// The generation of the copy.
    pub fn generation(&self) -> u64 {
        self.state.borrow().generation
    }

    /// The mode in force: the operator's, or the configured one.
    pub fn mode(&self, configured: Mode, now: Instant) -> Mode {
        self.override_mode(now).unwrap_or(configured)
    }

    /// The operator's mode, while it is in force.
    pub fn override_mode(&self, now: Instant) -> Option<Mode> {
        self.state.borrow().override_.filter(|set| set.in_force(now)).map(|set| set.mode)
    }

    /// Re-reads the state if the copy is older than `max_age` (or the clock stepped back).
    pub fn refresh<H: Host>(
        &self,
        host: &H,
        policy: &Policy,
        now: Instant,
        max_age: Duration,
    ) -> Result<(), CellError> {
        let fresh = self.read_at.get().is_some_and(|at| at <= now && now.since(at) < max_age);
        if fresh || self.observe_only { Ok(()) } else { self.reload(host, policy, now) }
    }

    fn reload<H: Host>(&self, host: &H, policy: &Policy, now: Instant) -> Result<(), CellError> {
        let first = self.read_at.get().is_none();
        let mut state = cell::read::<H, State>(host, &self.cell(ENCODING))?.record;
        if state.is_none() && first {
            state = self.import(host)?;
        }
        // Only now: a copy that could not be read anew is not fresh.
        self.read_at.set(Some(now));
        self.adopt(host, policy, state.unwrap_or_default(), now, first);
        Ok(())
    }

    /// Takes over what the previous encoding stored, once: whoever creates the new cell first.
    fn import<H: Host>(&self, host: &H) -> Result<Option<State>, CellError> {
        let Some(previous) = PREVIOUS else { return Ok(None) };
        let Some(state) = cell::read::<H, State>(host, &self.cell(previous))?.record else { return Ok(None) };
        cell::create(host, &self.cell(ENCODING), &state)?;
        Ok(cell::read(host, &self.cell(ENCODING))?.record)
    }

    /// Takes a state over; a new generation starts the window at its line.
    fn adopt<H: Host>(&self, host: &H, policy: &Policy, state: State, now: Instant, first: bool) {
        if first || state.generation != self.generation() {
            self.start_at_line(host, policy, &state, now);
        }
        *self.state.borrow_mut() = state;
    }

    /// A line that lies behind the window says nothing; then the window starts with what is seen now.
    fn start_at_line<H: Host>(&self, host: &H, policy: &Policy, state: &State, now: Instant) {
        let totals = self.metrics.totals(host);
        let (at, base) = if state.generation > 0 && line_is_recent(policy, state, totals, now) {
            (state.since, state.line)
        } else {
            (now, totals)
        };
        self.run.set(Run { successes: base.0[0], base: base.0[1] });
        let mut ring = Ring::starting(slots(policy), slot(policy, at, base), base);
        move_on(policy, &mut ring, slot(policy, now, totals), totals);
        self.failing.set(ring.window(totals).0[1] > 0);
        *self.ring.borrow_mut() = Some(ring);
    }

    /// Lets the window move on. To be called before a call's own counts are added, and on each tick.
    pub fn observe<H: Host>(&self, host: &H, policy: &Policy, now: Instant) {
        let mut ring = self.ring.borrow_mut();
        let newest = ring.as_ref().and_then(Ring::newest);
        if matches!(policy.window, Window::Time(_)) && newest == Some(slot(policy, now, Counts::default())) {
            return;
        }
        let totals = self.metrics.totals(host);
        let slot = slot(policy, now, totals);
        let ring = ring.get_or_insert_with(|| Ring::starting(slots(policy), slot, totals));
        move_on(policy, ring, slot, totals);
        self.failing.set(ring.window(totals).0[1] > 0);
    }

    /// Counts a call's end.
    pub fn count<H: Host>(&self, host: &H, failed: bool, slow: bool) {
        self.metrics.call(host, failed, slow);
        if failed {
            self.failing.set(true);
        }
    }

    /// Whether the window holds a failure, to one slot.
    pub fn is_failing(&self) -> bool {
        self.failing.get()
    }

    /// Whether a tick has nothing to do here: the window is empty, and this worker's copy waits for nothing.
    pub fn is_idle<H: Host>(&self, host: &H) -> bool {
        let empty =
            self.ring.borrow().as_ref().is_some_and(|ring| ring.window(self.metrics.totals(host)) == Counts::default());
        let state = self.state.borrow();
        let closed = matches!(state.phase, Phase::Closed) && state.override_.is_none();
        empty && closed && self.read_at.get().is_some() && !self.metrics.shows_anything()
    }

    /// What the counters say now. `failed` where the caller has just counted a failure.
    pub fn evidence<H: Host>(&self, host: &H, failed: bool) -> Evidence {
        let totals = self.metrics.totals(host);
        let [successes, failures, ..] = totals.0;
        let mut run = self.run.get();
        if run.successes != successes || failures < run.base {
            run = Run { successes, base: failures.saturating_sub(u64::from(failed)) };
            self.run.set(run);
        }
        let window = self.ring.borrow().as_ref().map(|ring| ring.window(totals)).unwrap_or_default();
        Evidence { totals, window, run: failures.saturating_sub(run.base) }
    }

    /// Whether a whole window saw calls, but too few to trip.
    pub fn is_thin(&self, policy: &Policy, evidence: &Evidence) -> bool {
        let [successes, failures, ..] = evidence.window.0;
        let calls = successes.saturating_add(failures);
        self.ring.borrow().as_ref().is_some_and(Ring::is_full) && calls > 0 && calls < policy.minimum_calls
    }

    /// Takes a decision: on this worker's copy if nothing must change, else on the stored state, by compare-and-set.
    pub fn advance<H: Host, T>(
        &self,
        host: &H,
        policy: &Policy,
        now: Instant,
        decide: impl Fn(&State) -> Step<T>,
    ) -> Result<(T, Option<Change>), CellError> {
        let step = decide(&self.state.borrow());
        if step.next.is_none() || self.observe_only {
            return Ok((step.answer, None));
        }
        let mut answer = step.answer;
        let change = self.store(host, policy, now, &mut |state| {
            let step = decide(state);
            answer = step.answer;
            step.next
        })?;
        Ok((answer, change))
    }

    /// The storing half, once in the module and not once per question.
    fn store<H: Host>(
        &self,
        host: &H,
        policy: &Policy,
        now: Instant,
        decide: &mut dyn FnMut(&State) -> Option<(State, Why)>,
    ) -> Result<Option<Change>, CellError> {
        let (stored, change) = cell::update(host, &self.cell(ENCODING), |record: Option<State>| {
            let old = record.unwrap_or_default();
            let Some((next, why)) = decide(&old) else { return (None, (old, None)) };
            let change = (next.generation != old.generation).then(|| Change { from: old.phase, to: next.clone(), why });
            (Some(next.clone()), (next, change))
        })?;
        self.read_at.set(Some(now));
        self.adopt(host, policy, stored, now, false);
        Ok(change)
    }

    /// The state that all workers share, whatever this one's copy says.
    pub fn stored<H: Host>(&self, host: &H) -> Result<State, CellError> {
        Ok(cell::read::<H, State>(host, &self.cell(ENCODING))?.record.unwrap_or_default())
    }

    /// Sets or lifts the operator's mode for this key, for every worker.
    pub fn set_override<H: Host>(&self, host: &H, set: Option<Override>) -> Result<(), CellError> {
        // The copy is old now, but this worker's window stays.
        self.read_at.set(self.read_at.get().map(|_| Instant::default()));
        cell::update(host, &self.cell(ENCODING), |record: Option<State>| {
            let state = State { override_: set, ..record.unwrap_or_default() };
            (Some(state), ())
        })
    }
}

fn move_on(policy: &Policy, ring: &mut Ring<4>, slot: u64, totals: Counts) {
    match policy.window {
        Window::Time(_) => ring.observe(slot, totals),
        Window::Calls(_) => ring.observe_calls(slot, totals),
    }
}

/// The number of the current slot: tenths of the window, in time or in calls.
fn slot(policy: &Policy, now: Instant, totals: Counts) -> u64 {
    match policy.window {
        Window::Time(window) => now.as_nanos() / (nanos(window) / SLOTS).max(1),
        Window::Calls(calls) => {
            // Throttled requests are calls too, or they would pile up in a window that nothing moves on.
            let [successes, failures, _, throttled] = totals.0;
            successes.saturating_add(failures).saturating_add(throttled) / calls.get().div_ceil(SLOTS)
        }
    }
}

/// How many slots the window is long: ten, or fewer for a few calls.
fn slots(policy: &Policy) -> u64 {
    match policy.window {
        Window::Time(_) => SLOTS,
        Window::Calls(calls) => calls.get().div_ceil(calls.get().div_ceil(SLOTS)),
    }
}

fn line_is_recent(policy: &Policy, state: &State, totals: Counts, now: Instant) -> bool {
    let line = slot(policy, state.since, state.line);
    let newest = slot(policy, now, totals);
    line <= newest && newest - line <= slots(policy)
}
