//! What counts against a service and what doesn't: its own failures and silences do; the caller's mistakes, other
//! filters' answers and impatient clients never do.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod story;

use std::time::Duration;

use integration::client::{self, Sse};
use integration::{Call, Envoy, Fault, Grpc, TestResult, Upstream, config};
use integration::{eventually, eventually_eq, throughout};
use serde_json::{Value, json};
use story::{SOON, Story, breaker, metric};

const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters.http";
/// Longer than a tick and a request: what would be counted wrongly has been counted by then.
const A_WHILE: Duration = Duration::from_millis(300);

/// A breaker that never opens, so that every call can be looked at.
fn patient(change: &Value) -> TestResult<Story> {
    let mut policy = json!({"minimum_calls": 1_000_000});
    change.as_object().into_iter().flatten().for_each(|(name, value)| policy[name] = value.clone());
    let route = config::with_timeout(config::route("all", "orders"), Duration::from_millis(400));
    Story::with_route(&breaker(policy)?, route)
}

/// (successes, failures) of a key.
fn counted(envoy: &Envoy, key: &str) -> TestResult<(u64, u64)> {
    Ok((metric(envoy, key, "calls_total;outcome=success")?, metric(envoy, key, "calls_total;outcome=failure")?))
}

/// Waits for these counts, and makes sure that they stay.
fn counts(envoy: &Envoy, key: &str, expected: (u64, u64)) -> TestResult {
    eventually_eq("the counts", SOON, &expected, || counted(envoy, key))?;
    throughout("nothing more", A_WHILE, || counted(envoy, key).map(|now| now == expected))
}

#[test]
fn every_failure_and_silence_of_the_service_counts() -> TestResult {
    let story = patient(&json!({}))?;
    let faults = [Fault::Status(500), Fault::Status(503), Fault::Hang, Fault::Reset, Fault::Refuse, Fault::Status(599)];
    for (failures, fault) in (1..).zip(faults) {
        story.orders.set(fault.clone());
        let reply = story.call().send()?;
        assert!(reply.status >= 500 && reply.rejected_by().is_none(), "{fault:?}: {}", reply.status);
        eventually_eq(&format!("{fault:?} counts"), SOON, &(0, failures), || counted(&story.envoy, "all"))?;
    }
    counts(&story.envoy, "all", (0, 6))
}

#[test]
fn the_callers_mistakes_are_the_services_successes() -> TestResult {
    let story = patient(&json!({}))?;
    for status in [400, 401, 403, 404, 409, 422, 429, 499] {
        story.orders.set(Fault::Status(status));
        assert_eq!(story.call().send()?.status, status);
    }
    counts(&story.envoy, "all", (8, 0))
}

#[test]
fn which_statuses_are_failures_can_be_said() -> TestResult {
    let story = patient(&json!({"failure_on": {"status": [429, "501-503"]}}))?;
    for (status, expected) in [(429, (0, 1)), (500, (1, 1)), (503, (1, 2)), (404, (2, 2)), (504, (3, 2))] {
        story.orders.set(Fault::Status(status));
        assert_eq!(story.call().send()?.status, status);
        eventually_eq(&format!("{status} counts"), SOON, &expected, || counted(&story.envoy, "all"))?;
    }
    Ok(())
}

#[test]
fn impatient_clients_are_nobodys_fault() -> TestResult {
    let route = config::with_timeout(config::route("all", "orders"), Duration::ZERO);
    let story = Story::with_route(&breaker(json!({"minimum_calls": 1}))?, route)?;
    story.orders.set(Fault::Hang);
    for _ in 0..20 {
        assert!(story.call().fresh_connection().timeout(Duration::from_millis(30)).send().is_err());
    }
    eventually_eq("they are all gone", SOON, &0, || Ok::<_, String>(story.orders.in_flight()))?;
    counts(&story.envoy, "all", (0, 0))?;
    story.orders.set(Fault::Healthy);
    assert_eq!(story.call().send()?.status, 200);
    counts(&story.envoy, "all", (1, 0))
}

#[test]
fn answers_of_other_filters_and_of_envoy_itself_never_count() -> TestResult {
    let orders = Upstream::start("orders")?;
    let breaker = breaker(json!({"minimum_calls": 1}))?.filter();
    let listener = |name: &str, filters: &[Value]| config::listener(name, filters, &[config::route(name, "orders")]);
    let mut answered_by_envoy = config::listener(
        "envoy",
        std::slice::from_ref(&breaker),
        &[config::direct("direct", "/direct", 503, "no"), config::route_at("nowhere", "/nowhere", "unknown")],
    );
    config::hcm_mut(&mut answered_by_envoy)["route_config"]["validate_clusters"] = json!(false);
    let edges = [
        listener("limited", &[breaker.clone(), rate_limit()]),
        listener("denied", &[breaker.clone(), denial()]),
        listener("aborted", &[breaker.clone(), abort()]),
        listener("earlier", &[denial(), breaker.clone()]),
        answered_by_envoy,
    ];
    let envoy = Envoy::start(&config::bootstrap(&edges, &[config::cluster("orders", &[orders.port()])]))?;

    assert_eq!(client::get(envoy.port("limited")?, "/", &[])?.status, 200, "the only token");
    counts(&envoy, "limited", (1, 0))?;

    let paths = [("limited", "/", 429), ("denied", "/", 403), ("aborted", "/", 503), ("earlier", "/", 403)];
    let of_envoy = [("envoy", "/direct", 503), ("envoy", "/nowhere", 503), ("envoy", "/unrouted", 404)];
    for (edge, path, status) in paths.into_iter().chain(of_envoy) {
        let call = Call::get(envoy.port(edge)?, path);
        for _ in 0..10 {
            let reply = call.send()?;
            assert_eq!((reply.status, reply.rejected_by()), (status, None), "{edge}{path}");
        }
    }
    std::thread::sleep(A_WHILE);
    let counted = envoy.stats("holdfast_circuit_breaker_(calls|rejected|transitions)_total")?;
    assert_eq!((counted.values().sum::<u64>(), orders.hits()), (1, 1), "{counted:?}");
    Ok(())
}

