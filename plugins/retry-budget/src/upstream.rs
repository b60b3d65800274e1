//! The upstream entry: it sees every attempt, so it is where the bound is kept.
//!
//! A failing answer asks for a grant before it is let go; without one it carries a header by which the router stops, and the client gets the
//! service's own answer. An attempt that follows no answer (reset, timeout, no connection) asks when it begins, and is answered here where
//! there is none left: by then there is no answer of the service to keep.
//!
//! Hedging begins an attempt while another one is under way. A refusal would be final for a request that may still succeed, so
//! such an attempt passes, and is owed.

use crate::account::{Account, Answer, cell_name};
use crate::decide::{self, Cause, left, wait_of};
use crate::metrics::UpstreamMetrics;
use crate::notices::{Empties, tells_clients};
use crate::policy::Policy;
use crate::pushback;
use crate::state::ENCODING;
use crate::tally::{Line, Tally};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::claim::Claim;
use sdk_shim::ending::REFUSED_ATTEMPT;
use sdk_shim::entry::Flow;
use sdk_shim::headers::{is_grpc, number};
use sdk_shim::host::{Host, Map};
use sdk_shim::journal::Journal;
use sdk_shim::json::Value;
use sdk_shim::keys::{Keys, Named};
use sdk_shim::meter::Meter;
use sdk_shim::notice::Notice;
use sdk_shim::outcome;
use sdk_shim::overrides::Mode;
use sdk_shim::random::SplitMix64;
use sdk_shim::refusal::{Refusal, UNAVAILABLE};
use sdk_shim::time::Instant;
use sdk_shim::window::SLOTS;
use std::rc::Rc;

/// By which Envoy's router refuses a retry, whatever the route's policy (unless that names `envoy-ratelimited`).
pub const VETO: &str = "x-envoy-ratelimited";
/// Where a route's `rate_limited_retry_back_off` finds how long the service wants to be left alone.
pub const RETRY_IN: &str = "x-holdfast-retry-in";

/// The upstream entry of one configuration.
#[derive(Debug)]
pub struct Upstream {
    policy: Policy,
    line: Line,
    keys: Keys<Track>,
    meter: Meter,
    journal: Journal,
    empties: Empties,
    clients: Notice,
    /// Whether protocol-health tells what answers mean.
    outcomes: Notice,
    random: RefCell<SplitMix64>,
    claim: Claim,
    claim_cell: String,
    is_newest: Cell<bool>,
}

/// One key as this worker sees it.
#[derive(Debug)]
pub struct Track {
    name: String,
    account: Account,
    metrics: UpstreamMetrics,
    /// Attempts have begun while others were under way, as far as anybody could tell: from now on each answer leaves a line.
    notes_all: Cell<bool>,
    /// The window was empty at the last tick.
    idle: Cell<bool>,
    /// Ticks since a retry was refused; `None` where the log was told that there are enough again.
    ticks_since_refusal: Cell<Option<u64>>,
}

/// An attempt under way.
#[derive(Debug)]
pub struct Attempt {
    track: Rc<Track>,
    /// Which one, from 1. Kept, because hedging raises the property later.
    nth: u32,
    /// Its request had a body, so it may be a gRPC call.
    may_be_grpc: bool,
    answered: bool,
}

impl Upstream {
    /// The entry of a checked policy.
    pub fn new<H: Host>(host: &H, policy: Policy, configuration: &[u8]) -> Self {
        let (meter, keys) = (crate::metrics::meter(host, &policy.common, "upstream"), keys(&policy));
        let (claim, claim_cell) = (Claim::of(configuration), format!("{};claim", keys.prefix()));
        claim.lay(host, &claim_cell);
        Self {
            claim,
            claim_cell,
            is_newest: Cell::new(true),
            line: Line::of(&policy.common.instance),
            keys,
            meter,
            journal: Journal::new("retry-budget", "upstream", &policy.common.instance),
            empties: Empties::new(&policy.common.instance),
            clients: Notice::heard(host, tells_clients(&policy.common.instance)),
            outcomes: Notice::heard(host, outcome::TELLS),
            random: RefCell::new(SplitMix64::new(host.seed())),
            policy,
        }
    }

    /// One slot.
    pub fn tick_period(&self) -> Duration {
        period(self.policy.budget.ttl)
    }

