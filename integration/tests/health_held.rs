//! What is held back is bounded, and let go whole; what must not be held passes at once.

mod health;

use std::time::Duration;

use health::{Spoken, Story, holds, is_refused};
use integration::{Answer, TestResult};
use serde_json::json;

/// A GraphQL answer with errors, about so long.
fn long(kib: usize) -> Vec<u8> {
    json!({"errors": [{"message": "down", "path": ["a"]}], "padding": "x".repeat(kib * 1024)}).to_string().into_bytes()
}

fn answer_all(story: &Story, answer: &Answer) {
    for host in [&story.well, &story.other] {
        host.set_answer(answer.clone());
    }
}

#[test]
fn an_answer_longer_than_may_be_held_reaches_its_caller_whole_and_counts_for_nobody() -> TestResult {
    if !holds()? {
        return is_refused(json!({}));
    }
    let story = Story::begin(Spoken::GraphQl, json!({"hold": {"max_bytes": 65536, "time": "10s"}}))?;
    for parts in [1, 3, 200] {
        let body = long(200);
        let pieces = body.chunks(body.len().div_ceil(parts)).map(<[u8]>::to_vec).collect();
        let answer =
            Answer { parts: pieces, every: Duration::from_millis(1), ..Answer::typed("application/json", b"") };
        answer_all(&story, &answer);
        for _ in 0..3 {
            let reply = story.ask()?;
            assert!(reply.body == body, "{} of {} bytes in {parts} parts", reply.body.len(), body.len());
            assert_eq!((reply.status, reply.header("x-holdfast-outcome")), (200, None));
        }
    }
    assert_eq!(story.counted("released_total", &["cause=bytes"])?, 9);
    assert_eq!(story.counted("attempts_total", &["outcome=unknown"])?, 9);
    assert_eq!((story.ejected()?, story.well.hits() + story.other.hits()), (0, 9));
    story.assert_no_trap();
    Ok(())
}

#[test]
fn an_answer_that_takes_longer_than_may_be_held_goes_on_whole_and_is_judged_at_its_end() -> TestResult {
    if !holds()? {
        return is_refused(json!({}));
    }
    let story = Story::begin(Spoken::GraphQl, json!({"hold": {"time": "50ms"}}))?;
    let body = long(10);
    answer_all(&story, &Answer::typed("application/json", &body).in_halves(Duration::from_millis(400)));
    for _ in 0..4 {
        let reply = story.ask()?;
        assert!(reply.body == body && reply.status == 200, "{} of {} bytes", reply.body.len(), body.len());
    }
    assert_eq!(story.counted("released_total", &["cause=time"])?, 4);
    assert_eq!(story.counted("attempts_total", &["outcome=server_fault"])?, 4, "though too late to tell Envoy");
    assert_eq!(story.ejected()?, 0);
    story.envoy.wait_for_log("told=server_fault status=200", health::SOON)?;
    story.assert_no_trap();
    Ok(())
}
