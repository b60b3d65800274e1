//! The scenario table, on a real Envoy.
//!
//! `integration/scenarios` has the table, and what it is for. Here all of it shares one Envoy: each scenario has a listener, a cluster and a service of its
//! own, and an `instance` by which its counts and its state are told apart. Some are played at one time, since most of their time is waiting.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use integration::{Call, Envoy, Fault, Response, TestResult, Upstream, Wasm, config, envoy, eventually};
use scenarios::{Answer, Ask, Count, Scenario, Step, table};
use sdk_shim::flavor::{Capabilities, ENVOY, ENVOY_BEFORE_1_39_1, Flavor};
use serde_json::{Value, json};

/// Scenarios at one time.
const AT_ONCE: usize = 6;
/// Between two requests: longer than a worker goes by its copy of the shared state.
const PACE: Duration = Duration::from_millis(20);
/// How long the route lets a service be silent.
const PATIENCE: Duration = Duration::from_millis(400);
/// How long a client waits who leaves.
const LEAVES_AFTER: Duration = Duration::from_millis(700);
/// Until what must happen has happened.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn envoy_keeps_every_promise() -> TestResult {
    let host = capabilities()?;
    let (played, left): (Vec<_>, Vec<_>) = table().into_iter().partition(|scenario| scenario.lacks(host).is_empty());
    for scenario in &left {
        println!("left out, this Envoy lacks {}: {}", scenario.lacks(host).join(", "), scenario.name);
    }
    let stages = played.into_iter().enumerate().map(|(nth, scenario)| Stage::new(nth, scenario));
    let stages = stages.collect::<TestResult<Vec<_>>>()?;
    let listeners = stages.iter().map(Stage::listener).collect::<TestResult<Vec<_>>>()?;
    let clusters = stages.iter().map(Stage::cluster).collect::<TestResult<Vec<_>>>()?;
    let envoy = Envoy::start(&config::bootstrap(&listeners, &clusters))?;
    let ports: BTreeMap<String, u16> = envoy.ports()?.into_iter().collect();

    let waiting = Mutex::new(stages.iter().collect::<VecDeque<_>>());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(stage) = next() {
                    if let Err(error) = stage.play(&envoy, ports.get(&stage.name).copied()) {
                        let line = format!("{} {error:#}", stage.scenario.name);
                        wrong.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(wrong.is_empty(), "of {} scenarios:\n{}", stages.len(), wrong.join("\n"));
    ensure!(stages.len() > left.len(), "only {} scenarios were played", stages.len());
    Ok(())
}

fn capabilities() -> TestResult<&'static Capabilities> {
    Ok(if envoy::version()? >= (1, 39, 1) { &ENVOY } else { &ENVOY_BEFORE_1_39_1 })
}

/// A scenario, and the service that it is about.
struct Stage {
    /// Of its listener, cluster, route, service and instance.
    name: String,
    scenario: Scenario,
    service: Upstream,
}

/// A client who waits for the service.
struct Held<'a> {
    ask: &'a Ask,
    answer: JoinHandle<TestResult<Response>>,
}

impl Stage {
    fn new(nth: usize, scenario: Scenario) -> TestResult<Self> {
        let name = format!("s{nth}");
        Ok(Self { service: Upstream::start(&name)?, name, scenario })
    }

    fn filter(&self) -> TestResult<Value> {
        let mut own = self.scenario.configuration(Flavor::Envoy, &self.name);
        let holds = own["headers_stop_iteration"] == true;
        // The form of four numbers stands alone: there the key tells it apart.
        if own.get("window_size").is_none() {
            own["instance"] = json!(self.name);
        }
        let module = Wasm::module(self.scenario.plugin.module())?;
        Ok(module.name(&self.name).stop_iteration(holds).config(&own).filter())
    }

    fn listener(&self) -> TestResult<Value> {
        let filters = if self.scenario.is_upstream() { Vec::new() } else { vec![self.filter()?] };
        let route = config::with_timeout(config::route(&self.name, &self.name), self.patience());
        let retries = self.scenario.retries;
        let route = if retries > 0 { config::with_retries(route, "5xx", retries) } else { route };
        Ok(config::listener(&self.name, &filters, &[route]))
    }

    /// Nobody waits for the whole of it but those whose service is silent.
    fn patience(&self) -> Duration {
        let silent =
            |step: &Step| matches!(step, Step::Ask(_, ask) | Step::Until(_, ask) if ask.answer == Answer::Silence);
        if self.scenario.steps.iter().any(silent) { PATIENCE } else { SOON }
    }

    fn cluster(&self) -> TestResult<Value> {
        let cluster = config::cluster(&self.name, &[self.service.port()]);
        let cluster = if self.scenario.speaks_http2() { config::http2(cluster) } else { cluster };
        Ok(if self.scenario.is_upstream() { config::upstream_filters(cluster, &[self.filter()?]) } else { cluster })
    }

    fn play(&self, envoy: &Envoy, port: Option<u16>) -> TestResult {
        let port = port.context("its listener has no port")?;
        let mut held = BTreeMap::new();
        for (nth, step) in self.scenario.steps.iter().enumerate() {
            self.step(envoy, port, &mut held, step).with_context(|| format!("step {}", nth + 1))?;
        }
        Ok(())
    }

