//! The other plugins hear what protocol-health found, and believe nobody else.

mod health;

use health::{SOON, holds, is_refused, upstream};
use std::time::Duration;

use integration::{Answer, Call, Envoy, TestResult, Upstream, Wasm, config, eventually, throughout};
use serde_json::{Value, json};

fn errors() -> Answer {
    Answer::json(&json!({"data": null, "errors": [{"message": "down", "path": ["orders"]}]}))
}

/// A breaker and a budget before a GraphQL service, with or without protocol-health.
fn gateway(service: &Upstream, health: Option<Value>, budget: Value) -> TestResult<(Envoy, u16)> {
    let breaker =
        Wasm::module("circuit_breaker")?.name("breaker").config(&json!({"minimum_calls": 5, "open": {"base": "60s"}}));
    let budget = config::patch(json!({"chain": "upstream", "min_retries_per_second": 0}), budget);
    let budget = Wasm::module("retry_budget")?.name("budget").config(&budget);
    let mut down = vec![breaker.filter()];
    let mut up = vec![budget.filter()];
    if let Some(change) = health {
        down.insert(0, health::edge(&json!({}))?.filter());
        up.push(upstream(change)?.filter());
    }
    let listener = config::listener("edge", &down, &[health::route()]);
    let cluster = config::upstream_filters(config::cluster("service", &[service.port()]), &up);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
    let port = envoy.port("edge")?;
    Ok((envoy, port))
}

fn ask(port: u16) -> TestResult<integration::Response> {
    Call::post(port, "/graphql", br#"{"query": "{ orders }"}"#).header("content-type", "application/json").send()
}

/// The breaker hears with its first tick that somebody tells it what answers mean.
fn warmed_up(port: u16) -> TestResult {
    throughout("the service is well", Duration::from_millis(1_500), || anyhow::Ok(ask(port)?.status == 200))
}

#[test]
fn graphql_errors_open_the_breaker() -> TestResult {
    if !holds()? {
        return is_refused(json!({}));
    }
    let service = Upstream::start("service")?;
    service.set_answer(Answer::json(&json!({"data": {"orders": []}})));
    let (envoy, port) = gateway(&service, Some(json!({})), json!({}))?;
    warmed_up(port)?;
    service.set_answer(errors());
    eventually("the breaker opens", SOON, || anyhow::Ok(ask(port)?.rejected_by().is_some()))?;
    assert!(envoy.is_running());
    Ok(())
}

#[test]
fn bad_queries_do_not() -> TestResult {
    if !holds()? {
        return is_refused(json!({}));
    }
    let service = Upstream::start("service")?;
    service.set_answer(Answer::json(&json!({"data": {"orders": []}})));
    let (_envoy, port) = gateway(&service, Some(json!({})), json!({}))?;
    warmed_up(port)?;
    service
        .set_answer(Answer::json(&json!({"errors": [{"message": "what?", "locations": [{"line": 1, "column": 1}]}]})));
    for _ in 0..40 {
        assert_eq!(ask(port)?.rejected_by(), None);
    }
    Ok(())
}

#[test]
fn a_forged_mark_opens_nothing_and_is_retried_by_nobody() -> TestResult {
    for health in [None, holds()?.then(|| json!({})), Some(json!({"signal": "observe"}))] {
        let service = Upstream::start("service")?;
        service.set_answer(Answer::json(&json!({"data": {"orders": []}})));
        let marked = health.is_some();
        let (_envoy, port) = gateway(&service, health, json!({}))?;
        warmed_up(port)?;
        service.reset_counts();
        service.set_headers(&[("x-holdfast-outcome", b"server_fault")])?;
        for _ in 0..20 {
            let call = Call::post(port, "/graphql", b"{}").header("x-holdfast-outcome", "server_fault");
            let reply = call.header("content-type", "application/json").send()?;
            assert_eq!((reply.status, reply.rejected_by()), (200, None));
            assert!(!marked || reply.header("x-holdfast-outcome").is_none(), "the name is ours");
        }
        // Without the plugin nobody takes the header away, and Envoy's own matcher believes it.
        assert_eq!(service.hits(), if marked { 20 } else { 40 });
    }
    Ok(())
}

#[test]
fn retries_of_marked_answers_stay_within_the_budget() -> TestResult {
    if !holds()? {
        return is_refused(json!({}));
    }
    let service = Upstream::start("service")?;
    service.set_answer(Answer::json(&json!({"data": {"orders": []}})));
    let (envoy, port) = gateway(&service, Some(json!({})), json!({}))?;
    warmed_up(port)?;
    for _ in 0..10 {
        ask(port)?;
    }
    service.reset_counts();
    service.set_answer(errors());
    for _ in 0..4 {
        // Fewer than the breaker needs.
        assert_eq!(ask(port)?.status, 200);
    }
    // A second try that fails asks for a third, which the route doesn't make.
    assert!((5..=8).contains(&service.hits()), "{} attempts, of which some were granted", service.hits());
    let granted = envoy.stats("wasmcustom\\.holdfast_retry_budget_granted_total;")?;
    assert!(granted.values().sum::<u64>() >= service.hits() - 4, "{granted:?}");
    let log = envoy.log();
    assert!(!log.contains("panicked"), "nobody is called back for an attempt that is over");
    Ok(())
}
