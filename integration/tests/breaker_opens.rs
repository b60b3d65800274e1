//! The service fails, and the breaker opens: within one window of the threshold being crossed, on both workers, for
//! each way of failing and each way of counting.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod story;

use std::time::{Duration, Instant};

use integration::client::Sample;
use integration::eventually;
use integration::{Fault, Storm, TestResult, config};
use serde_json::{Value, json};
use story::{SOON, Story, both_workers_served, breaker, told, until_every_worker_knows};

const WINDOW: Duration = Duration::from_secs(1);
const ROUTE_TIMEOUT: Duration = Duration::from_millis(300);

/// Two hundred clients a second, each on a connection of its own, are served; then the service falls ill.
fn falls_ill_under_load(change: Value, fault: Fault) -> TestResult<Story> {
    let route = config::with_timeout(config::route("all", "orders"), ROUTE_TIMEOUT);
    let story = Story::with_route(&breaker(change)?, route)?;
    let clients = Storm::new(story.call().fresh_connection()).concurrency(64).total(4_000).per_second(200.0);
    let start = Instant::now();
    let clients = clients.start();
    eventually("everybody is served", SOON, || clients.tally().status(200) >= 100)?;
    assert_eq!(clients.tally().rejected(), 0);

    story.orders.set(fault);
    let ill = start.elapsed();
    eventually("the breaker opens", SOON, || clients.tally().rejected() > 100)?;
    let tally = clients.stop();

    let served: Vec<_> = tally.samples.iter().filter(|sample| sample.rejected_by.is_none()).cloned().collect();
    assert!(share_reached(&served, ill, 35).is_some(), "opened far below the threshold");
    // Clients see a little less than the proxy does: it may open before they would say so.
    let crossed = share_reached(&served, ill, 50).unwrap_or(Duration::MAX);
    let last_let_through = served.iter().map(|sample| sample.at).max().unwrap_or_default();
    let late = last_let_through.saturating_sub(crossed);
    assert!(late <= WINDOW, "a client was let through {late:?} after the threshold was crossed");
    nobody_gets_through(&story)?;
    Ok(story)
}

/// When so many of 100 calls that ended within the last window were begun after the service fell ill.
fn share_reached(served: &[Sample], ill: Duration, percent: usize) -> Option<Duration> {
    let end = |sample: &Sample| sample.at + sample.elapsed;
    let ends = served.iter().filter(|sample| sample.at >= ill).map(end);
    ends.filter(|now| {
        let recent = served.iter().filter(|sample| end(sample) <= *now && end(sample) + WINDOW > *now);
        let (all, bad) = recent.fold((0, 0), |(all, bad), sample| (all + 1, bad + usize::from(sample.at >= ill)));
        all >= 10 && bad * 100 >= all * percent
    })
    .min()
}

/// New connections land on either worker; none of them finds a way.
fn nobody_gets_through(story: &Story) -> TestResult {
    until_every_worker_knows();
    let hits = story.orders.hits();
    let tally = Storm::new(story.call().fresh_connection()).concurrency(8).total(32).run(SOON)?;
    assert_eq!((tally.len(), tally.rejected(), story.orders.hits()), (32, 32, hits));
    both_workers_served(&story.envoy)
}

fn cause(story: &Story) -> TestResult<Value> {
    let opened = told(&story.envoy, "open")?;
    assert_eq!(opened.len(), 1, "{opened:?}");
    Ok(opened[0]["cause"].clone())
}

#[test]
fn errors_open_it() -> TestResult {
    let story = falls_ill_under_load(json!({}), Fault::Status(503))?;
    assert_eq!(cause(&story)?, "failure_ratio");
    assert_eq!(story.metric("transitions_total;to=open")?, 1);
    assert_eq!(story.metric("state")?, 1);
    Ok(())
}

