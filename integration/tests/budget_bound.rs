//! The bound: however often the routes would try, a service that is down gets a fifth more than it was asked for, not four times as much.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod budget;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use budget::{SOON, Story, entries, route};
use integration::upstream::Seen;
use integration::{Call, Fault, Storm, TestResult, config, eventually, eventually_eq};
use serde_json::json;

/// When first tries came, and when retries were granted. A retry comes one back-off after its grant, so it counts when the try
/// that it repeats was seen: that is what the budget answered.
fn first_tries_and_grants(seen: &[Seen]) -> TestResult<(Vec<Instant>, Vec<Instant>)> {
    let mut tries = HashMap::new();
    for seen in seen {
        let id = seen.header("x-request-id").context("Envoy names each request")?;
        let attempt: u32 = seen.header("x-envoy-attempt-count").context("Envoy counts the tries")?.parse()?;
        tries.insert((id, attempt), seen.at);
    }
    let (first, later): (Vec<_>, Vec<_>) = tries.iter().partition(|((_, attempt), _)| *attempt == 1);
    let first = first.into_iter().map(|(_, at)| *at).collect();
    let grants = later.into_iter().map(|((id, attempt), _)| tries.get(&(*id, attempt - 1)).copied());
    Ok((first, grants.collect::<Option<_>>().context("a retry without the try before it")?))
}

fn within(times: &[Instant], from: Instant, span: Duration) -> usize {
    times.iter().filter(|at| (from..from + span).contains(at)).count()
}

#[test]
fn without_a_budget_a_failing_service_gets_four_times_the_load() -> TestResult {
    let story = Story::without_budget(&route())?;
    story.orders.set(Fault::Status(503));
    assert_eq!(story.many(100)?.served_by("orders"), 100);
    assert_eq!((story.orders.hits(), story.retries()), (400, 300));
    Ok(())
}

#[test]
fn with_a_budget_every_second_of_it_stays_below_the_bound() -> TestResult {
    let ttl = Duration::from_secs(1);
    let story = Story::begin(json!({"ttl": "1s", "min_retries_per_second": 1}))?;
    story.orders.set(Fault::Status(503));
    let begun = Instant::now();
    let load = Storm::new(Call::get(story.edge, "/").fresh_connection()).concurrency(16).total(600).per_second(150.0);
    let tally = load.run(SOON)?;
    assert_eq!(
        (tally.status(503), tally.rejected(), tally.served_by("orders")),
        (600, 0, 600),
        "the service's own answers"
    );

    let workers = story.envoy.stats("^listener\\.127.*worker_[01]\\.downstream_cx_total$")?;
    assert_eq!(workers.values().filter(|connections| **connections > 100).count(), 2, "both worked: {workers:?}");

    let seen = story.orders.seen();
    let (first, grants) = first_tries_and_grants(&seen)?;
    assert_eq!((first.len(), first.len() + grants.len()), (600, seen.len()));
    let later: Vec<Instant> = seen.iter().map(|seen| seen.at).filter(|at| *at >= begun + ttl).collect();
    for from in &later {
        let (requests, retries) = (within(&first, *from, ttl), within(&grants, *from, ttl));
        // A window turns tick by tick: the requests of one more tick, a tenth of its length, may have been in it.
        let before = within(&first, from.checked_sub(ttl / 10).unwrap_or(*from), ttl / 10);
        assert!(retries * 5 <= requests + before + 5, "{retries} retries of {requests} requests and {before} before");
    }
    assert!(later.len() > 400, "{} attempts were looked at", later.len());
    assert!(story.retries() > 60, "and it is used: {} retries", story.retries());
    assert!(story.retries() <= 600 / 5 + 5, "{} retries", story.retries());
    Ok(())
}

#[test]
fn a_vetoed_retry_leaves_the_services_own_answer_and_no_trace_of_ours() -> TestResult {
    let story = Story::begin(json!({}))?;
    story.orders.set(Fault::Status(503));
    let reply = story.get()?;
    assert_eq!((reply.status, reply.served_by(), reply.rejected_by()), (503, Some("orders"), None));
    assert_eq!(reply.json()?, json!({"error": 503}));
    assert_eq!((reply.header("x-envoy-ratelimited"), reply.header("x-holdfast-retry-in")), (None, None));
    assert_eq!((story.orders.hits(), story.counted("refused_total;cause=budget")?), (1, 1));
    Ok(())
}

#[test]
fn what_the_service_says_itself_reaches_the_client() -> TestResult {
    let story = Story::begin(json!({}))?;
    story.orders.set(Fault::Status(503));
    story.orders.set_headers(&[("x-envoy-ratelimited", b"by the service"), ("x-holdfast-retry-in", b"7")])?;
    for _ in 0..10 {
        let reply = story.get()?;
        assert_eq!(reply.header("x-envoy-ratelimited"), Some("by the service"));
        assert_eq!(reply.header("x-holdfast-retry-in"), Some("7"));
    }
    assert_eq!(story.orders.hits(), 10, "Envoy doesn't retry what the service marked");
    Ok(())
}

#[test]
fn a_burst_that_fails_during_one_back_off_does_not_see_the_same_budget_over_and_over() -> TestResult {
    let second = Duration::from_secs(1);
    let slow = config::with_back_off(route(), second, second);
    let burst = |story: &Story| -> TestResult<u64> {
        story.many(100)?;
        story.orders.set(Fault::Status(503));
        let tally = Storm::new(Call::get(story.edge, "/")).concurrency(200).total(200).run(SOON)?;
        assert_eq!(tally.served_by("orders"), 200, "{:?}", tally.errors());
        Ok(story.retries())
    };
    assert_eq!(burst(&Story::without_budget(&slow)?)?, 600);

    let story = Story::on(&slow, &entries(json!({}))?.both())?;
    let retries = burst(&story)?;
    assert!((20..=60).contains(&retries), "{retries} retries of 300 requests");
    assert!(story.counted("granted_total")? <= 60 + story.counted("returned_total")?);
    Ok(())
}

#[test]
fn operators_see_where_the_budget_stands() -> TestResult {
    let story = Story::begin(json!({"min_retries_per_second": 2, "ttl": "5s"}))?;
    story.many(50)?;
    story.orders.set(Fault::Status(503));
    story.many(50)?;
    let retries = story.retries();
    assert!((20..=30).contains(&retries), "a fifth of a hundred and ten more: {retries}");
    eventually_eq("each request", SOON, &100, || story.counted("requests_total"))?;
    eventually_eq("each retry", SOON, &retries, || story.counted("retries_total"))?;
    assert_eq!(story.counted("floor")?, 10, "what the floor alone allows");
    assert!(story.counted("refused_total;cause=budget")? > 0);
    eventually("the load that retries add", SOON, || {
        story.counted("amplification_permille").map(|permille| (1_150..=1_300).contains(&permille))
    })?;
    eventually_eq("all is spent", SOON, &0, || story.counted("left"))?;
    eventually("and is there again when its time is over", SOON, || story.counted("left").map(|left| left == 10))
}
