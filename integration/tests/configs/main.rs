//! Every file in `envoy-configs/`, and those of `integration/compose`, as they are shipped, on the real Envoy: only ports and paths are changed, in memory.

mod active_active;
mod checked;
mod compose;
mod control;
mod hardened;
#[path = "../health/mod.rs"]
mod health;
mod idempotency;
mod mesh;
mod metrics;
mod protocol_health;
mod remote_fetch;
#[path = "../../src/bin/demo/shipped.rs"]
mod shipped;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use integration::config::{from_yaml, on_free_ports, patch};
use integration::{Envoy, Fault, TestResult, Upstream, client, eventually};
use serde_json::Value;
use shipped::Shipped;

const SOON: Duration = Duration::from_secs(10);
/// What each shipped file is: a bootstrap, or a part that one refers to or that users paste.
const BOOTSTRAPS: [&str; 15] = [
    "active-active.yaml",
    control::FILE,
    hardened::NEW,
    hardened::OLD,
    "idempotency-memcached.yaml",
    "idempotency-memory.yaml",
    "idempotency-redis-cluster.yaml",
    "idempotency-redis.yaml",
    metrics::FILE,
    "minimal.yaml",
    protocol_health::FILE,
    remote_fetch::FILE,
    "reroute.yaml",
    "retry-budget.yaml",
    "upstream-chain.yaml",
];
const PARTS: [&str; 8] = [
    "active-active-holdfast.yaml",
    "active-active-eu.yaml",
    "active-active-us.yaml",
    mesh::ENVOY_GATEWAY,
    "idempotency-redis-plugin.yaml",
    mesh::ENVOY_FILTER,
    mesh::WASM_PLUGIN,
    "stats-tags.yaml",
];

// --- all of them ---

#[test]
fn every_file_is_known_and_every_bootstrap_is_valid() -> TestResult {
    let names =
        std::fs::read_dir(shipped::folder())?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names = names.collect::<TestResult<BTreeSet<_>>>()?;
    let known = BOOTSTRAPS.iter().chain(&PARTS).map(ToString::to_string).chain(["README.md".into()]).collect();
    assert_eq!(names, known, "a file was added or removed: test it here");
    for name in BOOTSTRAPS {
        let shipped = Shipped::read(name, &[])?;
        let envoy = Envoy::options().env(idempotency::SECRET.0, idempotency::SECRET.1);
        let envoy = envoy.env(control::TOKEN.0, control::TOKEN.1);
        let verdict = envoy.validate(&shipped.config);
        if name == protocol_health::FILE {
            protocol_health::assert_verdict(verdict)?;
        } else if [hardened::NEW, hardened::OLD].contains(&name) {
            hardened::assert_verdict(name, verdict)?;
        } else if name == metrics::FILE {
            metrics::assert_verdict(verdict)?;
        } else {
            is_valid(name, verdict)?;
        }
    }
    Ok(())
}

/// Envoy takes a file, and finds nothing in it that it means to drop.
fn is_valid(name: &str, verdict: Result<String, String>) -> TestResult {
    let log = verdict.map_err(|log| anyhow::anyhow!("{name}: {log}"))?;
    let deprecated: Vec<&str> = log.lines().filter(|line| line.to_lowercase().contains("deprecated")).collect();
    ensure!(deprecated.is_empty(), "{name}: {deprecated:?}");
    Ok(())
}

#[test]
fn the_pasted_tags_are_those_of_the_bootstrap() -> TestResult {
    let tags = |name| TestResult::Ok(from_yaml(&shipped::text(name)?)?["stats_config"].clone());
    assert_eq!(tags("stats-tags.yaml")?, tags("active-active.yaml")?);
    Ok(())
}

// --- minimal.yaml ---

#[test]
fn minimal_is_fifteen_lines_more_than_what_you_have() -> TestResult {
    let text = shipped::text("minimal.yaml")?;
    let lines: Vec<&str> = text.lines().collect();
    let at = |mark: &str| lines.iter().position(|line| line.contains(mark)).expect("a mark");
    let (begin, end) = (at("Holdfast begins"), at("Holdfast ends"));
    assert_eq!(end - begin - 1, 15);

    let service = Upstream::start("service")?;
    let without = [&lines[..begin], &lines[end + 1..]].concat().join("\n").replace("8081", &service.port().to_string());
    let envoy = Envoy::start(&on_free_ports(from_yaml(&without)?))?;
    assert_eq!(client::get(envoy.port("edge")?, "/", &[])?.served_by(), Some("service"));
    Ok(())
}

