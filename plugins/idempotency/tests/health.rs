//! A store that doesn't answer is left alone, and is found again.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the numbers of these stories are small"
)]

use core::time::Duration;
use idempotency::health::{FAILURES, FIRST_WAIT, Health, LONGEST_WAIT};
use proptest::prelude::*;
use sdk_shim::time::Instant;

const PROBE: Duration = Duration::from_millis(500);
/// A draw that adds nothing to a wait.
const NONE: u64 = 0;

fn at(millis: u64) -> Instant {
    Instant::from_millis(1_700_000_000_000 + millis)
}

/// Has just opened, at 0.
fn opened() -> Health {
    let mut health = Health::new(PROBE);
    for _ in 0..FAILURES {
        assert!(health.may_call(at(0)));
        health.ended(false, at(0), NONE);
    }
    health
}

#[test]
fn it_takes_five_failures_in_a_row() {
    let mut health = Health::new(PROBE);
    for _ in 0..3 {
        for _ in 0..FAILURES - 1 {
            health.ended(false, at(0), NONE);
        }
        assert!(health.may_call(at(0)));
        health.ended(true, at(0), NONE);
    }
    assert!(!health.is_left_alone(at(0)));
    assert!(opened().is_left_alone(at(0)));
}

#[test]
fn a_dead_store_is_asked_by_one_call_after_a_quarter_of_a_second() {
    let mut health = opened();
    assert!(!health.may_call(at(249)));
    assert!(!health.is_left_alone(at(250)), "somebody may ask");
    assert!(health.may_call(at(250)));
    assert!(health.is_left_alone(at(250)), "and nobody else");
    assert!(!health.may_call(at(260)));
    health.ended(true, at(261), NONE);
    assert!(health.may_call(at(261)));
    assert!(health.may_call(at(261)));
}

#[test]
fn the_wait_doubles_up_to_five_seconds() {
    let mut health = opened();
    let mut now = 0;
    for wait in [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000] {
        assert!(!health.may_call(at(now + wait - 1)));
        now += wait;
        assert!(health.may_call(at(now)), "after {wait} ms");
        health.ended(false, at(now), NONE);
    }
    now += 5_000;
    assert!(health.may_call(at(now)));
    health.ended(true, at(now), NONE);
    for _ in 0..FAILURES {
        health.ended(false, at(now), NONE);
    }
    assert!(health.may_call(at(now + 250)), "after a success it begins with the first wait again");
}

#[test]
fn chance_adds_up_to_a_fifth() {
    let mut health = Health::new(PROBE);
    (0..FAILURES).for_each(|_| health.ended(false, at(0), u64::MAX));
    assert!(!health.may_call(at(299)));
    assert!(health.may_call(at(300)));
}

#[test]
fn a_probe_whose_end_is_never_told_has_failed_when_its_time_was_over() {
    let mut health = opened();
    assert!(health.may_call(at(250)));
    assert!(health.is_left_alone(at(749)));
    // 250 + 500 for the probe + 500 for the second wait.
    assert!(health.is_left_alone(at(1_249)));
    assert!(health.may_call(at(1_250)));
    health.ended(true, at(1_260), NONE);
    assert!(health.may_call(at(1_260)));
}

#[test]
fn a_probe_that_was_lost_long_ago_keeps_nobody_waiting() {
    let mut health = opened();
    assert!(health.may_call(at(250)));
    assert!(health.may_call(at(3_600_000)));
    assert!(health.is_left_alone(at(3_600_000)), "that is a probe again");
}

#[test]
fn where_a_probe_s_client_left_another_call_may_go_at_once() {
    let mut health = opened();
    assert!(health.may_call(at(250)));
    health.forgotten(at(251));
    assert!(health.may_call(at(251)));
    assert!(!health.may_call(at(251)));
    let mut closed = Health::new(PROBE);
    closed.forgotten(at(0));
    assert!(closed.may_call(at(0)));
}

#[test]
fn failures_of_calls_from_before_do_not_prolong_the_wait() {
    let mut health = opened();
    (0..100).for_each(|millis| health.ended(false, at(millis), NONE));
    assert!(health.may_call(at(250)));
}

#[test]
fn a_success_of_a_call_from_before_is_one() {
    let mut health = opened();
    health.ended(true, at(10), NONE);
    assert!(health.may_call(at(10)));
}

#[test]
fn a_clock_that_steps_does_not_wedge_it() {
    let before = |millis: u64| Instant::from_millis(1_700_000_000_000 - millis);
    let open = opened();
    assert!(open.is_left_alone(before(249)), "a little is waited for");
    assert!(!open.is_left_alone(before(3_600_000)));
    let mut probing = opened();
    assert!(probing.may_call(at(250)));
    assert!(probing.clone().may_call(before(3_600_000)));
    assert!(probing.clone().may_call(at(3_600_000)));
}

