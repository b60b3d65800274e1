//! A service says when it wants to be asked again. Envoy's own retries don't listen; with the budget they do.

#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod budget;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use budget::{Filters, Story, plenty};
use integration::client::{self, GrpcReply};
use integration::{Fault, Grpc, TestResult, config};
use serde_json::{Value, json};

/// Clocks of two processes on one machine agree, but a timer may be this early.
const SLACK: Duration = Duration::from_millis(20);

/// One retry, after as many seconds as the budget says the service asked for.
fn route() -> Value {
    let route = config::with_retries(config::route("all", "orders"), "5xx,unavailable", 1);
    config::with_reset_header(route, "x-holdfast-retry-in")
}

/// A service that is down and says this with every answer.
fn down(filters: &Filters, header: (&str, &[u8])) -> TestResult<Story> {
    let story = Story::on(&route(), filters)?;
    story.orders.set(Fault::Status(503));
    story.orders.set_headers(&[header])?;
    Ok(story)
}

/// How long the service was left alone between the two attempts.
fn pause(story: &Story) -> Duration {
    let seen: Vec<Instant> = story.orders.seen().iter().map(|seen| seen.at).collect();
    assert_eq!(seen.len(), 2, "attempts");
    seen[1] - seen[0]
}

/// HTTP's form of a date before 2100: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut day) = (1970, days);
    let length = |year: u64| if year.is_multiple_of(4) { 366 } else { 365 };
    while day >= length(year) {
        day -= length(year);
        year += 1;
    }
    let february = length(year) - 337;
    let mut month = 0;
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(days % 7).unwrap_or(0)];
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month];
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{weekday}, {:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT", day + 1)
}

#[test]
fn dates_are_written_as_http_wants_them() {
    assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(http_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
}

#[test]
fn without_a_budget_the_service_is_asked_again_at_once() -> TestResult {
    let story = down(&Filters::default(), ("retry-after", b"1"))?;
    story.get()?;
    assert!(pause(&story) < Duration::from_millis(500), "{:?}", pause(&story));
    Ok(())
}

#[test]
fn seconds_are_waited_for() -> TestResult {
    let story = down(&plenty(json!({}))?.both(), ("retry-after", b"1"))?;
    let reply = story.get()?;
    assert!(pause(&story) + SLACK >= Duration::from_secs(1), "{:?}", pause(&story));
    assert!(pause(&story) < Duration::from_millis(2_500), "{:?}", pause(&story));
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "the service's own words");
    assert_eq!((reply.header("x-holdfast-retry-in"), reply.header("x-envoy-ratelimited")), (None, None));
    Ok(())
}

#[test]
fn a_date_is_waited_for() -> TestResult {
    let (now, begun) = (SystemTime::now().duration_since(UNIX_EPOCH)?, Instant::now());
    let date = now.as_secs() + 2;
    let story = down(&plenty(json!({}))?.both(), ("retry-after", http_date(date).as_bytes()))?;
    story.get()?;
    let second = story.orders.seen()[1].at;
    let until = Duration::from_secs(date).saturating_sub(now);
    assert!(second + SLACK >= begun + until, "asked again {:?} before the date", begun + until - second);
    Ok(())
}

#[test]
fn a_date_that_is_over_is_no_reason_to_wait() -> TestResult {
    let story = down(&plenty(json!({}))?.both(), ("retry-after", b"Sun, 06 Nov 1994 08:49:37 GMT"))?;
    story.get()?;
    assert!(pause(&story) < Duration::from_millis(1_800), "{:?}", pause(&story));
    Ok(())
}

fn grpc_down(pushback: &[u8]) -> TestResult<(Story, GrpcReply)> {
    let story = Story::over_grpc(&route(), &plenty(json!({"retry_unsafe": "always"}))?.both())?;
    story.orders.set_grpc(Grpc::TrailersOnly(14));
    story.orders.set_headers(&[("grpc-retry-pushback-ms", pushback)])?;
    let reply = client::grpc(story.edge, "/shop.Orders/Place", b"", &[])?;
    assert_eq!((reply.status, reply.message.as_deref()), (Some(14), Some("as-told")), "{reply:?}");
    assert!(!reply.headers.contains_key("x-holdfast-retry-in") && !reply.headers.contains_key("x-envoy-ratelimited"));
    Ok((story, reply))
}

#[test]
fn grpcs_milliseconds_are_waited_for() -> TestResult {
    let (story, reply) = grpc_down(b"700")?;
    assert!(pause(&story) + SLACK >= Duration::from_millis(700), "{:?}", pause(&story));
    assert_eq!(reply.headers["grpc-retry-pushback-ms"], "700", "the caller may listen too");
    Ok(())
}

#[test]
fn a_negative_or_unreadable_pushback_means_never() -> TestResult {
    for never in [&b"-1"[..], b"soon"] {
        let (story, _) = grpc_down(never)?;
        assert_eq!((story.orders.hits(), story.counted("refused_total;cause=pushback")?), (1, 1));
    }
    Ok(())
}

#[test]
fn nobody_waits_longer_than_the_operator_allows() -> TestResult {
    for (most, asked) in [("10s", &b"11"[..]), ("1s", b"2"), ("10s", b"Fri, 01 Jan 2100 00:00:00 GMT")] {
        let story = down(&plenty(json!({"max_pushback": most}))?.both(), ("retry-after", asked))?;
        let reply = story.get()?;
        assert_eq!((reply.status, reply.served_by()), (503, Some("orders")));
        assert_eq!(reply.header("x-envoy-ratelimited"), None);
        assert_eq!((story.orders.hits(), story.counted("refused_total;cause=pushback")?), (1, 1));
    }
    Ok(())
}

#[test]
fn a_pushback_costs_the_budget_nothing_more_than_any_retry() -> TestResult {
    let story = Story::on(&route(), &budget::entries(json!({}))?.both())?;
    story.many(40)?;
    story.orders.set_headers(&[("retry-after", b"0")])?;
    story.orders.set(Fault::Status(503));
    story.many(40)?;
    assert!((8..=16).contains(&story.retries()), "{} retries of 80 requests", story.retries());
    Ok(())
}
