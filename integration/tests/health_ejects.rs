//! A host that is sick in its protocol's own way: Envoy alone goes on asking it, and with the plugin it is ejected while no caller notices.

mod health;

use health::{Spoken, Story, holds, is_refused};
use integration::{Answer, Grpc, Storm, TestResult};
use serde_json::{Value, json};

const SIGNALS: [&str; 2] = ["marker", "status"];

/// Makes one of the hosts sick.
fn sicken(story: &Story, spoken: Spoken) {
    match spoken {
        Spoken::Rest => story.other.set_answer(Answer::json(&json!({"status": "degraded"}))),
        Spoken::GraphQl => story.other.set_answer(Answer::json(&json!({
            "data": null,
            "errors": [{"message": "connection refused", "path": ["orders"], "extensions": {"code": "INTERNAL_SERVER_ERROR"}}],
        }))),
        Spoken::Grpc => story.other.set_grpc(Grpc::MessageThen(14)),
    }
}

fn ejects(spoken: Spoken, change: &Value) -> TestResult {
    let control = Story::without(spoken)?;
    sicken(&control, spoken);
    let content = control.calls(40)?;
    assert_eq!(40 - content as u64, control.other.hits(), "whoever met the sick host noticed");
    assert!((10..=30).contains(&content), "Envoy sends about every second caller there: {content}");
    assert_eq!(control.ejected()?, 0);

    for signal in SIGNALS {
        let mut change = change.clone();
        change["signal"] = json!(signal);
        if !holds()? {
            is_refused(change)?;
            continue;
        }
        let story = Story::begin(spoken, change)?;
        sicken(&story, spoken);
        assert_eq!(story.calls(40)?, 40, "{signal}: nobody notices");
        assert_eq!(story.ejected()?, 1, "{signal}");
        // The workers learn of the third strike one after the other; without it there would be twenty.
        assert!((3..=10).contains(&story.other.hits()), "{signal}: {} strikes", story.other.hits());
        assert!(story.counted("attempts_total", &["outcome=ok"])? >= 40);
        story.assert_no_trap();
    }
    Ok(())
}

#[test]
fn a_graphql_service_that_answers_errors_and_no_data() -> TestResult {
    ejects(Spoken::GraphQl, &json!({}))
}

#[test]
fn a_grpc_service_that_says_unavailable_in_its_trailers() -> TestResult {
    ejects(Spoken::Grpc, &json!({}))
}

#[test]
fn a_rest_service_that_says_that_it_is_degraded() -> TestResult {
    ejects(Spoken::Rest, &json!({"predicate": {"json": {"pointer": "/status", "in": ["ok"]}}}))
}

#[test]
fn a_rest_service_that_says_so_in_a_header_needs_nothing_held_back() -> TestResult {
    let predicate = json!({"header": {"name": "x-state", "in": ["well"]}, "absent": "ok"});
    let change =
        json!({"predicate": predicate, "graphql": {"paths": []}, "hold": null, "headers_stop_iteration": false});
    let story = Story::begin(Spoken::Rest, change)?;
    story.other.set_headers(&[("x-state", b"limping")])?;
    assert_eq!((story.calls(20)?, story.ejected()?), (20, 1));
    let reply = story.ask()?;
    assert_eq!((reply.served_by(), reply.header("x-holdfast-outcome")), (Some("well"), None));
    Ok(())
}

#[test]
fn a_flood_of_bad_queries_ejects_nobody_and_is_not_repeated() -> TestResult {
    let bad = Answer::json(&json!({
        "errors": [{"message": "Cannot query field", "locations": [{"line": 1, "column": 3}], "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}],
    }));
    for signal in SIGNALS {
        if !holds()? {
            is_refused(json!({"signal": signal}))?;
            continue;
        }
        let story = Story::begin(Spoken::GraphQl, json!({"signal": signal}))?;
        for host in [&story.well, &story.other] {
            host.set_answer(bad.clone());
        }
        let call = integration::Call::post(story.port, "/graphql", b"{\"query\": \"{ nonsense }\"}");
        let tally =
            Storm::new(call.header("content-type", "application/json")).concurrency(16).total(500).run(health::SOON)?;
        assert_eq!((tally.status(200), story.ejected()?), (500, 0), "{signal}");
        assert_eq!(story.well.hits() + story.other.hits(), 500, "{signal}: no retries");
        assert_eq!(story.counted("attempts_total", &["protocol=graphql", "outcome=caller_fault"])?, 500);
    }
    Ok(())
}

#[test]
fn where_nothing_can_be_held_back_what_was_found_is_counted_and_shown() -> TestResult {
    let change = json!({"headers_stop_iteration": false, "allow_degraded": true});
    let story = Story::begin(Spoken::GraphQl, change)?;
    sicken(&story, Spoken::GraphQl);
    let content = story.calls(20)?;
    assert!(content < 20 && story.ejected()? == 0);
    assert_eq!(story.counted("attempts_total", &["outcome=server_fault"])?, 20 - content as u64);
    story.envoy.wait_for_log("told=server_fault status=200", health::SOON)?;
    Ok(())
}
