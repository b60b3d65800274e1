//! From the host to the decisions and back: looks a key up, asks `decide`, stores what it says, counts and logs it.

use crate::decide::{self, Admission, Cause, Evidence, Settled, Ticket, Verdict};
use crate::filter::Pending;
use crate::judge::Heard;
use crate::keys::Keys;
use crate::policy::{Policy, Window};
use crate::reply;
use crate::state::Phase;
use crate::track::{Change, Track};
use core::cell::RefCell;
use core::time::Duration;
use sdk_shim::cell::CellError;
use sdk_shim::config::Faults;
use sdk_shim::headers::is_grpc;
use sdk_shim::host::{Host, Map, Reply};
use sdk_shim::journal::Journal;
use sdk_shim::meter::Meter;
use sdk_shim::overrides::Mode;
use sdk_shim::random::SplitMix64;
use sdk_shim::time::{Instant, nanos};
use sdk_shim::window::SLOTS;
use serde_json::Value;
use std::rc::Rc;

/// Metrics per key, at most.
const SERIES_PER_KEY: u32 = 24;
/// Ticks of a window of calls, which has no slots in time.
const CALLS_TICK: Duration = Duration::from_millis(500);

/// One breaker: a policy and the keys it is applied to.
#[derive(Debug)]
pub struct Breaker {
    policy: Policy,
    keys: Keys,
    meter: Meter,
    journal: Journal,
    random: RefCell<SplitMix64>,
    debug_token: Option<Vec<u8>>,
}

/// What is to happen to a request.
#[derive(Debug)]
pub enum Outlook {
    /// Goes on, and its end is none of our business.
    Pass,
    /// Goes on, and its end counts.
    Judge(Pending),
    /// Ends here.
    Refuse(Box<Reply>),
}

