//! Gateways behind gateways: each layer that retries multiplies what the one before it sends.

mod budget;

use budget::{Filters, SOON, entries, gateway, route};
use integration::{Call, Envoy, Fault, Storm, TestResult, Upstream};
use serde_json::json;

/// The attempts that so many requests become behind three gateways, whose service is down.
fn attempts(requests: usize, filters: &Filters) -> TestResult<u64> {
    let orders = Upstream::start("orders")?;
    orders.set(Fault::Status(503));
    let mut layers: Vec<Envoy> = Vec::new();
    let mut next = orders.port();
    for _ in 0..3 {
        let (envoy, edge) = gateway(next, &route(), filters, |cluster| cluster)?;
        layers.push(envoy);
        next = edge;
    }
    let tally = Storm::new(Call::get(next, "/")).concurrency(8).total(requests).per_second(100.0).run(SOON)?;
    assert_eq!((tally.len(), tally.status(503)), (requests, requests), "{:?}", tally.errors());
    Ok(orders.hits())
}

#[test]
fn three_layers_multiply_by_sixty_four_without_a_budget_and_by_less_than_two_with_one() -> TestResult {
    assert_eq!(attempts(15, &Filters::default())?, 15 * 64);
    let bounded = attempts(200, &entries(json!({"ttl": "1s"}))?.both())?;
    assert!(bounded <= 400, "{bounded} attempts of 200 requests");
    assert!(bounded > 220, "and they do retry: {bounded} attempts of 200 requests");
    Ok(())
}
