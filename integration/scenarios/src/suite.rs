//! Several plugins together.

use super::ask::{Answer, Value, get, post};
use super::scenario::{Plugin, Scenario};

const FORCED: &str = r#"{"metrics": {}, "circuit_breaker": {"mode": "force_open"}}"#;
const PAID: &str = r#"{"headers_stop_iteration": true, "metrics": {}, "idempotency": {"store": {"kind": "memory"}},
    "circuit_breaker": {"consecutive_failures": 2, "failure_ratio": null, "slow_ratio": null, "open": {"base": "60s", "max": "60s"}}}"#;

/// The budget stands behind the breaker, and sheds each retry of a client.
const SHED: &str = r#"{"metrics": {}, "retry_budget": {"client_retries": {"ratio": 0, "min_retries_per_second": 0}},
    "circuit_breaker": {"consecutive_failures": 2, "failure_ratio": null, "slow_ratio": null, "open": {"base": "60s", "max": "60s"}}}"#;
/// Kong can only answer whose time is over already, and its operator accepts that.
const LIMITED: &str =
    r#"{"allow_degraded": true, "metrics": {}, "protocol_health": {"deadline": {"strict": true, "min": "0s"}}}"#;
const CALLS: &str = "holdfast_circuit_breaker_calls_total";
const REJECTIONS: &str = "holdfast_rejections_total";
const REQUESTS: &str = "holdfast_requests_total";

/// A failure of the service, with a header that isn't its to set.
fn like_ours() -> Answer {
    Answer::of(503).with("x-holdfast-reject", "retry-budget; cause=client_retry").with("idempotency-replayed", "true")
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let pay = || {
        let receipt = Answer::of(201).with("content-type", "application/json").says("{}");
        post("/pay", "{}").with("content-type", "application/json").with("idempotency-key", "\"k\"").answer(receipt)
    };
    vec![
        Scenario::new(Plugin::Suite, "Refusals are counted by who refused, and why.", FORCED)
            .times(2, get("/pay").refused(503, "circuit-breaker; cause=forced"))
            .total("holdfast_rejections_total", &[("plugin", "circuit-breaker"), ("cause", "forced")], 2)
            .total("holdfast_requests_total", &[("outcome", "local_reject")], 2),
        Scenario::new(Plugin::Suite, "A receipt is given again while the breaker lets nobody to the service.", PAID)
            // In Kong nothing waits for a body, and the breaker has refused a request by the time its key can be looked up.
            .needs("pause_without_call")
            .ask(pay().sees(201).asked(1))
            .until(8, get("/pay").answer(Answer::of(500)).refused(503, "circuit-breaker; cause=open"))
            .ask(pay().sees(201).asked(0).header("idempotency-replayed", Value::Is("true")))
            .total("holdfast_requests_total", &[("outcome", "replay")], 1),
        Scenario::new(Plugin::Suite, "What a budget sheds opens no breaker, and counts as its refusal.", SHED)
            .ask(get("/pay").gets(200))
            .ask(get("/pay").gets(503))
            .times(6, get("/pay").with("x-retry-attempt", "1").refused(503, "retry-budget; cause=client_retry"))
            .ask(get("/pay").gets(200))
            .total(CALLS, &[("outcome", "failure")], 1)
            .total(CALLS, &[("outcome", "success")], 2)
            .total(REJECTIONS, &[("plugin", "retry-budget"), ("cause", "client_retry")], 6)
            .total(REQUESTS, &[("outcome", "local_reject")], 6)
            .total(REQUESTS, &[("outcome", "server_fault")], 1),
        Scenario::new(Plugin::Suite, "A service that speaks of itself as a plugin of ours fails all the same.", SHED)
            .times(2, get("/pay").gets(200))
            .until(8, get("/pay").answer(like_ours()).refused(503, "circuit-breaker; cause=open"))
            .total(REJECTIONS, &[("plugin", "retry-budget")], 0)
            .at_least(REQUESTS, &[("outcome", "server_fault")], 2),
        Scenario::new(Plugin::Suite, "Whose time is over is refused, and counts as refused.", LIMITED)
            .times(2, get("/pay").with("x-request-timeout", "0").refused(504, "protocol-health; cause=deadline"))
            .ask(
                get("/pay").with("x-request-timeout", "soon").refused(400, "protocol-health; cause=malformed_deadline"),
            )
            .ask(get("/pay").gets(200))
            .total(REJECTIONS, &[("plugin", "protocol-health"), ("cause", "deadline")], 2)
            .total(REJECTIONS, &[("plugin", "protocol-health"), ("cause", "malformed_deadline")], 1)
            .total(REQUESTS, &[("outcome", "ok")], 1)
            .total(REQUESTS, &[], 1),
    ]
}
