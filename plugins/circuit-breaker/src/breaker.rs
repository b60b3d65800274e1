//! One breaker: what it is made of, and what it does when a call ends or nothing happens. Requests: `admission.rs`.

use crate::decide::{self, Admission, Evidence, Settled, Step, Ticket, Verdict};
use crate::filter::Pending;
use crate::metrics::KeyMetrics;
use crate::policy::{Policy, Window};
use crate::state::{ENCODING, Phase, State};
use crate::track::{Change, Track};
use crate::unheard::Unheard;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::cell::CellError;
use sdk_shim::claim::Claim;
use sdk_shim::config::Faults;
use sdk_shim::host::Host;
use sdk_shim::journal::Journal;
use sdk_shim::json::Value;
use sdk_shim::keys::{Keys, Named};
use sdk_shim::meter::Meter;
use sdk_shim::notice::Notice;
use sdk_shim::outcome::TELLS;
use sdk_shim::overrides::Mode;
use sdk_shim::random::SplitMix64;
use sdk_shim::time::{Instant, nanos};
use sdk_shim::window::SLOTS;
use std::rc::Rc;

/// Metrics per key, at most.
pub const SERIES_PER_KEY: u32 = 24;
/// Ticks of a window of calls, which has no slots in time.
const CALLS_TICK: Duration = Duration::from_millis(500);

/// One breaker: a policy and the keys it is applied to.
#[derive(Debug)]
pub struct Breaker {
    pub(crate) policy: Policy,
    pub(crate) keys: Keys<Track>,
    pub(crate) meter: Meter,
    journal: Journal,
    random: RefCell<SplitMix64>,
    pub(crate) debug_token: Option<Vec<u8>>,
    /// Whether protocol-health tells what answers mean.
    pub(crate) outcomes: Notice,
    claim: Claim,
    /// When the timer fired last, by the clock.
    ticked: Cell<Option<Instant>>,
    /// When the clock was seen to have jumped, or this worker to have stood still.
    jumped: Cell<Option<Instant>>,
}

impl Breaker {
    /// A breaker on this host; faults where the host can't do what the policy wants.
    pub fn new<H: Host>(host: &H, policy: Policy, configuration: &[u8]) -> Result<Self, Faults> {
        let faults = policy.check_on(host);
        if !faults.is_empty() {
            return Err(faults);
        }
        let common = &policy.common;
        let (chain, instance) = (common.chain.as_str(), common.instance.as_str());
        let cap = common.max_keys.saturating_mul(SERIES_PER_KEY).saturating_add(64);
        let debug_token = common.debug_token.as_ref().map(|token| token.resolve(host, "$.debug_token")).transpose()?;
        let keys = Keys::new("circuit-breaker", common, &policy.meaning());
        Ok(Self {
            outcomes: Notice::heard(host, TELLS),
            claim: Claim::of(configuration),
            ticked: Cell::default(),
            jumped: Cell::default(),
            keys,
            meter: Meter::new(host, "circuit_breaker", chain, instance, cap),
            journal: Journal::new("circuit-breaker", chain, instance),
            random: RefCell::new(SplitMix64::new(host.seed())),
            debug_token,
            policy,
        })
    }

    /// What it obeys.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// One slot of the window.
    pub fn tick_period(&self) -> Duration {
        match self.policy.window {
            Window::Time(window) => window / u32::try_from(SLOTS).unwrap_or(10),
            Window::Calls(_) => CALLS_TICK,
        }
    }

    /// What is kept for a key that this worker has just heard of.
    pub(crate) fn track<H: Host>(&self, host: &H, key: Named<'_>) -> Track {
        Track::new(key, KeyMetrics::new(host, &self.meter, key.name))
    }

    pub(crate) fn draw(&self) -> u64 {
        self.random.borrow_mut().draw()
    }

    /// Without the shared state nobody could ever close a breaker again, so requests pass, uncounted by the machine.
    pub(crate) fn without_state<H: Host>(&self, host: &H, track: &Track, error: CellError) -> Option<Admission> {
        track.metrics.store_error(host, &self.meter);
        self.journal.state_unavailable(host, &track.name, error);
        None
    }

    // --- which configuration decides ---

