//! The services of `integration/compose`, without a gateway: what they did is told, and the switch makes each sick in its own way.

use std::net::SocketAddr;
use std::time::Duration;

use integration::shop::{Addresses, Shop};
use integration::{Call, Response, TestResult, client};
use serde_json::{Value, json};

/// Long beside an answer here, short beside one that hangs.
const PATIENCE: Duration = Duration::from_millis(300);

struct Customer {
    shop: Shop,
    rest: u16,
    grpc: u16,
    graphql: u16,
}

// === impl Customer ===

impl Customer {
    fn enter() -> TestResult<Self> {
        let any: SocketAddr = "127.0.0.1:0".parse()?;
        let addresses = Addresses { rest: Some(any), grpc: Some(any), graphql: Some(any), board: None };
        let shop = Shop::start("eu", &addresses, any)?;
        let [rest, grpc, graphql] = shop.ports().map(|port| port.expect("all are served"));
        Ok(Self { shop, rest, grpc, graphql })
    }

    fn pay(&self, key: &str) -> TestResult<Response> {
        Call::post(self.rest, "/payments", b"{}").header("idempotency-key", key).timeout(PATIENCE).send()
    }

    /// A GraphQL query.
    fn query(&self) -> TestResult<Response> {
        Call::get(self.graphql, "/graphql?query=%7Borders%7D").timeout(PATIENCE).send()
    }

    fn ledger(&self) -> TestResult<Value> {
        client::get(self.shop.control(), "/ledger", &[])?.json()
    }

    fn fault(&self, word: &str) -> TestResult<Response> {
        Call::post(self.shop.control(), "/fault", word.as_bytes()).method("PUT".parse()?).send()
    }

    fn grpc(&self, path: &str) -> TestResult<(Option<u32>, Vec<Vec<u8>>)> {
        let reply = client::grpc(self.grpc, path, b"\x08\x07", &[])?;
        Ok((reply.status, reply.messages))
    }
}

#[test]
fn what_was_paid_is_told_by_key() -> TestResult {
    let customer = Customer::enter()?;
    for key in ["a", "b", "a"] {
        let reply = customer.pay(key)?;
        assert_eq!((reply.status, reply.served_by()), (201, Some("eu")));
    }
    let told = json!({"service": "eu", "asked": 3, "executed": 3, "declined": 0, "keys": {"a": 2, "b": 1}, "repeated": {"a": 2}});
    assert_eq!(customer.ledger()?, told);
    Ok(())
}

#[test]
fn every_request_that_came_is_counted_whatever_became_of_it() -> TestResult {
    let customer = Customer::enter()?;
    customer.pay("a")?;
    client::get(customer.rest, "/orders", &[])?;
    customer.query()?;
    customer.grpc("/shop.Orders/Get")?;
    customer.fault("503")?;
    customer.pay("b")?;
    assert_eq!(customer.ledger()?["asked"], 5);
    Ok(())
}

#[test]
fn it_answers_in_three_protocols() -> TestResult {
    let customer = Customer::enter()?;
    assert_eq!(client::get(customer.rest, "/payments", &[])?.status, 200);
    assert_eq!(customer.query()?.json()?["data"]["orders"][0]["id"], 1);
    assert_eq!(customer.grpc("/shop.Orders/Get")?, (Some(0), vec![b"\x08\x07".to_vec()]));
    assert_eq!(customer.grpc("/grpc.health.v1.Health/Check")?, (Some(0), vec![b"\x08\x01".to_vec()]));
    Ok(())
}

#[test]
fn the_switch_makes_all_sick_and_well_again() -> TestResult {
    let customer = Customer::enter()?;
    assert_eq!(customer.fault("503")?.json()?["fault"], "503");
    assert_eq!([customer.pay("a")?.status, customer.query()?.status], [503, 503]);
    assert_eq!(client::get(customer.rest, "/payments", &[])?.status, 503, "reading too");
    assert_eq!((customer.ledger()?["executed"].clone(), customer.ledger()?["declined"].clone()), (json!(0), json!(1)));

    customer.fault("sick")?;
    assert_eq!(customer.pay("a")?.json()?, json!({"status": "degraded"}));
    assert!(customer.query()?.json()?["errors"].is_array());
    assert_eq!(customer.grpc("/shop.Orders/Get")?.0, Some(14));

    for lost in ["hang", "reset", "slow"] {
        customer.fault(lost)?;
        assert!(customer.pay(lost).is_err() && customer.query().is_err(), "{lost}");
        assert_eq!(customer.ledger()?["keys"][lost], 1, "{lost}: it was done all the same");
    }

    customer.fault("none")?;
    assert_eq!([customer.pay("a")?.status, customer.query()?.status], [201, 200]);
    Ok(())
}

#[test]
fn a_fault_that_there_is_not_changes_nothing() -> TestResult {
    let customer = Customer::enter()?;
    customer.fault("hang")?;
    let refused = customer.fault("sulk")?;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("none, 503"), "{}", refused.text());
    assert_eq!(client::get(customer.shop.control(), "/fault", &[])?.json()?["fault"], "hang");
    Ok(())
}