    fn step<'a>(
        &'a self,
        envoy: &Envoy,
        port: u16,
        held: &mut BTreeMap<&'static str, Held<'a>>,
        step: &'a Step,
    ) -> TestResult {
        match step {
            Step::Ask(count, ask) => {
                (1..=*count).try_for_each(|nth| self.ask(port, ask).with_context(|| format!("request {nth}")))
            }
            Step::Until(most, ask) => self.until(port, *most, ask),
            Step::Begin(who, ask) => {
                held.insert(who, self.begin(port, ask, self.leaves(who))?);
                Ok(())
            }
            Step::End(who) => {
                let Held { ask, answer } = held.remove(who).with_context(|| format!("{who} isn't under way"))?;
                let answer = answer.join().map_err(|_| anyhow::anyhow!("{who} panicked"))??;
                thread::sleep(PACE);
                self.judge(ask, &answer, 1)
            }
            Step::Leave(who) => {
                let held = held.remove(who).with_context(|| format!("{who} isn't under way"))?;
                let answer = held.answer.join().map_err(|_| anyhow::anyhow!("{who} panicked"))?;
                ensure!(answer.is_err(), "{who} had an answer before leaving: {answer:?}");
                Ok(())
            }
            Step::Wait(time) => {
                thread::sleep(*time);
                Ok(())
            }
            Step::Total(name, labels, wanted) => self.total(envoy, name, labels, *wanted),
        }
    }

    fn leaves(&self, who: &str) -> bool {
        self.scenario.steps.iter().any(|step| matches!(step, Step::Leave(leaver) if *leaver == who))
    }

    fn ask(&self, port: u16, ask: &Ask) -> TestResult {
        let before = self.service.hits();
        // Calls of the plugin's own say nothing of what they want to hear.
        let well = ask.answer.status().is_some_and(|status| status < 400);
        self.service.set_health(if well { Fault::Healthy } else { Fault::Status(500) });
        let answer = self.call(port, ask).send()?;
        thread::sleep(PACE);
        self.judge(ask, &answer, self.service.hits() - before)
    }

    fn until(&self, port: u16, most: u32, ask: &Ask) -> TestResult {
        let mut last = Ok(());
        for _ in 0..most {
            last = self.ask(port, ask);
            if last.is_ok() {
                return Ok(());
            }
        }
        last.with_context(|| format!("not within {most} requests"))
    }

    /// Returns once the service has the request.
    fn begin<'a>(&self, port: u16, ask: &'a Ask, leaves: bool) -> TestResult<Held<'a>> {
        let before = self.service.hits();
        let call = self.call(port, ask);
        let call = if leaves { call.timeout(LEAVES_AFTER) } else { call };
        let answer = thread::spawn(move || call.send());
        eventually("the service is asked", SOON, || self.service.hits() > before)?;
        Ok(Held { ask, answer })
    }

    fn judge(&self, ask: &Ask, answer: &Response, asked: u64) -> TestResult {
        let seen = self.service.seen();
        let told = |name: &str| seen.last().and_then(|seen| seen.header(name)).map(str::to_owned);
        let header = |name: &str| answer.header(name).map(str::to_owned);
        let client = ask.seen.differs(Some(answer.status), &header, &answer.text());
        match client.or_else(|| ask.seen.service_differs(u32::try_from(asked).unwrap_or(u32::MAX), &told)) {
            Some(wrong) => bail!(wrong),
            None => Ok(()),
        }
    }

    /// What is counted at a request's end may come after its answer.
    fn total(&self, envoy: &Envoy, name: &str, labels: &[(&str, &str)], wanted: Count) -> TestResult {
        let own = [("instance", self.name.as_str()), ("key", self.name.as_str())];
        let has = |series: &str, (label, value): (&str, &str)| {
            series.split(';').skip(1).any(|part| part.split_once('=') == Some((label, value)))
        };
        eventually(&format!("{name} {labels:?} is {wanted:?}"), SOON, || -> TestResult<bool> {
            let all = envoy.stats(&format!("wasmcustom\\.{name}(;|$)"))?;
            let mine = all.iter().filter(|(series, _)| {
                own.iter().any(|label| has(series, *label)) && labels.iter().all(|label| has(series, *label))
            });
            let found: u64 = mine.map(|(_, total)| total).sum();
            ensure!(wanted.is(found), "it is {found}");
            Ok(true)
        })
    }

    /// The request, which tells the service what to say.
    fn call(&self, port: u16, ask: &Ask) -> Call {
        let body = ask.body.as_bytes();
        let call = if body.is_empty() { Call::get(port, ask.path) } else { Call::post(port, ask.path, body) };
        let call = if self.scenario.speaks_http2() { call.http2() } else { call };
        let call = ask.headers.iter().fold(call.fresh_connection(), |call, (name, value)| call.header(name, value));
        match &ask.answer {
            Answer::Silence => call.header("x-upstream-fault", "hang"),
            Answer::Reset => call.header("x-upstream-fault", "reset"),
            Answer::Says { status, headers, body, trailers, after } => {
                let wanted = json!({"status": status, "headers": headers, "body": body, "trailers": trailers});
                call.header("x-upstream-answer", wanted.to_string())
                    .header("x-upstream-fault", format!("slow:{}", after.as_millis()))
            }
        }
    }
}