fn rate_limit() -> Value {
    let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    json!({"name": "limit", "typed_config": {
        "@type": format!("{FILTERS}.local_ratelimit.v3.LocalRateLimit"),
        "stat_prefix": "limit",
        "token_bucket": {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "3600s"},
        "filter_enabled": always,
        "filter_enforced": always,
    }})
}

fn denial() -> Value {
    let everybody = json!({"permissions": [{"any": true}], "principals": [{"any": true}]});
    let rules = json!({"action": "DENY", "policies": {"everybody": everybody}});
    json!({"name": "rbac", "typed_config": {"@type": format!("{FILTERS}.rbac.v3.RBAC"), "rules": rules}})
}

fn abort() -> Value {
    let abort = json!({"http_status": 503, "percentage": {"numerator": 100, "denominator": "HUNDRED"}});
    json!({"name": "fault", "typed_config": {"@type": format!("{FILTERS}.fault.v3.HTTPFault"), "abort": abort}})
}

#[test]
fn nobody_home_counts_and_a_full_pool_does_not() -> TestResult {
    let orders = Upstream::start("orders")?;
    let narrow = config::patch(
        config::cluster("narrow", &[orders.port()]),
        json!({"circuit_breakers": {"thresholds": [{"max_connections": 1, "max_pending_requests": 1, "max_requests": 1}]}}),
    );
    let routes = [config::route_at("empty", "/empty", "empty"), config::route("narrow", "narrow")];
    let breaker = breaker(json!({"minimum_calls": 1_000_000}))?;
    let listener = config::listener("edge", &[breaker.filter()], &routes);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[config::cluster("empty", &[]), narrow]))?;
    let edge = envoy.port("edge")?;

    assert_eq!(client::get(edge, "/empty", &[])?.status, 503);
    counts(&envoy, "empty", (0, 1))?;

    orders.set(Fault::Slow(Duration::from_millis(500)));
    let tally = client::storm(edge, "/", 20, 20, SOON)?;
    let served = tally.served_by("orders");
    assert!((1..=4).contains(&served) && tally.status(503) == 20 - served, "{:?}", tally.by_status());
    counts(&envoy, "narrow", (u64::try_from(served)?, 0))
}

#[test]
fn a_grpc_status_counts_wherever_it_comes() -> TestResult {
    let orders = Upstream::start("orders")?;
    let breaker = breaker(json!({"minimum_calls": 1_000_000}))?;
    let listener = config::listener("edge", &[breaker.filter()], &[config::route("all", "orders")]);
    let cluster = config::http2(config::cluster("orders", &[orders.port()]));
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
    let edge = envoy.port("edge")?;

    let (mut successes, mut failures) = (0, 0);
    for code in [0, 14, 5, 13, 16, 4] {
        for end in [Grpc::Trailers(code), Grpc::TrailersOnly(code), Grpc::MessageThen(code)] {
            orders.set_grpc(end);
            assert_eq!(client::grpc(edge, "/shop.Orders/Get", b"hello", &[])?.status, Some(code));
            let failed = [14, 13, 4].contains(&code);
            (successes, failures) = (successes + u64::from(!failed), failures + u64::from(failed));
            let name = format!("{end:?}");
            eventually_eq(&name, SOON, &(successes, failures), || counted(&envoy, "all"))?;
        }
    }
    Ok(())
}

#[test]
fn a_stream_is_judged_at_its_headers_and_an_open_breaker_leaves_it_alone() -> TestResult {
    let route = config::with_timeout(config::route("all", "orders"), Duration::ZERO);
    let story = Story::with_route(&breaker(json!({"measure": "completion", "slow_call": "300ms"}))?, route)?;
    let mut stream = Sse::open(story.edge, "/sse?events=100000&every_ms=20")?;
    assert!(stream.next(SOON)?.is_some());
    counts(&story.envoy, "all", (1, 0))?;
    story.break_it()?;
    for _ in 0..20 {
        assert!(stream.next(SOON)?.is_some(), "the stream was cut");
    }
    assert!(Sse::open(story.edge, "/sse?events=1").is_err() || story.call().send()?.rejected_by().is_some());
    assert_eq!(story.metric("slow_calls_total")?, 0);
    Ok(())
}

#[test]
fn half_an_answer_is_a_failure_only_where_completion_is_measured() -> TestResult {
    for (measure, expected) in [("headers", (1, 0)), ("completion", (0, 1))] {
        let story = patient(&json!({"measure": measure}))?;
        story.orders.set(Fault::Cut);
        assert!(story.call().send().is_err());
        counts(&story.envoy, "all", expected)?;
    }
    Ok(())
}

#[test]
fn retries_of_the_proxy_are_one_call() -> TestResult {
    let route = config::with_retries(config::route("all", "orders"), "5xx", 2);
    let story = Story::with_route(&breaker(json!({"minimum_calls": 1_000_000}))?, route)?;
    story.orders.set(Fault::Status(503));
    assert_eq!(story.call().send()?.status, 503);
    counts(&story.envoy, "all", (0, 1))?;
    assert_eq!(story.orders.hits(), 3);
    eventually("nothing else is counted", A_WHILE, || story.metric("stale_total").map(|stale| stale == 0))
}
