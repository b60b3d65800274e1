//! A configuration with mistakes reaches the proxy. It is refused wherever it comes in, and the log tells all its mistakes at once.

mod budget;

use std::time::Duration;

use budget::{SOON, Story, counted, entries};
use integration::{Envoy, Fault, TestResult, Upstream, Wasm, config, envoy, eventually, throughout};
use serde_json::{Value, json};

/// Five mistakes that nobody may make in an upstream entry.
fn five_mistakes() -> Value {
    json!({
        "chain": "upstream", "retry_unsafe": "always", "client_retries": {}, "mode": "force_open", "colour": "red", "ratio": 2,
    })
}

const FIVE_FAULTS: [&str; 5] =
    ["$.retry_unsafe: ", "$.client_retries: ", "$.mode: found \"force_open\"", "$.colour: ", "$.ratio: found 2"];

fn module(config: &Value) -> TestResult<Wasm> {
    Ok(Wasm::module("retry_budget")?.config(config))
}

/// The filter sits where its configuration says.
fn bootstrap(config: &Value) -> TestResult<Value> {
    let filter = module(config)?.filter();
    let (downstream, upstream) =
        if config["chain"] == "upstream" { (vec![], vec![filter]) } else { (vec![filter], vec![]) };
    let cluster = config::upstream_filters(config::cluster("orders", &[9]), &upstream);
    Ok(config::bootstrap(&[config::listener("edge", &downstream, &[budget::route()])], &[cluster]))
}

/// The faults in a log, each once: every VM of the plugin tells them.
fn faults(log: &str) -> Vec<&str> {
    let mut told: Vec<&str> = log.lines().filter_map(|line| line.split("bad configuration: ").nth(1)).collect();
    told.sort_unstable();
    told.dedup();
    told
}

/// The log tells these faults and no others.
fn assert_told(log: &str, expected: &[&str]) {
    let told = faults(log);
    for fault in expected {
        assert!(told.iter().any(|line| line.starts_with(fault)), "{fault:?} is missing in {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn validate_tells_every_mistake() -> TestResult {
    let log = envoy::validate(&bootstrap(&five_mistakes())?).expect_err("a refusal");
    assert_told(&log, &FIVE_FAULTS);
    Ok(())
}

#[test]
fn envoy_does_not_start_and_says_why() -> TestResult {
    let error = format!("{:#}", Envoy::start(&bootstrap(&five_mistakes())?).unwrap_err());
    assert!(error.contains("Envoy exited at start"), "{error}");
    assert_told(&error, &FIVE_FAULTS);
    Ok(())
}

#[test]
fn each_mistake_is_told_by_its_place() -> TestResult {
    for (config, told) in [
        (json!({"ratio": 0.2, "percent": 20}), "$.ratio: "),
        (json!({"percent": 101}), "$.percent: found 101"),
        (json!({"mode": "force_closed"}), "$.mode: found \"force_closed\""),
        (json!({"ttl": "500ms"}), "$.ttl: found \"500ms\""),
        (json!({"interval": "2h"}), "$.interval: found \"2h\""),
        (json!({"retry_unsafe": "sometimes"}), "$.retry_unsafe: found \"sometimes\""),
        (json!({"max_pushback": "1h"}), "$.max_pushback: found \"1h\""),
        (json!({"retry_on": {"status": ["9xx"]}}), "$.retry_on.status[0]: found \"9xx\""),
        (json!({"minRetryRate": {"cuont": 1}}), "$.minRetryRate.cuont: "),
        (json!({"client_retries": {"ratio": -1}}), "$.client_retries.ratio: found -1"),
        (json!({"client_retries": {"headers": []}}), "$.client_retries.headers: "),
        (
            json!({"client_retries": {"trusted_proof": {"header": "x-proof", "token": {"literal": "t"}}}}),
            "$.client_retries.trusted_proof.token",
        ),
    ] {
        let log = envoy::validate(&bootstrap(&config)?).expect_err("a refusal");
        assert_told(&log, &[told]);
    }
    Ok(())
}

#[test]
fn the_gateway_apis_names_mean_the_same() -> TestResult {
    let orders = Upstream::start("orders")?;
    let names = json!({
        "chain": "upstream", "percent": 10, "interval": "5s", "minRetryRate": {"count": 3, "interval": "1s"},
    });
    let filters = (vec![], vec![module(&names)?.filter()]);
    let (envoy, edge) = budget::gateway(orders.port(), &budget::route(), &filters, |cluster| cluster)?;
    orders.set(Fault::Status(503));
    budget::answered(&integration::Call::get(edge, "/"), 100)?;
    assert_eq!(counted(&envoy, "floor", &[])?, 15, "three per second");
    let retries = orders.hits() - 100;
    assert!((15..=25).contains(&retries), "{retries} retries of 100 requests");
    Ok(())
}

#[test]
fn over_ecds_the_old_budget_keeps_serving() -> TestResult {
    let good = entries(json!({}))?;
    let pushed = good.upstream.dynamic()?;
    let story = Story::on(&budget::route(), &(vec![], vec![pushed.filter()]))?;
    story.orders.set(Fault::Status(503));
    pushed.update(&module(&five_mistakes())?.name("budget").typed_config())?;
    eventually("the log tells all of it", SOON, || faults(&story.envoy.log()).len() == FIVE_FAULTS.len())?;
    assert_told(&story.envoy.log(), &FIVE_FAULTS);
    throughout("the old one vetoes", Duration::from_millis(300), || {
        story.get()?;
        let (requests, retries) = (story.orders.hits() - story.retries(), story.retries());
        Ok::<_, anyhow::Error>(retries * 5 <= requests)
    })
}
