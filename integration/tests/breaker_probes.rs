//! Half-open: a sick service is asked by as many probes as are permitted, and less and less often.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod story;

use std::time::{Duration, Instant};

use integration::{Call, Fault, Storm, TestResult, config};
use integration::{eventually, eventually_eq};
use serde_json::{Value, json};
use story::{SOON, Story, breaker, told};

const ROUTE_TIMEOUT: Duration = Duration::from_millis(300);
/// The first wait of an open breaker; each further one is twice as long.
const BASE: Duration = Duration::from_millis(250);

fn open_times(story: &Story) -> TestResult<Vec<u64>> {
    let opened = told(&story.envoy, "open")?;
    Ok(opened.iter().filter_map(|line| line["open_ms"].as_u64()).collect())
}

/// Breaks a service that then hangs, and lets 64 clients ask without a pause for three half-open phases; gives when the
/// service was asked by them.
fn besieged(permits: u32) -> TestResult<(Story, Vec<Instant>)> {
    let open = json!({"base": "250ms", "factor": 2, "max": "60s", "jitter": 0});
    let policy = json!({"half_open": {"permits": permits, "successes": permits}, "open": open});
    let route = config::with_timeout(config::route("all", "orders"), ROUTE_TIMEOUT);
    let story = Story::with_route(&breaker(policy)?, route)?;
    story.break_it()?;
    story.orders.set(Fault::Hang);

    let clients = Storm::new(Call::get(story.edge, "/")).concurrency(64).total(1_000_000).start();
    eventually("three half-open phases fail", SOON, || Ok::<_, anyhow::Error>(open_times(&story)?.len() >= 4))?;
    drop(clients);
    let seen = story.orders.seen();
    let probes = seen.iter().filter(|seen| seen.path == "/").map(|seen| seen.at).collect();
    Ok((story, probes))
}

/// Groups probes by half-open phase: within one, all begin before the first of them runs into the route's timeout.
fn phases(probes: &[Instant]) -> Vec<Vec<Instant>> {
    let mut phases: Vec<Vec<Instant>> = Vec::new();
    for at in probes {
        match phases.last_mut() {
            Some(phase) if *at < phase[0] + ROUTE_TIMEOUT + BASE / 2 => phase.push(*at),
            _ => phases.push(vec![*at]),
        }
    }
    phases
}

fn never_more_than(permits: u32) -> TestResult {
    let (story, probes) = besieged(permits)?;
    let phases = phases(&probes);
    let most = phases.iter().map(Vec::len).max();
    assert_eq!(most, Some(usize::try_from(permits)?), "probes per phase: {phases:?}");
    assert!(phases.len() >= 3);

    let half_open = story.metric("transitions_total;to=half_open")?;
    assert!(probes.len() as u64 <= half_open * u64::from(permits), "{} probes in {half_open} phases", probes.len());
    let expected: Vec<u64> = (0..).map(|n| 250 << n).take(open_times(&story)?.len()).collect();
    assert_eq!(open_times(&story)?, expected, "each wait is twice as long as the one before");
    let late = |pair: &[Vec<Instant>], n: u32| pair[1][0] - pair[0][0] >= BASE * (2 << n);
    assert!(phases.windows(2).zip(0..).all(|(pair, n)| late(pair, n)), "{phases:?}");
    story::both_workers_served(&story.envoy)
}

#[test]
fn sixty_four_clients_and_one_permit() -> TestResult {
    never_more_than(1)
}

#[test]
fn sixty_four_clients_and_three_permits() -> TestResult {
    never_more_than(3)
}

#[test]
fn a_quick_failure_is_not_asked_twice_either() -> TestResult {
    let open = json!({"base": "100ms", "factor": 1, "max": "60s", "jitter": 0.5});
    let story = Story::begin(json!({"open": open}))?;
    story.break_it()?;
    let clients = Storm::new(Call::get(story.edge, "/")).concurrency(64).total(1_000_000).start();
    eventually("ten half-open phases fail", SOON, || Ok::<_, anyhow::Error>(open_times(&story)?.len() > 10))?;
    drop(clients);

    let half_open = story.metric("transitions_total;to=half_open")?;
    assert!(story.orders.hits_on("/") <= half_open, "{} probes in {half_open} phases", story.orders.hits_on("/"));
    let mut waits = open_times(&story)?;
    assert!(waits.iter().all(|wait| (49..=150).contains(wait)), "half to one and a half of 100 ms: {waits:?}");
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() >= 5, "the waits are spread: {waits:?}");
    Ok(())
}

#[test]
fn a_probe_that_never_ends_is_a_failed_one_and_its_late_success_counts_nothing() -> TestResult {
    let open = json!({"base": "500ms", "factor": 1, "jitter": 0});
    let policy = json!({"open": open, "half_open": {"timeout": "300ms"}});
    let route = config::with_timeout(config::route("all", "orders"), Duration::ZERO);
    let story = Story::with_route(&breaker(policy)?, route)?;
    story.break_it()?;
    let stale_before = story.metric("stale_total")?;

    story.orders.set(Fault::Slow(Duration::from_millis(1_500)));
    let clients = Storm::new(Call::get(story.edge, "/")).concurrency(8).total(1_000_000).per_second(50.0).start();
    eventually("the lease runs out", SOON, || {
        causes_of_opening(&story).map(|causes| causes.contains(&json!("lease_expired")))
    })?;
    eventually("the probe is answered after all", SOON, || clients.tally().status(200) >= 1)?;
    eventually("its result is stale", SOON, || story.metric("stale_total").map(|stale| stale > stale_before))?;
    drop(clients);
    assert_eq!(story.metric("transitions_total;to=closed")?, 0);
    Ok(())
}

#[test]
fn a_probe_whose_client_leaves_is_given_to_another_client() -> TestResult {
    let open = json!({"base": "100ms", "max": "60s", "jitter": 0});
    let route = config::with_timeout(config::route("all", "orders"), Duration::ZERO);
    let story = Story::with_route(&breaker(json!({"open": open}))?, route)?;
    story.break_it()?;
    let opened = causes_of_opening(&story)?.len();
    story.orders.set(Fault::Hang);
    let hasty = story.call().fresh_connection().timeout(Duration::from_millis(100));
    eventually("a client probes and leaves", SOON, || hasty.send().is_err())?;
    eventually_eq("nobody knows", SOON, &1, || story.metric("probes_total;result=unknown"))?;

    story.orders.set(Fault::Healthy);
    eventually_eq("the next one is served", SOON, &200, || story.call().send().map(|reply| reply.status))?;
    eventually_eq("and closes the breaker", SOON, &1, || story.metric("transitions_total;to=closed"))?;
    assert_eq!(causes_of_opening(&story)?.len(), opened, "a client that leaves says nothing of the service");
    Ok(())
}

fn causes_of_opening(story: &Story) -> TestResult<Vec<Value>> {
    Ok(told(&story.envoy, "open")?.into_iter().map(|line| line["cause"].clone()).collect())
}