impl Breaker {
    /// A breaker on this host; faults where the host can't do what the policy wants.
    pub fn new<H: Host>(host: &H, policy: Policy) -> Result<Self, Faults> {
        let faults = policy.check_host(host.capabilities());
        if !faults.is_empty() {
            return Err(faults);
        }
        let common = &policy.common;
        let (chain, instance) = (common.chain.as_str(), common.instance.as_str());
        let cap = common.max_keys.saturating_mul(SERIES_PER_KEY).saturating_add(64);
        let debug_token = common.debug_token.as_ref().map(|token| token.resolve(host, "$.debug_token")).transpose()?;
        Ok(Self {
            keys: Keys::new(&policy),
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

    fn draw(&self) -> u64 {
        self.random.borrow_mut().draw()
    }

    // --- a request comes ---

    /// Decides about the current request.
    pub fn admit<H: Host>(&self, host: &H, end: bool) -> Outlook {
        if self.policy.common.mode == Mode::Disabled {
            return Outlook::Pass;
        }
        let spoofed = self.strip_spoofed(host);
        let (track, now) = (self.keys.of_request(host, &self.meter), host.now());
        #[cfg(feature = "test-hooks")]
        crate::hooks::obey(host, &track, now);
        let known = track.refresh(host, &self.policy, now, self.policy.common.state_refresh);
        let mode = track.mode(self.policy.common.mode, now);
        if mode == Mode::Disabled {
            return Outlook::Pass;
        }
        let admission = match known {
            Ok(()) => self.ask(host, &track, mode, now),
            Err(error) => self.without_state(host, &track, error),
        };
        let admission = if spoofed { self.distrust(admission, now) } else { admission };
        match admission {
            Some(Admission::Admit(ticket)) => Outlook::Judge(self.pending(host, track, ticket, now, end)),
            Some(Admission::Refuse { cause, wait }) => self.refuse(host, &track, mode, cause, wait),
            None => Outlook::Pass,
        }
    }

    fn ask<H: Host>(&self, host: &H, track: &Track, mode: Mode, now: Instant) -> Option<Admission> {
        match mode {
            Mode::ForceOpen => return Some(Admission::Refuse { cause: Cause::Forced, wait: self.policy.open.base }),
            Mode::ForceClosed => return Some(Admission::Admit(Ticket { generation: track.generation(), lease: None })),
            _ if track.observe_only => return Some(Admission::Admit(Ticket::default())),
            _ => {}
        }
        if let (Some(generation), None) = (track.closed_generation(), self.policy.throttle_k) {
            return Some(Admission::Admit(Ticket { generation, lease: None }));
        }
        let (totals, draw) = (track.metrics.totals(host), self.draw());
        match track.advance(host, &self.policy, now, |state| decide::admit(&self.policy, state, totals, now, draw)) {
            Ok((admission, change)) => {
                self.tell(host, track, change.as_ref(), None);
                Some(self.throttle(host, track, admission, now))
            }
            // Somebody else changes the state all the time: then somebody else probes.
            Err(CellError::Contended) => Some(Admission::Refuse { cause: Cause::HalfOpen, wait: Duration::ZERO }),
            Err(error) => self.without_state(host, track, error),
        }
    }

    /// Without the shared state nobody could ever close a breaker again, so requests pass, uncounted by the machine.
    fn without_state<H: Host>(&self, host: &H, track: &Track, error: CellError) -> Option<Admission> {
        track.metrics.store_error(host, &self.meter);
        let fields = [("key", Value::from(track.name.as_str())), ("error", Value::from(error.to_string()))];
        self.journal.note(host, log::Level::Error, "state_unavailable", &fields);
        None
    }

    /// Client-side throttling has its say where the breaker admits; probes are spared.
    fn throttle<H: Host>(&self, host: &H, track: &Track, admission: Admission, now: Instant) -> Admission {
        let (Some(k), Admission::Admit(Ticket { lease: None, .. })) = (self.policy.throttle_k, admission) else {
            return admission;
        };
        track.observe(host, &self.policy, now);
        if decide::throttled(k, &track.evidence(host, false).window, self.draw()) {
            track.metrics.throttled(host);
            return Admission::Refuse { cause: Cause::Throttle, wait: Duration::ZERO };
        }
        admission
    }

    fn pending<H: Host>(&self, host: &H, track: Rc<Track>, ticket: Ticket, started: Instant, end: bool) -> Pending {
        let debug = self.may_debug(host);
        Pending { track, ticket, started, request_sent: end, heard: Heard::Nothing, latency: Duration::ZERO, debug }
    }

    fn may_debug<H: Host>(&self, host: &H) -> bool {
        let Some(token) = &self.debug_token else { return false };
        host.header(Map::RequestHeaders, "x-holdfast-debug").is_some_and(|given| same_secret(&given, token))
    }

    /// A client that sends our re-route header itself would choose the way around an open breaker. It is taken away, by which
    /// the proxy chooses the route anew; but in this callback the new route can't be read yet.
    fn strip_spoofed<H: Host>(&self, host: &H) -> bool {
        let Some(reroute) = &self.policy.on_open.reroute else { return false };
        if self.policy.common.mode == Mode::DryRun {
            return false;
        }
        let spoofed = host.header(Map::RequestHeaders, &reroute.header).is_some();
        if spoofed {
            host.remove_header(Map::RequestHeaders, &reroute.header);
        }
        spoofed
    }

    /// Whose key is unknown passes only while every breaker of this instance is closed, and counts for none.
    fn distrust(&self, admission: Option<Admission>, now: Instant) -> Option<Admission> {
        let closed = |track: &Rc<Track>| {
            track.closed_generation().is_some() && track.override_mode(now) != Some(Mode::ForceOpen)
        };
        if self.policy.common.mode != Mode::ForceOpen && self.keys.all().iter().all(closed) {
            return None;
        }
        match admission {
            refused @ Some(Admission::Refuse { .. }) => refused,
            _ => Some(Admission::Refuse { cause: Cause::Open, wait: self.policy.open.base }),
        }
    }

    fn refuse<H: Host>(&self, host: &H, track: &Track, mode: Mode, cause: Cause, wait: Duration) -> Outlook {
        let enforced = mode != Mode::DryRun && self.policy.common.enforce_ratio.takes(self.draw());
        track.metrics.refused(host, &self.meter, cause, enforced);
        if !enforced {
            return Outlook::Pass;
        }
        host.set_property(&["holdfast.circuit_breaker"], cause.as_str().as_bytes());
        if self.rerouted(host) {
            track.metrics.rerouted(host, &self.meter);
            return Outlook::Pass;
        }
        let grpc = host.header(Map::RequestHeaders, "content-type").is_some_and(|kind| is_grpc(&kind));
        Outlook::Refuse(Box::new(reply::build(&self.policy, cause, wait, grpc, self.draw())))
    }

    /// Sends the request the other way, where there is one and it may go there.
    fn rerouted<H: Host>(&self, host: &H) -> bool {
        let Some(reroute) = &self.policy.on_open.reroute else { return false };
        let may_move = reroute.only_if.as_ref().is_none_or(|(header, values)| {
            host.header(Map::RequestHeaders, header)
                .is_some_and(|given| values.iter().any(|value| value.as_bytes() == given))
        });
        if may_move {
            host.set_header(Map::RequestHeaders, &reroute.header, reroute.value.as_bytes());
        }
        may_move
    }

    // --- a call ends ---

    /// Counts a call's end and lets the machine draw its conclusion.
    pub fn settle<H: Host>(&self, host: &H, call: &Pending, verdict: Verdict, now: Instant) {
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
            Verdict::Success { slow } => track.metrics.call(host, false, slow),
            Verdict::Failure { slow } => track.metrics.call(host, true, slow),
            Verdict::None => {}
        }
    }

    fn conclude<H: Host>(&self, host: &H, call: &Pending, verdict: Verdict, now: Instant) {
        let (track, draw) = (&call.track, self.draw());
        if call.ticket.lease.is_some() {
            track.metrics.probe(host, &self.meter, decide::probe_succeeded(&self.policy, verdict));
        }
        let evidence = track.evidence(host, matches!(verdict, Verdict::Failure { .. }));
        if track.mode(self.policy.common.mode, now) == Mode::ForceClosed {
            return;
        }
        let settled = track.advance(host, &self.policy, now, |state| {
            decide::settle(&self.policy, state, call.ticket, verdict, &evidence, now, draw)
        });
        match settled {
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
        self.keys.learn(host, &self.meter);
        let now = host.now();
        for track in self.keys.all() {
            self.tend(host, &track, now);
        }
    }

    fn tend<H: Host>(&self, host: &H, track: &Track, now: Instant) {
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
        if let Ok(((), change)) =
            track.advance(host, &self.policy, now, |state| decide::tend(&self.policy, state, &evidence, now, draw))
        {
            self.tell(host, track, change.as_ref(), Some(&evidence));
        }
    }

    // --- what people see ---

    /// Counts and logs a transition, with what was counted within the window where that brought it about.
    fn tell<H: Host>(&self, host: &H, track: &Track, change: Option<&Change>, evidence: Option<&Evidence>) {
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
    pub fn describe(&self, track: &Track, ticket: Ticket) -> String {
        let state = track.state();
        let probe = if ticket.lease.is_some() { "; probe" } else { "" };
        format!("key={}; state={}; generation={}{probe}", track.name, state.phase.as_str(), ticket.generation)
    }
}

/// Compares without telling by its duration where two secrets differ.
fn same_secret(given: &[u8], token: &[u8]) -> bool {
    given.len() == token.len() && given.iter().zip(token).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
