//! What a reviewer did to the budget, and what happened to it before it was mended.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod budget;

use std::time::Duration;

use anyhow::Context as _;
use budget::{SOON, Story, entries, gateway, route};
use integration::{Call, Fault, Storm, TestResult, Upstream, Wasm, client, config, eventually};
use serde_json::{Value, json};

/// Not one retry.
fn nothing() -> Value {
    json!({"ratio": 0, "min_retries_per_second": 0})
}

/// A pool of one connection and one waiting request.
fn narrow(cluster: Value) -> Value {
    let narrow =
        json!({"max_retries": 10_000, "max_requests": 10_000, "max_pending_requests": 1, "max_connections": 1});
    config::patch(cluster, json!({"circuit_breakers": {"thresholds": [narrow]}}))
}

/// Envoy 1.36 runs the filters for an attempt that a full pool refused, although the request has been answered; a second answer killed the process.
#[test]
fn a_retry_that_a_full_pool_refuses_ends_well() -> TestResult {
    let orders = Upstream::start("orders")?;
    let route = config::with_back_off(route(), Duration::from_millis(400), Duration::from_millis(400));
    let (envoy, edge) = gateway(orders.port(), &route, &entries(nothing())?.both(), narrow)?;
    let cut = std::thread::spawn(move || client::get(edge, "/", &[("x-upstream-fault", "reset")]));
    std::thread::sleep(Duration::from_millis(60));
    let load =
        Storm::new(Call::get(edge, "/").header("x-upstream-fault", "slow:700")).concurrency(4).total(4).run(SOON)?;
    let cut = cut.join().ok().context("a client panicked")??;
    assert_eq!((cut.status, load.len()), (503, 4));
    assert!(envoy.is_running(), "{}", envoy.log());
    assert_eq!(client::get(edge, "/", &[])?.status, 200);
    Ok(())
}

/// Two instances in one chain shared the line that attempts leave for each other: what the one let go was never asked by the other.
#[test]
fn an_instance_on_trial_changes_nothing_for_the_one_that_enforces() -> TestResult {
    let entry = |instance: &str, mode: &str| -> TestResult<Value> {
        let policy =
            json!({"chain": "upstream", "instance": instance, "mode": mode, "ratio": 0, "min_retries_per_second": 0});
        Ok(Wasm::module("retry_budget")?.name(instance).config(&policy).filter())
    };
    for chain in [
        vec![entry("a", "enforce")?, entry("trial", "dry_run")?],
        vec![entry("trial", "dry_run")?, entry("a", "enforce")?],
    ] {
        let story = Story::on(&route(), &(vec![], chain))?;
        story.orders.set(Fault::Status(503));
        assert_eq!(story.many(50)?.served_by("orders"), 50);
        assert_eq!(story.orders.hits(), 50);
    }
    Ok(())
}

/// The keys whose budgets were empty when the upstream entry was switched off stayed without retries.
#[test]
fn a_budget_that_was_empty_when_it_was_switched_off_lets_requests_be_retried_again() -> TestResult {
    let policy = json!({"ratio": 0, "min_retries_per_second": 0, "ttl": "1s"});
    let begun = entries(policy.clone())?;
    let upstream = begun.upstream.dynamic()?;
    let story = Story::on(&route(), &(vec![begun.downstream.filter()], vec![upstream.filter()]))?;
    story.orders.set(Fault::Status(503));
    story.many(20)?;
    assert_eq!(story.retries(), 0);
    upstream.update(&entries(config::patch(policy, json!({"mode": "disabled"})))?.upstream.typed_config())?;
    eventually("a request is retried as the route says", SOON, || {
        let before = story.orders.hits();
        story.get()?;
        Ok::<_, anyhow::Error>(story.orders.hits() == before + 4)
    })
}

/// A hedge that fails, and the attempt after it, were answered finally while the first attempt was about to succeed.
#[test]
fn a_slow_request_succeeds_though_each_of_its_hedges_fails() -> TestResult {
    for failure in ["status:503", "reset"] {
        let orders = Upstream::start("orders")?;
        let hedging =
            config::with_timeout(config::with_hedging(route(), Duration::from_millis(100)), Duration::from_secs(5));
        let (_envoy, edge) = gateway(orders.port(), &hedging, &entries(nothing())?.both(), |cluster| cluster)?;
        let faults = [("x-upstream-fault", "slow:600"), ("x-upstream-fault-of-retries", failure)];
        assert_eq!(client::get(edge, "/", &faults)?.status, 200, "{failure}");
    }
    Ok(())
}