    /// An attempt begins.
    pub fn begin<H: Host>(&self, host: &H, end: bool) -> (Option<Attempt>, Flow) {
        if self.policy.common.mode == Mode::Disabled {
            return (None, Flow::Continue);
        }
        let nth = attempts(host).max(1);
        let track = self.keys.of_request(host, &|key| self.track(host, key));
        let mut attempt = Attempt { track, nth, may_be_grpc: !end, answered: false };
        let flow = if nth == 1 {
            self.first(host, &attempt.track);
            Flow::Continue
        } else {
            self.retry(host, &attempt)
        };
        attempt.answered = matches!(flow, Flow::Reply(_));
        (Some(attempt), flow)
    }

    /// A request begins, which may make room for a retry; but a client's retry doesn't earn one.
    fn first<H: Host>(&self, host: &H, track: &Track) {
        if self.clients.known() && self.line.read(host).is_some_and(|tally| tally.is_client_retry) {
            return;
        }
        track.account.count_request(host);
        if self.empties.holds(&track.name) && self.left(host, track) > 0 {
            self.empties.note_refilled(host, &track.name);
        }
    }

    /// An attempt that isn't the first begins.
    fn retry<H: Host>(&self, host: &H, attempt: &Attempt) -> Flow {
        let Attempt { track, nth, .. } = attempt;
        track.metrics.retry(host, &self.meter);
        // What stood on the answer before went with it.
        let mut tally = Tally { marked: false, ..self.line.read(host).unwrap_or_default() };
        if tally.covered >= *nth {
            self.line.write(host, tally);
            return Flow::Continue;
        }
        tally.covered = *nth;
        let is_hedge = tally.others_under_way(*nth);
        if is_hedge {
            track.notes_all.set(true);
        }
        let now = host.now();
        tally.slot = match self.ask(host, track, now) {
            Answer::Granted(slot) => Some(slot),
            Answer::Refused if is_hedge => {
                track.account.owe(host);
                track.metrics.hedged_over_budget(host, &self.meter);
                None
            }
            Answer::Refused if self.enforces(host, track, Cause::Budget, now) => {
                self.line.write(host, tally);
                return if is_over(host) { Flow::Continue } else { self.refuse(host, *nth) };
            }
            Answer::Refused => None,
        };
        self.line.write(host, tally);
        Flow::Continue
    }

    fn refuse<H: Host>(&self, host: &H, nth: u32) -> Flow {
        host.set_property(REFUSED_ATTEMPT, Cause::Budget.as_str().as_bytes());
        let grpc = host.header(Map::RequestHeaders, "content-type").is_some_and(|kind| is_grpc(&kind));
        let refusal = Refusal {
            plugin: "retry-budget",
            cause: Cause::Budget.as_str(),
            title: "The service behind this route fails, and has been retried as often as its budget allows",
            status: 503,
            grpc_status: UNAVAILABLE,
            retry_after: decide::retry_after(nth, self.draw()),
            mark: self.policy.common.mark_rejections,
        };
        Flow::Reply(Box::new(refusal.reply(grpc)))
    }

    /// The service answered an attempt.
    pub fn answered<H: Host>(&self, host: &H, attempt: &mut Attempt) {
        if core::mem::replace(&mut attempt.answered, true) {
            return;
        }
        let status = host.header(Map::ResponseHeaders, ":status").and_then(|value| number(&value));
        let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
        let may_be_grpc = attempt.may_be_grpc && status == 200;
        let grpc = if may_be_grpc { grpc_status(host) } else { None };
        // A status that says that all is well may mean something else, and routes may retry what protocol-health marks.
        let asks = status < 400 && grpc.is_none() && self.outcomes.known();
        let told = if asks { outcome::told(host) } else { None };
        let is_retried = match told {
            Some(outcome) => self.policy.retry_on.holds_outcome(outcome),
            None => self.policy.retry_on.holds(status, grpc),
        };
        let is_well = (100..400).contains(&status) && grpc.unwrap_or(0) == 0;
        if is_well && !is_retried && attempt.nth == 1 && !attempt.track.notes_all.get() {
            return;
        }
        let mut tally = self.line.read(host).unwrap_or_default().ended(attempt.nth);
        // An answer that says itself that it must not be retried needs nothing from us, and keeps what it says.
        if is_retried && !tally.steered && host.header(Map::ResponseHeaders, VETO).is_none() {
            self.judge(host, attempt, &mut tally);
        }
        self.line.write(host, tally);
    }

