//! Protocol health: what a node says of itself, what is left of a client's time, and what an answer really says.

use super::ask::{Answer, Ask, Value, get, post};
use super::scenario::{Plugin, Scenario};

/// Kong can only answer whose time is over already, and its operator accepts that.
const LIMITED: &str = r#"{"deadline": {"default": "15s", "min": "0s", "max": "60s"}, "allow_degraded": true}"#;
const STRICT: &str = r#"{"deadline": {"strict": true}, "allow_degraded": true}"#;
const DRY: &str = r#"{"mode": "dry_run", "deadline": {"strict": true}, "allow_degraded": true}"#;
/// Judges attempts, and says so.
const OF_ATTEMPTS: &str = r#"{"chain": "upstream", "headers_stop_iteration": true, "hold": {"time": "200ms"}}"#;
const BY_STATUS: &str = r#"{"chain": "upstream", "headers_stop_iteration": true, "hold": {"time": "200ms"}, "signal": "status", "status": 503}"#;
const OF_HEADERS: &str = r#"{"chain": "upstream", "protocol": "rest"}"#;
const DEEP: &str = r#"{"probes": [{"clusters": ["{service}"], "target": "/healthz", "fresh": "0s", "stale": "0s"}]}"#;
/// Answers of these methods are one message, and wait for their trailers.
const OF_CALLS: &str = r#"{"chain": "upstream", "headers_stop_iteration": true, "hold": {"time": "200ms", "grpc_methods": ["/shop.Orders/*"]}}"#;
const EMPTY_MESSAGE: &str = "\0\0\0\0\0";
const ATTEMPTS: &str = "holdfast_protocol_health_attempts_total";
const MARK: &str = "x-holdfast-outcome";

fn health(name: &'static str, config: &'static str) -> Scenario {
    Scenario::new(Plugin::ProtocolHealth, name, config)
}

