//! `control.yaml`: an operator sees the breaker and the budget, and takes the breaker in hand.

use anyhow::ensure;
use integration::{Call, Envoy, TestResult, Upstream, client, eventually};
use serde_json::{Value, json};

use crate::SOON;
use crate::shipped::Shipped;

pub(crate) const FILE: &str = "control.yaml";
/// What the file takes from Envoy's own environment.
pub(crate) const TOKEN: (&str, &str) = ("HOLDFAST_CONTROL_TOKEN", "0123456789abcdef0123456789abcdef");

#[test]
fn an_operator_sees_both_plugins_and_closes_a_route_for_a_while() -> TestResult {
    let service = Upstream::start("service")?;
    let config = Shipped::read(FILE, &[(8081, service.port())])?.config;
    let envoy = Envoy::options().env(TOKEN.0, TOKEN.1).start(&config)?;
    let (edge, control) = (envoy.port("edge")?, envoy.port("control")?);
    let bearer = format!("Bearer {}", TOKEN.1);

    assert_eq!(client::get(control, "/state", &[])?.status, 401);
    eventually("both show their keys", SOON, || {
        client::get(edge, "/orders", &[])?;
        let state = client::get(control, "/state", &[("authorization", &bearer)])?.json()?;
        let keys = |name: &str| {
            let plugins = state["plugins"].as_array().cloned().unwrap_or_default();
            plugins.iter().any(|plugin| plugin["plugin"] == name && plugin["keys"][0]["key"] == "orders")
        };
        TestResult::Ok(keys("circuit-breaker") && keys("retry-budget"))
    })?;

    let order = json!({"plugin": "circuit-breaker", "key": "orders", "mode": "force_open", "for": "10m"}).to_string();
    let told: Value =
        Call::post(control, "/override", order.as_bytes()).header("authorization", &bearer).send()?.json()?;
    assert_eq!(told["keys"], json!(["orders"]));
    eventually("it is obeyed", SOON, || {
        let refused = client::get(edge, "/orders", &[])?;
        ensure!(client::get(edge, "/else", &[])?.status == 200, "the other route is left alone");
        TestResult::Ok(refused.rejected_by() == Some("circuit-breaker; cause=forced"))
    })
}
