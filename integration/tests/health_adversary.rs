//! What a reviewer who meant harm did to a built module, kept as tests.

mod health;
#[path = "health/services.rs"]
mod services;

use std::time::Duration;

use health::{SOON, Spoken, Story, ejecting, holds, is_refused, route, upstream};
use integration::client::Sse;
use integration::{
    Answer, Call, Envoy, Fault, Grpc, Storm, TestResult, Upstream, Wasm, config, eventually, throughout,
};
use serde_json::{Value, json};
use services::Service;

/// A gateway before these ports, with these filters in its listener, and the plugin in its cluster.
fn gateway(down: &[Value], route: Value, ports: &[u16], change: Value) -> TestResult<(Envoy, u16)> {
    let cluster = ejecting(config::without_limits(config::cluster("service", ports)), true);
    let cluster = config::upstream_filters(cluster, &[upstream(change)?.filter()]);
    let envoy = Envoy::start(&config::bootstrap(&[config::listener("edge", down, &[route])], &[cluster]))?;
    let port = envoy.port("edge")?;
    Ok((envoy, port))
}

fn edge(policy: &Value) -> TestResult<Value> {
    Ok(health::edge(policy)?.filter())
}

fn breaker(change: Value) -> TestResult<Value> {
    let policy = config::patch(json!({"minimum_calls": 5, "open": {"base": "60s"}}), change);
    Ok(Wasm::module("circuit_breaker")?.name("breaker").config(&policy).filter())
}

fn ejected(envoy: &Envoy) -> TestResult<u64> {
    envoy.stat("cluster.service.outlier_detection.ejections_active")
}

fn query(port: u16, query: &str) -> Call {
    let body = json!({"query": query}).to_string();
    Call::post(port, "/graphql", body.as_bytes()).header("content-type", "application/json")
}

#[test]
fn queries_that_async_graphql_refuses_without_a_reason_eject_nobody_and_open_nothing() -> TestResult {
    if !holds()? {
        return is_refused(json!({}));
    }
    let (one, other) = (Service::http()?, Service::http()?);
    let down = [edge(&json!({}))?, breaker(json!({}))?];
    let (envoy, port) = gateway(&down, route(), &[one.port, other.port], json!({}))?;
    throughout("the service is well", Duration::from_millis(1_500), || {
        anyhow::Ok(query(port, "{ orders }").send()?.status == 200)
    })?;
    for bad in ["query A { orders } query B { orders }", "fragment F on Query { orders }", "", "{ orders"] {
        for _ in 0..15 {
            assert!(query(port, bad).send()?.json()?["errors"].is_array(), "{bad}");
        }
    }
    assert_eq!(query(port, "{ orders }").send()?.rejected_by(), None);
    assert_eq!(ejected(&envoy)?, 0);
    Ok(())
}

#[test]
fn a_drain_listener_that_cant_be_reached_takes_no_node_out() -> TestResult {
    let service = Upstream::start("service")?;
    let listener = config::listener("edge", &[edge(&json!({"drain_cluster": "drain"}))?], &[route()]);
    let clusters = [config::cluster("service", &[service.port()]), config::cluster("drain", &[1])];
    let envoy = Envoy::start(&config::bootstrap(&[listener], &clusters))?;
    let port = envoy.port("edge")?;
    throughout("the node is ready", Duration::from_millis(2_500), || {
        anyhow::Ok(Call::get(port, "/healthz").fresh_connection().send()?.status == 200)
    })
}

#[test]
fn callers_in_a_hurry_eject_nobody_and_open_nothing() -> TestResult {
    let (one, other) = (Upstream::start("one")?, Upstream::start("other")?);
    for host in [&one, &other] {
        host.set(Fault::Slow(Duration::from_millis(30)));
    }
    let deadline = json!({"deadline": {"min": "0s"}});
    for (policy, service_decides) in [(json!({"deadline": {}}), true), (deadline, false)] {
        let down = [edge(&policy)?, breaker(json!({}))?];
        let ports = [one.port(), other.port()];
        let (envoy, port) = gateway(&down, config::route("all", "service"), &ports, json!({"allow_degraded": true}))?;
        for _ in 0..30 {
            Call::get(port, "/orders").header("x-request-timeout", "2ms").send()?;
        }
        // With a `min` that the service needs nobody is cut at all. Without one Envoy ejects for what it cut, but no breaker opens.
        assert!(!service_decides || ejected(&envoy)? == 0);
        assert_eq!(Call::get(port, "/orders").send()?.rejected_by(), None);
    }
    Ok(())
}

