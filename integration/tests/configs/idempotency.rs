//! `idempotency-*.yaml`, each with its store.

use anyhow::ensure;
use integration::config::patch;
use integration::store::{Memcached, Redis, RedisCluster};
use integration::{Call, Envoy, Ledger, Response, Storm, TestResult, eventually};
use serde_json::{Value, json};

use crate::SOON;
use crate::shipped::Shipped;

/// What the files ask for in Envoy's environment.
pub(crate) const SECRET: (&str, &str) = ("HOLDFAST_SECRET", "a secret of at least sixteen bytes");

const PLUGIN: &str = "idempotency-redis-plugin.yaml";

/// So many Envoys with one of the files, before one service.
struct Site {
    ledger: Ledger,
    shipped: Shipped,
    nodes: Vec<Envoy>,
}

impl Site {
    /// `ports` are those of the store: what the file says, and where it is.
    fn start(name: &str, nodes: usize, ports: &[(u16, u16)]) -> TestResult<Self> {
        Self::changed(name, nodes, ports, |config| config)
    }

    fn changed(name: &str, nodes: usize, ports: &[(u16, u16)], change: impl Fn(Value) -> Value) -> TestResult<Self> {
        let ledger = Ledger::start()?;
        let mut shipped = Shipped::read(name, &[&[(8081, ledger.port())], ports].concat())?;
        shipped.config = change(shipped.config);
        let node = |_| Envoy::options().env(SECRET.0, SECRET.1).start(&shipped.config);
        let nodes = (0..nodes).map(node).collect::<TestResult<_>>()?;
        Ok(Self { ledger, shipped, nodes })
    }

    fn pay(&self, node: usize, key: &str) -> TestResult<Response> {
        self.call(node, key, "10 EUR")?.send()
    }

    fn call(&self, node: usize, key: &str, what: &str) -> TestResult<Call> {
        let call = Call::post(self.nodes[node].port("edge")?, "/payments", json!({"pay": what}).to_string().as_bytes());
        Ok(call.header("content-type", "application/json").header("idempotency-key", key))
    }

    /// The story of every file: whoever repeats a payment, at whichever node, gets the answer of its first run.
    fn assert_protects(&self) -> TestResult {
        let last = self.nodes.len() - 1;
        let first = self.pay(0, "\"order-1\"")?;
        ensure!(first.status == 201, "{} {}", first.status, first.text());
        for node in [last, 0] {
            let again = self.pay(node, "\"order-1\"")?;
            assert_eq!((again.status, again.text()), (201, first.text()));
            assert_eq!(again.header("location"), first.header("location"));
            assert_eq!((again.header("idempotency-replayed"), again.header("set-cookie")), (Some("true"), None));
        }
        let other = self.call(last, "\"order-1\"", "1000 EUR")?.send()?;
        assert_eq!((other.status, other.header("content-type")), (422, Some("application/problem+json")));
        assert_eq!(self.ledger.executions("\"order-1\"").len(), 1);
        assert_ne!(self.pay(last, "\"order-2\"")?.body, first.body);
        assert_eq!(self.ledger.total(), 2);
        for node in &self.nodes {
            assert!(!node.admin_get("/config_dump")?.contains(SECRET.1), "the secret is shown");
            assert!(!node.log().contains("order-1"), "the key is shown");
        }
        Ok(())
    }
}

// --- idempotency-memory.yaml ---

#[test]
fn memory_protects_over_both_workers() -> TestResult {
    let site = Site::start("idempotency-memory.yaml", 1, &[])?;
    site.assert_protects()?;
    let burst = Storm::new(site.call(0, "\"at-once\"", "1 EUR")?.fresh_connection()).concurrency(16).total(48);
    let tally = burst.run(SOON)?;
    assert_eq!(tally.status(201) + tally.status(409), 48, "{:?}", tally.by_status());
    assert_eq!(site.ledger.executions("\"at-once\"").len(), 1);
    Ok(())
}

// --- idempotency-redis.yaml ---