/// A GraphQL query whose answer is a 200 with this body.
fn query(answer: &'static str) -> Ask {
    let answer = Answer::of(200).with("content-type", "application/json").says(answer);
    post("/graphql", r#"{"query": "{orders}"}"#).with("content-type", "application/json").answer(answer).asked(1)
}

/// A gRPC call whose answer is a message, and this status behind it.
fn call(status: &'static str) -> Ask {
    let answer =
        Answer::of(200).with("content-type", "application/grpc").says(EMPTY_MESSAGE).ends("grpc-status", status);
    post("/shop.Orders/Place", EMPTY_MESSAGE).with("content-type", "application/grpc").answer(answer).asked(1)
}

/// The same of a method that isn't named.
fn watched() -> Ask {
    Ask { path: "/shop.Stock/Watch", ..call("13") }
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    [of_the_node(), judged()].concat()
}

fn of_the_node() -> Vec<Scenario> {
    let deadline = "protocol-health; cause=deadline";
    let malformed = "protocol-health; cause=malformed_deadline";
    vec![
        health("A node that is well says so itself.", "{}").times(2, get("/healthz").sees(200).asked(0)),
        health("Who asks deeper hears how the service is.", DEEP)
            .ask(get("/healthz/deep").sees(200).asked(0))
            .ask(get("/healthz/deep").answer(Answer::of(500)).sees(503).asked(0))
            .ask(get("/healthz").sees(200).asked(0)),
        health("A node that is taken out of service says so, and serves to the end.", r#"{"draining": true}"#)
            .times(2, get("/healthz").sees(503).asked(0))
            .ask(get("/pay").gets(200)),
        health("Whose time is over is answered at once.", LIMITED)
            .ask(get("/pay").with("x-request-timeout", "0").refused(504, deadline))
            .ask(get("/pay").gets(200))
            .total("holdfast_protocol_health_refused_total", &[("cause", "deadline")], 1),
        health("A gRPC client whose time is over hears it in its own words.", LIMITED).needs("answers_grpc").ask(
            post("/shop.Orders/Place", EMPTY_MESSAGE)
                .with("content-type", "application/grpc")
                .with("grpc-timeout", "0S")
                .sees(200)
                .header("grpc-status", Value::Is("4"))
                .asked(0),
        ),
        health("The service is told how long its client waits.", LIMITED).needs("limits_by_header").ask(
            get("/pay").with("x-request-timeout", "2s").gets(200).service("x-request-timeout", Value::Is("2000ms")),
        ),
        health("The router gives up when the client has.", LIMITED)
            .needs("limits_by_header")
            .ask(get("/pay").with("x-request-timeout", "200ms").answer(Answer::Silence).sees(504).asked(1)),
        health("A time that can't be read is refused where that is asked for.", STRICT)
            .ask(get("/pay").with("x-request-timeout", "soon").refused(400, malformed)),
        health("A dry run refuses nobody.", DRY).ask(get("/pay").with("x-request-timeout", "soon").gets(200)).total(
            "holdfast_protocol_health_would_refuse_total",
            &[("cause", "malformed_deadline")],
            1,
        ),
        health("Clients see none of our marks, whoever set them.", "{}")
            .ask(get("/pay").answer(Answer::of(200).with(MARK, "server_fault")).sees(200).header(MARK, Value::Absent)),
    ]
}

fn judged() -> Vec<Scenario> {
    vec![
        health("A failure in a GraphQL answer is seen behind its 200.", OF_ATTEMPTS)
            .needs("holds_responses")
            .ask(
                query(r#"{"errors": [{"message": "down", "path": ["orders"]}]}"#)
                    .sees(200)
                    .header(MARK, Value::Is("server_fault")),
            )
            .total(ATTEMPTS, &[("protocol", "graphql"), ("outcome", "server_fault")], 1),
        health("A query that makes no sense is its caller's fault.", OF_ATTEMPTS)
            .needs("holds_responses")
            .ask(
                query(r#"{"errors": [{"message": "Cannot query field", "locations": [{"line": 1, "column": 1}]}]}"#)
                    .sees(200),
            )
            .total(ATTEMPTS, &[("protocol", "graphql"), ("outcome", "caller_fault")], 1),
        health("A GraphQL answer that is well comes as it is.", OF_ATTEMPTS)
            .needs("holds_responses")
            .ask(
                query(r#"{"data": {"orders": []}}"#)
                    .sees(200)
                    .body(r#"{"data": {"orders": []}}"#)
                    .header(MARK, Value::Absent),
            )
            .total(ATTEMPTS, &[("protocol", "graphql"), ("outcome", "ok")], 1),
        health("A failure behind a 200 becomes a status where that is asked for, and is tried again.", BY_STATUS)
            .needs("holds_responses")
            .retries(1)
            .ask(query(r#"{"errors": [{"message": "down", "path": ["orders"]}]}"#).sees(503).asked(2)),
        health("A gRPC status behind a message is told before it.", OF_CALLS)
            .needs("holds_responses")
            .ask(call("14").sees(200).header("grpc-status", Value::Is("14")).header(MARK, Value::Is("unreachable")))
            .ask(call("0").sees(200).header(MARK, Value::Absent))
            .total(ATTEMPTS, &[("protocol", "grpc"), ("outcome", "unreachable")], 1)
            .total(ATTEMPTS, &[("protocol", "grpc"), ("outcome", "ok")], 1),
        health("A status beyond 2xx speaks for itself.", OF_HEADERS)
            .needs("upstream_chain")
            .ask(get("/pay").gets(503).header(MARK, Value::Is("server_fault")))
            .ask(get("/pay").gets(404).header(MARK, Value::Is("caller_fault")))
            .ask(get("/pay").gets(200).header(MARK, Value::Absent))
            .total(ATTEMPTS, &[("outcome", "ok")], 1),
        health("A call whose answers may be many passes at once, and is judged at its end.", OF_CALLS)
            .needs("holds_responses")
            .ask(watched().sees(200).header(MARK, Value::Absent).header("grpc-status", Value::Absent))
            .total(ATTEMPTS, &[("protocol", "grpc"), ("outcome", "server_fault")], 1),
    ]
}