    /// An answer that the router would retry.
    fn judge<H: Host>(&self, host: &H, attempt: &Attempt, tally: &mut Tally) {
        let (track, now) = (&attempt.track, host.now());
        // The name is ours: what a service says in it must not move the router.
        if self.mode(track, now) == Mode::Enforce {
            host.remove_header(Map::ResponseHeaders, RETRY_IN);
        }
        let header = |name| host.header(Map::ResponseHeaders, name);
        let asked = pushback::of(header("retry-after").as_deref(), header("grpc-retry-pushback-ms").as_deref(), now);
        let Some(wait) = wait_of(asked, self.policy.max_pushback) else {
            return self.veto(host, attempt, Cause::Pushback, tally, now);
        };
        if tally.covered > attempt.nth {
            // The next attempt has its grant already.
            return;
        }
        match self.ask(host, track, now) {
            Answer::Granted(slot) => {
                (tally.covered, tally.slot) = (attempt.nth + 1, Some(slot));
                if wait > 0 && self.acts(track, now) {
                    host.set_header(Map::ResponseHeaders, RETRY_IN, wait.to_string().as_bytes());
                    tally.marked = true;
                }
            }
            Answer::Refused => self.veto(host, attempt, Cause::Budget, tally, now),
        }
    }

    /// The router stops, and sends this very answer. So nothing is said while another attempt may still do better: whatever
    /// begins in its stead is a hedge, and owed.
    fn veto<H: Host>(&self, host: &H, attempt: &Attempt, cause: Cause, tally: &mut Tally, now: Instant) {
        if tally.others_under_way(attempt.nth) {
            return;
        }
        if self.enforces(host, &attempt.track, cause, now) {
            host.set_header(Map::ResponseHeaders, VETO, b"true");
            tally.marked = true;
        } else {
            // It is let go all the same, and the attempt that follows need not ask again.
            (tally.covered, tally.slot) = (tally.covered.max(attempt.nth + 1), None);
        }
    }

    /// An attempt is over. Without an answer, the next one will want to know that it doesn't hedge.
    pub fn end<H: Host>(&self, host: &H, attempt: &Attempt) {
        if !attempt.answered {
            self.line.write(host, self.line.read(host).unwrap_or_default().ended(attempt.nth));
        }
    }

    /// Asks for a retry; if there is none left, everybody shall know.
    fn ask<H: Host>(&self, host: &H, track: &Track, now: Instant) -> Answer {
        let answer = track.account.ask(host, &self.policy.budget, now, self.policy.common.state_refresh);
        let answer = answer.unwrap_or_else(|error| {
            track.metrics.store_error(host, &self.meter);
            self.journal.state_unavailable(host, &track.name, error);
            Answer::Refused
        });
        if answer == Answer::Refused {
            self.ran_out(host, track, now);
        }
        answer
    }

    fn ran_out<H: Host>(&self, host: &H, track: &Track, now: Instant) {
        if self.mode(track, now) == Mode::Enforce && self.is_newest.get() {
            self.empties.note_empty(host, &track.name, now, self.tick_period());
        }
        if track.ticks_since_refusal.replace(Some(0)).is_none() {
            self.tell(host, track, "empty");
        }
    }

    /// A budget that keeps running out is told once; that it is over, when none was refused for a whole ttl.
    fn tell<H: Host>(&self, host: &H, track: &Track, event: &str) {
        let window = track.account.window(host);
        let fields = [
            ("key", Value::from(track.name.as_str())),
            ("requests", Value::from(window.requests)),
            ("retries", Value::from(window.retries)),
        ];
        self.journal.note(host, log::Level::Warn, event, &fields);
    }

    /// Counts a refusal; whether it is acted on.
    fn enforces<H: Host>(&self, host: &H, track: &Track, cause: Cause, now: Instant) -> bool {
        let enforced = self.acts(track, now);
        track.metrics.refused(host, &self.meter, cause, enforced);
        enforced
    }

