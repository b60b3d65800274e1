//! The circuit breaker.

use super::ask::{Answer, Ask, Value, get, post};
use super::scenario::{Plugin, Scenario};
use core::time::Duration;

/// Half of at least four calls within two seconds open it for the rest of the scenario.
const STEADY: &str = r#"{"window": {"time": "2s"}, "minimum_calls": 4, "slow_ratio": null,
    "open": {"base": "60s", "max": "60s", "jitter": 0}, "recovery": {"over": "0ms"}}"#;
/// The same, and it is open for half a second.
const BRIEF: &str = r#"{"window": {"time": "2s"}, "minimum_calls": 4, "slow_ratio": null,
    "open": {"base": "500ms", "max": "60s", "jitter": 0}, "recovery": {"over": "0ms"}}"#;
/// The same, and it comes back slowly.
const SLOWLY_BACK: &str = r#"{"window": {"time": "2s"}, "minimum_calls": 4, "slow_ratio": null,
    "open": {"base": "500ms", "max": "60s", "jitter": 0}, "recovery": {"over": "60s"}}"#;
/// Two failures in a row open it.
const IN_A_ROW: &str = r#"{"consecutive_failures": 2, "failure_ratio": null, "slow_ratio": null,
    "open": {"base": "60s", "max": "60s", "jitter": 0}}"#;
const SLOW: &str = r#"{"window": {"time": "2s"}, "minimum_calls": 4, "failure_ratio": null, "slow_call": "60ms", "slow_ratio": 0.5,
    "open": {"base": "60s", "max": "60s", "jitter": 0}}"#;
const FOUND_IN_THE_WILD: &str =
    r#"{"timeout": 3000, "threshold": 0.5, "min_half_open_requests": 5, "window_size": 10000}"#;
const IN_THE_CLUSTER: &str = r#"{"chain": "upstream", "consecutive_failures": 2, "failure_ratio": null, "slow_ratio": null,
    "open": {"base": "60s", "max": "60s", "jitter": 0}}"#;
const DRY: &str = r#"{"mode": "dry_run", "window": {"time": "2s"}, "minimum_calls": 4, "slow_ratio": null,
    "open": {"base": "60s", "max": "60s", "jitter": 0}}"#;
const FORCED_CLOSED: &str =
    r#"{"mode": "force_closed", "consecutive_failures": 2, "failure_ratio": null, "slow_ratio": null}"#;
const BY_TENANT: &str = r#"{"key": ["header:x-tenant"], "key_allow": {"header:x-tenant": ["blue", "green"]}, "consecutive_failures": 2,
    "failure_ratio": null, "slow_ratio": null, "open": {"base": "60s", "max": "60s", "jitter": 0}}"#;
const OWN_WORDS: &str = r#"{"consecutive_failures": 2, "failure_ratio": null, "slow_ratio": null, "open": {"base": "60s", "max": "60s"},
    "on_open": {"reply": {"status": 429, "headers": {"x-why": "busy"}, "body": "come back later"}}}"#;
const REROUTED: &str = r#"{"consecutive_failures": 2, "failure_ratio": null, "slow_ratio": null, "open": {"base": "60s", "max": "60s"},
    "on_open": {"reroute": {}}}"#;
const OPEN: &str = "circuit-breaker; cause=open";
const CALLS: &str = "holdfast_circuit_breaker_calls_total";
const REJECTED: &str = "holdfast_circuit_breaker_rejected_total";
const TRANSITIONS: &str = "holdfast_circuit_breaker_transitions_total";

fn breaker(name: &'static str, config: &'static str) -> Scenario {
    Scenario::new(Plugin::CircuitBreaker, name, config)
}

/// All workers have met the route, and then the service fails until the breaker is open.
fn broken(name: &'static str, config: &'static str) -> Scenario {
    breaker(name, config).times(4, get("/pay").gets(200)).until(20, fails().refused(503, OPEN))
}

fn fails() -> Ask {
    get("/pay").answer(Answer::of(503))
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    [opening(), coming_back(), modes(), choices()].concat()
}

