//! An operator changes the budget under traffic (ECDS). What was counted stays counted, wherever it means the same.

mod budget;

use budget::{SOON, Story, entries, route};
use integration::{DynamicFilter, Fault, TestResult, eventually};
use serde_json::{Value, json};

/// A story whose both entries come from watched files.
struct Pushed {
    story: Story,
    downstream: DynamicFilter,
    upstream: DynamicFilter,
}

// === impl Pushed ===

impl Pushed {
    fn begin(config: Value) -> TestResult<Self> {
        let first = entries(config)?;
        let (downstream, upstream) = (first.downstream.dynamic()?, first.upstream.dynamic()?);
        let story = Story::on(&route(), &(vec![downstream.filter()], vec![upstream.filter()]))?;
        Ok(Self { story, downstream, upstream })
    }

    /// Both entries are replaced when this returns.
    fn push(&self, config: Value) -> TestResult {
        let (next, before) = (entries(config)?, self.reloads()?);
        self.downstream.update(&next.downstream.typed_config())?;
        self.upstream.update(&next.upstream.typed_config())?;
        eventually("both are pushed", SOON, || self.reloads().map(|reloads| reloads >= before + 2))
    }

    fn reloads(&self) -> TestResult<u64> {
        Ok(self.story.envoy.stats("extension_config_discovery.*config_reload$")?.values().sum())
    }

    /// What so many requests add while the service is down.
    fn retries_of(&self, requests: usize) -> TestResult<u64> {
        let before = self.story.retries();
        self.story.orders.set(Fault::Status(503));
        self.story.many(requests)?;
        Ok(self.story.retries() - before)
    }
}

#[test]
fn what_was_earned_before_a_push_can_be_spent_after_it() -> TestResult {
    let pushed = Pushed::begin(json!({"ttl": "60s"}))?;
    pushed.story.many(100)?;
    pushed.push(json!({"ttl": "60s", "max_pushback": "11s", "retry_unsafe": "always"}))?;
    assert_eq!(pushed.retries_of(1)?, 3);
    pushed.story.assert_no_trap();
    Ok(())
}

#[test]
fn what_was_spent_before_a_push_is_spent_after_it() -> TestResult {
    let pushed = Pushed::begin(json!({"ttl": "60s"}))?;
    pushed.story.many(50)?;
    // Ten for the healthy ones, up to ten for these.
    let spent = pushed.retries_of(50)?;
    assert!((10..=20).contains(&spent), "{spent} retries");
    for most in ["11s", "12s", "13s"] {
        pushed.push(json!({"ttl": "60s", "max_pushback": most}))?;
        let more = pushed.retries_of(10)?;
        assert!(more <= 2 + 20 - spent, "{more} retries of ten requests after a push, {spent} before it");
    }
    let (requests, retries) = (pushed.story.orders.hits() - pushed.story.retries(), pushed.story.retries());
    assert!(retries * 5 <= requests, "{retries} retries of {requests} requests");
    pushed.story.assert_no_trap();
    Ok(())
}

#[test]
fn a_new_mode_is_obeyed_at_once_and_knows_what_was_granted_under_the_old_one() -> TestResult {
    let pushed = Pushed::begin(json!({"ttl": "60s"}))?;
    pushed.story.many(50)?;
    pushed.push(json!({"ttl": "60s", "mode": "dry_run"}))?;
    assert_eq!(pushed.retries_of(10)?, 30, "a dry run lets everything pass");
    pushed.push(json!({"ttl": "60s"}))?;
    // The sixty requests so far earned twelve retries, which are spent; ten more earn two.
    let more = pushed.retries_of(10)?;
    assert!(more <= 2, "{more} retries");
    Ok(())
}
