//! Clients, a gateway with one worker, a service; in virtual time.

use super::outcome::Outcome;
use super::scenario::Scenario;
use circuit_breaker::CircuitBreaker;
use retry_budget::RetryBudget;
use sdk_shim::entry::Plugin;
use sdk_shim::fake::{FakeHost, FakeProxy, FilterState, InFlight, Worker};
use sdk_shim::random::{SplitMix64, below};
use std::collections::BTreeMap;
use std::time::Duration;

const GET: &[(&str, &str); 3] = &[(":method", "GET"), (":path", "/"), (":authority", "service")];
/// Envoy's flag of a request that took too long.
const TIMED_OUT: i64 = 4;
/// Envoy's first wait before a retry, at most.
const BACK_OFF: Duration = Duration::from_millis(25);
/// The header by which the budget tells the router not to try again.
const VETO: &str = "x-envoy-ratelimited";
/// Of the breaker's gauge.
const PHASES: [&str; 4] = ["closed", "open", "half open", "recovering"];

enum Event {
    Arrival,
    /// An attempt is over.
    Answer(Box<Call>, Answer),
    /// The back-off is.
    Retry(Box<Call>),
    BreakerTicks,
    BudgetTicks,
    /// A second is.
    Look,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Good,
    Failed,
    TooLate,
}

/// A client's request.
struct Call {
    began: Duration,
    tries: u32,
    state: FilterState,
    request: Option<InFlight<CircuitBreaker>>,
    attempt: Option<InFlight<RetryBudget>>,
}

struct World<'a> {
    scenario: &'a Scenario,
    proxy: FakeProxy,
    breaker: Option<Worker<CircuitBreaker>>,
    budget: Option<Worker<RetryBudget>>,
    /// The header by which the breaker sends a request another way, to be answered by somebody else.
    elsewhere: Option<String>,
    /// By time, and those of one time as they were planned.
    events: BTreeMap<(Duration, u64), Event>,
    planned: u64,
    now: Duration,
    /// Its own, so that both runs have the same requests.
    arrivals: SplitMix64,
    chance: SplitMix64,
    outcome: Outcome,
}

/// Simulates the outage with a breaker and a budget that are configured so; none where there is no configuration.
pub(super) fn run(scenario: &Scenario, breaker: Option<&str>, budget: Option<&str>) -> Result<Outcome, String> {
    let proxy = FakeProxy::envoy();
    for (path, value) in [("xds.route_name", "service"), ("xds.cluster_name", "service"), ("cluster_name", "service")] {
        proxy.set(path, value);
    }
    let host = proxy.worker();
    let mut world = World {
        scenario,
        breaker: breaker.map(|config| start(&host, config)).transpose()?,
        budget: budget.map(|config| start(&proxy.worker(), config)).transpose()?,
        elsewhere: breaker.and_then(elsewhere),
        proxy,
        events: BTreeMap::new(),
        planned: 0,
        now: Duration::ZERO,
        arrivals: SplitMix64::new(scenario.seed),
        chance: SplitMix64::new(scenario.seed.wrapping_add(1)),
        outcome: Outcome::default(),
    };
    world.begin();
    while let Some(((at, _), event)) = world.events.pop_first() {
        world.proxy.advance(at.saturating_sub(world.now));
        world.now = at;
        world.handle(event);
    }
    Ok(world.outcome)
}

fn elsewhere(config: &str) -> Option<String> {
    let config: serde_json::Value = serde_json::from_str(config).ok()?;
    config.pointer("/on_open/reroute/header")?.as_str().map(str::to_owned)
}

fn start<P: Plugin<FakeHost>>(host: &FakeHost, config: &str) -> Result<Worker<P>, String> {
    Worker::start(host, config).map_err(|faults| faults.to_string())
}

// === impl World ===

