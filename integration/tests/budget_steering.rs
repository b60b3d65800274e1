//! Some requests must not be repeated, and some need not be tried: the router is told so before it begins.

mod budget;

use budget::{Filters, Story, entries, plenty, route};
use hyper::header::HeaderName;
use integration::{Call, Fault, TestResult, eventually};
use serde_json::{Value, json};

/// A service that is down, behind a route that would try everything four times.
fn down(filters: &Filters) -> TestResult<Story> {
    let story = Story::on(&route(), filters)?;
    story.orders.set(Fault::Status(503));
    Ok(story)
}

/// The attempts that one request becomes.
fn attempts(story: &Story, method: &str, headers: &[(&str, &str)]) -> TestResult<u64> {
    let before = story.orders.hits();
    let reply = Call::get(story.edge, "/").method(method.parse()?).headers(headers).send()?;
    assert_eq!((reply.status, reply.served_by()), (503, Some("orders")));
    Ok(story.orders.hits() - before)
}

fn with(unsafe_: &str) -> TestResult<Story> {
    down(&plenty(json!({"retry_unsafe": unsafe_}))?.both())
}

#[test]
fn without_a_budget_envoy_repeats_whatever_the_method() -> TestResult {
    let story = down(&Filters::default())?;
    assert_eq!([attempts(&story, "GET", &[])?, attempts(&story, "POST", &[])?], [4, 4]);
    Ok(())
}

#[test]
fn methods_that_are_not_idempotent_are_not_repeated() -> TestResult {
    let story = down(&plenty(json!({}))?.both())?;
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(attempts(&story, method, &[])?, 4, "{method}");
    }
    for method in ["POST", "PATCH", "LOCK"] {
        assert_eq!(attempts(&story, method, &[("idempotency-key", "k-1")])?, 1, "{method}");
    }
    assert_eq!(story.counted("steered_total;cause=unsafe")?, 3);
    Ok(())
}

#[test]
fn a_key_says_that_the_service_tells_repeats_by_itself() -> TestResult {
    let story = with("keyed")?;
    assert_eq!(attempts(&story, "POST", &[("idempotency-key", "k-1")])?, 4);
    assert_eq!(attempts(&story, "PATCH", &[("x-idempotency-key", "k-2")])?, 4);
    assert_eq!(attempts(&story, "POST", &[])?, 1);
    assert_eq!(attempts(&story, "POST", &[("idempotency-key", "")])?, 1, "an empty key is none");
    assert_eq!(attempts(&story, "GET", &[])?, 4);
    Ok(())
}

#[test]
fn an_operator_may_allow_everything() -> TestResult {
    let story = with("always")?;
    assert_eq!([attempts(&story, "POST", &[])?, attempts(&story, "PATCH", &[])?], [4, 4]);
    assert_eq!(story.counted("steered_total")?, 0);
    Ok(())
}

#[test]
fn a_client_cannot_take_the_steering_wheel() -> TestResult {
    let story = down(&plenty(json!({}))?.both())?;
    let more = [("x-envoy-max-retries", "9"), ("x-envoy-retry-on", "5xx")];
    assert_eq!([attempts(&story, "POST", &more)?, attempts(&story, "GET", &more)?], [1, 4]);
    Ok(())
}

#[test]
fn while_nothing_is_left_no_retry_is_even_begun() -> TestResult {
    let story = down(&entries(json!({}))?.both())?;
    eventually("requests are steered", budget::SOON, || {
        story.many(16)?;
        story.counted("steered_total;cause=budget").map(|steered| steered > 10)
    })?;
    let (requests, retries) = (story.orders.hits() - story.retries(), story.retries());
    assert!(retries * 5 <= requests, "{retries} retries of {requests} requests");
    Ok(())
}

#[test]
fn it_ends_with_the_shortage() -> TestResult {
    let story = down(&entries(json!({"ttl": "1s"}))?.both())?;
    eventually("requests are steered", budget::SOON, || {
        story.many(16)?;
        story.counted("steered_total;cause=budget").map(|steered| steered > 0)
    })?;
    story.orders.set(Fault::Healthy);
    eventually("a request is retried again", budget::SOON, || {
        story.many(40)?;
        let before = story.orders.hits();
        Call::get(story.edge, "/").header("x-upstream-fault", "status:503").send()?;
        Ok::<_, anyhow::Error>(story.orders.hits() - before == 4)
    })
}

#[test]
fn the_header_is_between_us_and_the_router() -> TestResult {
    let story = down(&plenty(json!({}))?.both())?;
    attempts(&story, "POST", &[])?;
    let seen = story.orders.seen();
    assert_eq!(seen.len(), 1);
    let is_ours = |name: &str| name == "x-envoy-max-retries" || name.starts_with("x-holdfast");
    let ours: Vec<&str> = seen[0].headers.keys().map(HeaderName::as_str).filter(|name| is_ours(name)).collect();
    assert!(ours.is_empty(), "{ours:?}");
    Ok(())
}

#[test]
fn an_answer_that_is_no_failure_needs_no_grant() -> TestResult {
    let failing: Value = json!({"retry_on": {"status": [503]}});
    let story = Story::begin(failing)?;
    story.orders.set(Fault::Status(404));
    assert_eq!(story.many(20)?.status(404), 20);
    story.orders.set(Fault::Healthy);
    story.many(20)?;
    assert_eq!(
        (story.counted("requests_total")?, story.counted("granted_total")?, story.counted("refused_total")?),
        (40, 0, 0)
    );
    Ok(())
}