#[test]
fn redis_protects_over_two_proxies_and_the_access_log_tells() -> TestResult {
    let redis = Redis::options().durable().start()?;
    let site = Site::start("idempotency-redis.yaml", 2, &[(6379, redis.port())])?;
    site.assert_protects()?;
    site.nodes[0].wait_for_log("\"idempotency\":\"claimed\"", SOON)?;
    site.nodes[1].wait_for_log("\"idempotency\":\"replay\"", SOON)?;

    redis.kill();
    let refused = site.pay(0, "\"order-3\"")?;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.rejected_by().is_some_and(|by| by.starts_with("idempotency;")), "{refused:?}");
    redis.restart()?;
    // Each looks once a second whether the primary is there.
    eventually("it serves again", SOON, || site.pay(0, "\"order-4\"").map(|reply| reply.status == 201))?;
    eventually("the other one too", SOON, || site.pay(1, "\"order-4\"").map(|reply| reply.status == 201))?;
    let again = site.pay(1, "\"order-1\"")?;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")), "it kept what it knew");
    assert_eq!((site.ledger.executions("\"order-3\"").len(), site.ledger.repeated().len()), (0, 0));
    Ok(())
}

#[test]
fn redis_settings_are_replaced_under_traffic() -> TestResult {
    let redis = Redis::start()?;
    let site = Site::start("idempotency-redis.yaml", 1, &[(6379, redis.port())])?;
    assert_eq!(site.pay(0, "\"k\"")?.status, 201);
    let strict = patch(site.shipped.policy(PLUGIN)?, json!({"strict": true, "required": true}));
    site.shipped.push_policy(PLUGIN, &strict)?;
    eventually("it is strict now", SOON, || site.pay(0, "bare").map(|reply| reply.status == 400))?;
    let again = site.pay(0, "\"k\"")?;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    Ok(())
}

#[test]
fn redis_is_whoever_says_that_it_is_the_primary() -> TestResult {
    let (one, other) = (Redis::start()?, Redis::start()?);
    let port = |redis: &Redis| redis.port().to_string();
    other.ask(&["REPLICAOF", "127.0.0.1", &port(&one)])?;
    let both = |mut config: Value| {
        let clusters = config["static_resources"]["clusters"].as_array_mut().expect("clusters");
        let redis = clusters.iter_mut().find(|cluster| cluster["name"] == "redis").expect("a cluster");
        let endpoints = &mut redis["load_assignment"]["endpoints"][0]["lb_endpoints"];
        let mut second = endpoints[0].clone();
        second["endpoint"]["address"]["socket_address"]["port_value"] = json!(other.port());
        endpoints.as_array_mut().expect("endpoints").push(second);
        config
    };
    let site = Site::changed("idempotency-redis.yaml", 1, &[(6379, one.port())], both)?;
    for n in 0..10 {
        assert_eq!(site.pay(0, &format!("\"k-{n}\""))?.status, 201, "a replica was asked");
    }
    eventually("the replica has it all", SOON, || {
        Ok::<_, anyhow::Error>(other.ask(&["DBSIZE"])? == one.ask(&["DBSIZE"])?)
    })?;
    other.ask(&["REPLICAOF", "NO", "ONE"])?;
    one.ask(&["REPLICAOF", "127.0.0.1", &port(&other)])?;
    // For a second the old one may be asked too: it says that it is a replica now, and the client is told to come again.
    eventually("the new primary is asked", SOON, || {
        Ok::<_, anyhow::Error>(site.pay(0, "\"k-1\"")?.header("idempotency-replayed") == Some("true"))
    })?;
    assert!(site.ledger.repeated().is_empty());
    Ok(())
}

// --- idempotency-redis-cluster.yaml ---

#[test]
fn redis_cluster_protects_with_keys_on_every_node() -> TestResult {
    let cluster = RedisCluster::start()?;
    let ports: Vec<(u16, u16)> = (7001..).zip(cluster.ports()).collect();
    let site = Site::start("idempotency-redis-cluster.yaml", 2, &ports)?;
    site.assert_protects()?;
    for n in 0..40 {
        for node in [0, 1] {
            assert_eq!(site.pay(node, &format!("\"k-{n}\""))?.status, 201);
        }
    }
    assert!(site.ledger.repeated().is_empty());
    for node in cluster.nodes() {
        assert_ne!(node.ask(&["DBSIZE"])?, ":0\r\n");
    }
    Ok(())
}

// --- idempotency-memcached.yaml ---

#[test]
fn memcached_protects_as_long_as_it_remembers() -> TestResult {
    let memcached = Memcached::start()?;
    let site = Site::start("idempotency-memcached.yaml", 2, &[(11211, memcached.port())])?;
    site.assert_protects()?;
    // What the file warns of.
    memcached.restart()?;
    eventually("it serves again", SOON, || site.pay(0, "\"order-1\"").map(|reply| reply.status == 201))?;
    assert_eq!(site.ledger.executions("\"order-1\"").len(), 2);
    Ok(())
}