#[test]
fn minimal_touches_no_request_and_tells_what_it_would_have_done() -> TestResult {
    let service = Upstream::start("service")?;
    let config = Shipped::read("minimal.yaml", &[(8081, service.port())])?.config;
    let tags = from_yaml(&shipped::text("stats-tags.yaml")?)?;
    let envoy = Envoy::start(&patch(config, tags))?;
    let edge = envoy.port("edge")?;
    assert_eq!(client::get(edge, "/", &[])?.status, 200);

    service.set(Fault::Status(500));
    eventually("it would have refused", SOON, || {
        let reply = client::get(edge, "/", &[])?;
        ensure!((reply.status, reply.rejected_by()) == (500, None), "touched: {}", reply.status);
        let page = envoy.prometheus()?;
        let labels = [("key", "service--service"), ("chain", "downstream"), ("cause", "open")];
        Ok(page.sum("holdfast_circuit_breaker_would_reject_total", &labels) > 0.0)
    })
}

// --- reroute.yaml ---

#[test]
fn reroute_moves_those_who_may_move_and_refuses_the_rest() -> TestResult {
    let (first, second) = (Upstream::start("first")?, Upstream::start("second")?);
    let config = Shipped::read("reroute.yaml", &[(8081, first.port()), (8083, second.port())])?.config;
    let envoy = Envoy::start(&config)?;
    let edge = envoy.port("edge")?;
    assert_eq!(client::get(edge, "/", &[("x-holdfast-fallback", "1")])?.served_by(), Some("first"));

    first.set(Fault::Status(503));
    eventually("it opens", SOON, || client::get(edge, "/", &[]).map(|reply| reply.rejected_by().is_some()))?;
    let moved = client::get(edge, "/echo", &[("x-data-region", "world")])?;
    assert_eq!((moved.status, moved.served_by()), (200, Some("second")));
    assert_eq!(moved.json()?["headers"]["x-holdfast-fallback"], Value::Null);
    let stays = client::get(edge, "/", &[("x-data-region", "eu"), ("x-holdfast-fallback", "1")])?;
    assert_eq!((stays.status, stays.rejected_by()), (503, Some("circuit-breaker; cause=open")));
    assert!(stays.header("retry-after").is_some());
    Ok(())
}

// --- retry-budget.yaml ---

#[test]
fn retry_budget_bounds_what_the_route_may_retry_and_the_access_log_tells() -> TestResult {
    let service = Upstream::start("service")?;
    let config = Shipped::read("retry-budget.yaml", &[(8081, service.port())])?.config;
    let envoy = Envoy::start(&patch(config, from_yaml(&shipped::text("stats-tags.yaml")?)?))?;
    let edge = envoy.port("edge")?;
    service.set(Fault::Status(503));
    let reply = client::get(edge, "/", &[])?;
    assert_eq!((reply.status, reply.header("x-envoy-attempt-count")), (503, Some("4")), "the floor's ten let it");
    for _ in 0..60 {
        assert_eq!(client::get(edge, "/", &[])?.rejected_by(), None, "every answer is the service's own");
    }
    // 61 requests have 12, the floor 10, and a slot may end in between.
    ensure!((61..=61 + 24).contains(&service.hits()), "{} attempts", service.hits());
    eventually("it is counted", SOON, || {
        let page = envoy.prometheus()?;
        let labels = [("key", "service"), ("chain", "upstream"), ("cause", "budget")];
        Ok::<_, anyhow::Error>(page.sum("holdfast_retry_budget_refused_total", &labels) > 0.0)
    })?;
    eventually("the access log tells of a vetoed answer", SOON, || {
        let vetoed = |line: &str| line.contains("budget=") && line.ends_with(",1,0");
        Ok::<_, anyhow::Error>(envoy.log().lines().any(vetoed))
    })
}

// --- upstream-chain.yaml ---

#[test]
fn upstream_chain_sees_every_attempt_of_every_instance() -> TestResult {
    let (well, sick) = (Upstream::start("well")?, Upstream::start("sick")?);
    let shipped = Shipped::read("upstream-chain.yaml", &[(8081, well.port()), (8082, sick.port())])?;
    let envoy = Envoy::start(&patch(shipped.config, from_yaml(&shipped::text("stats-tags.yaml")?)?))?;
    let edge = envoy.port("edge")?;

    sick.set(Fault::Status(503));
    for _ in 0..10 {
        assert_eq!(client::get(edge, "/", &[])?.status, 200, "Envoy's retry takes the other instance");
    }
    let of = |instance: &Upstream| format!("service--127.0.0.1_{}", instance.port());
    eventually("its failures are counted", SOON, || {
        let page = envoy.prometheus()?;
        let counted = |instance, outcome| {
            let wanted = of(instance);
            let series = page.series("holdfast_circuit_breaker_calls_total");
            let matching = series
                .filter(|series| series.labels["key"].starts_with(&wanted) && series.labels["outcome"] == outcome);
            matching.filter(|series| series.labels["chain"] == "upstream").map(|series| series.value).sum::<f64>()
        };
        ensure!(counted(&sick, "failure") >= 3.0 && counted(&well, "success") >= 10.0, "{:?}", page.names("holdfast"));
        Ok::<_, anyhow::Error>(counted(&well, "failure") == 0.0)
    })
}
