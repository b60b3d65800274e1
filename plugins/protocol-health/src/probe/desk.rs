//! Where probers ask. However many do, each worker has one round of calls under way: the others wait for its end.
//!
//! A call of a request's own would die with that request and leave the others waiting (T14), so the root makes them, in its ticks, which run only while
//! there is something to do. A host that can't hold a request without a call of its own (`WasmX`) lets each prober ask by itself; answers are kept
//! for the others all the same.

use super::Probe;
use super::answer::{Dialect, of_services};
use super::ask::{Ask, Health, Heard, MOST};
use super::cache::{Cache, Look};
use core::cell::RefCell;
use core::time::Duration;
use sdk_shim::dispatch::{self, MAX_WAKES_PER_CALLBACK};
use sdk_shim::entry::{Answer, Flow};
use sdk_shim::headers::number;
use sdk_shim::host::{CalloutId, ContextId, Host, Map, Reply};
use sdk_shim::time::Instant;

/// Ticks while somebody waits.
pub const BUSY: Duration = Duration::from_millis(10);
/// Probers that may wait for one round; more of them are told at once that nobody knows.
const MOST_WAITING: usize = 1_000;

/// All probes of an entry.
#[derive(Debug)]
pub struct Desk(Vec<Counter>);

/// One of them.
#[derive(Debug)]
struct Counter {
    probe: Probe,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    cache: Cache,
    /// A round is to begin.
    wanted: bool,
    round: Option<Round>,
    waiting: Vec<Waiting>,
}

/// One call to each cluster.
#[derive(Debug)]
pub struct Round {
    began: Instant,
    flights: Vec<(CalloutId, usize)>,
    got: Vec<Option<Health>>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    context: ContextId,
    dialect: Dialect,
    since: Instant,
}

/// A prober that asks by itself.
#[derive(Debug)]
pub struct Own {
    counter: usize,
    dialect: Dialect,
    round: Round,
}

// === impl Desk ===

impl Desk {
    /// For these probes.
    pub fn new(probes: &[Probe]) -> Self {
        Self(probes.iter().map(|probe| Counter { probe: probe.clone(), state: RefCell::default() }).collect())
    }

    /// Which of them is asked on this path.
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        self.0.iter().position(|counter| counter.probe.path.as_bytes() == path)
    }

    /// A request asks. The second one of the pair is its own round of calls, on a host that wants that.
    pub fn ask<H: Host>(&self, host: &H, counter: usize, dialect: Dialect) -> (Flow, Option<Own>) {
        let Some(Counter { probe, state }) = self.0.get(counter) else { return (Flow::Continue, None) };
        let now = host.now();
        let (alone, mut state) = (!host.capabilities().pause_without_call, state.borrow_mut());
        let told = |healths: &[Health]| (Flow::Reply(Box::new(of_services(probe, healths, dialect))), None);
        match state.cache.look(now, probe.fresh, probe.stale) {
            Look::Fresh(healths) => return told(&healths),
            Look::Stale(healths) if !alone => {
                state.wanted |= state.round.is_none();
                return told(&healths);
            }
            Look::Stale(_) | Look::Nothing => {}
        }
        if alone {
            let round = Round::begin(host, probe, now);
            return match round.whole() {
                Some(healths) => told(&healths),
                None => (Flow::Pause, Some(Own { counter, dialect, round })),
            };
        }
        if state.waiting.len() >= MOST_WAITING {
            return told(&vec![Health::Ill("too many ask"); probe.clusters.len()]);
        }
        // Whoever asks while a round is under way profits from it.
        state.wanted |= state.round.is_none();
        state.waiting.push(Waiting { context: host.context(), dialect, since: now });
        (Flow::Pause, None)
    }

    /// Whether ticks are needed.
    pub fn is_busy(&self) -> bool {
        self.0.iter().any(|counter| {
            let state = counter.state.borrow();
            state.wanted || state.round.is_some() || !state.waiting.is_empty()
        })
    }

    /// Rounds begin and end, and whoever has waited is answered.
    pub fn tick<H: Host>(&self, host: &H) {
        let now = host.now();
        for counter in &self.0 {
            counter.move_on(host, now);
        }
        self.wake(host, now);
    }

    /// A call of the root was answered; false where it wasn't ours.
    pub fn answered<H: Host>(&self, host: &H, answer: Answer) -> bool {
        let now = host.now();
        let ours = self.0.iter().any(|counter| counter.heard(host, answer, now));
        if ours {
            self.wake(host, now);
        }
        ours
    }

    /// A call of a request's own was answered: what it is told when it was the last one.
    pub fn answered_own<H: Host>(&self, host: &H, own: &mut Own, answer: Answer) -> Option<Reply> {
        let Counter { probe, state } = self.0.get(own.counter)?;
        own.round.hear(host, probe, answer);
        let healths = own.round.whole()?;
        state.borrow_mut().cache.put(host.now(), healths.clone());
        Some(of_services(probe, &healths, own.dialect))
    }

    /// Answers whoever can be answered, not too many in one callback (T13). Streams that are gone are skipped.
    fn wake<H: Host>(&self, host: &H, now: Instant) {
        let mut left = MAX_WAKES_PER_CALLBACK;
        for counter in &self.0 {
            for (context, reply) in counter.due(now, left) {
                left -= 1;
                if host.set_context(context) {
                    host.reply(&reply);
                }
            }
        }
        host.set_context(host.context());
    }
}

