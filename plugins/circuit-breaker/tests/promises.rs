//! What the decisions promise, each for any state that can be stored.
#![allow(missing_docs, clippy::cast_precision_loss)]

use circuit_breaker::decide::{Admission, Cause, Evidence, Settled, Ticket, Verdict, admit, settle, tend, throttled};
use circuit_breaker::policy::{HalfOpen, OpenTime, Policy};
use circuit_breaker::state::{Counts, Lease, Phase, State};
use core::time::Duration;
use proptest::prelude::*;
use sdk_shim::random::SplitMix64;
use sdk_shim::ratio::Ratio;
use sdk_shim::time::Instant;
use sdk_shim::window::Totals;

const NOW: Instant = Instant::from_millis(1_700_000_000_000);

fn policy(config: &str) -> Policy {
    circuit_breaker::config::read(config.as_bytes()).unwrap()
}

fn later(millis: u64) -> Instant {
    NOW.plus(Duration::from_millis(millis))
}

fn state(phase: Phase) -> State {
    State { generation: 7, phase, since: NOW, opens: 1, ..State::default() }
}

fn half_open(leases: &[(u32, u64)], issued: u32) -> State {
    let leases = leases
        .iter()
        .map(|(id, millis)| Lease { id: *id, deadline: later(*millis), sent: true, spoke: false })
        .collect();
    state(Phase::HalfOpen { leases, issued, succeeded: 0 })
}

fn ask(policy: &Policy, state: &State, now: Instant, draw: u64) -> (State, Admission) {
    let step = admit(policy, state, Counts::default(), true, now, draw);
    (step.next.map_or_else(|| state.clone(), |(next, _)| next), step.answer)
}

fn end(policy: &Policy, state: &State, lease: Option<u32>, verdict: Verdict, now: Instant) -> (State, Settled) {
    let ticket = Ticket { generation: state.generation, lease };
    let step = settle(policy, state, ticket, verdict, &Evidence::default(), now, 0);
    (step.next.map_or_else(|| state.clone(), |(next, _)| next), step.answer)
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        any::<bool>().prop_map(|slow| Verdict::Success { slow }),
        any::<bool>().prop_map(|slow| Verdict::Failure { slow }),
        Just(Verdict::None),
    ]
}

const fn is_open(state: &State) -> bool {
    matches!(state.phase, Phase::Open { .. })
}

// --- open ---

proptest! {
    /// "Come back in `wait`": before that it is useless, and then it is not.
    #[test]
    fn who_asks_before_the_advertised_wait_is_refused_and_at_it_admitted(
        millis in 1u64..60_000, asked in 0.0f64..1.0, again in 0.0f64..1.0, draw: u64,
    ) {
        let policy = policy("{}");
        let open = state(Phase::Open { until: later(millis) });
        let part = |share: f64, of: Duration| of.mul_f64(share);
        let first = NOW.plus(part(asked, Duration::from_millis(millis)));
        let (same, answer) = ask(&policy, &open, first, draw);
        let Admission::Refuse { cause: Cause::Open, wait } = answer else { panic!("{answer:?}") };
        prop_assert_eq!(&same, &open);
        let early = first.plus(part(again, wait).saturating_sub(Duration::from_nanos(1)));
        let refused = matches!(ask(&policy, &open, early, draw).1, Admission::Refuse { cause: Cause::Open, .. });
        prop_assert!(refused, "{early:?}");
        let (next, answer) = ask(&policy, &open, first.plus(wait), draw);
        prop_assert_eq!(answer, Admission::Admit(Ticket { generation: 8, lease: Some(0) }));
        prop_assert_eq!(next.phase.as_str(), "half_open");
    }

    /// A clock set back by a year doesn't keep a breaker open for a year.
    #[test]
    fn a_clock_that_steps_back_never_lengthens_the_wait(back in 1u64..1_000_000_000, millis in 1u64..60_000) {
        let open = state(Phase::Open { until: later(millis) });
        let now = NOW.minus(Duration::from_millis(back));
        let (next, answer) = ask(&policy("{}"), &open, now, 0);
        prop_assert_eq!(answer, Admission::Refuse { cause: Cause::Open, wait: Duration::from_millis(millis) });
        prop_assert_eq!(next.phase, Phase::Open { until: now.plus(Duration::from_millis(millis)) });
        prop_assert_eq!(next.generation, open.generation);
    }
}

