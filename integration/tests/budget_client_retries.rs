//! Clients retry too. Where retries are too many, those are shed first, and first tries pass.

mod budget;

use budget::{Story, answered, plenty, route};
use integration::client::{self, Tally};
use integration::{Call, Fault, Response, TestResult};
use serde_json::{Value, json};

const SHED: Option<&str> = Some("retry-budget; cause=client_retry");
const MARK: (&str, &str) = ("x-retry-attempt", "1");

/// A tenth of the requests may be clients' retries.
fn begin(clients: Value) -> TestResult<Story> {
    let tenth = json!({"ratio": 0.1, "min_retries_per_second": 0, "ttl": "10s"});
    let change = json!({"client_retries": integration::config::patch(tenth, clients), "insecure_literal": true});
    Story::on(&route(), &plenty(change)?.both())
}

fn retry(story: &Story, (name, value): (&str, &str)) -> TestResult<Response> {
    client::get(story.edge, "/", &[(name, value)])
}

fn retries(story: &Story, total: usize) -> TestResult<Tally> {
    answered(&Call::get(story.edge, "/").header(MARK.0, MARK.1), total)
}

fn shed(tally: &Tally) -> usize {
    tally.count(|sample| sample.rejected_by.as_deref() == SHED)
}

#[test]
fn marked_retries_are_shed_while_first_tries_pass() -> TestResult {
    let story = begin(json!({}))?;
    assert_eq!(story.many(100)?.status(200), 100);
    let marked = retries(&story, 40)?;
    assert_eq!((marked.status(200), shed(&marked)), (10, 30), "a tenth of a hundred");
    assert_eq!(story.many(9)?.status(200), 9, "first tries always pass");
    assert_eq!(story.orders.hits(), 119);

    let counted = |what: &str| story.counted(what);
    assert_eq!((counted("client_requests_total")?, counted("client_retries_total")?), (109, 40));
    assert_eq!(counted("client_shed_total")?, 30);
    Ok(())
}

#[test]
fn whoever_is_shed_is_told_when_to_come_back() -> TestResult {
    let story = begin(json!({}))?;
    let reply = retry(&story, MARK)?;
    assert_eq!((reply.status, reply.rejected_by(), reply.header("x-envoy-ratelimited")), (503, SHED, Some("true")));
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.json()?["type"], "urn:holdfast:problem:retry-budget");
    assert!(reply.header("retry-after").unwrap_or_default().parse::<u64>()? >= 1);
    assert_eq!(story.orders.hits(), 0);
    Ok(())
}

#[test]
fn a_grpc_client_is_told_never_to_come_back() -> TestResult {
    let story = begin(json!({}))?;
    let reply = client::grpc(story.edge, "/shop.Orders/Place", b"", &[("grpc-previous-rpc-attempts", "1")])?;
    assert_eq!((reply.http_status, reply.status, reply.in_trailers), (200, Some(14), false), "{reply:?}");
    assert_eq!(reply.headers["grpc-retry-pushback-ms"], "-1");
    assert_eq!(reply.headers["x-holdfast-reject"], "retry-budget; cause=client_retry");
    Ok(())
}

#[test]
fn every_known_mark_counts_and_what_looks_like_one_does_not() -> TestResult {
    let story = begin(json!({}))?;
    for mark in [MARK, ("grpc-previous-rpc-attempts", "2"), ("x-envoy-attempt-count", "2")] {
        assert_eq!(retry(&story, mark)?.rejected_by(), SHED, "{mark:?}");
    }
    for first in [
        ("x-retry-attempt", "0"),
        ("x-envoy-attempt-count", "1"),
        ("grpc-previous-rpc-attempts", "0"),
        ("x-retry-attempt", "first"),
        ("x-retry-attempt", "-1"),
        ("x-my-own", "1"),
    ] {
        assert_eq!(retry(&story, first)?.status, 200, "{first:?}");
    }
    Ok(())
}

#[test]
fn the_marks_can_be_chosen() -> TestResult {
    let story = begin(json!({"headers": ["x-my-own"]}))?;
    assert_eq!(retry(&story, ("x-my-own", "1"))?.rejected_by(), SHED);
    assert_eq!(retry(&story, MARK)?.status, 200);
    Ok(())
}

#[test]
fn what_a_client_retries_we_do_not_retry_again() -> TestResult {
    let story = begin(json!({}))?;
    story.many(10)?;
    story.orders.reset_counts();
    story.orders.set(Fault::Status(503));
    let reply = retry(&story, MARK)?;
    assert_eq!((reply.status, reply.served_by(), story.orders.hits()), (503, Some("orders"), 1));
    assert_eq!(story.counted("steered_total;cause=client_retry")?, 1);
    story.get()?;
    assert_eq!(story.orders.hits(), 5, "a first try still has its four attempts");
    Ok(())
}

#[test]
fn by_default_marks_mean_nothing() -> TestResult {
    let story = Story::on(&route(), &plenty(json!({}))?.both())?;
    let marked = retries(&story, 20)?;
    assert_eq!((marked.status(200), story.counted("client_retries_total")?), (20, 0));
    Ok(())
}

fn trusting() -> TestResult<Story> {
    begin(json!({"trusted_proof": {"header": "x-proof", "token": {"literal": "s3cret-of-the-outer-gateway"}}}))
}

fn proven(story: &Story, proof: &str) -> TestResult<Response> {
    client::get(story.edge, "/", &[MARK, ("x-proof", proof)])
}

#[test]
fn where_a_proof_is_asked_for_invented_marks_count_for_nothing() -> TestResult {
    let story = trusting()?;
    assert_eq!(retries(&story, 30)?.status(200), 30, "marks without a proof");
    for wrong in ["", "guessed", "s3cret-of-the-outer-gatewaY", "s3cret-of-the-outer-gateway2"] {
        assert_eq!(proven(&story, wrong)?.status, 200, "{wrong:?}");
    }
    assert_eq!((story.counted("client_retries_total")?, story.counted("client_requests_total")?), (0, 34));

    // These 34 first tries earned three retries.
    let passed = (0..10).map(|_| proven(&story, "s3cret-of-the-outer-gateway")).collect::<TestResult<Vec<_>>>()?;
    assert_eq!(passed.iter().filter(|reply| reply.status == 200).count(), 3);
    assert_eq!(story.counted("client_shed_total")?, 7);
    Ok(())
}

#[test]
fn the_proof_goes_no_further_than_the_gateway() -> TestResult {
    let story = trusting()?;
    story.many(20)?;
    for proof in ["s3cret-of-the-outer-gateway", "guessed"] {
        assert_eq!(proven(&story, proof)?.status, 200);
    }
    let seen = story.orders.seen();
    assert!(seen.len() == 22 && seen.iter().all(|seen| seen.header("x-proof").is_none()));
    Ok(())
}
