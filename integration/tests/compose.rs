//! What `integration/compose` promises, with everything up: told by `cargo xtask compose smoke`, which says in `HOLDFAST_COMPOSE` where things are.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use integration::observability::ask;
use integration::{Call, Response, TestResult, client, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const QUERY: &str = "/graphql?query=%7Borders%7D";
const METHOD: &str = "/shop.Orders/Get";
/// What is asked for and, because services here only echo, the answer.
const ORDER: &[u8] = b"\x08\x07";
/// More than the breaker wants to have seen.
const ENOUGH: usize = 30;

/// The ports of 127.0.0.1 behind which things are.
struct Site(BTreeMap<String, u16>);

// === impl Site ===

impl Site {
    fn find() -> TestResult<Self> {
        let words = std::env::var("HOLDFAST_COMPOSE").context("run `cargo xtask compose smoke`")?;
        let place = |word: &str| {
            let (name, port) = word.split_once('=').with_context(|| word.to_owned())?;
            Ok((name.to_owned(), port.parse()?))
        };
        Ok(Self(words.split_whitespace().map(place).collect::<TestResult<_>>()?))
    }

    fn port(&self, name: &str) -> TestResult<u16> {
        self.0.get(name).copied().with_context(|| format!("nobody said where {name} is"))
    }

    fn pay(&self, node: &str, user: &str, key: &str) -> TestResult<Response> {
        let call = Call::post(self.port(node)?, "/payments", json!({"pay": "10 EUR"}).to_string().as_bytes());
        let call = call.header("content-type", "application/json").header("x-user-id", user);
        call.header("idempotency-key", key).send()
    }

    fn ask(&self, node: &str, user: &str, region: &str) -> TestResult<Response> {
        client::get(self.port(node)?, "/orders", &[("x-user-id", user), ("x-data-region", region)])
    }

    fn ledger(&self, service: &str) -> TestResult<Value> {
        client::get(self.port(service)?, "/ledger", &[])?.json()
    }

    /// How often a key was executed, in both regions together.
    fn executed(&self, key: &str) -> TestResult<u64> {
        let of = |service| anyhow::Ok(self.ledger(service)?["keys"][key].as_u64().unwrap_or(0));
        Ok(of("rest-eu")? + of("rest-us")?)
    }

    fn fault(&self, service: &str, word: &str) -> TestResult {
        let reply = Call::post(self.port(service)?, "/fault", word.as_bytes()).method("PUT".parse()?).send()?;
        ensure!(reply.status == 200, "{service} {word}: {}", reply.text());
        Ok(())
    }

    /// Somebody whose home is this service.
    fn user_of(&self, service: &str) -> TestResult<String> {
        let at_home =
            |user: &String| self.ask("edge-a", user, "").is_ok_and(|reply| reply.served_by() == Some(service));
        users().find(at_home).with_context(|| format!("nobody of a hundred lives in {service}"))
    }
}

fn users() -> impl Iterator<Item = String> {
    (0..100).map(|n| format!("user-{n}"))
}

#[test]
#[ignore = "needs `cargo xtask compose`"]
fn a_payment_that_is_repeated_at_the_other_gateway_is_executed_once() -> TestResult {
    let site = Site::find()?;
    let first = site.pay("edge-a", "user-1", "\"order-1\"")?;
    assert_eq!(first.status, 201, "{}", first.text());
    let again = site.pay("edge-b", "user-1", "\"order-1\"")?;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")), "{}", again.text());
    assert_eq!((again.text(), site.executed("\"order-1\"")?), (first.text(), 1));
    Ok(())
}

#[test]
#[ignore = "needs `cargo xtask compose`"]
fn each_protocol_is_served_by_both_gateways() -> TestResult {
    let site = Site::find()?;
    for node in ["edge-a", "edge-b"] {
        let port = site.port(node)?;
        let orders = client::get(port, QUERY, &[])?;
        assert_eq!((orders.status, orders.json()?["data"]["orders"][0]["id"].as_u64()), (200, Some(1)));
        let order = client::grpc(port, METHOD, ORDER, &[])?;
        assert_eq!((order.status, order.messages), (Some(0), vec![ORDER.to_vec()]));
        for probe in ["/healthz", "/healthz/rest", "/healthz/graphql", "/healthz/grpc"] {
            let reply = client::get(port, probe, &[])?;
            assert_eq!(reply.status, 200, "{probe}: {}", reply.text());
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs `cargo xtask compose`"]
fn users_of_a_region_that_fails_are_served_by_the_other_one_or_told() -> TestResult {
    let site = Site::find()?;
    let user = site.user_of("rest-eu")?;
    site.fault("rest-eu", "503")?;
    for _ in 0..ENOUGH {
        site.ask("edge-a", &user, "any")?;
    }
    eventually("who may leave is served elsewhere", SOON, || {
        let reply = site.ask("edge-a", &user, "any")?;
        anyhow::Ok((reply.status, reply.served_by()) == (200, Some("rest-us")))
    })?;
    let stays = site.ask("edge-a", &user, "eu")?;
    assert_eq!((stays.status, stays.rejected_by().is_some()), (503, true), "{:?}", stays.headers);

    site.fault("rest-eu", "none")?;
    eventually("home serves again", SOON, || {
        let reply = site.ask("edge-a", &user, "any")?;
        anyhow::Ok((reply.status, reply.served_by()) == (200, Some("rest-eu")))
    })
}

#[test]
#[ignore = "needs `cargo xtask compose`"]
fn a_service_that_is_sick_only_in_its_protocol_is_left_too() -> TestResult {
    let site = Site::find()?;
    let port = site.port("edge-b")?;
    let query = |user: &str| client::get(port, QUERY, &[("x-user-id", user), ("x-data-region", "any")]);
    let order = |user: &str| client::grpc(port, METHOD, ORDER, &[("x-user-id", user), ("x-data-region", "any")]);
    let at_home = |user: &String| query(user).is_ok_and(|reply| reply.served_by() == Some("graphql-eu"));
    let reader = users().find(at_home).context("nobody of a hundred lives in graphql-eu")?;
    for service in ["graphql-eu", "grpc-eu"] {
        site.fault(service, "sick")?;
    }
    eventually("readers of GraphQL get their orders elsewhere", SOON, || {
        let reply = query(&reader)?;
        Ok::<_, anyhow::Error>(reply.served_by() == Some("graphql-us") && reply.json()?["errors"].is_null())
    })?;
    // One hash for all services: who is at home in a region is so for each of them.
    eventually("gRPC callers too", SOON, || {
        let reply = order(&reader)?;
        let elsewhere = reply.headers.get("x-upstream").is_some_and(|name| name == "grpc-us");
        Ok::<_, anyhow::Error>(elsewhere && reply.status == Some(0))
    })?;
    for service in ["graphql-eu", "grpc-eu"] {
        site.fault(service, "none")?;
    }
    Ok(())
}

#[test]
#[ignore = "needs `cargo xtask compose`"]
fn prometheus_has_the_requests_of_both_gateways() -> TestResult {
    let site = Site::find()?;
    let prometheus = site.port("prometheus")?;
    for node in ["edge-a", "edge-b"] {
        site.ask(node, "user-1", "any")?;
        eventually("they are counted", SOON, || {
            let asked = format!("sum(holdfast_requests_total{{node=\"{node}\"}}) > 0");
            ask(prometheus, &asked).map(|series| !series.is_empty())
        })?;
    }
    let rules = client::get(prometheus, "/api/v1/rules", &[])?.text();
    assert!(rules.contains("Holdfast"), "our rules aren't loaded: {rules}");
    Ok(())
}
