//! How the gateway of the scene is configured: everything that exists, on every listener and before every service that needs it.

use std::time::Duration;

use integration::config::{self, patch, tunnel};
use integration::observability::repository;
use integration::{Fault, TestResult, Upstream, Wasm};
use serde_json::{Value, json};

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
/// A certificate for nobody, good until 2126; its key is no secret.
const CERTIFICATE: &str = include_str!("tls/certificate.pem");
const KEY: &str = include_str!("tls/key.pem");

/// Who is asked behind the gateway.
pub(crate) struct Services {
    pub(crate) well: Upstream,
    pub(crate) sick: Upstream,
    pub(crate) hanging: Upstream,
    pub(crate) broken: Upstream,
    pub(crate) grpc: Upstream,
}

// === impl Services ===

impl Services {
    pub(crate) fn start() -> TestResult<Self> {
        let [well, sick, hanging, broken, grpc] = ["well", "sick", "hanging", "broken", "grpc"].map(Upstream::start);
        let services = Self { well: well?, sick: sick?, hanging: hanging?, broken: broken?, grpc: grpc? };
        services.sick.set(Fault::Status(503));
        services.hanging.set(Fault::Hang);
        services.broken.set(Fault::Reset);
        Ok(services)
    }

    /// Each attempt is counted first, whatever else sees it.
    fn clusters(&self) -> TestResult<Vec<Value>> {
        let [well, sick, hanging, broken, grpc] =
            [&self.well, &self.sick, &self.hanging, &self.broken, &self.grpc].map(|service| [service.port()]);
        let judge = health(&json!({"chain": "upstream", "protocol": "rest"}))?;
        let counted = metrics(&json!({"chain": "upstream"}))?;
        let filtered = |cluster: Value, more: &[Value]| {
            config::upstream_filters(cluster, &[std::slice::from_ref(&counted), more].concat())
        };
        let plain = |name: &str, ports: &[u16], more: &[Value]| {
            filtered(config::without_limits(config::cluster(name, ports)), more)
        };
        let small = |name: &str, ports: &[u16], waiting: u32| {
            let bound = json!({"max_connections": 1, "max_pending_requests": waiting});
            filtered(patch(config::cluster(name, ports), json!({"circuit_breakers": {"thresholds": [bound]}})), &[])
        };
        let client = json!({"name": "envoy.transport_sockets.tls", "typed_config": {"@type": format!("{TLS}.UpstreamTlsContext")}});
        let judge = std::slice::from_ref(&judge);
        Ok(vec![
            patch(plain("well", &well, judge), json!({"outlier_detection": {}})),
            plain("sick", &sick, judge),
            plain("hanging", &hanging, &[]),
            config::http2(plain("grpc", &grpc, &[])),
            plain("retried", &sick, &[budget("upstream", "enforce")?]),
            plain("broken", &broken, &[budget("upstream", "enforce")?]),
            plain("trial", &sick, &[budget("upstream", "dry_run")?]),
            small("queue", &hanging, 1_000),
            small("full", &well, 1),
            patch(filtered(config::cluster("tls", &well), &[]), json!({"transport_socket": client})),
        ])
    }
}

/// The gateway of [`crate::scene::Scene`].
pub(crate) fn bootstrap(services: &Services, store: u16) -> TestResult<Value> {
    let counted = metrics(&json!({}))?;
    let crashing = Wasm::test_module("circuit_breaker_hooks")?.name("circuit-breaker-test").vm_id("crashing");
    let crashing = crashing.config(&json!({"instance": "crashing"}));
    let listeners = [
        edge()?,
        config::listener(
            "retried",
            &[counted.clone(), budget("downstream", "enforce")?],
            &[config::with_retries(config::route("retried", "retried"), "5xx", 3)],
        ),
        trial()?,
        config::listener("crashing", &[crashing.filter()], &[to("/", "well")]),
        config::listener(
            "pools",
            &[counted],
            &[
                config::with_timeout(to("/queue", "queue"), Duration::ZERO),
                to("/full", "full"),
                to("/tls", "tls"),
                // No budget on this listener: what could spare the attempts would leave none to be refused.
                config::with_retries(to("/broken", "broken"), "reset", 3),
            ],
        ),
        config::listener(
            "crowded",
            &[metrics(&json!({"instance": "crowded", "max_series": 1}))?],
            &[to("/first", "well"), to("/second", "well")],
        ),
        strict()?,
        tls_listener(),
    ];
    let bootstrap = tagged(config::bootstrap(&listeners, &services.clusters()?))?;
    Ok(tunnel::to_server(bootstrap, "redis_tunnel", "store", store))
}

