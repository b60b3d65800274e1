//! The way back: from open over half-open and recovering to closed, and staying there.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod story;

use std::time::Duration;

use integration::client::Sample;
use integration::{Call, Fault, Storm, TestResult, config};
use integration::{eventually, eventually_eq, throughout};
use serde_json::json;
use story::{SOON, Story, breaker, events};

const RECOVERING: &str = "circuit-breaker; cause=recovering";

#[test]
fn a_healed_service_gets_a_growing_share_of_its_traffic() -> TestResult {
    let open = json!({"base": "300ms", "max": "300ms", "jitter": 0});
    let story = Story::begin(json!({"open": open, "recovery": {"ramp": "linear", "over": "3s"}}))?;
    story.break_it()?;
    story.orders.set(Fault::Healthy);
    let clients = Storm::new(story.call()).concurrency(16).total(20_000).per_second(200.0).start();
    eventually_eq("the ramp is over", SOON, &1, || story.metric("transitions_total;to=closed"))?;
    let tally = clients.stop();

    let refused = tally.samples.iter().filter(|sample| sample.rejected_by.as_deref() == Some(RECOVERING));
    let times: Vec<Duration> = refused.map(|sample| sample.at).collect();
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { panic!("nobody was refused") };
    let third = last.saturating_sub(*first) / 3;
    let share = |n: u32| admitted(&tally.between(*first + third * n, *first + third * (n + 1)).samples);
    let shares = [share(0), share(1), share(2)];
    assert!(shares[0] < 40 && (25..75).contains(&shares[1]) && shares[2] > 60, "admitted of 100 per third: {shares:?}");
    assert!(shares.is_sorted(), "{shares:?}");
    assert_eq!(story.metric("rejected_total;cause=recovering")?, times.len() as u64);

    for to in ["open", "half_open", "recovering", "closed"] {
        assert!(story.metric(&format!("transitions_total;to={to}"))? >= 1, "{to}");
    }
    assert_eq!(story.metric("state")?, 0);
    whole_circle(&story)
}

/// How many of 100 were let through.
fn admitted(samples: &[Sample]) -> usize {
    let served = samples.iter().filter(|sample| sample.rejected_by.is_none()).count();
    served * 100 / samples.len().max(1)
}

/// The log tells the same story, one line per step, each the successor of the one before.
fn whole_circle(story: &Story) -> TestResult {
    let lines = events(&story.envoy)?;
    let steps: Vec<_> = lines.iter().map(|line| (line["from"].as_str(), line["event"].as_str())).collect();
    assert!(steps.windows(2).all(|pair| pair[0].1 == pair[1].0), "{steps:?}");
    assert_eq!(
        (steps.first(), steps.last()),
        (Some(&(Some("closed"), Some("open"))), Some(&(Some("recovering"), Some("closed"))))
    );
    let generations: Vec<_> = lines.iter().filter_map(|line| line["generation"].as_u64()).collect();
    assert_eq!(generations, (1..=lines.len() as u64).collect::<Vec<_>>());
    assert!(lines.iter().all(|line| line["key"] == "all" && line["instance"] == "default"), "{lines:?}");
    let causes: Vec<_> = lines.iter().rev().take(3).map(|line| line["cause"].as_str()).collect();
    assert_eq!(causes, [Some("ramp_over"), Some("probes_succeeded"), Some("wait_over")]);
    Ok(())
}

#[test]
fn a_service_that_fails_on_the_ramp_is_left_in_peace_again() -> TestResult {
    let open = json!({"base": "1s", "factor": 30, "max": "30s", "jitter": 0});
    let story = Story::begin(json!({"open": open, "recovery": {"over": "30s"}}))?;
    story.break_it()?;
    story.orders.set(Fault::Healthy);
    eventually("it recovers", SOON * 3, || {
        drop(story.call().send()?);
        story.metric("transitions_total;to=recovering").map(|count| count == 1)
    })?;
    let opened = story.metric("transitions_total;to=open")?;
    story.orders.set(Fault::Status(500));
    let _clients = Storm::new(story.call()).concurrency(16).total(50_000).start();
    eventually_eq("it opens again", SOON, &(opened + 1), || story.metric("transitions_total;to=open"))?;
    let lines = events(&story.envoy)?;
    let last = lines.last().expect("a line");
    assert_eq!((last["from"].as_str(), last["cause"].as_str()), (Some("recovering"), Some("failure_ratio")));
    assert_eq!(last["open_ms"], 30_000, "it waits longer: it never was closed in between");
    Ok(())
}

#[test]
fn old_failures_never_open_a_breaker_that_has_closed_again() -> TestResult {
    let open = json!({"base": "200ms", "max": "200ms", "jitter": 0});
    let route = config::with_timeout(config::route("all", "orders"), Duration::from_secs(4));
    let story = Story::with_route(&breaker(json!({"open": open, "window": {"time": "10s"}}))?, route)?;
    let hanging = Call::get(story.edge, "/").fresh_connection().header("x-upstream-fault", "hang");
    let old = Storm::new(hanging).concurrency(40).total(40).start();
    eventually_eq("forty calls hang", SOON, &40, || Ok::<_, String>(story.orders.in_flight()))?;

    story.break_it()?;
    story.orders.set(Fault::Healthy);
    eventually("it closes again", SOON, || {
        drop(story.call().send()?);
        story.metric("transitions_total;to=closed").map(|count| count == 1)
    })?;
    let (stale, opened) = (story.metric("stale_total")?, story.metric("transitions_total;to=open")?);
    assert_eq!(old.tally().len(), 0, "this machine is too slow for this story: the old calls have ended already");

    eventually_eq("the forty time out", SOON, &40, || Ok::<_, String>(old.tally().status(504)))?;
    eventually_eq("they are stale", SOON, &(stale + 40), || story.metric("stale_total"))?;
    let tally = Storm::new(story.call().fresh_connection()).concurrency(8).total(100).run(SOON)?;
    assert_eq!((tally.status(200), tally.rejected()), (100, 0));
    // More than one tick: the workers look at the window without a call as well.
    throughout("it stays closed", Duration::from_millis(1_200), || story.metric("state").map(|state| state == 0))?;
    assert_eq!(story.metric("transitions_total;to=open")?, opened, "it opened on old failures");
    Ok(())
}

#[test]
fn without_a_ramp_it_closes_at_once_after_as_many_successes_as_wanted() -> TestResult {
    let open = json!({"base": "200ms", "max": "200ms", "jitter": 0});
    let story = Story::begin(json!({"open": open, "half_open": {"permits": 1, "successes": 4}}))?;
    story.break_it()?;
    story.orders.set(Fault::Healthy);
    let failed = story.metric("probes_total;result=failure")?;
    let tally = Storm::new(story.call()).concurrency(4).total(20_000).per_second(100.0).start();
    eventually_eq("it closes", SOON, &1, || story.metric("transitions_total;to=closed"))?;
    drop(tally);
    assert_eq!(story.metric("probes_total;result=success")?, 4);
    assert_eq!(story.metric("probes_total;result=failure")?, failed);
    assert_eq!(story.metric("transitions_total;to=recovering")?, 0);
    Ok(())
}
