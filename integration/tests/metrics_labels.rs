//! What is on Envoy's Prometheus page: labels, their bound, and nothing that a client could write there.

mod metrics;

use std::collections::BTreeSet;

use anyhow::ensure;
use integration::client::Call;
use integration::config::{self, patch};
use integration::{Envoy, Fault, TestResult, Upstream, Wasm, client, eventually};
use metrics::{SOON, counted, down, listener, shows, tagged, up};
use sdk_shim::labels::Label;
use serde_json::json;

#[test]
fn tenants_are_those_that_may_be_and_a_canary_is_the_cluster_that_was_chosen() -> TestResult {
    let (old, new) = (Upstream::start("old")?, Upstream::start("new")?);
    let policy = json!({
        "labels": {"tenant": {"header": "x-tenant", "allow": ["acme", "globex"]}}, "canary": {"cluster": true},
    });
    let clusters = json!({"clusters": [{"name": "v1", "weight": 50}, {"name": "v2", "weight": 50}]});
    let route = patch(config::route("shop", "v1"), json!({"route": {"cluster": null, "weighted_clusters": clusters}}));
    let bootstrap = config::bootstrap(
        &[listener(&[down(&policy)?.filter()], &[route])],
        &[config::cluster("v1", &[old.port()]), config::cluster("v2", &[new.port()])],
    );
    let envoy = Envoy::start(&tagged(bootstrap)?)?;
    let edge = envoy.port("edge")?;
    for n in 0..40 {
        for tenant in ["acme", "globex", "evil\";route=\"x", "acme;outcome=ok"] {
            client::get(edge, &format!("/{n}"), &[("x-tenant", tenant)])?;
        }
        client::get(edge, "/", &[])?;
    }
    for (tenant, wanted) in [("acme", 40), ("globex", 40), ("_other", 80), ("_none", 40)] {
        shows(&envoy, "requests_total", &[("route", "shop"), ("tenant", tenant), ("outcome", "ok")], wanted)?;
    }
    for (canary, service) in [("v1", &old), ("v2", &new)] {
        ensure!(service.hits() > 50, "{canary}: {}", service.hits());
        shows(&envoy, "requests_total", &[("canary", canary)], service.hits())?;
    }
    Ok(())
}

#[test]
fn the_region_is_what_the_hosts_metadata_says() -> TestResult {
    let (near, far) = (Upstream::start("near")?, Upstream::start("far")?);
    let mut cluster = config::cluster("service", &[near.port(), far.port()]);
    for (n, region) in ["eu-1", "us.east"].iter().enumerate() {
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][n]["metadata"] =
            json!({"filter_metadata": {"envoy.lb": {"region": region}}});
    }
    let filter = up(json!({"region": {"metadata": "region"}}))?.filter();
    let bootstrap = config::bootstrap(
        &[listener(&[down(&json!({}))?.filter()], &[config::route("shop", "service")])],
        &[config::upstream_filters(cluster, &[filter])],
    );
    let envoy = Envoy::start(&tagged(bootstrap)?)?;
    let edge = envoy.port("edge")?;
    for _ in 0..20 {
        client::get(edge, "/", &[])?;
    }
    for (region, host) in [("eu-1", &near), ("us.east", &far)] {
        ensure!(host.hits() > 0);
        shows(&envoy, "attempts_total", &[("region", region), ("outcome", "ok")], host.hits())?;
    }
    shows(&envoy, "attempts_total", &[], 20)
}

#[test]
fn ten_thousand_routes_have_no_more_series_than_there_may_be() -> TestResult {
    const ROUTES: usize = 10_000;
    let service = Upstream::start("service")?;
    let routes: Vec<_> = (0..ROUTES)
        .map(|n| {
            patch(
                config::route(&format!("r{n}"), "service"),
                json!({"match": {"prefix": null, "path": format!("/r{n}")}}),
            )
        })
        .collect();
    let bootstrap = config::bootstrap(
        &[listener(&[down(&json!({"max_series": 200}))?.filter()], &routes)],
        &[config::without_limits(config::cluster("service", &[service.port()]))],
    );
    let envoy = Envoy::options().concurrency(1).start(&tagged(bootstrap)?)?;
    let edge = envoy.port("edge")?;
    let before = envoy.rss()?;
    let storm = client::Storm::new(Call::get(edge, "/")).concurrency(16).total(ROUTES);
    let tally = storm.each(|n, call| call.path(&format!("/r{n}"))).run(SOON * 4)?;
    assert_eq!(tally.status(200), ROUTES);
    shows(&envoy, "requests_total", &[], ROUTES as u64)?;
    let page = envoy.prometheus()?;
    let names = [
        "requests_total",
        "requests_in_flight",
        "response_bytes_total",
        "request_ttfb_us_count",
        "request_duration_us_count",
    ];
    let series: usize = names.iter().map(|name| page.series(&format!("holdfast_{name}")).count()).sum();
    // One set more: that of `_other`.
    ensure!(series <= 200 + names.len(), "{series} series");
    let other = counted(&envoy, "requests_total", &[("route", "_other")])?;
    ensure!(other > 9_900, "{other} in _other");
    shows(&envoy, "series_dropped_total", &[], other)?;
    let grown = envoy.rss()?.saturating_sub(before);
    eprintln!("10,000 routes: {} KiB more", grown / 1024);
    Ok(())
}

