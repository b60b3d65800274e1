//! What clients are told, on a real proxy.
//!
//! | to find | look in |
//! |---|---|
//! | answers of every shape, and their replays | [`replays`] |
//! | whatever is refused, and how it says so | [`refusals`] |
//! | streams, upgrades and gRPC | [`streams`] |
//! | retries, timeouts, and what frees a key | [`ends`] |
//! | what nobody must read anywhere | [`privacy`] |
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

#[path = "../idempotency/mod.rs"]
mod idempotency;

mod ends;
mod privacy;
mod refusals;
mod replays;
mod streams;

use integration::Response;
use serde_json::Value;

/// Problem details (RFC 9457) of ours, with this status and cause; `retry-after` tells the same in both places.
pub(crate) fn assert_problem(response: &Response, status: u16, cause: &str) {
    let told = format!("{} {:?} {}", response.status, response.headers, response.text());
    assert_eq!(response.status, status, "{told}");
    assert_eq!(response.rejected_by(), Some(format!("idempotency; cause={cause}").as_str()), "{told}");
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{told}");
    assert_eq!(response.header("idempotency-replayed"), None, "{told}");
    let problem = response.json().expect("JSON");
    assert!(problem["type"].as_str().is_some_and(|uri| uri.starts_with("urn:holdfast:problem:")), "{told}");
    assert!(problem["title"].as_str().is_some_and(|title| title.len() > 10), "{told}");
    assert_eq!((&problem["status"], &problem["cause"]), (&Value::from(status), &Value::from(cause)), "{told}");
    let after = response.header("retry-after").map(|after| after.parse::<u64>().expect("seconds"));
    assert_eq!(problem["retry_after_seconds"].as_u64(), after, "{told}");
}

/// What is left of an answer that was given before.
pub(crate) fn is_replay(response: &Response) -> bool {
    response.header("idempotency-replayed") == Some("true")
}
