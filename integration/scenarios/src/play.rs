//! Plays a scenario on the fake proxy: two workers that take turns, in virtual time.

use super::ask::{Answer, Ask};
use super::scenario::{Count, Scenario, Step};
use core::time::Duration;
use sdk_shim::entry::Plugin;
use sdk_shim::fake::{Ended, FakeHost, FakeProxy, FilterState, Headers, InFlight, LogLine, Opening, Worker};
use sdk_shim::flavor::Flavor;
use sdk_shim::host::Host as _;
use sdk_shim::time::Instant;
use std::collections::BTreeMap;

/// Between two requests: longer than a worker goes by its copy of the shared state.
const PACE: Duration = Duration::from_millis(20);
/// How exactly time passes.
const GRAIN: Duration = Duration::from_millis(10);
/// How long the route lets a service be silent.
const PATIENCE: Duration = Duration::from_millis(400);
/// Within it, whoever holds an answer has let it go.
const HOLDS_AT_MOST: Duration = Duration::from_secs(1);
/// `response.flags` of a timeout, and of a connection that was lost.
const TIMED_OUT: i64 = 4;
const RESET: i64 = 64;
/// How a host logs a property that it doesn't know, and the one by which a module finds out where it is.
const FOREIGN: &str = "unknown property";
const ASKED: &str = "unknown property: xds.node.id";

/// Plays it; what went wrong otherwise.
pub(crate) fn play<P: Plugin<FakeHost>>(
    scenario: &Scenario,
    proxy: &FakeProxy,
    configuration: &str,
) -> Result<(), String> {
    let mut scene = Scene::<P>::open(scenario, proxy, configuration)?;
    for (nth, step) in scenario.steps.iter().enumerate() {
        scene.step(step).map_err(|wrong| format!("step {}: {wrong}", nth + 1))?;
    }
    scene.close()
}

/// A proxy with the plugin in both workers.
struct Scene<P: Plugin<FakeHost>> {
    proxy: FakeProxy,
    workers: Vec<Worker<P>>,
    ticked: Vec<Instant>,
    upstream: bool,
    retries: u32,
    turn: usize,
    held: BTreeMap<&'static str, Held<P>>,
}

/// A request that the service hasn't answered yet.
struct Held<P: Plugin<FakeHost>> {
    flight: InFlight<P>,
    ask: Ask,
    ready: Instant,
}

/// What came of a request.
struct Outcome {
    ended: Ended,
    /// What the service said, if it was asked.
    said: Option<&'static str>,
    /// How often it was.
    asked: u32,
}

