//! A release changes how state is stored. The new version takes over what the old one knew, once; both can run side by side; and
//! the way back is open.
//!
//! `circuit_breaker_hooks` stores encoding 1, `circuit_breaker_next` encoding 2. Both have the same `vm_id`, so the same shared data.

mod story_b;

use std::time::Duration;

use integration::{DynamicFilter, Envoy, Fault, TestResult, Upstream, Wasm, config, eventually_eq, throughout};
use serde_json::{Value, json};
use story_b::{SOON, hooked, open_the_breaker, policy, proxy, route, status};

/// The next version; its answer differs so that a test sees who refuses.
fn next(change: Value) -> TestResult<Wasm> {
    let told_apart = config::patch(json!({"on_open": {"reply": {"status": 529}}}), change);
    Ok(Wasm::test_module("circuit_breaker_next")?.name("breaker").config(&policy(told_apart)))
}

/// Old and new version by turns, each found at work.
fn push(filter: &DynamicFilter, version: &Wasm, edge: u16, refuses_with: u16) -> TestResult {
    filter.update(&version.typed_config())?;
    eventually_eq("the pushed version refuses", SOON, &refuses_with, || status(edge))
}

/// Transitions in the log. Envoy forgets a module's counters with its last VM, so they can't be compared over an upgrade.
fn logged(envoy: &Envoy, phase: &str) -> usize {
    envoy.log().matches(&format!("\"event\":\"{phase}\"")).count()
}

#[test]
fn an_open_breaker_stays_open_over_an_upgrade_and_the_way_back() -> TestResult {
    let orders = Upstream::start("orders")?;
    let filter = hooked(json!({}))?.dynamic()?;
    let (envoy, edge) = proxy(&[filter.filter()], &orders)?;
    open_the_breaker(edge, &orders)?;
    let hits = orders.hits();

    for _ in 0..2 {
        push(&filter, &next(json!({}))?, edge, 529)?;
        push(&filter, &hooked(json!({}))?, edge, 503)?;
    }

    assert_eq!(orders.hits(), hits, "nothing leaked");
    assert_eq!((logged(&envoy, "open"), logged(&envoy, "half_open")), (1, 0), "nothing was decided anew");
    Ok(())
}

#[test]
fn the_old_state_is_taken_over_once_and_not_again() -> TestResult {
    // Long enough for a push on a slow machine.
    let brief = json!({"open": {"base": "4s"}});
    let orders = Upstream::start("orders")?;
    let filter = hooked(brief.clone())?.dynamic()?;
    let (envoy, edge) = proxy(&[filter.filter()], &orders)?;
    open_the_breaker(edge, &orders)?;
    push(&filter, &next(brief.clone())?, edge, 529)?;
    eventually_eq("the new version closes", SOON, &1, || {
        status(edge)?;
        anyhow::Ok(logged(&envoy, "closed"))
    })?;

    // The old cell still says open. A new instance of the new version must not look there.
    filter.update(&next(config::patch(brief, json!({"mode": "force_open"})))?.typed_config())?;
    eventually_eq("another instance is at work", SOON, &529, || status(edge))?;
    filter.update(&next(json!({"open": {"base": "59s"}}))?.typed_config())?;
    eventually_eq("and another one", SOON, &200, || status(edge))?;
    throughout("it is closed", Duration::from_millis(300), || status(edge).map(|status| status == 200))?;
    assert_eq!((logged(&envoy, "open"), logged(&envoy, "half_open")), (1, 1));
    Ok(())
}

#[test]
fn both_versions_run_side_by_side() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (old, canary) = (hooked(json!({}))?.dynamic()?, hooked(json!({}))?.dynamic()?);
    let listeners = [("old", &old), ("canary", &canary)];
    let listeners = listeners.map(|(name, filter)| config::listener(name, &[filter.filter()], &[route()]));
    let envoy = Envoy::start(&config::bootstrap(&listeners, &[config::cluster("up", &[orders.port()])]))?;
    let (old_port, canary_port) = (envoy.port("old")?, envoy.port("canary")?);

    open_the_breaker(old_port, &orders)?;
    push(&canary, &next(json!({}))?, canary_port, 529)?;
    throughout("each refuses in its own way", Duration::from_millis(300), || {
        anyhow::Ok((status(old_port)?, status(canary_port)?) == (503, 529))
    })?;

    // From a fresh start each opens by itself, and neither stumbles over the other's cells.
    let window = json!({"window": {"time": "2s"}});
    canary.update(&next(window.clone())?.typed_config())?;
    old.update(&hooked(window)?.typed_config())?;
    eventually_eq("both start afresh", SOON, &(200, 200), || anyhow::Ok((status(old_port)?, status(canary_port)?)))?;
    orders.set(Fault::Status(500));
    eventually_eq("both open", SOON, &(503, 529), || anyhow::Ok((status(old_port)?, status(canary_port)?)))?;
    push(&canary, &hooked(json!({"window": {"time": "2s"}}))?, canary_port, 503)?;
    assert_eq!(story_b::counted(&envoy, "store_errors_total", &[])?, 0);
    Ok(())
}