// --- half-open ---

proptest! {
    #[test]
    fn there_are_never_more_leases_than_permits(permits in 1u32..20, requests in 1usize..60, draws: u64) {
        let policy = Policy { half_open: HalfOpen { permits, successes: 1, timeout: Duration::from_secs(60) }, ..policy("{}") };
        let mut rng = SplitMix64::new(draws);
        let mut state = state(Phase::Open { until: NOW });
        let mut admitted = 0;
        for _ in 0..requests {
            let (next, answer) = ask(&policy, &state, NOW, rng.draw());
            admitted += u32::from(matches!(answer, Admission::Admit(Ticket { lease: Some(_), .. })));
            state = next;
        }
        prop_assert_eq!(admitted, permits.min(u32::try_from(requests).unwrap()));
    }

    #[test]
    fn any_failed_probe_opens_again_however_many_are_out(leases in 1u32..20, which in 0u32..20, slow: bool) {
        let probes: Vec<_> = (0..leases).map(|id| (id, 1_000)).collect();
        let (next, said) = end(&policy("{}"), &half_open(&probes, leases), Some(which % leases), Verdict::Failure { slow }, NOW);
        prop_assert!(is_open(&next) && next.opens == 2);
        prop_assert_eq!(said, Settled::Counted);
    }

    #[test]
    fn a_lease_that_ran_out_opens_again_whoever_notices(verdict in any_verdict(), over in prop_oneof![Just(0), 0u64..100_000]) {
        let (policy, state) = (policy("{}"), half_open(&[(0, 1_000)], 1));
        let now = later(1_000 + over);
        prop_assert!(is_open(&ask(&policy, &state, now, 0).0));
        prop_assert!(is_open(&tend(&policy, &state, &Evidence::default(), now, 0).next.unwrap().0));
        let (next, said) = end(&policy, &state, Some(0), verdict, now);
        prop_assert!(is_open(&next));
        prop_assert_eq!(said, Settled::Stale, "a late success is no success");
    }
}

#[test]
fn a_probe_that_says_nothing_gives_its_permit_back() {
    let (policy, state) = (policy("{}"), half_open(&[(0, 1_000)], 1));
    assert!(matches!(ask(&policy, &state, NOW, 0).1, Admission::Refuse { cause: Cause::HalfOpen, .. }));
    let (state, _) = end(&policy, &state, Some(0), Verdict::None, NOW);
    assert_eq!(ask(&policy, &state, NOW, 0).1, Admission::Admit(Ticket { generation: 7, lease: Some(1) }));
}

