//! Modes: watch before acting, act on a share, or don't act at all; and grants that nobody used come back.

mod budget;

use budget::{SOON, Story, chains_share_counters, entries, plenty, route, until_counted};
use integration::client::Call;
use integration::{Fault, TestResult, config, eventually, eventually_eq};
use serde_json::{Value, json};

/// Twenty requests of all sorts to a service that is down, each of which gets all its four attempts and the plain answer.
fn assert_changes_nothing(change: Value) -> TestResult<Story> {
    let story = Story::begin(change)?;
    story.orders.set(Fault::Status(503));
    for n in 0..20 {
        let call = if n % 2 == 0 { Call::get(story.edge, "/") } else { Call::post(story.edge, "/", b"two apples") };
        let reply = call.send()?;
        assert_eq!((reply.status, reply.served_by(), reply.rejected_by()), (503, Some("orders"), None));
        assert_eq!((reply.header("x-envoy-ratelimited"), reply.header("x-holdfast-retry-in")), (None, None));
    }
    assert_eq!(story.orders.hits(), 80);
    story.orders.set(Fault::Reset);
    let reply = story.get()?;
    assert_eq!((reply.status, reply.rejected_by(), story.orders.hits()), (503, None, 84));
    assert_eq!((story.counted("refused_total")?, story.counted("steered_total")?), (0, 0));
    Ok(story)
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_it_would_have_refused() -> TestResult {
    let story = assert_changes_nothing(json!({"mode": "dry_run"}))?;
    assert!(story.counted("would_refuse_total;cause=budget")? > 0);
    until_counted(&story, "requests_total", 21)?;
    until_counted(&story, "retries_total", 63)
}

#[test]
fn a_dry_run_sheds_no_clients_retry() -> TestResult {
    let clients = json!({"ratio": 0.1, "min_retries_per_second": 0});
    let story = Story::begin(json!({"mode": "dry_run", "client_retries": clients}))?;
    for _ in 0..5 {
        assert_eq!(Call::get(story.edge, "/").header("x-retry-attempt", "1").send()?.status, 200);
    }
    assert_eq!((story.counted("would_refuse_total;cause=client_retry")?, story.counted("client_shed_total")?), (5, 0));
    Ok(())
}

#[test]
fn nothing_is_enforced_at_zero() -> TestResult {
    let story = assert_changes_nothing(json!({"enforce_ratio": 0}))?;
    assert!(story.counted("would_refuse_total;cause=budget")? > 0);
    Ok(())
}

#[test]
fn disabled_it_leaves_no_trace() -> TestResult {
    let story = assert_changes_nothing(json!({"mode": "disabled"}))?;
    let counted = story.envoy.stats("holdfast_retry_budget.*;key=")?;
    assert!(counted.is_empty(), "{counted:?}");
    Ok(())
}

#[test]
fn half_of_the_refusals_are_enforced() -> TestResult {
    // Without steering, so that each failing first attempt is one refusal and one coin.
    let once = config::with_retries(config::route("all", "orders"), "5xx", 1);
    let change = json!({"enforce_ratio": 0.5, "ratio": 0});
    let story = Story::on(&once, &entries(change)?.upstream_only())?;
    story.orders.set(Fault::Status(503));
    story.many(400)?;
    // Six standard deviations of 400 coins are 60.
    assert!((140..=260).contains(&story.retries()), "{} of 400 were retried", story.retries());
    assert!(story.counted("refused_total;cause=budget")? > 0 && story.counted("would_refuse_total;cause=budget")? > 0);
    Ok(())
}

/// All that was granted and not returned was sent.
fn assert_grants_are_retries(story: &Story) -> TestResult {
    assert!(story.counted("granted_total")? > 0);
    if !chains_share_counters()? {
        return Ok(());
    }
    eventually_eq("grants less returned ones are retries", SOON, &story.retries(), || {
        Ok::<_, anyhow::Error>(story.counted("granted_total")? - story.counted("returned_total")?)
    })
}

#[test]
fn a_grant_that_the_route_does_not_use_comes_back() -> TestResult {
    // The budget can't know that the second failure is the last one for the route.
    let once = config::with_retries(config::route("all", "orders"), "5xx", 1);
    let story = Story::on(&once, &plenty(json!({}))?.both())?;
    story.orders.set(Fault::Status(503));
    story.many(20)?;
    assert_eq!(story.retries(), 20);
    assert_grants_are_retries(&story)
}

#[test]
fn a_route_that_never_retries_spends_nothing() -> TestResult {
    let story = Story::on(&config::route("all", "orders"), &plenty(json!({}))?.both())?;
    story.orders.set(Fault::Status(503));
    story.many(20)?;
    assert_eq!(story.retries(), 0);
    assert_grants_are_retries(&story)
}

#[test]
fn a_client_that_leaves_during_the_back_off_gives_its_grant_back() -> TestResult {
    let second = std::time::Duration::from_secs(30);
    let story = Story::on(&config::with_back_off(route(), second, second), &plenty(json!({}))?.both())?;
    story.orders.set(Fault::Status(503));
    let hasty = Call::get(story.edge, "/").timeout(std::time::Duration::from_millis(150));
    // Envoy draws the wait from 0 to 30 s; the few that wait less than the client are retried.
    for _ in 0..5 {
        assert!(hasty.send().is_err() || story.retries() > 0);
    }
    eventually("all of them are gone", SOON, || story.envoy.stat("http.edge.downstream_rq_active").map(|n| n == 0))?;
    assert_grants_are_retries(&story)
}