impl World<'_> {
    fn plan(&mut self, after: Duration, event: Event) {
        self.planned += 1;
        self.events.insert((self.now.saturating_add(after), self.planned), event);
    }

    fn is_over(&self) -> bool {
        self.now >= self.scenario.duration
    }

    fn begin(&mut self) {
        self.next_arrival();
        self.plan(Duration::from_secs(1), Event::Look);
        self.next_tick(self.breaker.as_ref().and_then(Worker::tick_period), Event::BreakerTicks);
        self.next_tick(self.budget.as_ref().and_then(Worker::tick_period), Event::BudgetTicks);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::Answer(call, answer) => self.answered(call, answer),
            Event::Retry(call) => self.attempt(call),
            Event::BreakerTicks => {
                self.breaker.iter().for_each(Worker::tick);
                self.next_tick(self.breaker.as_ref().and_then(Worker::tick_period), Event::BreakerTicks);
            }
            Event::BudgetTicks => {
                self.budget.iter().for_each(Worker::tick);
                self.next_tick(self.budget.as_ref().and_then(Worker::tick_period), Event::BudgetTicks);
            }
            Event::Look => self.look(),
        }
    }

    fn next_tick(&mut self, period: Option<Duration>, event: Event) {
        if let Some(period) = period.filter(|period| !period.is_zero() && !self.is_over()) {
            self.plan(period, event);
        }
    }

    /// Gaps are uniform in 0 to two means.
    fn next_arrival(&mut self) {
        let mean = 1_000_000_000 / self.scenario.requests_per_second.max(1);
        let gap = below(self.arrivals.draw(), 2 * mean + 1);
        self.plan(Duration::from_nanos(gap), Event::Arrival);
    }

    /// What the breaker shows; and what the plugins asked of their host needn't be kept.
    fn look(&mut self) {
        let metrics = self.proxy.metrics();
        let gauge = metrics.iter().find(|(name, _)| name.starts_with("holdfast_circuit_breaker_state;"));
        let code = gauge.and_then(|(_, value)| usize::try_from(*value).ok()).unwrap_or_default();
        let phase = if self.breaker.is_some() { PHASES.get(code).copied().unwrap_or_default() } else { "" };
        self.outcome.at(self.now.saturating_sub(Duration::from_nanos(1))).phase = phase;
        self.breaker.iter().for_each(|worker| worker.host().clear_calls());
        self.budget.iter().for_each(|worker| worker.host().clear_calls());
        if !self.is_over() {
            self.plan(Duration::from_secs(1), Event::Look);
        }
    }

    fn arrive(&mut self) {
        if self.is_over() {
            return;
        }
        self.next_arrival();
        self.outcome.at(self.now).requests += 1;
        let state = FilterState::default();
        let request = self.breaker.as_ref().map(|breaker| breaker.stream().sharing(&state).request(GET));
        let call = Call { began: self.now, tries: 0, state, request, attempt: None };
        match call.request.as_ref().map(InFlight::passed) {
            Some(false) => {
                self.outcome.at(self.now).refused += 1;
                call.end();
            }
            _ if call.has(self.elsewhere.as_deref()) => {
                self.outcome.at(self.now).moved += 1;
                call.end();
            }
            _ => self.attempt(Box::new(call)),
        }
    }

    fn attempt(&mut self, mut call: Box<Call>) {
        call.tries += 1;
        let budget = self.budget.as_ref();
        call.attempt = budget.map(|budget| budget.stream().attempt(call.tries).sharing(&call.state).request(GET));
        if call.attempt.as_ref().is_some_and(|attempt| !attempt.passed()) {
            return self.over(*call, Answer::Failed);
        }
        self.outcome.at(self.now).attempts += 1;
        let left = call.began.saturating_add(self.scenario.timeout).saturating_sub(self.now);
        let Some(spell) = self.scenario.at(self.now) else { return };
        let answer = match spell.takes > left {
            true => Answer::TooLate,
            false if spell.fails.takes(self.chance.draw()) => Answer::Failed,
            false => Answer::Good,
        };
        self.plan(spell.takes.min(left), Event::Answer(call, answer));
    }

    fn answered(&mut self, mut call: Box<Call>, answer: Answer) {
        let vetoed = call.attempt.take().is_some_and(|attempt| is_vetoed(attempt, answer));
        let left = call.began.saturating_add(self.scenario.timeout).saturating_sub(self.now);
        let more = answer == Answer::Failed && !vetoed && u64::from(call.tries) <= self.scenario.retries;
        let wait = Duration::from_nanos(below(self.chance.draw(), most_wait(call.tries)));
        if more && wait < left {
            self.plan(wait, Event::Retry(call));
        } else {
            self.over(*call, answer);
        }
    }

    fn over(&mut self, mut call: Call, answer: Answer) {
        if let Some(mut request) = call.request.take() {
            match answer {
                Answer::TooLate => request.local_reply(504, TIMED_OUT, "response_timeout"),
                Answer::Failed => request.respond(&[(":status", "503")], true),
                Answer::Good => request.respond(&[(":status", "200")], true),
            };
            request.finish();
        }
        let second = self.outcome.at(call.began);
        if answer == Answer::Good {
            second.good += 1;
        } else {
            second.failed += 1;
            self.outcome.waited += self.now.saturating_sub(call.began);
        }
    }
}

/// The service answers an attempt, or doesn't in time. Whether the budget says that there is to be no other.
fn is_vetoed(mut attempt: InFlight<RetryBudget>, answer: Answer) -> bool {
    let status = match answer {
        Answer::Good => "200",
        Answer::Failed => "503",
        Answer::TooLate => {
            attempt.fail_upstream("");
            return true;
        }
    };
    attempt.respond(&[(":status", status)], true);
    let vetoed = attempt.response_header(VETO).is_some();
    attempt.finish();
    vetoed
}

/// Envoy's full jitter: up to 25 ms, 75 ms, 175 ms, and ten times the first at most.
fn most_wait(tries: u32) -> u64 {
    let first = sdk_shim::time::nanos(BACK_OFF);
    let times = 1_u64.checked_shl(tries).unwrap_or(u64::MAX).saturating_sub(1).min(10);
    first.saturating_mul(times).max(1)
}

// === impl Call ===

impl Call {
    /// Whether the breaker put this header on it.
    fn has(&self, header: Option<&str>) -> bool {
        let request = self.request.as_ref().zip(header);
        request.is_some_and(|(request, header)| request.request_header(header).is_some())
    }

    /// It never came to the service.
    fn end(self) {
        if let Some(request) = self.request {
            request.finish();
        }
    }
}
