//! A node that is taken out of service: whoever asks is told, streams go on, and are told when to come back.

mod health;
#[path = "health/services.rs"]
mod services;

use std::time::Duration;

use health::SOON;
use integration::client::{Sse, WebSocket};
use integration::{Call, Envoy, TestResult, Upstream, client, config, eventually, eventually_eq};
use serde_json::{Value, json};
use services::Service;

const HEALTH_CHECK: &str = "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck";
const INTERNAL: &str = "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener";

/// A gateway that asks Envoy itself whether it drains. Whoever asks for its health by gRPC is answered from this port.
fn gateway(service: &Upstream, upstream: &[Value], health: u16) -> TestResult<(Envoy, u16)> {
    let streams = config::with_timeout(config::route("all", "service"), Duration::ZERO);
    let checks = config::route_at("health", "/grpc.health.v1.Health/", "health");
    let edge = health::edge(&json!({"drain_cluster": "drain"}))?.filter();
    let listener = config::listener("edge", &[edge], &[checks, streams]);
    let check = json!({
        "name": "envoy.filters.http.health_check",
        "typed_config": {"@type": HEALTH_CHECK, "pass_through_mode": false,
            "headers": [{"name": ":path", "string_match": {"exact": "/drain"}}]},
    });
    let asked = config::listener("drain", &[check], &[config::direct("none", "/", 404, "")]);
    let asked = config::patch(asked, json!({"address": null, "internal_listener": {}}));
    let address = json!({"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": "drain"}}}});
    let drain = config::patch(
        config::cluster("drain", &[]),
        json!({"load_assignment": {"endpoints": [{"lb_endpoints": [address]}]}}),
    );
    let cluster = config::cluster("service", &[service.port()]);
    let cluster = if upstream.is_empty() { cluster } else { config::upstream_filters(cluster, upstream) };
    let health = config::http2(config::cluster("health", &[health]));
    let bootstrap = config::bootstrap(&[listener, asked], &[cluster, drain, health]);
    let extension = json!([{"name": "envoy.bootstrap.internal_listener", "typed_config": {"@type": INTERNAL}}]);
    let envoy = Envoy::start(&config::patch(bootstrap, json!({"bootstrap_extensions": extension})))?;
    let port = envoy.port("edge")?;
    Ok((envoy, port))
}

fn healthz(port: u16) -> TestResult<(u16, String)> {
    // A connection of its own: each worker learns by itself.
    let reply = Call::get(port, "/healthz").fresh_connection().send()?;
    Ok((reply.status, String::from_utf8_lossy(&reply.body).into_owned()))
}

/// All workers say so, as far as a dozen connections tell.
fn until(port: u16, status: u16) -> TestResult {
    eventually("every worker knows", SOON, || {
        let answers = (0..12).map(|_| Ok(healthz(port)?.0)).collect::<TestResult<Vec<_>>>()?;
        anyhow::Ok(answers.iter().all(|answer| *answer == status))
    })
}

#[test]
fn a_node_that_is_told_to_fail_is_not_ready_and_comes_back() -> TestResult {
    let service = Upstream::start("service")?;
    let (envoy, port) = gateway(&service, &[], service.port())?;
    until(port, 200)?;
    envoy.admin_post("/healthcheck/fail")?;
    until(port, 503)?;
    assert_eq!(healthz(port)?, (503, "draining\n".into()));
    let check = client::grpc(port, "/grpc.health.v1.Health/Check", b"", &[])?;
    assert_eq!(check.status, Some(14), "gRPC callers are told too");
    assert_eq!(Call::get(port, "/orders").send()?.status, 200, "requests are served to the end");
    envoy.admin_post("/healthcheck/ok")?;
    until(port, 200)
}

#[test]
fn streams_survive_and_are_told_when_to_come_back() -> TestResult {
    let service = Upstream::start("service")?;
    let attempts = health::upstream(json!({"allow_degraded": true}))?.filter();
    let (envoy, port) = gateway(&service, &[attempts], service.port())?;
    let mut socket = WebSocket::open(port, "/ws")?;
    assert_eq!(socket.echo("before")?, "before");
    let stream = Call::get(port, "/sse?events=80&every_ms=50").timeout(SOON);
    let stream = std::thread::spawn(move || stream.send());
    eventually_eq("the stream is open", SOON, &2, || anyhow::Ok(service.hits()))?;
    until(port, 200)?;
    envoy.admin_post("/healthcheck/fail")?;
    until(port, 503)?;
    assert_eq!(socket.echo("during")?, "during");
    let stream = stream.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
    let text = String::from_utf8(stream.body)?;
    for n in 0..80 {
        assert!(text.contains(&format!("data: {n}\n\n")), "event {n} of {text}");
    }
    let hints: Vec<&str> = text.lines().filter(|line| line.starts_with("retry: ")).collect();
    assert_eq!(hints.len(), 1, "{hints:?}");
    assert_eq!(socket.echo("after")?, "after");
    assert!(Sse::open(port, "/sse?events=1")?.status == 200);
    Ok(())
}

#[test]
fn an_envoy_in_front_that_checks_by_grpc_follows_the_node() -> TestResult {
    let (service, server) = (Upstream::start("service")?, Service::grpc()?);
    let (envoy, port) = gateway(&service, &[], server.port)?;
    let checks = json!([{
        "timeout": "1s", "interval": "0.2s", "no_traffic_interval": "0.2s", "unhealthy_threshold": 1, "healthy_threshold": 1,
        "grpc_health_check": {},
    }]);
    let gateways = config::patch(config::http2(config::cluster("gateways", &[port])), json!({"health_checks": checks}));
    let front = Envoy::start(&config::bootstrap(
        &[config::listener("front", &[], &[config::route("all", "gateways")])],
        &[gateways],
    ))?;
    let healthy = || front.stat("cluster.gateways.membership_healthy");
    eventually_eq("a real server says SERVING", SOON, &1, healthy)?;
    envoy.admin_post("/healthcheck/fail")?;
    eventually_eq("the node says that it drains", SOON, &0, healthy)?;
    envoy.admin_post("/healthcheck/ok")?;
    eventually_eq("and that it is back", SOON, &1, healthy)?;
    server.sicken();
    eventually_eq("the server's own word counts", SOON, &0, healthy)
}