#[test]
fn a_slow_probe_fails_only_where_slow_calls_can_trip() {
    let state = half_open(&[(0, 1_000)], 1);
    let slow = Verdict::Success { slow: true };
    assert!(is_open(&end(&policy("{}"), &state, Some(0), slow, NOW).0));
    let (next, _) = end(&policy(r#"{"slow_ratio": null}"#), &state, Some(0), slow, NOW);
    assert_eq!(next.phase, Phase::Recovering);
}

#[test]
fn closing_forgets_how_often_it_opened() {
    let policy = policy(r#"{"recovery": {"over": "10s"}}"#);
    let (recovering, _) = end(&policy, &half_open(&[(0, 1_000)], 1), Some(0), Verdict::Success { slow: false }, NOW);
    assert_eq!((recovering.phase.as_str(), recovering.opens), ("recovering", 1));
    let (closed, _) = ask(&policy, &recovering, later(10_000), 0);
    assert_eq!((closed.phase.as_str(), closed.opens), ("closed", 0));
}

// --- generations ---

proptest! {
    #[test]
    fn a_result_of_another_generation_moves_nothing(
        phase in 0usize..4, off in 1u64..5, lease in prop::option::of(0u32..3), verdict in any_verdict(), after in 0u64..200_000,
    ) {
        let leases = vec![Lease { id: 0, deadline: later(1_000), sent: true, spoke: false }];
        let half = Phase::HalfOpen { leases, issued: 1, succeeded: 0 };
        let phase = vec![Phase::Closed, Phase::Open { until: later(1_000) }, half, Phase::Recovering].swap_remove(phase);
        let evidence = Evidence { window: Totals([0, 1_000, 1_000, 0]), run: 1_000, ..Evidence::default() };
        let old = Ticket { generation: 7 - off, lease };
        let step = settle(&policy(r#"{"consecutive_failures": 1}"#), &state(phase), old, verdict, &evidence, later(after), 0);
        prop_assert_eq!((step.next, step.answer), (None, Settled::Stale));
    }
}

// --- the open wait ---

fn open_time(base: u64, factor_ppm: u64, max: u64, jitter: u32) -> OpenTime {
    let (base, max) = (Duration::from_millis(base), Duration::from_millis(max));
    OpenTime { base, factor_ppm, max, jitter: Ratio::from_ppm(jitter).unwrap() }
}

proptest! {
    #[test]
    fn the_wait_lies_in_its_bounds(
        base in 10u64..60_000, more in 0u64..3_000_000, factor in 1_000_000u64..100_000_000, jitter in 0u32..=1_000_000,
        nth in 1u32..2_000, draw: u64,
    ) {
        let open = open_time(base, factor, base + more, jitter);
        let wait = open.wait(nth, draw);
        prop_assert!(wait <= open.longest());
        let least = u128::from(base) * u128::from(1_000_000 - jitter);
        prop_assert!(wait.as_nanos() + 1 >= least, "{wait:?} of {open:?}");
    }

    #[test]
    fn without_jitter_it_grows_until_the_most(base in 10u64..60_000, more in 0u64..3_000_000, factor in 1_000_000u64..100_000_000) {
        let open = open_time(base, factor, base + more, 0);
        let waits: Vec<_> = (1..60).map(|nth| open.wait(nth, 0)).collect();
        prop_assert_eq!(waits[0], open.base);
        prop_assert!(waits.is_sorted() && waits[58] <= open.max);
        let grows = waits.windows(2).all(|pair| pair[0] < pair[1] || pair[0] == open.max || factor == 1_000_000);
        prop_assert!(grows, "{waits:?}");
    }

    /// tower draws seconds and nanoseconds apart; there a base of one second has a single outcome.
    #[test]
    fn whole_second_bases_are_spread_too(seconds in 1u64..60, jitter in 1_000u32..=1_000_000, seed: u64) {
        let open = open_time(seconds * 1_000, 1_000_000, seconds * 1_000, jitter);
        let mut rng = SplitMix64::new(seed);
        let waits: std::collections::HashSet<_> = (0..100).map(|_| open.wait(1, rng.draw())).collect();
        prop_assert!(waits.len() > 95, "{} of 100", waits.len());
    }
}

#[test]
fn jitter_reaches_both_ends_and_centres_on_the_wait() {
    let open = open_time(1_000, 2_000_000, 60_000, 200_000);
    assert_eq!((open.wait(1, 0), open.wait(1, u64::MAX)), (Duration::from_millis(800), Duration::from_millis(1_200)));
    let mut rng = SplitMix64::new(1);
    let mean = (0..20_000).map(|_| open.wait(1, rng.draw()).as_secs_f64()).sum::<f64>() / 20_000.0;
    assert!((mean - 1.0).abs() < 0.005, "{mean}");
}

// --- the ramp ---

#[test]
fn the_share_admitted_grows_in_a_straight_line() {
    let (policy, state, mut rng) =
        (policy(r#"{"recovery": {"over": "10s"}}"#), state(Phase::Recovering), SplitMix64::new(3));
    for tenth in 0..=10u64 {
        let mut admitted = 0.0;
        for _ in 0..10_000 {
            admitted += f64::from(u8::from(matches!(
                ask(&policy, &state, later(tenth * 1_000), rng.draw()).1,
                Admission::Admit(_)
            )));
        }
        let (share, expected) = (admitted / 10_000.0, tenth as f64 / 10.0);
        assert!((share - expected).abs() < 0.02, "{share} after {tenth} s");
    }
}

// --- throttling ---

/// The SRE book's formula in floating point.
fn probability(k: f64, accepts: f64, requests: f64) -> f64 {
    ((requests - k * accepts) / (requests + 1.0)).max(0.0)
}

proptest! {
    #[test]
    fn throttling_is_the_books_formula(
        k_ppm in 1_000_000u64..10_000_000, successes in 0u64..100_000, failures in 0u64..100_000, earlier in 0u64..100_000, draw: u64,
    ) {
        let window = Totals([successes, failures, 0, earlier]);
        let chance = probability(k_ppm as f64 / 1e6, successes as f64, (successes + failures + earlier) as f64);
        let share = draw as f64 / 2f64.powi(64);
        prop_assume!((share - chance).abs() > 1e-9);
        prop_assert_eq!(throttled(k_ppm, &window, draw), share < chance);
    }

    #[test]
    fn nobody_is_throttled_while_requests_are_within_k_times_accepts(
        k in 1u64..10, accepts in 0u64..1_000_000, share in 0.0f64..=1.0, draw: u64,
    ) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let failures = (((k - 1) * accepts) as f64 * share) as u64;
        prop_assert!(!throttled(k * 1_000_000, &Totals([accepts, failures, 0, 0]), draw));
    }
}

// --- what a lease that ran out says ---

/// A half-open breaker with one permit, given out to a request that was complete (`sent`) and answered (`spoke`), or not.
fn lent(sent: bool, spoke: bool) -> State {
    let leases = vec![Lease { id: 0, deadline: later(1_000), sent, spoke }];
    state(Phase::HalfOpen { leases, issued: 1, succeeded: 0 })
}

#[test]
fn silence_about_a_complete_request_is_a_failure() {
    let (next, _) = ask(&policy("{}"), &lent(true, false), later(1_000), 0);
    assert!(matches!(next.phase, Phase::Open { .. }));
}

#[test]
fn a_client_that_never_finished_its_request_only_loses_its_permit() {
    let (next, answer) = ask(&policy("{}"), &lent(false, false), later(1_000), 0);
    assert!(matches!(answer, Admission::Admit(Ticket { lease: Some(1), .. })), "{answer:?}");
    assert!(matches!(next.phase, Phase::HalfOpen { ref leases, .. } if leases.len() == 1));
}

#[test]
fn a_service_that_began_to_answer_works() {
    let (next, _) = ask(&policy("{}"), &lent(true, true), later(1_000), 0);
    assert_eq!(next.phase, Phase::Recovering);
}

#[test]
fn an_unfinished_request_holds_a_permit_no_longer_than_a_slow_call() {
    let policy = policy(r#"{"slow_call": "2s", "half_open": {"timeout": "60s"}}"#);
    let open = state(Phase::Open { until: NOW });
    let step = admit(&policy, &open, Counts::default(), false, NOW, 0);
    let Some((State { phase: Phase::HalfOpen { leases, .. }, .. }, _)) = &step.next else { panic!("{step:?}") };
    assert_eq!(leases[0].deadline, later(2_000));
    let (state, ticket) = (step.next.clone().unwrap().0, Ticket { generation: 8, lease: Some(0) });
    let complete = circuit_breaker::decide::sent(&policy, &state, ticket, later(1_500)).next.unwrap().0;
    let Phase::HalfOpen { leases, .. } = complete.phase else { panic!() };
    assert_eq!((leases[0].sent, leases[0].deadline), (true, later(61_500)));
}
