//! Hedging begins an attempt while another is under way. A refusal would be the client's answer although the first attempt may
//! still succeed, so such an attempt passes, and later retries pay for it.

mod budget;

use std::time::Duration;

use budget::{SOON, Story, chains_share_counters, entries, route};
use integration::{Fault, TestResult, config, eventually};
use serde_json::{Value, json};

const REQUESTS: usize = 40;

/// Another attempt after 60 ms without an answer, and another; two seconds for all of them.
fn hedging() -> Value {
    config::with_timeout(config::with_hedging(route(), Duration::from_millis(60)), Duration::from_secs(2))
}

/// Answers, but only after two hedges would have begun.
fn slow() -> Fault {
    Fault::Slow(Duration::from_millis(160))
}

/// What was granted and not given back is never more than what was sent.
fn assert_never_overcounts(story: &Story) -> TestResult {
    if chains_share_counters()? {
        eventually("grants are no more than retries", SOON, || {
            Ok::<_, anyhow::Error>(
                story.counted("granted_total")? - story.counted("returned_total")? <= story.counted("retries_total")?,
            )
        })?;
    }
    let (requests, hits) = (story.counted("requests_total")?, story.orders.hits());
    assert_eq!((requests, requests + story.counted("retries_total")?), (hits - story.retries(), hits));
    story.assert_no_trap();
    Ok(())
}

#[test]
fn slow_requests_are_hedged_without_a_budget() -> TestResult {
    let story = Story::without_budget(&hedging())?;
    story.orders.set(slow());
    assert_eq!(story.many(REQUESTS)?.status(200), REQUESTS);
    assert!(story.retries() >= REQUESTS as u64, "{} hedges", story.retries());
    Ok(())
}

#[test]
fn a_slow_request_succeeds_though_the_budget_is_empty() -> TestResult {
    // In the cluster's chain alone: nobody tells the router beforehand that nothing is left.
    let story = Story::on(&hedging(), &entries(json!({}))?.upstream_only())?;
    story.orders.set(slow());
    assert_eq!(story.many(REQUESTS)?.status(200), REQUESTS);
    assert!(story.counted("hedged_over_budget_total")? > 0, "nothing was left, and they passed");
    assert_eq!(story.counted("refused_total")?, 0);
    assert_never_overcounts(&story)
}

#[test]
fn with_both_entries_it_succeeds_too_and_is_hedged_less() -> TestResult {
    let story = Story::on(&hedging(), &entries(json!({}))?.both())?;
    story.orders.set(Fault::Status(503));
    story.many(20)?;
    story.orders.set(slow());
    assert_eq!(story.many(REQUESTS)?.status(200), REQUESTS);
    assert_never_overcounts(&story)
}

#[test]
fn whatever_happens_to_hedges_it_is_counted_once() -> TestResult {
    let story = Story::on(&hedging(), &entries(json!({"min_retries_per_second": 5}))?.both())?;
    for fault in [Fault::Random { percent: 40, status: 503 }, slow(), Fault::Reset, Fault::Hang] {
        story.orders.set(fault);
        story.many(24)?;
    }
    story.orders.set(Fault::Healthy);
    assert_eq!(story.many(20)?.status(200), 20);
    assert_eq!(story.counted("requests_total")?, 116);
    story.assert_no_trap();
    Ok(())
}

#[test]
fn what_hedges_took_over_the_budget_later_retries_pay_for() -> TestResult {
    let story = Story::on(&hedging(), &entries(json!({"ttl": "60s"}))?.upstream_only())?;
    story.orders.set(slow());
    story.many(REQUESTS)?;
    let hedges = story.retries();
    assert!(hedges >= REQUESTS as u64, "{hedges} hedges");
    story.orders.set(Fault::Status(503));
    story.many(REQUESTS)?;
    assert_eq!(story.retries(), hedges, "a fifth of {REQUESTS} requests more doesn't pay for {hedges} hedges");
    Ok(())
}