fn opening() -> Vec<Scenario> {
    let rpc = Answer::of(200).with("content-type", "application/grpc").with("grpc-status", "14").says("");
    vec![
        broken("A service that fails is left alone, and clients are told at once.", STEADY)
            .times(3, get("/pay").refused(503, OPEN).header("retry-after", Value::Present))
            .total(REJECTED, &[("cause", "open")], 4)
            .total(TRANSITIONS, &[("to", "open")], 1),
        breaker("A service that is well is never refused to anybody.", STEADY)
            .times(12, get("/pay").gets(200))
            .total(CALLS, &[("outcome", "success")], 12)
            .total(REJECTED, &[], 0),
        breaker("What callers do wrong is nothing that a service fails at.", STEADY)
            .times(6, get("/pay").gets(404))
            .times(6, get("/pay").gets(429))
            .ask(get("/pay").gets(200))
            .total(CALLS, &[("outcome", "failure")], 0),
        breaker("A few failures in a row are enough where that is asked for.", IN_A_ROW)
            .times(2, get("/pay").gets(200))
            .until(8, fails().refused(503, OPEN))
            .at_least(CALLS, &[("outcome", "failure")], 2),
        breaker("A service that says nothing fails too.", IN_A_ROW)
            .until(8, get("/pay").answer(Answer::Silence).refused(503, OPEN))
            .at_least(CALLS, &[("outcome", "failure")], 2),
        breaker("A service whose connections break fails too.", IN_A_ROW)
            .until(8, get("/pay").answer(Answer::Reset).refused(503, OPEN))
            .at_least(CALLS, &[("outcome", "failure")], 2),
        breaker("A service that has become slow is left alone.", SLOW)
            .times(4, get("/pay").gets(200))
            .until(20, get("/pay").answer(Answer::of(200).later(Duration::from_millis(120))).refused(503, OPEN))
            .at_least("holdfast_circuit_breaker_slow_calls_total", &[], 2),
        breaker("A gRPC status in the headers of a 200 is heard, and a refusal is told as one.", IN_A_ROW)
            .needs("answers_grpc")
            .until(
                8,
                post("/shop.Orders/Get", "\0\0\0\0\0")
                    .with("content-type", "application/grpc")
                    .answer(rpc)
                    .sees(200)
                    .header("x-holdfast-reject", Value::Is(OPEN))
                    .header("grpc-status", Value::Is("14"))
                    .asked(0),
            ),
        breaker("A gRPC status behind the message is heard where the proxy tells of it.", IN_A_ROW)
            .needs("response_trailers")
            .until(
                8,
                post("/shop.Orders/Get", "\0\0\0\0\0")
                    .with("content-type", "application/grpc")
                    .answer(
                        Answer::of(200)
                            .with("content-type", "application/grpc")
                            .says("\0\0\0\0\0")
                            .ends("grpc-status", "14"),
                    )
                    .sees(200)
                    .header("x-holdfast-reject", Value::Is(OPEN))
                    .asked(0),
            ),
        breaker("The four numbers of the form found in the wild are enough.", FOUND_IN_THE_WILD)
            .times(4, get("/pay").gets(200))
            .until(60, fails().refused(503, OPEN)),
        breaker("An attempt that the breaker of its cluster refuses is not tried again.", IN_THE_CLUSTER)
            .needs("upstream_chain")
            .retries(2)
            .until(8, fails().refused(503, OPEN))
            .at_least(CALLS, &[("chain", "upstream"), ("outcome", "failure")], 2),
    ]
}

fn coming_back() -> Vec<Scenario> {
    let probe = get("/pay").answer(Answer::of(200).later(Duration::from_millis(1_500))).sees(200).asked(1);
    vec![
        broken("When its time is over a probe finds the service well, and everybody passes.", BRIEF)
            .wait(600)
            .times(4, get("/pay").gets(200))
            .total(TRANSITIONS, &[("to", "half_open")], 1)
            .total("holdfast_circuit_breaker_probes_total", &[("result", "success")], 1)
            .total("holdfast_circuit_breaker_state", &[], 0),
        broken("A probe that fails opens it again, for twice as long.", BRIEF)
            .wait(600)
            .ask(get("/pay").gets(500))
            .wait(600)
            .ask(get("/pay").refused(503, OPEN))
            .wait(600)
            .ask(get("/pay").gets(200))
            .total("holdfast_circuit_breaker_probes_total", &[("result", "failure")], 1)
            .total(TRANSITIONS, &[("to", "open")], 2),
        broken("While a probe is under way nobody else passes.", BRIEF)
            .wait(600)
            .begin("the probe", probe)
            .times(3, get("/pay").refused(503, "circuit-breaker; cause=half_open"))
            .end("the probe")
            .ask(get("/pay").gets(200)),
        broken("A service that comes back gets its requests little by little.", SLOWLY_BACK)
            .wait(600)
            .ask(get("/pay").gets(200))
            .until(20, get("/pay").refused(503, "circuit-breaker; cause=recovering"))
            .total("holdfast_circuit_breaker_state", &[], 3),
    ]
}

fn modes() -> Vec<Scenario> {
    vec![
        breaker("A dry run counts whom it would refuse, and refuses nobody.", DRY)
            .times(4, get("/pay").gets(200))
            .times(20, get("/pay").gets(503))
            .at_least("holdfast_circuit_breaker_would_reject_total", &[("cause", "open")], 8)
            .total(REJECTED, &[], 0),
        breaker("An operator can take a service out.", r#"{"mode": "force_open"}"#)
            .times(3, get("/pay").refused(503, "circuit-breaker; cause=forced"))
            .total(REJECTED, &[("cause", "forced")], 3),
        breaker("An operator can keep a service in.", FORCED_CLOSED).times(8, get("/pay").gets(500)).total(
            REJECTED,
            &[],
            0,
        ),
        breaker("A breaker that is switched off counts nothing.", r#"{"mode": "disabled", "minimum_calls": 1}"#)
            .times(8, get("/pay").gets(500))
            .total(CALLS, &[], 0),
    ]
}

fn choices() -> Vec<Scenario> {
    vec![
        breaker("One tenant's failures are not another one's.", BY_TENANT)
            .until(8, fails().with("x-tenant", "blue").refused(503, OPEN))
            .times(3, get("/pay").with("x-tenant", "green").gets(200))
            .ask(get("/pay").with("x-tenant", "blue").refused(503, OPEN)),
        breaker("The answer of an open breaker is the operator's own.", OWN_WORDS)
            .until(8, fails().refused(429, OPEN).header("x-why", Value::Is("busy")).body("come back later")),
        breaker("Who would be refused may go another way.", REROUTED)
            .needs("reroute_by_header")
            .until(8, fails().service("x-holdfast-fallback", Value::Is("1")).asked(1))
            .at_least("holdfast_circuit_breaker_rerouted_total", &[], 1),
    ]
}
