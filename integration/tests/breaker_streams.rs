//! Streams live for hours. They pass the breaker untouched, are judged once their headers are there, and go on while the breaker
//! turns everybody else away.

mod story_b;

use std::time::Duration;

use integration::client::{Sse, WebSocket};
use integration::{Call, Envoy, Fault, TestResult, Upstream, client, config, eventually, eventually_eq};
use serde_json::{Value, json};
use story_b::{SOON, breaker, counted, open_the_breaker, proxy, status, turned};

/// Two seconds of events.
const STREAM: &str = "/sse?events=50&every_ms=40";

fn successes(envoy: &Envoy) -> TestResult<u64> {
    counted(envoy, "calls_total", &[("outcome", "success")])
}

/// Both kinds of stream, opened before the breaker opens, go on behind it.
fn assert_streams_survive(change: Value) -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&[breaker(change)?.filter()], &orders)?;

    let mut socket = WebSocket::open(edge, "/ws")?;
    assert_eq!(socket.echo("hello")?, "hello");
    let mut stream = Sse::open(edge, STREAM)?;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.next(SOON)?.map(|event| event.data).as_deref(), Some("0"));
    assert_eq!(orders.in_flight(), 1, "the first event arrived while the service was still speaking");
    eventually_eq("both are judged already", SOON, &2, || successes(&envoy))?;

    open_the_breaker(edge, &orders)?;
    assert_eq!(socket.echo("still there?")?, "still there?");
    assert_eq!(orders.in_flight(), 1, "the breaker opened while the service was still speaking");
    assert!(format!("{:#}", WebSocket::open(edge, "/ws").unwrap_err()).contains("503"), "new ones are turned away");
    assert_eq!(Sse::open(edge, STREAM)?.status, 503);

    let rest = stream.finish(SOON)?;
    assert_eq!((rest.events.len(), rest.cut), (49, None));
    assert_eq!(socket.echo("and now?")?, "and now?");
    assert_eq!(status(edge)?, 503);
    drop(socket);
    assert_eq!((successes(&envoy)?, counted(&envoy, "stale_total", &[])?), (2, 0), "each was judged once");
    Ok(())
}

#[test]
fn streams_go_on_while_the_breaker_opens() -> TestResult {
    assert_streams_survive(json!({}))
}

#[test]
fn also_where_other_calls_are_measured_to_their_end() -> TestResult {
    assert_streams_survive(json!({"measure": "completion"}))
}

#[test]
fn a_stream_that_waits_long_between_events_is_not_slow() -> TestResult {
    let orders = Upstream::start("orders")?;
    let slow = json!({"measure": "completion", "slow_call": "400ms", "minimum_calls": 1});
    let (envoy, edge) = proxy(&[breaker(slow)?.filter()], &orders)?;
    let whole = Sse::open(edge, "/sse?events=4&every_ms=300")?.finish(SOON)?;
    assert_eq!((whole.events.len(), whole.cut), (4, None));
    assert_eq!((successes(&envoy)?, counted(&envoy, "slow_calls_total", &[])?), (1, 0));
    assert_eq!((status(edge)?, turned(&envoy, "open")?), (200, 0));
    Ok(())
}

/// A body that takes 900 ms, and is no stream by its type.
fn slow_body(measure: &str) -> TestResult<(Upstream, Envoy, u16)> {
    let orders = Upstream::start("orders")?;
    let change = json!({"measure": measure, "slow_call": "600ms", "minimum_calls": 1});
    // It runs behind the breaker, so on the way back before it.
    let as_text = config::header_mutation("content-type", "text/plain");
    let (envoy, edge) = proxy(&[breaker(change)?.filter(), as_text], &orders)?;
    let reply = client::get(edge, "/sse?events=4&every_ms=300", &[])?;
    assert_eq!((reply.status, reply.text().matches("data:").count()), (200, 4));
    Ok((orders, envoy, edge))
}

#[test]
fn measured_to_completion_a_slow_body_is_a_slow_call() -> TestResult {
    let (_orders, envoy, edge) = slow_body("completion")?;
    eventually_eq("it is slow", SOON, &1, || counted(&envoy, "slow_calls_total", &[]))?;
    eventually("slow calls alone open the breaker", SOON, || story_b::is_refused(edge))
}

#[test]
fn measured_to_headers_a_slow_body_is_nobodys_business() -> TestResult {
    let (_orders, envoy, edge) = slow_body("headers")?;
    eventually_eq("it is a success", SOON, &1, || successes(&envoy))?;
    assert_eq!((counted(&envoy, "slow_calls_total", &[])?, status(edge)?), (0, 200));
    Ok(())
}

#[test]
fn measured_to_completion_a_body_that_breaks_off_is_a_failure() -> TestResult {
    let orders = Upstream::start("orders")?;
    // Envoy holds a broken connection for a second, so three of them don't fit into a window of that length.
    let change = json!({"measure": "completion", "window": {"time": null, "calls": 10}});
    let (envoy, edge) = proxy(&[breaker(change)?.filter()], &orders)?;
    orders.set(Fault::Cut);
    for _ in 0..3 {
        assert!(client::get(edge, "/", &[]).is_err());
    }
    eventually_eq("three failures", SOON, &3, || counted(&envoy, "calls_total", &[("outcome", "failure")]))?;
    eventually("the breaker is open", SOON, || story_b::is_refused(edge))
}

#[test]
fn a_client_that_leaves_a_body_says_nothing_of_the_service() -> TestResult {
    let orders = Upstream::start("orders")?;
    let change = json!({"measure": "completion", "minimum_calls": 1});
    let as_text = config::header_mutation("content-type", "text/plain");
    let (envoy, edge) = proxy(&[breaker(change)?.filter(), as_text], &orders)?;
    let hasty = Call::get(edge, "/sse?events=1000&every_ms=50").timeout(Duration::from_millis(300));
    for _ in 0..3 {
        assert!(hasty.send().is_err());
    }
    eventually_eq("the service noticed", SOON, &0, || Ok::<_, String>(orders.in_flight()))?;
    assert_eq!((counted(&envoy, "calls_total", &[])?, status(edge)?), (0, 200));
    Ok(())
}