#[test]
fn slow_answers_open_it() -> TestResult {
    let slow = json!({"slow_call": "100ms", "slow_ratio": 0.5, "failure_ratio": null});
    let story = falls_ill_under_load(slow, Fault::Slow(Duration::from_millis(200)))?;
    assert_eq!(cause(&story)?, "slow_ratio");
    Ok(())
}

#[test]
fn no_answers_open_it() -> TestResult {
    let story = falls_ill_under_load(json!({}), Fault::Hang)?;
    assert_eq!(cause(&story)?, "failure_ratio");
    Ok(())
}

#[test]
fn a_hanging_service_is_a_slow_one_too() -> TestResult {
    let slow = json!({"slow_call": "200ms", "slow_ratio": 0.5, "failure_ratio": null});
    let story = falls_ill_under_load(slow, Fault::Hang)?;
    assert_eq!(cause(&story)?, "slow_ratio");
    Ok(())
}

#[test]
fn resets_open_it() -> TestResult {
    assert_eq!(cause(&falls_ill_under_load(json!({}), Fault::Reset)?)?, "failure_ratio");
    Ok(())
}

#[test]
fn refused_connections_open_it() -> TestResult {
    assert_eq!(cause(&falls_ill_under_load(json!({}), Fault::Refuse)?)?, "failure_ratio");
    Ok(())
}

#[test]
fn five_failures_in_a_row_open_it_and_four_never_do() -> TestResult {
    let story = Story::begin(json!({"consecutive_failures": 5, "failure_ratio": null, "slow_ratio": null}))?;
    let fails = story.call().fresh_connection().header("x-upstream-fault", "status:500");
    for _ in 0..6 {
        assert!((0..4).all(|_| fails.send().is_ok_and(|reply| reply.status == 500)));
        assert_eq!(story.call().fresh_connection().send()?.status, 200);
    }
    let mut failures = 0;
    while fails.send()?.rejected_by().is_none() {
        failures += 1;
        // Each worker counts what it can prove; the other one may have begun the row later, but not after its end.
        assert!(failures < 10, "{failures} failures in a row, and still closed");
    }
    assert!(failures >= 5, "opened after {failures}");
    assert_eq!(cause(&story)?, "consecutive_failures");
    nobody_gets_through(&story)
}

#[test]
fn over_the_last_calls_time_does_not_matter() -> TestResult {
    let story = Story::begin(json!({"window": {"calls": 40}, "minimum_calls": 20}))?;
    let tally = Storm::new(story.call().fresh_connection()).concurrency(4).total(60).run(SOON)?;
    assert_eq!(tally.status(200), 60);
    let fails = story.call().fresh_connection().header("x-upstream-fault", "status:500");
    // Longer than any slot of a window of time: the calls stay what they are.
    std::thread::sleep(Duration::from_millis(700));
    let failures = (0..60).take_while(|_| fails.send().is_ok_and(|reply| reply.rejected_by().is_none())).count();
    assert!((10..=26).contains(&failures), "opened after {failures} failures, half of 40 calls being 20");
    nobody_gets_through(&story)
}

#[test]
fn a_window_no_longer_than_its_minimum_still_opens() -> TestResult {
    let story = Story::begin(json!({"window": {"calls": 20}, "minimum_calls": 20}))?;
    story.orders.set(Fault::Status(500));
    let load = Storm::new(story.call().fresh_connection()).concurrency(16).total(400).run(SOON)?;
    assert!(load.rejected() > 0, "400 failures, and still closed");
    nobody_gets_through(&story)
}

#[test]
fn too_few_calls_open_nothing_and_are_shown_as_thin() -> TestResult {
    let story = Story::begin(json!({"minimum_calls": 1_000_000}))?;
    story.orders.set(Fault::Status(500));
    eventually("the key is shown as too thin to ever trip", SOON, || {
        let reply = story.call().send()?;
        assert_eq!((reply.status, reply.rejected_by()), (500, None));
        story.metric("thin").map(|thin| thin == 1)
    })
}