    /// Whether this decision is acted on.
    fn acts(&self, track: &Track, now: Instant) -> bool {
        self.mode(track, now) == Mode::Enforce && self.policy.common.enforce_ratio.takes(self.draw())
    }

    fn mode(&self, track: &Track, now: Instant) -> Mode {
        track.account.override_mode(now).unwrap_or(self.policy.common.mode)
    }

    /// Slots begin, gauges move, and what has something left again is taken off the list.
    pub fn tick<H: Host>(&self, host: &H) {
        if self.policy.common.mode == Mode::Disabled {
            return;
        }
        let now = host.now();
        self.keys.publish(host, &self.claim, ENCODING, "");
        self.keys.learn(host, &|key| self.track(host, key));
        self.is_newest.set(self.claim.stands(host, &self.claim_cell));
        self.empties.refresh(host, now, Duration::ZERO);
        self.clients.refresh(host);
        self.outcomes.refresh(host);
        for track in self.keys.some() {
            self.tend(host, &track, now);
        }
    }

    fn tend<H: Host>(&self, host: &H, track: &Track, now: Instant) {
        let Ok(idle) = track.account.tick(host, now) else {
            return track.metrics.store_error(host, &self.meter);
        };
        if track.idle.replace(idle) && idle && track.ticks_since_refusal.get().is_none() {
            return;
        }
        let (window, left) = (track.account.window(host), self.left(host, track));
        track.metrics.show(host, &self.meter, &window, left, track.account.override_mode(now));
        if left > 0 || idle {
            self.empties.note_refilled(host, &track.name);
        } else if self.mode(track, now) == Mode::Enforce && self.empties.holds(&track.name) {
            self.empties.note_empty(host, &track.name, now, self.tick_period());
        }
        let ticks = track.ticks_since_refusal.get().map(|ticks| ticks + 1);
        track.ticks_since_refusal.set(ticks.filter(|ticks| *ticks <= SLOTS));
        if ticks.is_some_and(|ticks| ticks > SLOTS) {
            self.tell(host, track, "refilled");
        }
    }

    fn left<H: Host>(&self, host: &H, track: &Track) -> u64 {
        if track.account.slots().is_frozen() { 0 } else { left(&self.policy.budget, &track.account.window(host)) }
    }

    fn track<H: Host>(&self, host: &H, key: Named<'_>) -> Track {
        let account = Account::open(host, &self.meter, "", key.name, cell_name(key.prefix, key.name));
        // The first slot begins before the first request is counted.
        let first = account.refresh(host, host.now(), Duration::ZERO);
        let metrics = UpstreamMetrics::new(host, &self.meter, key.name, &self.policy.budget);
        if first.is_err() {
            metrics.store_error(host, &self.meter);
        }
        Track {
            name: key.name.to_owned(),
            account,
            metrics,
            notes_all: Cell::new(false),
            idle: Cell::new(false),
            ticks_since_refusal: Cell::new(None),
        }
    }

    fn draw(&self) -> u64 {
        self.random.borrow_mut().draw()
    }
}

/// The keys of the upstream entry's instance; the downstream entry finds its cells by the same names.
pub fn keys<T>(policy: &Policy) -> Keys<T> {
    Keys::of_chain("retry-budget", "upstream", &policy.common, &policy.meaning())
}

/// Slots per ttl.
pub fn period(ttl: Duration) -> Duration {
    ttl / u32::try_from(SLOTS).unwrap_or(10)
}

/// How many attempts this request has had so far.
pub fn attempts<H: Host>(host: &H) -> u32 {
    let bytes = host.property(&["upstream", "request_attempt_count"]).unwrap_or_default();
    bytes.first_chunk::<8>().and_then(|count| u32::try_from(u64::from_le_bytes(*count)).ok()).unwrap_or(0)
}

/// Envoy 1.36 lets the filters run for an attempt that a full pool refused, when the request has been answered already; a reply of
/// ours would then be a second one, which kills the process.
fn is_over<H: Host>(host: &H) -> bool {
    host.property(&["response", "code_details"]).is_some_and(|details| !details.is_empty())
}

fn grpc_status<H: Host>(host: &H) -> Option<u32> {
    host.header(Map::ResponseHeaders, "grpc-status").and_then(|value| number(&value))
}