/// What may happen; times in milliseconds.
#[derive(Clone, Debug)]
enum Deed {
    Ask,
    End { ok: bool, draw: u64 },
    Forget,
    Wait(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => Just(Deed::Ask),
        5 => (prop::bool::weighted(0.2), any::<u64>()).prop_map(|(ok, draw)| Deed::End { ok, draw }),
        1 => Just(Deed::Forget),
        4 => prop_oneof![0..300u64, 0..10_000u64].prop_map(Deed::Wait),
    ]
}

/// The same thing, naively: everything that happened is remembered, and thought about from the beginning.
#[derive(Default)]
struct Model {
    /// Failures since the last success, or since it opened.
    failures: u32,
    /// Times that it opened since the last success.
    opened: u32,
    /// Nobody may ask before.
    until: Option<f64>,
    /// When the probe began that is under way.
    probe: Option<f64>,
    draw: u64,
}

impl Model {
    fn open(&mut self, at: f64) {
        let wait = (250.0 * 2_f64.powi(i32::try_from(self.opened).unwrap())).min(5_000.0);
        self.until = Some(at + wait + (wait / 5.0 * (self.draw as f64 / 2_f64.powi(64))));
        self.opened += 1;
        self.probe = None;
    }

    fn lose(&mut self, now: f64) {
        if let Some(began) = self.probe.filter(|began| now - began >= 500.0) {
            self.open(began + 500.0);
        }
    }

    /// `None` where it is too close to say.
    fn ask(&mut self, now: f64) -> Option<bool> {
        self.lose(now);
        match (self.until, self.probe) {
            (None, _) => Some(true),
            (Some(_), Some(_)) => Some(false),
            (Some(until), None) if (until - now).abs() < 0.01 => None,
            (Some(until), None) => {
                self.probe = (now >= until).then_some(now);
                Some(now >= until)
            }
        }
    }

    fn end(&mut self, ok: bool, now: f64, draw: u64) {
        self.lose(now);
        self.draw = draw;
        if ok {
            *self = Self { draw, ..Self::default() };
        } else if self.until.is_none() {
            self.failures += 1;
            if self.failures == FAILURES {
                self.open(now);
            }
        } else if self.probe.is_some() {
            self.open(now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn it_says_what_somebody_who_remembers_everything_would(deeds in prop::collection::vec(deed(), 1..100)) {
        let (mut health, mut model, mut now) = (Health::new(PROBE), Model::default(), 0);
        for deed in deeds {
            match deed {
                Deed::Wait(time) => now += time,
                Deed::Ask => {
                    let said = health.clone().may_call(at(now));
                    prop_assert_eq!(health.is_left_alone(at(now)), !said);
                    let Some(expected) = model.ask(now as f64) else { break };
                    prop_assert_eq!(health.may_call(at(now)), expected, "at {}", now);
                }
                Deed::End { ok, draw } => {
                    health.ended(ok, at(now), draw);
                    model.end(ok, now as f64, draw);
                }
                Deed::Forget => {
                    health.forgotten(at(now));
                    if model.probe.take().is_some() {
                        model.until = Some(now as f64 - 1.0);
                    }
                }
            }
        }
    }

    /// Whatever happened and however the clock jumped: within the longest wait, its fifth and a probe's time, somebody may ask.
    #[test]
    fn it_is_never_wedged(deeds in prop::collection::vec((deed(), 0..100_000_000u64), 1..60), now in 0..100_000_000u64) {
        let mut health = Health::new(PROBE);
        for (deed, now) in deeds {
            match deed {
                Deed::Ask => _ = health.may_call(at(now)),
                Deed::End { ok, draw } => health.ended(ok, at(now), draw),
                Deed::Forget => health.forgotten(at(now)),
                Deed::Wait(_) => {}
            }
        }
        let longest = LONGEST_WAIT + LONGEST_WAIT / 5 + PROBE;
        let tries = (0..=2 * longest.as_millis() as u64).step_by(50);
        prop_assert!(tries.into_iter().any(|later| !health.is_left_alone(at(now + later))));
    }

    /// While the store is dead, there is one call per wait, however many ask.
    #[test]
    fn a_dead_store_is_asked_seldom(draws in prop::collection::vec(any::<u64>(), 100)) {
        let (mut health, mut calls) = (opened(), Vec::new());
        for now in 0..60_000 {
            if health.may_call(at(now)) {
                prop_assert!(!health.may_call(at(now)));
                health.ended(false, at(now), draws[calls.len()]);
                calls.push(now);
            }
        }
        prop_assert!(calls.len() <= 16, "{calls:?}");
        let waits: Vec<_> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
        prop_assert!(waits.iter().all(|wait| *wait >= FIRST_WAIT.as_millis() as u64 && *wait <= 6_000));
    }
}
