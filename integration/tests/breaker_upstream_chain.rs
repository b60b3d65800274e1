//! The breaker in the cluster's filter chain: it sees every attempt, retries included.

mod story_b;

use std::time::Duration;

use integration::client::Storm;
use integration::{Call, Envoy, Fault, TestResult, Upstream, client, config, eventually, eventually_eq};
use serde_json::{Value, json};
use story_b::{SOON, counted, policy, route, turned};

/// A breaker that counts attempts, and opens only after a thousand.
fn counting() -> Value {
    json!({"minimum_calls": 1000, "window": {"time": "60s"}})
}

/// Envoy whose cluster carries the breaker, behind a route with two retries.
fn proxy(ports: &[u16], change: Value, route: &Value) -> TestResult<(Envoy, u16)> {
    let upstream = config::patch(policy(json!({"chain": "upstream"})), change);
    let breaker = integration::Wasm::module("circuit_breaker")?.config(&upstream).filter();
    let listener = config::listener("edge", &[], std::slice::from_ref(route));
    let cluster = config::upstream_filters(config::cluster("up", ports), &[breaker]);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
    let edge = envoy.port("edge")?;
    Ok((envoy, edge))
}

fn retrying() -> Value {
    config::with_retries(route(), "5xx,reset,connect-failure", 2)
}

fn attempts(envoy: &Envoy, outcome: &str) -> TestResult<u64> {
    counted(envoy, "calls_total", &[("chain", "upstream"), ("outcome", outcome)])
}

#[test]
fn every_attempt_counts() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&[orders.port()], counting(), &retrying())?;
    assert_eq!(client::get(edge, "/", &[])?.status, 200);
    orders.set(Fault::Status(500));
    for _ in 0..5 {
        assert_eq!(client::get(edge, "/", &[])?.status, 500);
    }
    eventually_eq("5 requests are 15 attempts", SOON, &15, || attempts(&envoy, "failure"))?;
    assert_eq!((attempts(&envoy, "success")?, orders.hits()), (1, 16));
    Ok(())
}

#[test]
fn a_refusal_is_final() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&[orders.port()], json!({}), &retrying())?;
    orders.set(Fault::Status(500));
    eventually("the breaker opens", SOON, || story_b::is_refused(edge))?;
    orders.set(Fault::Healthy);
    let (hits, refused) = (orders.hits(), counted(&envoy, "rejected_total", &[("chain", "upstream")])?);
    assert_eq!(hits, 3, "three failed attempts opened it");

    for _ in 0..10 {
        let reply = client::get(edge, "/", &[])?;
        assert_eq!((reply.status, reply.rejected_by()), (503, Some("circuit-breaker; cause=open")));
        assert_eq!(reply.header("x-envoy-ratelimited"), Some("true"));
    }
    let refused_since = counted(&envoy, "rejected_total", &[("chain", "upstream")])? - refused;
    assert_eq!((refused_since, orders.hits()), (10, hits), "no refusal was retried");
    Ok(())
}

#[test]
fn a_refused_connection_is_a_failure() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&[orders.port()], counting(), &retrying())?;
    orders.set(Fault::Refuse);
    assert_eq!(client::get(edge, "/", &[])?.status, 503);
    eventually_eq("three attempts failed", SOON, &3, || attempts(&envoy, "failure"))?;
    assert_eq!(attempts(&envoy, "success")?, 0);
    Ok(())
}

#[test]
fn a_reset_connection_is_a_failure() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&[orders.port()], counting(), &route())?;
    orders.set(Fault::Reset);
    for _ in 0..3 {
        assert_eq!(client::get(edge, "/", &[])?.status, 503);
    }
    eventually_eq("three attempts failed", SOON, &3, || attempts(&envoy, "failure"))
}

#[test]
fn timeouts_are_failures() -> TestResult {
    let orders = Upstream::start("orders")?;
    let per_try = json!({"route": {"timeout": "0s", "retry_policy": {"per_try_timeout": "0.2s"}}});
    let (envoy, edge) = proxy(&[orders.port()], counting(), &config::patch(retrying(), per_try))?;
    orders.set(Fault::Hang);
    assert_eq!(client::get(edge, "/", &[])?.status, 504);
    eventually_eq("three tries timed out", SOON, &3, || attempts(&envoy, "failure"))?;

    let (envoy, edge) =
        proxy(&[orders.port()], counting(), &config::with_timeout(route(), Duration::from_millis(200)))?;
    assert_eq!(client::get(edge, "/", &[])?.status, 504);
    eventually_eq("the request timed out", SOON, &1, || attempts(&envoy, "failure"))
}

#[test]
fn a_client_that_leaves_says_nothing_of_the_service() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&[orders.port()], counting(), &route())?;
    orders.set(Fault::Hang);
    let hasty = Call::get(edge, "/").timeout(Duration::from_millis(200));
    for _ in 0..3 {
        assert!(hasty.send().is_err());
    }
    eventually_eq("nothing is in flight", SOON, &(3, 0), || Ok::<_, String>((orders.hits(), orders.in_flight())))?;
    orders.set(Fault::Healthy);
    assert_eq!(client::get(edge, "/", &[])?.status, 200);
    eventually_eq("one success", SOON, &1, || attempts(&envoy, "success"))?;
    assert_eq!(attempts(&envoy, "failure")?, 0);
    Ok(())
}

#[test]
fn per_host_keys_tell_a_sick_host_from_a_healthy_one_and_refuse_nobody() -> TestResult {
    let (sick, well) = (Upstream::start("sick")?, Upstream::start("well")?);
    sick.set(Fault::Status(500));
    let change = json!({"key": ["upstream_host"], "mode": "dry_run"});
    let (envoy, edge) = proxy(&[sick.port(), well.port()], change, &route())?;
    let tally = Storm::new(Call::get(edge, "/")).concurrency(4).total(200).run(SOON)?;
    assert_eq!((tally.len(), tally.rejected()), (200, 0));
    assert!(tally.status(200) > 50 && tally.status(500) > 50, "{:?}", tally.by_status());

    let of = |port: u16, what: &str| -> TestResult<u64> {
        let series = envoy.stats(&format!("holdfast_circuit_breaker_{what};.*key=127\\.0\\.0\\.1_{port}"))?;
        Ok(series.values().sum())
    };
    eventually_eq("the sick host's breaker is open", SOON, &1, || of(sick.port(), "state"))?;
    assert_eq!((of(well.port(), "state")?, of(well.port(), "would_reject_total")?), (0, 0));
    assert!(of(sick.port(), "would_reject_total")? > 0);
    assert_eq!(turned(&envoy, "open")?, 1);
    Ok(())
}

#[test]
fn the_way_back_leads_over_probes_here_too() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&[orders.port()], json!({"open": {"base": "300ms"}}), &retrying())?;
    orders.set(Fault::Status(500));
    eventually("the breaker opens", SOON, || story_b::is_refused(edge))?;
    orders.set(Fault::Healthy);
    eventually_eq("a probe closes it", SOON, &1, || {
        client::get(edge, "/", &[])?;
        turned(&envoy, "closed")
    })?;
    assert_eq!(counted(&envoy, "probes_total", &[("result", "success")])?, 1);
    Ok(())
}
