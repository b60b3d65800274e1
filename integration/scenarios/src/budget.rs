//! The retry budget.

use super::ask::{Ask, Value, get, post};
use super::scenario::{Plugin, Scenario};

const SHED: &str = "retry-budget; cause=client_retry";
/// One retry of clients for ten first tries.
const A_TENTH: &str = r#"{"client_retries": {"ratio": 0.1, "min_retries_per_second": 0}}"#;
const NONE: &str = r#"{"client_retries": {"ratio": 0, "min_retries_per_second": 0}}"#;
const NONE_DRY: &str = r#"{"mode": "dry_run", "client_retries": {"ratio": 0, "min_retries_per_second": 0}}"#;
const PROVEN: &str = r#"{"insecure_literal": true, "client_retries": {"ratio": 0, "min_retries_per_second": 0,
    "trusted_proof": {"header": "x-proof", "token": {"literal": "s3cret"}}}}"#;
/// One retry of the proxy for five requests.
const OF_THE_PROXY: &str = r#"{"chain": "upstream", "ratio": 0.2, "min_retries_per_second": 0}"#;

fn budget(name: &'static str, config: &'static str) -> Scenario {
    Scenario::new(Plugin::RetryBudget, name, config)
}

fn retry() -> Ask {
    get("/pay").with("x-retry-attempt", "1")
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        budget("Clients may retry as much as their first tries allow, and no more.", A_TENTH)
            .times(10, get("/pay").gets(200))
            .ask(retry().gets(200))
            .times(3, retry().refused(503, SHED).header("retry-after", Value::Present))
            .ask(get("/pay").gets(200))
            .total("holdfast_retry_budget_client_requests_total", &[], 11)
            .total("holdfast_retry_budget_client_retries_total", &[], 4)
            .total("holdfast_retry_budget_client_shed_total", &[], 3),
        budget("First tries earn another retry.", A_TENTH)
            .ask(retry().refused(503, SHED))
            .times(10, get("/pay").gets(200))
            .ask(retry().gets(200)),
        budget("A gRPC client is told never to come back with that call.", NONE).needs("answers_grpc").ask(
            post("/shop.Orders/Place", "\0\0\0\0\0")
                .with("content-type", "application/grpc")
                .with("grpc-previous-rpc-attempts", "1")
                .sees(200)
                .header("grpc-status", Value::Is("14"))
                .header("grpc-retry-pushback-ms", Value::Is("-1"))
                .asked(0),
        ),
        budget("The count of a gateway in front begins at one.", NONE)
            .ask(get("/pay").with("x-envoy-attempt-count", "1").asked(1))
            .ask(get("/pay").with("x-retry-attempt", "0").gets(200)),
        budget("A dry run sheds nobody.", NONE_DRY)
            .times(3, retry().gets(200))
            .total("holdfast_retry_budget_would_refuse_total", &[("cause", "client_retry")], 3)
            .total("holdfast_retry_budget_client_shed_total", &[], 0),
        budget("Only whoever proves it is believed, and the proof goes no further.", PROVEN)
            .ask(retry().gets(200))
            .ask(retry().with("x-proof", "guess").gets(200).service("x-proof", Value::Absent))
            .ask(retry().with("x-proof", "s3cret").refused(503, SHED)),
        budget("What isn't safe to repeat isn't repeated.", "{}")
            .needs("steers_retries")
            .retries(2)
            .ask(post("/pay", "{}").gets(503).asked(1))
            .ask(get("/pay").gets(503).asked(3)),
        budget("Over its budget the proxy tries nothing again.", OF_THE_PROXY)
            .needs("upstream_chain")
            .retries(2)
            .times(9, get("/pay").gets(200))
            .ask(get("/pay").gets(503).asked(3))
            .times(3, get("/pay").gets(503).asked(1).header("x-envoy-ratelimited", Value::Is("true")))
            .total("holdfast_retry_budget_granted_total", &[], 2)
            .at_least("holdfast_retry_budget_refused_total", &[("cause", "budget")], 3),
    ]
}