    /// A request of this key came here, as none comes to a configuration that was replaced.
    pub(crate) fn claim<H: Host>(&self, host: &H, track: &Track) {
        if !track.observe_only && !track.claimed.replace(true) {
            self.claim.lay(host, &track.claim_cell());
        }
    }

    /// Whether this configuration is the one that decides about a key, to be asked where there is something to change. If another one does, the next request here
    /// claims the key again: where both have requests, each has its say.
    fn is_in_force<H: Host>(&self, host: &H, track: &Track) -> bool {
        let stands = self.claim.stands(host, &track.claim_cell());
        track.claimed.set(track.claimed.get() && stands);
        stands
    }

    // --- a probe goes on ---

    /// A call's request is complete: a probe's time begins.
    pub fn sent<H: Host>(&self, host: &H, call: &Pending) {
        if call.ticket.lease.is_some() {
            let (ticket, now) = (call.ticket, call.started);
            self.note(host, &call.track, now, |state| decide::sent(&self.policy, state, ticket, now));
        }
    }

    /// The service began to answer a probe.
    pub fn spoke<H: Host>(&self, host: &H, call: &Pending, now: Instant) {
        self.note(host, &call.track, now, |state| decide::spoke(state, call.ticket));
    }

    fn note<H: Host>(&self, host: &H, track: &Track, now: Instant, decide: impl Fn(&State) -> Step<()>) {
        if let Err(error) = track.advance(host, &self.policy, now, decide) {
            self.without_state(host, track, error);
        }
    }

    // --- a call ends ---

    /// Counts a call's end and lets the machine draw its conclusion.
    pub fn settle<H: Host>(&self, host: &H, call: &Pending, verdict: Verdict, now: Instant) {
        self.hear_of_unheard(host, &call.track, now);
        let (track, probe) = (&call.track, call.ticket.lease.is_some());
        if verdict == Verdict::None && !probe {
            return;
        }
        // A healthy result may trust a copy that is a little old; one that could change something may not.
        let max_age = if verdict.is_bad() || probe { Duration::ZERO } else { self.policy.common.state_refresh };
        if let Err(error) = track.refresh(host, &self.policy, now, max_age) {
            self.without_state(host, track, error);
        }
        if call.ticket.generation != track.generation() {
            track.metrics.stale(host, &self.meter);
            return;
        }
        self.count(host, track, verdict, now);
        if verdict.is_bad() || probe {
            self.conclude(host, call, verdict, now);
        }
    }

    fn count<H: Host>(&self, host: &H, track: &Track, verdict: Verdict, now: Instant) {
        track.observe(host, &self.policy, now);
        match verdict {
            Verdict::Success { slow } => track.count(host, false, slow),
            Verdict::Failure { slow } => track.count(host, true, slow),
            Verdict::None => {}
        }
    }

    fn conclude<H: Host>(&self, host: &H, call: &Pending, verdict: Verdict, now: Instant) {
        let (track, draw) = (&call.track, self.draw());
        if call.ticket.lease.is_some() {
            track.metrics.probe(host, &self.meter, decide::probe_succeeded(&self.policy, verdict));
        }
        let evidence = track.evidence(host, matches!(verdict, Verdict::Failure { .. }));
        let forced = track.mode(self.policy.common.mode, now) == Mode::ForceClosed;
        if forced && call.ticket.lease.is_none() {
            return;
        }
        // Forced closed, a probe gives its permit back and says no more.
        let verdict = if forced { Verdict::None } else { verdict };
        let settle = |state: &State| decide::settle(&self.policy, state, call.ticket, verdict, &evidence, now, draw);
        // What a former configuration lent as a probe comes back all the same.
        if call.ticket.lease.is_none() && settle(&track.state()).next.is_some() && !self.is_in_force(host, track) {
            return;
        }
        match track.advance(host, &self.policy, now, settle) {
            Ok((Settled::Counted, change)) => self.tell(host, track, change.as_ref(), Some(&evidence)),
            Ok((Settled::Stale, change)) => {
                track.metrics.stale(host, &self.meter);
                self.tell(host, track, change.as_ref(), Some(&evidence));
            }
            Err(error) => {
                self.without_state(host, track, error);
            }
        }
    }

    // --- nothing happens ---