// === impl Counter ===

impl Counter {
    fn move_on<H: Host>(&self, host: &H, now: Instant) {
        let mut state = self.state.borrow_mut();
        if state.round.as_ref().is_some_and(|round| round.is_overdue(&self.probe, now)) {
            // The host has lost it, or the clock stepped.
            let healths = state.round.take().map(|round| round.got).unwrap_or_default();
            let healths = healths.into_iter().map(|health| health.unwrap_or(Health::Ill("timeout"))).collect();
            state.cache.put(now, healths);
        }
        if state.wanted && state.round.is_none() {
            state.wanted = false;
            let round = Round::begin(host, &self.probe, now);
            match round.whole() {
                Some(healths) => state.cache.put(now, healths),
                None => state.round = Some(round),
            }
        }
    }

    fn heard<H: Host>(&self, host: &H, answer: Answer, now: Instant) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(round) = state.round.as_mut() else { return false };
        let ours = round.hear(host, &self.probe, answer);
        if let Some(healths) = round.whole() {
            state.round = None;
            state.cache.put(now, healths);
        }
        ours
    }

    /// Takes out whoever can be answered: what was fetched since he asked, or that his time is over.
    fn due(&self, now: Instant, most: usize) -> Vec<(ContextId, Reply)> {
        let mut state = self.state.borrow_mut();
        let State { cache, waiting, .. } = &mut *state;
        let mut due = Vec::new();
        waiting.retain(|waiting| {
            if due.len() >= most {
                return true;
            }
            let late = now < waiting.since || now.since(waiting.since) >= self.probe.timeout;
            let timeout = || vec![Health::Ill("timeout"); self.probe.clusters.len()];
            let healths = cache.since(waiting.since).map(<[Health]>::to_vec).or_else(|| late.then(timeout));
            let Some(healths) = healths else { return true };
            due.push((waiting.context, of_services(&self.probe, &healths, waiting.dialect)));
            false
        });
        due
    }
}

// === impl Round ===

impl Round {
    fn begin<H: Host>(host: &H, probe: &Probe, now: Instant) -> Self {
        let mut round = Self { began: now, flights: Vec::new(), got: vec![None; probe.clusters.len()] };
        for (place, cluster) in probe.clusters.iter().enumerate() {
            match host.dispatch(&probe.ask.callout(probe, cluster)) {
                Ok(id) => round.flights.push((id, place)),
                Err(_) => round.set(place, Health::Ill("no such cluster")),
            }
        }
        round
    }

    fn set(&mut self, place: usize, health: Health) {
        if let Some(got) = self.got.get_mut(place) {
            *got = Some(health);
        }
    }

    fn hear<H: Host>(&mut self, host: &H, probe: &Probe, answer: Answer) -> bool {
        let Some(at) = self.flights.iter().position(|(id, _)| *id == answer.id) else { return false };
        let (_, place) = self.flights.swap_remove(at);
        self.set(place, probe.ask.health(&heard(host, &probe.ask, &answer)));
        true
    }

    /// What all have said, when they have.
    fn whole(&self) -> Option<Vec<Health>> {
        self.got.iter().copied().collect()
    }

    fn is_overdue(&self, probe: &Probe, now: Instant) -> bool {
        now < self.began || now.since(self.began) >= probe.timeout + BUSY * 2
    }
}

fn heard<H: Host>(host: &H, ask: &Ask, answer: &Answer) -> Heard {
    let (status, body) = match dispatch::read(host, answer, MOST) {
        Ok(answered) => (answered.status, Some(answered.body)),
        Err(dispatch::NoAnswer::Cut { .. }) => {
            let status = host.header(Map::CalloutHeaders, ":status").and_then(|status| number(&status));
            (status.and_then(|status| u16::try_from(status).ok()).unwrap_or(0), None)
        }
        Err(_) => return Heard::default(),
    };
    let grpc = match ask {
        Ask::Grpc { .. } => host
            .header(Map::CalloutHeaders, "grpc-status")
            .or_else(|| if answer.trailers == 0 { None } else { host.header(Map::CalloutTrailers, "grpc-status") }),
        _ => None,
    };
    let header = match ask {
        Ask::Rest { predicate: Some(predicate), .. } => {
            predicate.header.as_ref().and_then(|(name, _)| host.header(Map::CalloutHeaders, name))
        }
        _ => None,
    };
    Heard { status, grpc: grpc.and_then(|value| number(&value)), header, body }
}
