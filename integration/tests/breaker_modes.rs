//! Modes: watch before acting, act on a share, or act by hand.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod story;

use std::time::Duration;

use integration::{Call, Fault, Storm, Tally, TestResult};
use integration::{eventually, eventually_eq};
use serde_json::json;
use story::{SOON, Story, events, until_every_worker_knows};

fn many(story: &Story, total: usize) -> TestResult<Tally> {
    let tally = Storm::new(story.call().fresh_connection()).concurrency(8).total(total).run(SOON)?;
    assert_eq!(tally.len(), total, "{:?}", tally.errors());
    Ok(tally)
}

/// Lets the service fail until the machine is open, whatever is made of it.
fn until_open(story: &Story) -> TestResult {
    story.orders.set(Fault::Status(500));
    eventually("it opens", SOON, || {
        many(story, 16)?;
        story.metric("transitions_total;to=open").map(|count| count > 0)
    })?;
    until_every_worker_knows();
    Ok(())
}

#[test]
fn a_dry_run_lets_everybody_pass_and_says_whom_it_would_have_refused() -> TestResult {
    let open = json!({"base": "1s", "max": "1s", "jitter": 0});
    let story = Story::begin(json!({"mode": "dry_run", "open": open, "recovery": {"over": "1s"}}))?;
    until_open(&story)?;
    let sick = many(&story, 50)?;
    assert_eq!((sick.status(500), sick.rejected(), sick.served_by("orders")), (50, 0, 50));
    assert!(story.metric("would_reject_total;cause=open")? > 0);

    story.orders.set(Fault::Healthy);
    let clients = Storm::new(story.call()).concurrency(4).total(20_000).per_second(200.0).start();
    eventually_eq("the machine goes all the way round", SOON, &1, || story.metric("transitions_total;to=closed"))?;
    let healed = clients.stop();
    assert_eq!(healed.status(200), healed.len());
    assert!(story.metric("would_reject_total;cause=recovering")? > 0);
    let rejected = story.envoy.stats("holdfast_circuit_breaker_rejected_total")?;
    assert!(rejected.is_empty(), "{rejected:?}");
    let last = events(&story.envoy)?.pop().expect("a line");
    assert_eq!((last["event"].as_str(), last["from"].as_str()), (Some("closed"), Some("recovering")));
    Ok(())
}

#[test]
fn half_of_the_refusals_are_enforced() -> TestResult {
    let story = Story::begin(json!({"enforce_ratio": 0.5}))?;
    until_open(&story)?;
    let before = [story.metric("rejected_total;cause=open")?, story.metric("would_reject_total;cause=open")?];
    let hits = story.orders.hits();
    let tally = many(&story, 400)?;
    let refused = tally.rejected();
    // Six standard deviations of 400 coins are 60.
    assert!((140..=260).contains(&refused), "{refused} of 400");
    assert_eq!(tally.served_by("orders"), 400 - refused);
    assert_eq!(story.orders.hits() - hits, 400 - refused as u64);
    let after = [story.metric("rejected_total;cause=open")?, story.metric("would_reject_total;cause=open")?];
    assert_eq!([after[0] - before[0], after[1] - before[1]], [refused as u64, 400 - refused as u64]);
    Ok(())
}

#[test]
fn nothing_is_enforced_at_zero() -> TestResult {
    let story = Story::begin(json!({"enforce_ratio": 0}))?;
    until_open(&story)?;
    assert_eq!(many(&story, 50)?.rejected(), 0);
    assert!(story.metric("would_reject_total;cause=open")? >= 50);
    Ok(())
}

#[test]
fn forced_open_nobody_passes() -> TestResult {
    let story = Story::begin(json!({"mode": "force_open"}))?;
    let tally = many(&story, 40)?;
    let forced = tally.count(|sample| sample.rejected_by.as_deref() == Some("circuit-breaker; cause=forced"));
    assert_eq!((forced, story.orders.hits()), (40, 0));
    assert_eq!(story.metric("rejected_total;cause=forced")?, 40);
    assert_eq!(events(&story.envoy)?.len(), 0, "by force is not by transition");
    Ok(())
}

#[test]
fn forced_closed_everybody_passes_and_is_counted() -> TestResult {
    let story = Story::begin(json!({"mode": "force_closed"}))?;
    story.orders.set(Fault::Status(500));
    let tally = many(&story, 100)?;
    assert_eq!((tally.status(500), tally.rejected()), (100, 0));
    eventually_eq("all are counted", SOON, &100, || story.metric("calls_total;outcome=failure"))?;
    // More than a few ticks.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(many(&story, 10)?.rejected(), 0);
    assert_eq!(story.metric("transitions_total;to=open")?, 0);
    Ok(())
}

#[test]
fn disabled_it_leaves_no_trace() -> TestResult {
    let story = Story::begin(json!({"mode": "disabled"}))?;
    story.orders.set(Fault::Status(500));
    let tally = many(&story, 50)?;
    assert_eq!((tally.status(500), tally.rejected()), (50, 0));
    let counted = story.envoy.stats("holdfast_circuit_breaker.*;key=")?;
    assert!(counted.is_empty(), "{counted:?}");
    Ok(())
}

#[test]
fn a_brown_out_is_shed_in_part_while_the_breaker_stays_closed() -> TestResult {
    let never = json!({"failure_ratio": null, "slow_ratio": null, "throttle": {"k": 1.5}, "window": {"time": "2s"}});
    let story = Story::begin(never)?;
    assert_eq!(many(&story, 100)?.rejected(), 0, "a healthy service is not throttled");
    story.orders.set(Fault::Fail { percent: 80, status: 503 });
    let clients = Storm::new(Call::get(story.edge, "/")).concurrency(16).total(20_000).per_second(300.0).start();
    let throttled =
        |tally: &Tally| tally.count(|sample| sample.rejected_by.as_deref() == Some("circuit-breaker; cause=throttle"));
    eventually("a part is refused", SOON, || throttled(&clients.tally()) > 200)?;
    let tally = clients.stop();
    assert_eq!(tally.rejected(), throttled(&tally));
    assert!(tally.status(200) > 0, "and a part is served");
    assert_eq!(story.metric("transitions_total;to=open")?, 0);
    eventually_eq("each is counted", SOON, &(throttled(&tally) as u64), || story.metric("throttled_total"))?;

    story.orders.set(Fault::Healthy);
    eventually("healed, it is no longer throttled", SOON, || Ok::<_, anyhow::Error>(many(&story, 50)?.rejected() == 0))
}