#[test]
fn what_callers_say_that_they_speak_is_not_held_against_a_service() -> TestResult {
    let (one, other) = (Upstream::start("one")?, Upstream::start("other")?);
    for (content_type, answer) in [
        ("application/grpc", Answer::typed("text/plain", b"")),
        ("application/grpc-web", Answer::typed("text/plain", b"")),
        ("application/grpc-web", Answer::json(&json!({"fine": true}))),
        ("application/grpc-web-text", Answer::json(&json!({"fine": true}))),
    ] {
        for host in [&one, &other] {
            host.set_answer(answer.clone());
        }
        let down = [edge(&json!({}))?, breaker(json!({}))?];
        let (envoy, port) = gateway(&down, route(), &[one.port(), other.port()], json!({"allow_degraded": true}))?;
        throughout("the service is well", Duration::from_millis(1_200), || {
            anyhow::Ok(Call::get(port, "/").send()?.status == 200)
        })?;
        // The scripted service would answer gRPC in kind.
        let said = if content_type == "application/grpc" { "application/grpc-web+x" } else { content_type };
        for _ in 0..30 {
            Call::post(port, "/", b"x").header("content-type", said).send()?;
        }
        assert_eq!((ejected(&envoy)?, Call::get(port, "/").send()?.rejected_by()), (0, None), "{content_type}");
    }
    Ok(())
}

#[test]
fn a_hedge_that_lost_does_not_hide_the_winners_errors() -> TestResult {
    if !holds()? {
        return is_refused(json!({}));
    }
    let service = Upstream::start("service")?;
    let retries = config::with_retries(config::route("all", "service"), "connect-failure", 1);
    let hedging = config::with_hedging(retries, Duration::from_millis(60));
    let mut listener = config::listener("edge", &[edge(&json!({}))?, breaker(json!({}))?], &[hedging]);
    config::virtual_host_mut(&mut listener)["include_request_attempt_count"] = json!(true);
    let cluster = config::without_limits(config::cluster("service", &[service.port()]));
    let cluster = config::upstream_filters(cluster, &[upstream(json!({}))?.filter()]);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
    let port = envoy.port("edge")?;
    service.set_answer(Answer::json(&json!({"data": {}})));
    throughout("the service is well", Duration::from_millis(1_500), || {
        anyhow::Ok(query(port, "{ a }").send()?.status == 200)
    })?;
    service.set_answer(Answer::json(&json!({"errors": [{"message": "down", "path": ["a"]}]})));
    let hedged =
        query(port, "{ a }").header("x-upstream-fault", "hang").header("x-upstream-fault-of-retries", "healthy");
    eventually("the breaker opens", SOON, || anyhow::Ok(hedged.send()?.rejected_by().is_some()))
}

#[test]
fn a_promoted_status_reaches_no_browser() -> TestResult {
    let change = json!({});
    if !holds()? {
        return is_refused(change);
    }
    let service = Upstream::start("service")?;
    service.set_grpc(Grpc::MessageThen(5));
    let kind = "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb";
    let web = json!({"name": "envoy.filters.http.grpc_web", "typed_config": {"@type": kind}});
    for down in [[edge(&json!({}))?, web.clone()], [web, edge(&json!({}))?]] {
        let cluster = config::http2(config::cluster("service", &[service.port()]));
        let cluster = config::upstream_filters(cluster, &[upstream(change.clone())?.filter()]);
        let listener = config::listener("edge", &down, &[config::route("all", "service")]);
        let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
        let call = Call::post(envoy.port("edge")?, "/shop.Orders/Place", &[0, 0, 0, 0, 1, b'x']);
        let reply = call.header("content-type", "application/grpc-web+proto").send()?;
        assert_eq!((reply.status, reply.header("grpc-status"), reply.header("x-holdfast-outcome")), (200, None, None));
        assert!(String::from_utf8_lossy(&reply.body).contains("grpc-status:5"), "in its last frame");
    }
    Ok(())
}

