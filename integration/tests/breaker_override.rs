//! An operator takes the breaker in hand at 3 a.m.: one key, for a while, without a redeploy.
//!
//! The override is set through shared data (here by a request to the test module), so both workers obey it, and it ends by itself.

#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

mod story_b;

use std::time::{Duration, Instant};

use integration::{Call, Envoy, Fault, TestResult, Upstream, eventually, eventually_eq};
use serde_json::{Value, json};
use story_b::{SOON, counted, everyone, hooked, is_refused, open_the_breaker, proxy, turned};

/// How long overrides last here.
const SPELL: Duration = Duration::from_secs(3);
/// Far more than `state_refresh` (10 ms), far less than [`SPELL`].
const A_MOMENT: Duration = Duration::from_millis(200);

struct Stage {
    orders: Upstream,
    envoy: Envoy,
    edge: u16,
}

impl Stage {
    fn set(change: Value) -> TestResult<Self> {
        let orders = Upstream::start("orders")?;
        let (envoy, edge) = proxy(&[hooked(change)?.filter()], &orders)?;
        Ok(Self { orders, envoy, edge })
    }

    /// Sets the override and gives every worker the time to see it.
    fn order(&self, mode: &str) -> TestResult<Instant> {
        let order = format!("override {mode} {}", SPELL.as_millis());
        Call::get(self.edge, "/").header("x-holdfast-test", order).send()?;
        let set = Instant::now();
        std::thread::sleep(A_MOMENT);
        Ok(set)
    }

    fn gauge(&self) -> TestResult<u64> {
        counted(&self.envoy, "override", &[])
    }

    /// Both workers served connections: what held for everyone held on each of them.
    fn assert_both_workers_served(&self) -> TestResult {
        let workers = self.envoy.stats("^listener\\.127.*\\.worker_\\d\\.downstream_cx_total$")?;
        assert!(workers.len() == 2 && workers.values().all(|served| *served > 0), "{workers:?}");
        Ok(())
    }

    /// What this test did while the override was in force took less time than that.
    fn assert_in_time(set: Instant) {
        assert!(set.elapsed() < SPELL, "this machine is too slow for the test: {:?}", set.elapsed());
    }
}

#[test]
fn force_open_is_obeyed_by_both_workers_and_expires() -> TestResult {
    let stage = Stage::set(json!({}))?;
    assert_eq!(everyone(stage.edge)?.status(200), 64);

    let set = stage.order("force_open")?;
    stage.orders.reset_counts();
    let tally = everyone(stage.edge)?;
    Stage::assert_in_time(set);
    assert_eq!((tally.rejected(), stage.orders.hits()), (64, 0));
    assert!(tally.samples.iter().all(|sample| sample.rejected_by.as_deref() == Some("circuit-breaker; cause=forced")));
    eventually_eq("the gauge says force_open", SOON, &4, || stage.gauge())?;
    stage.assert_both_workers_served()?;

    eventually("it expires", SOON, || is_refused(stage.edge).map(|refused| !refused))?;
    assert!(set.elapsed() + A_MOMENT >= SPELL, "it held for {:?} only", set.elapsed());
    assert_eq!(everyone(stage.edge)?.status(200), 64);
    eventually_eq("the gauge says none", SOON, &0, || stage.gauge())
}

#[test]
fn force_closed_lets_everything_through_to_a_failing_service() -> TestResult {
    let stage = Stage::set(json!({}))?;
    let set = stage.order("force_closed")?;
    stage.orders.set(Fault::Status(500));
    let tally = everyone(stage.edge)?;
    let opened = turned(&stage.envoy, "open")?;
    Stage::assert_in_time(set);
    assert_eq!((tally.status(500), tally.rejected(), opened), (64, 0, 0));
    assert_eq!(counted(&stage.envoy, "calls_total", &[("outcome", "failure")])?, 64, "they are counted all the same");
    eventually_eq("the gauge says force_closed", SOON, &5, || stage.gauge())?;
    eventually("afterwards the breaker opens", SOON, || is_refused(stage.edge))
}

#[test]
fn force_closed_opens_an_open_breaker_to_traffic() -> TestResult {
    let stage = Stage::set(json!({}))?;
    open_the_breaker(stage.edge, &stage.orders)?;
    let set = stage.order("force_closed")?;
    let tally = everyone(stage.edge)?;
    Stage::assert_in_time(set);
    assert_eq!((tally.status(200), tally.rejected()), (64, 0));
    eventually("afterwards it is as open as before", SOON, || is_refused(stage.edge))
}

#[test]
fn dry_run_opens_the_breaker_but_refuses_nobody() -> TestResult {
    let stage = Stage::set(json!({}))?;
    let set = stage.order("dry_run")?;
    stage.orders.set(Fault::Status(500));
    let tally = everyone(stage.edge)?;
    let (opened, would) =
        (turned(&stage.envoy, "open")?, counted(&stage.envoy, "would_reject_total", &[("cause", "open")])?);
    Stage::assert_in_time(set);
    assert_eq!((tally.status(500), tally.rejected(), opened), (64, 0, 1));
    assert!(would > 0, "it says what it would have done");
    eventually_eq("the gauge says dry_run", SOON, &2, || stage.gauge())?;
    eventually("afterwards it refuses", SOON, || is_refused(stage.edge))
}

#[test]
fn disabled_neither_refuses_nor_counts() -> TestResult {
    let stage = Stage::set(json!({}))?;
    let set = stage.order("disabled")?;
    let before = counted(&stage.envoy, "calls_total", &[])?;
    stage.orders.set(Fault::Status(500));
    let tally = everyone(stage.edge)?;
    let after = counted(&stage.envoy, "calls_total", &[])?;
    Stage::assert_in_time(set);
    assert_eq!((tally.status(500), tally.rejected(), after), (64, 0, before));
    eventually_eq("the gauge says disabled", SOON, &3, || stage.gauge())?;
    eventually("afterwards it works again", SOON, || is_refused(stage.edge))
}

#[test]
fn enforce_makes_a_dry_run_bite() -> TestResult {
    let stage = Stage::set(json!({"mode": "dry_run"}))?;
    stage.orders.set(Fault::Status(500));
    eventually_eq("the machine opens", SOON, &1, || {
        everyone(stage.edge)?;
        turned(&stage.envoy, "open")
    })?;
    let set = stage.order("enforce")?;
    let tally = everyone(stage.edge)?;
    Stage::assert_in_time(set);
    assert_eq!(tally.rejected(), 64);
    eventually("afterwards it only watches again", SOON, || is_refused(stage.edge).map(|refused| !refused))
}