    /// Takes snapshots, learns other workers' keys, and does what has become due without a call.
    pub fn tick<H: Host>(&self, host: &H) {
        if self.policy.common.mode == Mode::Disabled {
            return;
        }
        self.keys.publish(host, &self.claim, ENCODING, "");
        self.keys.learn(host, &|key| self.track(host, key));
        self.outcomes.refresh(host);
        let now = host.now();
        if self.missed_ticks(now) {
            self.jumped.set(Some(now));
        }
        self.ticked.set(Some(now));
        for track in self.keys.some() {
            self.hear_of_unheard(host, &track, now);
            self.tend(host, &track, now);
        }
    }

    /// What the calls say that ended without a word: before anything else is said of their key, so that a success after a failure comes after it.
    pub(crate) fn hear_of_unheard<H: Host>(&self, host: &H, track: &Rc<Track>, now: Instant) {
        let before = track.listened.replace(now);
        for Unheard { ticket, started, complete } in track.unheard.take() {
            // It ended after `before`.
            let slow = before.since(started) >= self.policy.slow_call && self.is_time_sound(started, now);
            let verdict = if complete { Verdict::Failure { slow } } else { Verdict::None };
            self.settle(host, &Pending::new(Rc::clone(track), ticket, now, true, true), verdict, now);
        }
    }

    fn tend<H: Host>(&self, host: &H, track: &Track, now: Instant) {
        if track.is_idle(host) {
            track.observe(host, &self.policy, now);
            return;
        }
        if let Err(error) = track.refresh(host, &self.policy, now, self.policy.common.state_refresh) {
            self.without_state(host, track, error);
            return;
        }
        track.observe(host, &self.policy, now);
        let (evidence, mode) = (track.evidence(host, false), track.override_mode(now));
        track.metrics.show(
            host,
            &self.meter,
            mode.map_or(0, |mode| u64::from(mode.code())),
            track.is_thin(&self.policy, &evidence),
        );
        if mode.unwrap_or(self.policy.common.mode) == Mode::ForceClosed {
            return;
        }
        let draw = self.draw();
        let tend = |state: &State| decide::tend(&self.policy, state, &evidence, now, draw);
        if tend(&track.state()).next.is_none() || !self.is_in_force(host, track) {
            return;
        }
        if let Ok(((), change)) = track.advance(host, &self.policy, now, tend) {
            self.tell(host, track, change.as_ref(), Some(&evidence));
        }
    }

    /// Whether the clock says that the timer should have fired several times since it did: then it jumped ahead, or this worker stood still.
    fn missed_ticks(&self, now: Instant) -> bool {
        self.ticked.get().is_some_and(|at| now.since(at) > self.tick_period() * 3 + Duration::from_secs(1))
    }

    /// Whether a latency that was taken from `started` until now speaks of the service, and not of the clock.
    pub(crate) fn is_time_sound(&self, started: Instant, now: Instant) -> bool {
        !self.missed_ticks(now) && self.jumped.get().is_none_or(|at| at <= started)
    }

    // --- what people see ---

    /// Counts and logs a transition, with what was counted within the window where that brought it about.
    pub(crate) fn tell<H: Host>(&self, host: &H, track: &Track, change: Option<&Change>, evidence: Option<&Evidence>) {
        let Some(change) = change else { return };
        track.metrics.transition(host, &self.meter, &change.to.phase);
        let mut fields = vec![
            ("key", Value::from(track.name.as_str())),
            ("from", Value::from(change.from.as_str())),
            ("cause", Value::from(change.why.as_str())),
            ("generation", Value::from(change.to.generation)),
        ];
        if let Some([successes, failures, slow, _]) = evidence.map(|evidence| evidence.window.0) {
            fields.extend([
                ("successes", Value::from(successes)),
                ("failures", Value::from(failures)),
                ("slow", Value::from(slow)),
            ]);
        }
        if let Phase::Open { until } = change.to.phase {
            fields.push(("open_ms", Value::from(nanos(until.since(change.to.since)) / 1_000_000)));
        }
        self.journal.transition(host, change.to.phase.as_str(), &fields);
    }

    /// The decision, for whoever may ask.
    pub fn describe(&self, track: &Track, ticket: Option<Ticket>) -> String {
        let state = track.state();
        let verdict = match ticket {
            None => "refused",
            Some(Ticket { lease: Some(_), .. }) => "probe",
            Some(_) => "admitted",
        };
        format!("{verdict}; key={}; state={}; generation={}", track.name, state.phase.as_str(), state.generation)
    }
}
