//! Metrics.

use super::ask::{Answer, Ask, get, post};
use super::scenario::{Plugin, Scenario};
use core::time::Duration;

const REQUESTS: &str = "holdfast_requests_total";
const GRAPHQL: &str = r#"{"graphql": {"paths": ["/graphql"]}}"#;

fn metrics(name: &'static str, config: &'static str) -> Scenario {
    Scenario::new(Plugin::Metrics, name, config)
}

fn query() -> Ask {
    post("/graphql", r#"{"query": "{orders}"}"#).with("content-type", "application/json").gets(200)
}

/// A gRPC call whose answer is a message, and this status behind it.
fn call(status: &'static str) -> Ask {
    let answer =
        Answer::of(200).with("content-type", "application/grpc").says("\0\0\0\0\0").ends("grpc-status", status);
    post("/shop.Orders/Get", "\0\0\0\0\0").with("content-type", "application/grpc").answer(answer).sees(200).asked(1)
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let slow = get("/pay").answer(Answer::of(200).later(Duration::from_millis(1_500))).sees(200);
    vec![
        metrics("Each request counts once, by what it came to.", "{}")
            .times(3, get("/pay").gets(200))
            .times(2, get("/pay").gets(404))
            .ask(get("/pay").gets(429))
            .times(2, get("/pay").gets(503))
            .total(REQUESTS, &[("protocol", "rest"), ("outcome", "ok")], 3)
            .total(REQUESTS, &[("outcome", "caller_fault")], 2)
            .total(REQUESTS, &[("outcome", "overload")], 1)
            .total(REQUESTS, &[("outcome", "server_fault")], 2)
            .total(REQUESTS, &[], 8),
        metrics("Bodies are added up, both ways.", "{}")
            .times(2, post("/pay", "12345").answer(Answer::of(200).says("123")).sees(200))
            .total("holdfast_request_bytes_total", &[], 10)
            .total("holdfast_response_bytes_total", &[], 6),
        metrics("What is under way is seen while it is.", "{}")
            .needs("gauges_count")
            .begin("somebody", slow)
            .total("holdfast_requests_in_flight", &[], 1)
            .end("somebody")
            .total("holdfast_requests_in_flight", &[], 0),
        metrics("A service that says nothing is told apart from one that can't be reached.", "{}")
            .needs("response_flags")
            .ask(get("/pay").answer(Answer::Silence).sees(504))
            .ask(get("/pay").answer(Answer::Reset).sees(503))
            .total(REQUESTS, &[("outcome", "timeout")], 1)
            .total(REQUESTS, &[("outcome", "unreachable")], 1)
            .total("holdfast_upstream_errors_total", &[("cause", "timeout")], 1)
            .total("holdfast_upstream_errors_total", &[("cause", "reset")], 1),
        metrics("GraphQL counts as GraphQL where it is spoken.", GRAPHQL)
            .times(2, query())
            .ask(get("/pay").gets(200))
            .total(REQUESTS, &[("protocol", "graphql"), ("outcome", "ok")], 2)
            .total(REQUESTS, &[("protocol", "rest"), ("outcome", "ok")], 1),
        metrics("A gRPC call counts by its own status.", "{}")
            .needs("response_trailers")
            .ask(call("0"))
            .times(2, call("5"))
            .total(REQUESTS, &[("protocol", "grpc"), ("outcome", "ok")], 1)
            .total(REQUESTS, &[("protocol", "grpc"), ("outcome", "caller_fault")], 2),
        metrics("Attempts are counted beside requests.", r#"{"chain": "upstream"}"#)
            .needs("upstream_chain")
            .retries(2)
            .ask(get("/pay").gets(503).asked(3))
            .ask(get("/pay").gets(200))
            .total("holdfast_attempts_total", &[("outcome", "server_fault")], 3)
            .total("holdfast_attempts_total", &[("outcome", "ok")], 1),
        metrics("Metrics that are switched off count nothing.", r#"{"mode": "disabled"}"#)
            .times(3, get("/pay").gets(200))
            .total(REQUESTS, &[], 0),
    ]
}
