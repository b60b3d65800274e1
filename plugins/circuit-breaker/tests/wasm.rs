//! Decisions, codec and configuration as the WebAssembly that a proxy runs, in Node: `cargo xtask test` starts it.
//!
//! Here `usize` has 32 bits and 128-bit arithmetic is done in software, so the stories are those that count in big numbers.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)]

use circuit_breaker::decide::{Admission, Cause, Evidence, Settled, Ticket, Verdict, admit, settle, tend, throttled};
use circuit_breaker::policy::{Policy, Window};
use circuit_breaker::state::{Counts, Lease, Phase, State};
use core::time::Duration;
use sdk_shim::cell::Record;
use sdk_shim::random::SplitMix64;
use sdk_shim::ratio::Ratio;
use sdk_shim::time::Instant;
use sdk_shim::window::Totals;
use wasm_bindgen_test::wasm_bindgen_test;

const NOW: Instant = Instant::from_millis(1_700_000_000_000);

fn policy(config: &str) -> Policy {
    circuit_breaker::config::read(config.as_bytes()).unwrap()
}

fn later(millis: u64) -> Instant {
    NOW.plus(Duration::from_millis(millis))
}

fn ask(policy: &Policy, state: &State, now: Instant) -> (State, Admission) {
    let step = admit(policy, state, Counts::default(), true, now, 0);
    (step.next.map_or_else(|| state.clone(), |(next, _)| next), step.answer)
}

fn end(policy: &Policy, state: &State, ticket: Ticket, verdict: Verdict, evidence: &Evidence, now: Instant) -> State {
    settle(policy, state, ticket, verdict, evidence, now, 0).next.map_or_else(|| state.clone(), |(next, _)| next)
}

const WELL: Verdict = Verdict::Success { slow: false };
const BADLY: Verdict = Verdict::Failure { slow: false };

#[wasm_bindgen_test]
fn a_breaker_opens_probes_recovers_and_closes() {
    let policy = policy(r#"{"open": {"base": "1s", "jitter": 0}}"#);
    let evidence = Evidence { window: Totals([10, 10, 0, 0]), ..Evidence::default() };
    let open = end(&policy, &State::default(), Ticket::default(), BADLY, &evidence, NOW);
    assert_eq!((&open.phase, open.generation, open.opens), (&Phase::Open { until: later(1_000) }, 1, 1));
    let refused = Admission::Refuse { cause: Cause::Open, wait: Duration::from_millis(1) };
    assert_eq!(ask(&policy, &open, later(999)).1, refused);
    let (probing, said) = ask(&policy, &open, later(1_000));
    let Admission::Admit(ticket) = said else { panic!("{said:?}") };
    assert_eq!(ticket, Ticket { generation: 2, lease: Some(0) });
    assert!(matches!(ask(&policy, &probing, later(1_001)).1, Admission::Refuse { cause: Cause::HalfOpen, .. }));
    let recovering = end(&policy, &probing, ticket, WELL, &Evidence::default(), later(1_100));
    assert_eq!(recovering.phase, Phase::Recovering);
    let (closed, _) = ask(&policy, &recovering, later(11_100));
    assert_eq!((closed.phase, closed.opens), (Phase::Closed, 0));
}

#[wasm_bindgen_test]
fn a_failed_probe_and_a_lost_one_open_again() {
    let policy = policy("{}");
    let phase = Phase::HalfOpen {
        leases: vec![Lease { id: 4, deadline: later(10), sent: true, spoke: false }],
        issued: 5,
        succeeded: 0,
    };
    let state = State { generation: 9, phase, opens: 1, since: NOW, ..State::default() };
    let ticket = Ticket { generation: 9, lease: Some(4) };
    assert_eq!(end(&policy, &state, ticket, BADLY, &Evidence::default(), NOW).opens, 2);
    assert_eq!(tend(&policy, &state, &Evidence::default(), later(10), 0).next.unwrap().0.opens, 2);
    let stale = Ticket { generation: 8, lease: Some(4) };
    let step = settle(&policy, &state, stale, BADLY, &Evidence::default(), later(99_999), 0);
    assert_eq!((step.next, step.answer), (None, Settled::Stale));
}

#[wasm_bindgen_test]
fn waits_are_exact_to_the_nanosecond_and_grow_to_an_hour() {
    let open = policy(r#"{"open": {"base": "1s", "factor": 1.5, "max": "1h", "jitter": 0}}"#).open;
    let waits = [1, 2, 3, 40].map(|nth| open.wait(nth, u64::MAX));
    assert_eq!(waits, [1_000, 1_500, 2_250, 3_600_000].map(Duration::from_millis));
    let open = policy(r#"{"open": {"base": "30m", "max": "1h", "jitter": 0.5}}"#).open;
    assert_eq!((open.wait(1, 0), open.wait(1, u64::MAX)), (Duration::from_secs(900), Duration::from_secs(2_700)));
}

#[wasm_bindgen_test]
fn whole_second_bases_are_spread() {
    let (open, mut rng) = (policy(r#"{"open": {"base": "1s", "jitter": 0.1}}"#).open, SplitMix64::new(7));
    let mut waits: Vec<_> = (0..100).map(|_| open.wait(1, rng.draw())).collect();
    waits.sort();
    waits.dedup();
    assert_eq!(waits.len(), 100);
}

#[wasm_bindgen_test]
fn ratios_are_reached_exactly() {
    let third = Ratio::from_ppm(333_333).unwrap();
    assert!(third.reached(1, 3) && !third.reached(333_332, 1_000_000));
    assert!(Ratio::ONE.reached(u64::MAX, u64::MAX) && !Ratio::ONE.reached(u64::MAX - 1, u64::MAX));
    assert!(!throttled(2_000_000, &Totals([50, 50, 0, 0]), 0) && throttled(2_000_000, &Totals([1, 99, 0, 0]), 0));
}

#[wasm_bindgen_test]
fn a_state_comes_back_as_it_was_stored() {
    let leases = (0..100)
        .map(|id| Lease { id, deadline: Instant::from_nanos(u64::MAX - u64::from(id)), sent: true, spoke: id % 2 == 0 })
        .collect();
    let phase = Phase::HalfOpen { leases, issued: u32::MAX, succeeded: 7 };
    let state = State {
        generation: u64::MAX,
        phase,
        since: NOW,
        opens: u32::MAX,
        line: Totals([u64::MAX; 4]),
        override_: None,
    };
    let bytes = state.encode();
    assert_eq!(State::decode(&bytes), Some(state));
    assert!((0..bytes.len()).filter(|length| State::decode(&bytes[..*length]).is_some()).count() == 100);
    assert_eq!(State::decode(&[bytes, vec![0]].concat()), None);
}

#[wasm_bindgen_test]
fn configurations_are_read_or_refused_with_every_fault() {
    let legacy = policy(r#"{"timeout": 3000, "threshold": 0.5, "min_half_open_requests": 5, "window_size": 10000}"#);
    assert_eq!((legacy.half_open.permits, legacy.window), (5, Window::Time(Duration::from_secs(10))));
    assert_eq!(policy(r#"{"minimum_calls": 20.0}"#), policy("{}"));
    let faults =
        circuit_breaker::config::read(br#"{"failure_ratio": 7, "open": {"base": "x"}, "colour": 1}"#).unwrap_err();
    let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["$.failure_ratio", "$.open.base", "$.colour"]);
}