/// What Envoy 1.36 makes of the cluster that it puts before names of the upstream chain, beside our own label.
const ENVOYS_OWN: &str = "envoy_cluster_name";

/// The labels that stand on the page, of all plugins at once.
#[test]
fn every_plugin_has_labels_of_the_table_and_none_is_left_in_a_name() -> TestResult {
    let service = Upstream::start("service")?;
    let idempotency = Wasm::module("idempotency")?.name("idempotency").vm_id("idempotency").stop_iteration(true);
    let idempotency = idempotency.config(&json!({"store": {"kind": "memory"}, "headers_stop_iteration": true}));
    let health = Wasm::module("protocol_health")?.name("health");
    let health = health
        .config(&json!({"chain": "upstream", "signal": "observe", "headers_stop_iteration": true}))
        .stop_iteration(true);
    let budget = Wasm::module("retry_budget")?.name("budget");
    let breaker = Wasm::module("circuit_breaker")?.name("breaker");
    let breaker = breaker.config(&json!({"consecutive_failures": 2, "failure_ratio": null, "slow_ratio": null}));
    let downstream = [down(&json!({}))?, idempotency, breaker, budget.clone().name("budget-down").config(&json!({}))];
    let upstream = [up(json!({}))?, budget.config(&json!({"chain": "upstream"})), health];
    let filters = |plugins: &[Wasm]| plugins.iter().map(Wasm::filter).collect::<Vec<_>>();
    let route = config::with_retries(config::route("shop", "service"), "5xx", 1);
    let bootstrap = config::bootstrap(
        &[listener(&filters(&downstream), &[route])],
        &[config::upstream_filters(config::cluster("service", &[service.port()]), &filters(&upstream))],
    );
    let envoy = Envoy::start(&tagged(bootstrap)?)?;
    let edge = envoy.port("edge")?;
    client::get(edge, "/", &[])?;
    service.set(Fault::Status(503));
    // Two failures in a row open it; a success that the other worker counts late may lie between, and a worker's copy of the state may be a little old.
    eventually("each plugin is there", SOON, || {
        client::get(edge, "/", &[])?;
        let page = envoy.prometheus()?;
        let plugins = [
            "circuit_breaker_rejected_total",
            "retry_budget_requests_total",
            "protocol_health_attempts_total",
            "attempts_total",
            "rejections_total",
        ];
        for plugin in plugins {
            ensure!(
                page.series(&format!("holdfast_{plugin}")).count() > 0,
                "no {plugin}: {:?}",
                page.names("holdfast")
            );
        }
        Ok::<_, anyhow::Error>(true)
    })?;
    let known: BTreeSet<&str> =
        Label::ALL.map(Label::tag).into_iter().chain(["holdfast_cluster", "le", ENVOYS_OWN]).collect();
    let page = envoy.prometheus()?;
    for name in page.names("holdfast_") {
        for series in page.series(name) {
            let labels: Vec<&String> = series.labels.keys().filter(|label| !known.contains(label.as_str())).collect();
            ensure!(labels.is_empty(), "{name} has {labels:?}");
        }
        ensure!(!name.contains("chain_") && !name.contains("_instance_"), "a label was left in {name}");
    }
    let stats = envoy.stats("holdfast_config_info")?;
    ensure!(stats.values().all(|value| *value == 1), "{stats:?}");
    assert_eq!(stats.len(), 7, "one for each entry: {stats:?}");
    ensure!(page.series("holdfast_build_info").count() > 0, "no module says what it is");
    assert_eq!(counted(&envoy, "host_capability", &[("capability", "upstream_chain")])?, 1);
    Ok(())
}
