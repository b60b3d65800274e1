//! `integration/compose`: its gateways' configuration, and Prometheus's, without a container.

use anyhow::{Context as _, ensure};
use integration::config::{from_yaml, patch};
use integration::observability::{promtool, repository};
use integration::shop::{Addresses, Shop};
use integration::store::Redis;
use integration::{Call, Envoy, Response, TestResult, client, eventually};
use serde_json::{Value, json};

use crate::health::holds;
use crate::idempotency::SECRET;
use crate::shipped::{Shipped, text};
use crate::{SOON, is_valid};

const FOLDER: &str = "integration/compose/envoy";
const FILE: &str = "envoy.yaml";

fn shipped(ports: &[(u16, u16)]) -> TestResult<Shipped> {
    let mut shipped = Shipped::read_in(&repository().join(FOLDER), FILE, ports)?;
    at_home(&mut shipped.config);
    Ok(shipped)
}

/// What are names in the compose networks is here.
fn at_home(value: &mut Value) {
    if let Some(address) = value.get_mut("address").filter(|address| address.is_string()) {
        *address = json!("127.0.0.1");
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(at_home),
        Value::Object(fields) => fields.values_mut().for_each(at_home),
        _ => {}
    }
}

/// An Envoy that can't hold answers back refuses the file, and there each story ends with that.
fn assert_verdict() -> TestResult {
    let shipped = shipped(&[])?;
    match (Envoy::options().env(SECRET.0, SECRET.1).validate(&shipped.config), holds()?) {
        (verdict, true) => is_valid(FILE, verdict),
        (Ok(log), false) => anyhow::bail!("an Envoy that can't hold answers back takes what needs it: {log}"),
        (Err(log), false) => {
            ensure!(log.contains("holds_responses"), "{log}");
            Ok(())
        }
    }
}

/// Both nodes before both regions.
struct Site {
    nodes: Vec<Envoy>,
    shops: [Shop; 2],
    _redis: Redis,
    /// The nodes watch its files.
    _shipped: Shipped,
}

// === impl Site ===

impl Site {
    fn start() -> TestResult<Self> {
        let redis = Redis::options().durable().start()?;
        let shops = [shop("eu")?, shop("us")?];
        let services = shops.iter().flat_map(Shop::ports).map(|port| port.expect("all are served"));
        let mut ports: Vec<(u16, u16)> = (8081..).zip(services).collect();
        ports.push((6379, redis.port()));
        let shipped = shipped(&ports)?;
        let node = |name| Envoy::options().env(SECRET.0, SECRET.1).start(&named(&shipped.config, name));
        let nodes = ["edge-a", "edge-b"].map(node).into_iter().collect::<TestResult<_>>()?;
        Ok(Self { nodes, shops, _redis: redis, _shipped: shipped })
    }

    fn edge(&self, node: usize) -> TestResult<u16> {
        self.nodes[node].port("edge")
    }

    fn pay(&self, node: usize) -> TestResult<Response> {
        let call = Call::post(self.edge(node)?, "/payments", b"{}").header("x-user-id", "user-1");
        call.header("content-type", "application/json").header("idempotency-key", "\"k\"").send()
    }
}

fn named(config: &Value, node: &str) -> Value {
    patch(config.clone(), json!({"node": {"id": node}}))
}

fn shop(region: &str) -> TestResult<Shop> {
    let any = "127.0.0.1:0".parse()?;
    Shop::start(region, &Addresses { rest: Some(any), grpc: Some(any), graphql: Some(any), board: None }, any)
}

#[test]
fn compose_is_valid() -> TestResult {
    assert_verdict()
}

#[test]
fn compose_serves_three_protocols_and_pays_once_over_both_nodes() -> TestResult {
    if !holds()? {
        return assert_verdict();
    }
    let site = Site::start()?;
    // Each node looks for the primary once a second.
    eventually("the first one pays", SOON, || site.pay(0).map(|reply| reply.status == 201))?;
    eventually("the other one has its answer", SOON, || {
        site.pay(1).map(|reply| reply.header("idempotency-replayed") == Some("true"))
    })?;
    let executed = site.shops.iter().map(|shop| client::get(shop.control(), "/ledger", &[])?.json());
    let executed: Vec<Value> = executed.collect::<TestResult<_>>()?;
    assert_eq!(executed.iter().filter_map(|ledger| ledger["keys"]["\"k\""].as_u64()).sum::<u64>(), 1);

    let edge = site.edge(0)?;
    assert_eq!(client::get(edge, "/graphql?query=%7Borders%7D", &[])?.json()?["data"]["orders"][0]["id"], 1);
    assert_eq!(client::grpc(edge, "/shop.Orders/Get", b"\x08\x01", &[])?.status, Some(0));
    for probe in ["/healthz", "/healthz/rest", "/healthz/graphql", "/healthz/grpc"] {
        assert_eq!(client::get(edge, probe, &[])?.status, 200, "{probe}");
    }
    Ok(())
}

#[test]
fn compose_serves_who_must_stay_in_a_region_there_alone() -> TestResult {
    if !holds()? {
        return assert_verdict();
    }
    let site = Site::start()?;
    let edge = site.edge(0)?;
    for (user, region) in (0..20).flat_map(|n| ["eu", "us"].map(|region| (format!("user-{n}"), region))) {
        let headers = [("x-user-id", user.as_str()), ("x-data-region", region)];
        for path in ["/orders", "/graphql?query=%7Borders%7D"] {
            assert_eq!(client::get(edge, path, &headers)?.served_by(), Some(region), "{path} of {user}");
        }
        let order = client::grpc(edge, "/shop.Orders/Get", b"\x08\x01", &headers)?;
        assert_eq!(
            order.headers.get("x-upstream").map(hyper::header::HeaderValue::as_bytes),
            Some(region.as_bytes()),
            "{user}"
        );
    }
    Ok(())
}

#[test]
fn compose_has_the_labels_of_all_and_rules_that_prometheus_takes() -> TestResult {
    let tags = from_yaml(&text("stats-tags.yaml")?)?["stats_config"].clone();
    assert_eq!(shipped(&[])?.config["stats_config"], tags);
    let folder = repository().join("integration/compose/prometheus");
    let config = std::fs::read_to_string(folder.join("prometheus.yml"))?;
    // In its container it finds them where the compose file mounts them.
    let rules = repository().join("observability/rules/holdfast.rules.yaml").canonicalize()?;
    let here = tempfile::tempdir()?;
    let rules = rules.to_str().context("a path that is text")?;
    std::fs::write(here.path().join("prometheus.yml"), config.replace("/etc/prometheus/holdfast.rules.yaml", rules))?;
    promtool(here.path(), &["check", "config", "prometheus.yml"]).map(drop)
}
