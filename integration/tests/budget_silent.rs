//! Failures without an answer: a reset, no connection, a try that takes too long. There is nothing to veto, so the next attempt asks
//! for itself, and where nothing is left it is answered here.

mod budget;

use std::time::Duration;

use budget::{REFUSED, Story, entries, route};
use integration::{Fault, Response, TestResult, Wasm, config, eventually};
use serde_json::{Value, json};

const REQUESTS: usize = 60;
/// A fifth of them, and of as many that were well before.
const MOST: u64 = 24;

fn impatient() -> Value {
    config::with_per_try_timeout(route(), Duration::from_millis(60))
}

/// The first request of all has earned no retry: its second attempt is answered by us.
fn assert_second_attempt_is_answered_here(route: &Value, fault: Fault, hits: u64) -> TestResult {
    let story = Story::on(route, &entries(json!({}))?.both())?;
    story.orders.set(fault);
    assert_refusal(&story.get()?)?;
    assert_eq!((story.orders.hits(), story.counted("refused_total;cause=budget")?), (hits, 1));
    story.assert_no_trap();
    Ok(())
}

fn assert_refusal(reply: &Response) -> TestResult {
    assert_eq!((reply.status, reply.rejected_by(), reply.served_by()), (503, REFUSED, None));
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json()?;
    assert_eq!(
        (problem["type"].as_str(), problem["status"].as_u64()),
        (Some("urn:holdfast:problem:retry-budget"), Some(503))
    );
    let wait: u64 = reply.header("retry-after").unwrap_or_default().parse()?;
    assert!((1..=300).contains(&wait), "retry-after: {wait}");
    Ok(())
}

/// The service, which fails like this, gets four times the load without a budget and at most a fifth more with one.
fn assert_bounded(route: &Value, fault: Fault) -> TestResult {
    let control = Story::without_budget(route)?;
    control.orders.set(fault.clone());
    control.many(20)?;
    assert_eq!(control.orders.hits(), 80);

    let story = Story::on(route, &entries(json!({}))?.both())?;
    assert_eq!(story.many(REQUESTS)?.status(200), REQUESTS);
    story.orders.set(fault);
    let tally = story.many(REQUESTS)?;
    assert_eq!(tally.served_by("orders"), 0);
    let retries = story.retries();
    assert!((MOST / 2..=MOST).contains(&retries), "{retries} retries of {REQUESTS} requests");
    assert!(tally.rejected() > 0, "{:?}", tally.by_status());
    story.assert_no_trap();
    Ok(())
}

#[test]
fn after_a_reset_the_next_attempt_is_answered_here() -> TestResult {
    assert_second_attempt_is_answered_here(&route(), Fault::Reset, 1)
}

#[test]
fn after_a_refused_connection_the_next_attempt_is_answered_here() -> TestResult {
    assert_second_attempt_is_answered_here(&route(), Fault::Refuse, 0)
}

#[test]
fn after_a_try_that_took_too_long_the_next_attempt_is_answered_here() -> TestResult {
    assert_second_attempt_is_answered_here(&impatient(), Fault::Hang, 1)
}

/// Neither of them alone sees what resets do to clients: the router hides the first try, and the budget answers the second.
#[test]
fn a_breaker_opens_though_the_budget_answers_in_the_services_place() -> TestResult {
    let breaker = Wasm::module("circuit_breaker")?.name("breaker");
    let breaker = breaker.config(&json!({"minimum_calls": 20, "failure_ratio": 0.5, "window": {"time": "10s"}}));
    let (mut downstream, upstream) = entries(json!({}))?.both();
    downstream.insert(0, breaker.filter());
    let story = Story::on(&route(), &(downstream, upstream))?;
    assert_eq!(story.many(REQUESTS)?.status(200), REQUESTS);
    story.orders.set(Fault::Reset);
    eventually("the breaker opens", Duration::from_secs(10), || {
        story.get().map(|reply| reply.rejected_by() == Some("circuit-breaker; cause=open"))
    })?;
    story.assert_no_trap();
    Ok(())
}

#[test]
fn a_gateway_in_front_is_told_not_to_retry_our_refusal() -> TestResult {
    for (mark, expected) in [(true, Some("true")), (false, None)] {
        let story = Story::on(&route(), &entries(json!({"mark_rejections": mark}))?.upstream_only())?;
        story.orders.set(Fault::Reset);
        let reply = story.get()?;
        assert_eq!((reply.rejected_by(), reply.header("x-envoy-ratelimited")), (REFUSED, expected));
    }
    Ok(())
}

#[test]
fn resets_stay_within_the_budget() -> TestResult {
    assert_bounded(&route(), Fault::Reset)
}

#[test]
fn tries_that_take_too_long_stay_within_the_budget() -> TestResult {
    assert_bounded(&impatient(), Fault::Hang)
}

#[test]
fn refused_connections_stay_within_the_budget() -> TestResult {
    let story = Story::on(&route(), &entries(json!({}))?.both())?;
    story.many(REQUESTS)?;
    story.orders.set(Fault::Refuse);
    let tally = story.many(REQUESTS)?;
    assert_eq!((tally.status(503), tally.served_by("orders")), (REQUESTS, 0));
    let granted = story.counted("granted_total")?;
    assert!((MOST / 2..=MOST).contains(&granted), "{granted} grants for {REQUESTS} requests");
    assert!(tally.rejected() > 0, "{:?}", tally.by_status());
    story.orders.set(Fault::Healthy);
    assert_eq!(story.many(20)?.status(200), 20, "healed, everything passes");
    Ok(())
}