impl<P: Plugin<FakeHost>> Scene<P> {
    fn open(scenario: &Scenario, proxy: &FakeProxy, configuration: &str) -> Result<Self, String> {
        for route in ["xds.route_name", "kong.route_id"] {
            proxy.set(route, "pay");
        }
        proxy.stop_iteration(scenario.configuration(Flavor::Envoy, "")["headers_stop_iteration"] == true);
        let start = |()| Worker::start(&proxy.worker(), configuration).map_err(|faults| format!("refused: {faults}"));
        let workers: Vec<Worker<P>> = [(); 2].map(start).into_iter().collect::<Result<_, _>>()?;
        let ticked = vec![proxy.clock().now(); workers.len()];
        let (upstream, retries) = (scenario.is_upstream(), scenario.retries);
        Ok(Self { proxy: proxy.clone(), workers, ticked, upstream, retries, turn: 0, held: BTreeMap::new() })
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Ask(count, ask) => {
                (1..=*count).try_for_each(|nth| self.ask(ask).map_err(|wrong| format!("request {nth}: {wrong}")))
            }
            Step::Until(most, ask) => self.until(*most, ask),
            Step::Begin(who, ask) => self.begin(who, ask),
            Step::End(who) => self.end(who),
            Step::Leave(who) => self.take(who).map(|held| {
                held.flight.abort();
            }),
            Step::Wait(time) => {
                self.pass(*time);
                Ok(())
            }
            Step::Total(name, labels, wanted) => self.total(name, labels, *wanted),
        }
    }

    fn ask(&mut self, ask: &Ask) -> Result<(), String> {
        let outcome = if self.upstream { self.attempts(ask)? } else { self.exchange(ask)? };
        self.pass(PACE);
        judge(ask, &outcome)
    }

    fn until(&mut self, most: u32, ask: &Ask) -> Result<(), String> {
        let mut last = Err("nobody asked".to_owned());
        for _ in 0..most {
            last = self.ask(ask);
            if last.is_ok() {
                break;
            }
        }
        last.map_err(|wrong| format!("not within {most} requests: {wrong}"))
    }

    fn begin(&mut self, who: &'static str, ask: &Ask) -> Result<(), String> {
        let flight = arrive(self.next().stream(), ask);
        if !flight.passed() {
            return Err(format!("{who} is not let through: {:?}", flight.reply()));
        }
        let ready = self.proxy.clock().now().plus(ask.answer.takes());
        self.held.insert(who, Held { flight, ask: ask.clone(), ready });
        self.pass(PACE);
        Ok(())
    }

    fn end(&mut self, who: &'static str) -> Result<(), String> {
        let Held { flight, ask, ready } = self.take(who)?;
        self.pass(ready.since(self.proxy.clock().now()));
        let outcome = self.answered(flight, &ask)?;
        self.pass(PACE);
        judge(&ask, &outcome)
    }

    fn take(&mut self, who: &'static str) -> Result<Held<P>, String> {
        self.held.remove(who).ok_or_else(|| format!("{who} isn't under way"))
    }

    /// A request comes to the next worker, and what comes of it. The router behind the filters tries a failing service again.
    fn exchange(&mut self, ask: &Ask) -> Result<Outcome, String> {
        let worker = self.next();
        let flight = arrive(worker.stream(), ask);
        self.until_called(&worker, &flight, ask)?;
        if flight.reply().is_some() {
            return Ok(Outcome { ended: flight.finish(), said: None, asked: 0 });
        }
        let told = flight.request_header("x-envoy-max-retries").and_then(|most| most.parse().ok());
        let retries = if fails(&ask.answer) { self.retries.min(told.unwrap_or(u32::MAX)) } else { 0 };
        self.pass(ask.answer.takes());
        self.answered(flight, ask).map(|outcome| Outcome { asked: 1 + retries, ..outcome })
    }

    /// The service answers calls of the plugin's own as it does requests, until the request that waits for them goes on.
    fn until_called(&mut self, worker: &Worker<P>, flight: &InFlight<P>, ask: &Ask) -> Result<(), String> {
        let end = self.proxy.clock().now().plus(HOLDS_AT_MOST);
        while flight.paused() {
            if self.proxy.clock().now() >= end {
                return Err("the request waits for ever".into());
            }
            for (call, _) in worker.host().pending_callouts() {
                match ask.answer.status() {
                    Some(status) => worker.answer(call, &[(":status", status.to_string().as_str())], b"{}"),
                    None => worker.answer_nothing(call),
                };
            }
            self.pass(GRAIN);
        }
        Ok(())
    }

    /// The same where the filters are the cluster's: each attempt meets them.
    fn attempts(&mut self, ask: &Ask) -> Result<Outcome, String> {
        let (worker, state) = (self.next(), FilterState::default());
        let mut asked = 0;
        loop {
            let flight = arrive(worker.stream().sharing(&state).attempt(asked + 1), ask);
            if flight.reply().is_some() {
                return Ok(Outcome { ended: flight.finish(), said: None, asked });
            }
            self.pass(ask.answer.takes());
            let outcome = self.answered(flight, ask)?;
            asked += 1;
            let told_to_stop = outcome.ended.response.get("x-envoy-ratelimited").is_some();
            let failed = outcome.ended.status.is_none_or(|status| status >= 500);
            if asked > self.retries || told_to_stop || !failed {
                return Ok(Outcome { asked, ..outcome });
            }
        }
    }

    fn next(&mut self) -> Worker<P> {
        self.turn += 1;
        self.workers[self.turn % self.workers.len()].clone()
    }

    /// The service says what it has to say, and the client gets it.
    fn answered(&mut self, mut flight: InFlight<P>, ask: &Ask) -> Result<Outcome, String> {
        let said = match &ask.answer {
            Answer::Says { status, headers, body, trailers, .. } => {
                let (status, length) = (status.to_string(), body.len().to_string());
                // As services do, where nothing comes behind the body; which comes as it likes.
                let length = trailers.is_empty().then_some(("content-length", length.as_str()));
                let always = [(":status", status.as_str())].into_iter().chain(length);
                let headers: Vec<_> = always.chain(headers.iter().copied()).collect();
                flight.respond(&headers[..], body.is_empty());
                if !body.is_empty() {
                    let (some, rest) = body.as_bytes().split_at(body.len() / 2);
                    flight.body(some, false).body(rest, trailers.is_empty());
                }
                if !trailers.is_empty() {
                    flight.trailers(&trailers[..]);
                }
                *body
            }
            Answer::Silence => {
                self.pass(PATIENCE);
                flight.local_reply(504, TIMED_OUT, "response_timeout");
                "upstream request timeout"
            }
            Answer::Reset => {
                flight.local_reply(503, RESET, "upstream_reset_before_response_started{connection_termination}");
                "upstream connect error"
            }
        };
        self.until_let_go(&flight)?;
        Ok(Outcome { ended: flight.finish(), said: Some(said), asked: 1 })
    }

    fn until_let_go(&mut self, flight: &InFlight<P>) -> Result<(), String> {
        let end = self.proxy.clock().now().plus(HOLDS_AT_MOST);
        while flight.paused() {
            if self.proxy.clock().now() >= end {
                return Err("the answer is held for ever".into());
            }
            self.pass(GRAIN);
        }
        Ok(())
    }

    /// Time passes, and timers fire when they are due.
    fn pass(&mut self, time: Duration) {
        let end = self.proxy.clock().now().plus(time);
        while self.proxy.clock().now() < end {
            self.proxy.advance(GRAIN.min(end.since(self.proxy.clock().now())));
            let now = self.proxy.clock().now();
            for (worker, ticked) in self.workers.iter().zip(&mut self.ticked) {
                if worker.tick_period().is_some_and(|period| now.since(*ticked) >= period) {
                    *ticked = now;
                    worker.tick();
                }
            }
        }
    }

    fn total(&self, name: &str, labels: &[(&str, &str)], wanted: Count) -> Result<(), String> {
        let found = sum(&self.proxy.metrics(), name, labels);
        if wanted.is(found) { Ok(()) } else { Err(format!("{name} {labels:?} is {found}, not {wanted:?}")) }
    }

    /// Nobody waits for ever, and no host would have died.
    fn close(self) -> Result<(), String> {
        for host in self.workers.iter().map(Worker::host) {
            let (hung, traps) = (host.hung(), host.traps());
            if !(hung.is_empty() && traps.is_empty()) {
                return Err(format!("hung: {hung:?}, traps: {traps:?}"));
            }
            let is_foreign = |line: &LogLine| line.line.starts_with(FOREIGN) && line.line != ASKED;
            let foreign = host.logs().into_iter().find(is_foreign);
            if let Some(line) = foreign.filter(|_| host.capabilities().flavor == Flavor::WasmX) {
                return Err(format!("the host logs {line:?}"));
            }
        }
        Ok(())
    }
}

