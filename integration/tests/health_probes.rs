//! Probes: one form, whatever the services speak.

mod health;
#[path = "health/services.rs"]
mod services;

use std::time::Duration;

use health::SOON;
use integration::{Answer, Call, Envoy, Fault, Response, Storm, TestResult, Upstream, config, eventually};
use serde_json::{Value, json};
use services::Service;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// A gateway with these probes, and whatever clusters they ask.
fn gateway(probes: &Value, clusters: &[Value]) -> TestResult<(Envoy, u16)> {
    let policy = json!({"probes": probes});
    let route = config::route("all", clusters[0]["name"].as_str().unwrap_or_default());
    let listener = config::listener("edge", &[health::edge(&policy)?.filter()], &[route]);
    let envoy = Envoy::start(&config::bootstrap(&[listener], clusters))?;
    let port = envoy.port("edge")?;
    Ok((envoy, port))
}

fn probe(port: u16, path: &str) -> TestResult<Response> {
    Call::get(port, path).send()
}

fn text(reply: &Response) -> (u16, String) {
    (reply.status, String::from_utf8_lossy(&reply.body).into_owned())
}

/// Waits for a probe to say this: what is kept for a second may be another thing.
fn until(port: u16, path: &str, status: u16) -> TestResult {
    eventually(path, SOON, || anyhow::Ok(probe(port, path)?.status == status))
}

#[test]
fn every_protocol_is_asked_in_its_own_words() -> TestResult {
    let (rest, graphql, grpc) = (Service::http()?, Service::http()?, Service::grpc()?);
    let probes = json!([
        {"path": "/rest", "clusters": ["rest"], "target": "/orders", "fresh": "10ms", "stale": "10ms",
         "predicate": {"json": {"pointer": "/status", "in": ["ok"]}}},
        {"path": "/graphql-health", "clusters": ["graphql"], "protocol": "graphql"},
        {"path": "/grpc", "clusters": ["grpc"], "protocol": "grpc", "fresh": "10ms", "stale": "10ms"},
        {"path": "/named", "clusters": ["grpc"], "protocol": "grpc", "service": "shop.Orders"},
        {"path": "/wrong", "clusters": ["rest"], "protocol": "grpc"},
        {"path": "/nowhere", "clusters": ["nowhere"]},
    ]);
    let clusters = [
        config::cluster("rest", &[rest.port]),
        config::cluster("graphql", &[graphql.port]),
        config::http2(config::cluster("grpc", &[grpc.port])),
    ];
    let (_envoy, port) = gateway(&probes, &clusters)?;
    for path in ["/rest", "/graphql-health", "/grpc", "/named", "/healthz"] {
        assert_eq!(text(&probe(port, path)?), (200, "ok\n".into()), "{path}");
    }
    assert_eq!(text(&probe(port, "/wrong")?), (503, "rest: status\n".into()));
    assert_eq!(text(&probe(port, "/nowhere")?), (503, "nowhere: no such cluster\n".into()));

    rest.sicken();
    grpc.sicken();
    until(port, "/rest", 503)?;
    until(port, "/grpc", 503)?;
    assert_eq!(text(&probe(port, "/grpc")?), (503, "grpc: grpc-status\n".into()));
    assert_eq!(probe(port, "/healthz")?.status, 200, "the node alone is well");
    Ok(())
}

#[test]
fn services_are_taken_together_and_each_dialect_says_why() -> TestResult {
    let (one, other) = (Upstream::start("one")?, Upstream::start("other")?);
    other.set(Fault::Status(500));
    let both = |combine: &str| json!({"path": format!("/{combine}"), "clusters": ["one", "other"], "combine": combine});
    let clusters = [config::cluster("one", &[one.port()]), config::cluster("other", &[other.port()])];
    let (_envoy, port) = gateway(&json!([both("all"), both("any")]), &clusters)?;
    assert_eq!(text(&probe(port, "/all")?), (503, "other: status\n".into()));
    assert_eq!(text(&probe(port, "/any")?), (200, "ok\n".into()));
    let reply = Call::get(port, "/all").header("accept", "application/health+json").send()?;
    assert_eq!(
        (reply.header("content-type"), reply.header("cache-control")),
        (Some("application/health+json"), Some("no-store"))
    );
    let failed = json!([{"status": "fail", "output": "status"}]);
    assert_eq!(reply.json()?, json!({"status": "fail", "checks": {"one": [{"status": "pass"}], "other": failed}}));
    Ok(())
}

#[test]
fn a_hundred_probers_are_one_call_per_worker() -> TestResult {
    let service = Upstream::start("service")?;
    service.set(Fault::Slow(Duration::from_millis(300)));
    let probes = json!([{"path": "/healthz/deep", "clusters": ["service"], "fresh": "5s"}]);
    let (_envoy, port) = gateway(&probes, &[config::cluster("service", &[service.port()])])?;
    let tally =
        Storm::new(Call::get(port, "/healthz/deep").fresh_connection()).concurrency(100).total(100).run(SOON)?;
    assert_eq!(tally.status(200), 100, "{:?}", tally.errors());
    assert!((1..=2).contains(&service.hits()), "{} calls by two workers", service.hits());
    Ok(())
}

#[test]
fn nobody_waits_longer_than_its_timeout() -> TestResult {
    let service = Upstream::start("service")?;
    service.set(Fault::Hang);
    let probes = json!([{"path": "/deep", "clusters": ["service"], "timeout": "200ms"}]);
    let (_envoy, port) = gateway(&probes, &[config::cluster("service", &[service.port()])])?;
    let reply = probe(port, "/deep")?;
    assert_eq!(reply.status, 503);
    assert!(reply.elapsed < Duration::from_secs(5), "{:?}", reply.elapsed);
    assert!(
        ["service: timeout\n", "service: no answer\n", "service: status\n"].contains(&text(&reply).1.as_str()),
        "{:?}",
        text(&reply)
    );
    Ok(())
}

#[test]
fn an_answer_longer_than_is_looked_at_is_no_answer() -> TestResult {
    let service = Upstream::start("service")?;
    service.set_answer(Answer::json(&json!({"data": {"__typename": "Query"}, "padding": "x".repeat(100_000)})));
    let probes = json!([{"path": "/deep", "clusters": ["service"], "protocol": "graphql"}]);
    let (_envoy, port) = gateway(&probes, &[config::cluster("service", &[service.port()])])?;
    assert_eq!(text(&probe(port, "/deep")?), (503, "service: too long an answer\n".into()));
    Ok(())
}

#[test]
fn grpc_callers_are_answered_by_a_real_server() -> TestResult {
    let server = Service::grpc()?;
    let clusters = [config::http2(config::cluster("health", &[server.port]))];
    let (_envoy, port) = gateway(&json!([]), &clusters)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = Channel::from_shared(format!("http://127.0.0.1:{port}"))?.connect().await?;
        let reply = HealthClient::new(channel).check(HealthCheckRequest::default()).await?;
        assert_eq!(reply.get_ref().status, 1, "with its message");
        Ok(())
    })
}
