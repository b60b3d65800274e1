//! Several plugins together.

use super::ask::{Answer, Value, get, post};
use super::scenario::{Plugin, Scenario};

const FORCED: &str = r#"{"metrics": {}, "circuit_breaker": {"mode": "force_open"}}"#;
const PAID: &str = r#"{"headers_stop_iteration": true, "metrics": {}, "idempotency": {"store": {"kind": "memory"}},
    "circuit_breaker": {"consecutive_failures": 2, "failure_ratio": null, "slow_ratio": null, "open": {"base": "60s", "max": "60s"}}}"#;

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
    ]
}