/// Of an answer that is longer than the buffer, what is held and what is read next may be more than it takes: docs/protocol-health.md says so.
#[test]
fn what_is_held_by_default_fits_the_buffer_that_envoy_advises() -> TestResult {
    held_and_whole(32 * 1024, &[10, 23, 25, 31])
}

#[test]
fn long_answers_come_whole_through_a_buffer_that_takes_them() -> TestResult {
    held_and_whole(512 * 1024, &[33, 40, 50, 300])
}

/// Answers of so many KiB, in one piece or more, through buffers of so many bytes.
fn held_and_whole(buffer: usize, sizes: &[usize]) -> TestResult {
    if !holds()? {
        return is_refused(json!({}));
    }
    let limit = json!({"per_connection_buffer_limit_bytes": buffer});
    let service = Upstream::start("service")?;
    let listener = config::listener("edge", &[edge(&json!({}))?], &[config::route("all", "service")]);
    let listener = config::patch(listener, limit.clone());
    let cluster =
        config::upstream_filters(config::cluster("service", &[service.port()]), &[upstream(json!({}))?.filter()]);
    let cluster = config::patch(cluster, limit);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
    let port = envoy.port("edge")?;
    for kib in sizes {
        let body = json!({"data": {"blob": "x".repeat(kib * 1024)}}).to_string().into_bytes();
        for parts in [1, 2, 7, 60] {
            let pieces = body.chunks(body.len().div_ceil(parts)).map(<[u8]>::to_vec).collect();
            service.set_answer(Answer { parts: pieces, ..Answer::typed("application/json", b"") });
            let reply = query(port, "{ blob }").send()?;
            assert!(
                reply.status == 200 && reply.body == body,
                "{kib} KiB in {parts} parts: {} {}",
                reply.status,
                reply.body.len()
            );
        }
    }
    Ok(())
}

#[test]
fn probers_that_come_while_a_round_is_under_way_start_no_other() -> TestResult {
    let service = Upstream::start("service")?;
    service.set(Fault::Slow(Duration::from_millis(300)));
    let probes = json!([{"path": "/deep", "clusters": ["service"], "fresh": "5s"}]);
    let listener = config::listener("edge", &[edge(&json!({"probes": probes}))?], &[route()]);
    let bootstrap = config::bootstrap(&[listener], &[config::cluster("service", &[service.port()])]);
    let envoy = Envoy::options().concurrency(1).start(&bootstrap)?;
    let call = Call::get(envoy.port("edge")?, "/deep").fresh_connection();
    let tally = Storm::new(call).concurrency(100).total(100).per_second(500.0).run(SOON)?;
    assert_eq!((tally.status(200), service.hits()), (100, 1));
    Ok(())
}

#[test]
fn a_stream_of_events_may_stand_anywhere_in_accept() -> TestResult {
    let service = Upstream::start("service")?;
    let down = [edge(&json!({"deadline": {"default": "300ms"}}))?];
    let streams = config::with_timeout(route(), Duration::ZERO);
    let (_envoy, port) = gateway(&down, streams, &[service.port()], json!({"allow_degraded": true}))?;
    let call = Call::get(port, "/sse?events=15&every_ms=50").header("accept", "application/json, text/event-stream");
    let transcript = Sse::from_call(&call)?.finish(SOON)?;
    assert_eq!((transcript.events.len(), transcript.cut), (15, None));
    Ok(())
}

#[test]
fn the_edge_answers_probes_whatever_its_services_speak() -> TestResult {
    let story = Story::with(Spoken::Rest, &route(), &[edge(&json!({"protocol": "grpc"}))?], &[], true)?;
    assert_eq!(Call::get(story.port, "/healthz").send()?.body, b"ok\n");
    Ok(())
}