/// A gateway whose breaker isn't configured as that of all others.
pub(crate) fn late(services: &Services) -> TestResult<Value> {
    let late = breaker(&json!({"minimum_calls": 50}))?;
    let late = config::listener("late", &[late], &[config::route("late", "well")]);
    tagged(config::bootstrap(&[late], &[config::cluster("well", &[services.well.port()])]))
}

/// With the labels that are shipped, and histograms that are shown soon.
fn tagged(bootstrap: Value) -> TestResult<Value> {
    let tags = std::fs::read_to_string(repository().join("envoy-configs/stats-tags.yaml"))?;
    Ok(patch(patch(bootstrap, config::from_yaml(&tags)?), json!({"stats_flush_interval": "1s"})))
}

/// A route by the name of its path.
fn to(path: &str, cluster: &str) -> Value {
    config::route_at(path.trim_matches('/'), path, cluster)
}

/// Everything that exists, in the order of docs/architecture.md.
fn edge() -> TestResult<Value> {
    let idempotency = idempotency(&patch(redis(), json!({"on_store_error": "open"})))?;
    let filters = [
        health(&json!({"deadline": {"min": 0}}))?,
        metrics(&json!({}))?,
        idempotency,
        breaker(&json!({"minimum_calls": 5, "open": {"base": "100ms", "max": "200ms"}}))?,
        budget("downstream", "enforce")?,
    ];
    let routes = [
        to("/orders", "sick"),
        to("/well", "well"),
        to("/shop.Orders", "grpc"),
        config::with_timeout(to("/sse", "well"), Duration::ZERO),
        config::with_timeout(to("/hanging", "hanging"), Duration::from_millis(300)),
    ];
    Ok(config::listener("edge", &filters, &routes))
}

/// Where no request goes on whose key the store can't tell anything of.
fn strict() -> TestResult<Value> {
    let idempotency = idempotency(&patch(redis(), json!({"instance": "strict", "on_store_error": "closed"})))?;
    Ok(config::listener("strict", &[metrics(&json!({}))?, idempotency], &[config::route("strict", "well")]))
}

/// The same in dry runs.
fn trial() -> TestResult<Value> {
    let filters = [
        health(&json!({"instance": "trial", "mode": "dry_run", "deadline": {}}))?,
        metrics(&json!({}))?,
        idempotency(&json!({"instance": "trial", "mode": "dry_run", "store": {"kind": "memory"}}))?,
        breaker(&json!({"instance": "trial", "mode": "dry_run", "minimum_calls": 5}))?,
    ];
    Ok(config::listener("trial", &filters, &[config::with_retries(config::route("trial", "trial"), "5xx", 3)]))
}

fn health(policy: &Value) -> TestResult<Value> {
    Ok(Wasm::module("protocol_health")?.name("protocol-health").config(policy).filter())
}

fn metrics(policy: &Value) -> TestResult<Value> {
    Ok(Wasm::module("metrics")?.name("metrics").config(policy).filter())
}

fn breaker(policy: &Value) -> TestResult<Value> {
    Ok(Wasm::module("circuit_breaker")?.name("circuit-breaker").config(policy).filter())
}

/// Policy of a store that evicts.
fn redis() -> Value {
    json!({
        "store": {"kind": "redis", "cluster": "store", "accept_eviction": true},
        "secret": [{"literal": "sixteen bytes, at least"}], "insecure_literal": true,
    })
}

fn idempotency(policy: &Value) -> TestResult<Value> {
    let policy = patch(policy.clone(), json!({"headers_stop_iteration": true}));
    Ok(Wasm::module("idempotency")?
        .name("idempotency")
        .vm_id("holdfast-idempotency")
        .stop_iteration(true)
        .config(&policy)
        .filter())
}

fn budget(chain: &str, mode: &str) -> TestResult<Value> {
    let instance = if mode == "dry_run" { "trial" } else { "default" };
    let policy = json!({"chain": chain, "mode": mode, "instance": instance, "ratio": 0.1, "min_retries_per_second": 0});
    Ok(Wasm::module("retry_budget")?.name("retry-budget").config(&policy).filter())
}

fn tls_listener() -> Value {
    let certificate =
        json!([{"certificate_chain": {"inline_string": CERTIFICATE}, "private_key": {"inline_string": KEY}}]);
    let context = json!({"@type": format!("{TLS}.DownstreamTlsContext"), "common_tls_context": {"tls_certificates": certificate}});
    let mut listener = config::listener("tls", &[], &[config::direct("all", "/", 200, "never")]);
    listener["filter_chains"][0]["transport_socket"] =
        json!({"name": "envoy.transport_sockets.tls", "typed_config": context});
    listener
}
