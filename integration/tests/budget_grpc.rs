//! gRPC: every answer is a 200 to HTTP, and a refusal has to look like the service's own kind of answer.

mod budget;

use budget::{Story, entries, plenty};
use integration::client::{self, GrpcReply};
use integration::{Fault, Grpc, TestResult, config};
use serde_json::{Value, json};

const METHOD: &str = "/shop.Orders/Place";

/// `UNAVAILABLE` and resets are tried three times more; all gRPC is POST, so that has to be allowed.
fn route() -> Value {
    config::with_retries(config::route("all", "orders"), "unavailable,reset", 3)
}

fn calling(change: Value) -> TestResult<Story> {
    let always = config::patch(json!({"retry_unsafe": "always"}), change);
    Story::over_grpc(&route(), &entries(always)?.both())
}

fn call(story: &Story) -> TestResult<GrpcReply> {
    client::grpc(story.edge, METHOD, b"two apples", &[])
}

/// So many calls, all of which end with the service's own status.
fn unavailable(story: &Story, calls: usize) -> TestResult {
    for _ in 0..calls {
        let reply = call(story)?;
        assert_eq!((reply.status, reply.message.as_deref()), (Some(14), Some("as-told")), "{reply:?}");
        assert!(!reply.headers.contains_key("x-envoy-ratelimited") && !reply.headers.contains_key("x-holdfast-reject"));
    }
    Ok(())
}

#[test]
fn unavailable_in_the_only_header_block_stays_within_the_budget_and_reaches_the_caller() -> TestResult {
    let control = Story::over_grpc(&route(), &budget::Filters::default())?;
    control.orders.set_grpc(Grpc::TrailersOnly(14));
    unavailable(&control, 10)?;
    assert_eq!(control.orders.hits(), 40);

    let story = calling(json!({}))?;
    for _ in 0..25 {
        assert_eq!(call(&story)?.status, Some(0));
    }
    story.orders.set_grpc(Grpc::TrailersOnly(14));
    unavailable(&story, 50)?;
    assert!((5..=15).contains(&story.retries()), "{} retries of 75 calls", story.retries());
    assert!(story.counted("refused_total;cause=budget")? > 0);
    Ok(())
}

#[test]
fn unavailable_in_trailers_is_nothing_that_envoy_retries_and_costs_no_grant() -> TestResult {
    let story = calling(json!({"min_retries_per_second": 100}))?;
    for end in [Grpc::Trailers(14), Grpc::MessageThen(14)] {
        story.orders.set_grpc(end);
        unavailable(&story, 5)?;
    }
    assert_eq!((story.orders.hits(), story.counted("requests_total")?, story.counted("granted_total")?), (10, 10, 0));
    Ok(())
}

#[test]
fn after_a_reset_the_next_attempt_is_answered_in_trailers_only() -> TestResult {
    let story = calling(json!({}))?;
    story.orders.set(Fault::Reset);
    let reply = call(&story)?;
    assert_eq!((reply.http_status, reply.status, reply.in_trailers), (200, Some(14), false), "{reply:?}");
    assert_eq!(reply.headers["content-type"], "application/grpc");
    assert_eq!(reply.headers["x-holdfast-reject"], "retry-budget; cause=budget");
    assert!(reply.headers.contains_key("retry-after") && reply.messages.is_empty(), "{reply:?}");
    assert_eq!(story.orders.hits(), 1);
    story.assert_no_trap();
    Ok(())
}

#[test]
fn calls_are_not_repeated_unless_that_is_allowed() -> TestResult {
    let story = Story::over_grpc(&route(), &plenty(json!({}))?.both())?;
    story.orders.set_grpc(Grpc::TrailersOnly(14));
    unavailable(&story, 5)?;
    assert_eq!((story.orders.hits(), story.counted("steered_total;cause=unsafe")?), (5, 5));
    Ok(())
}