/// A request comes.
fn arrive<P: Plugin<FakeHost>>(stream: Opening<P>, ask: &Ask) -> InFlight<P> {
    let stream = if ask.body.is_empty() { stream } else { stream.with_body() };
    let mut flight = stream.request(headers_of(ask));
    if !ask.body.is_empty() {
        flight.request_body(ask.body.as_bytes(), true);
    }
    flight
}

/// What the route retries.
fn fails(answer: &Answer) -> bool {
    !matches!(answer, Answer::Says { status, .. } if *status < 500)
}

fn headers_of(ask: &Ask) -> Headers {
    let always = [(":method", ask.method), (":path", ask.path), (":authority", "shop")];
    let length = ask.body.len().to_string();
    let length = (!ask.body.is_empty()).then_some(("content-length", length.as_str()));
    let all: Vec<_> = always.into_iter().chain(length).chain(ask.headers.iter().copied()).collect();
    Headers::from(&all[..])
}

fn judge(ask: &Ask, outcome: &Outcome) -> Result<(), String> {
    let Outcome { ended, said, asked } = outcome;
    let own = ended.reply.as_ref().map(|reply| String::from_utf8_lossy(&reply.body).into_owned());
    let body = own.or_else(|| said.map(str::to_owned)).unwrap_or_default();
    let client = ask.seen.differs(ended.status, &|name| ended.response.text(name), &body);
    let service = || ask.seen.service_differs(*asked, &|name| ended.request.text(name));
    client.or_else(service).map_or(Ok(()), Err)
}

/// The sum of all series of a metric with these labels.
fn sum(metrics: &BTreeMap<String, u64>, name: &str, labels: &[(&str, &str)]) -> u64 {
    let matches = |series: &str| {
        let mut parts = series.split(';');
        parts.next() == Some(name) && labels.iter().all(|(label, value)| series.contains(&format!(";{label}={value}")))
    };
    metrics.iter().filter(|(series, _)| matches(series)).map(|(_, total)| total).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_summed_by_label() {
        let metrics =
            [("a_total;k=x;cause=open", 2), ("a_total;k=y;cause=open", 3), ("a_total;k=x;cause=other", 4), ("b", 1)];
        let metrics = metrics.map(|(name, total)| (name.to_owned(), total)).into();
        assert_eq!(sum(&metrics, "a_total", &[("cause", "open")]), 5);
        assert_eq!(sum(&metrics, "a_total", &[("cause", "open"), ("k", "y")]), 3);
        assert_eq!((sum(&metrics, "a", &[]), sum(&metrics, "b", &[])), (0, 1));
    }
}
