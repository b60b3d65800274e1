//! The frameworks that people use, and their clients: async-graphql, axum, tonic.

mod health;
#[path = "health/services.rs"]
mod services;

use std::time::Duration;

use health::{Spoken, ejecting, holds, is_refused, route, upstream};
use integration::client::Sse;
use integration::{Call, Envoy, TestResult, config, eventually};
use serde_json::{Value, json};
use services::Service;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// A gateway before two hosts, with the plugin in both chains.
fn gateway(spoken: Spoken, hosts: [&Service; 2], change: Value) -> TestResult<(Envoy, u16)> {
    let streams = config::with_timeout(route(), Duration::ZERO);
    let listener = config::listener("edge", &[health::edge(&json!({}))?.filter()], &[streams]);
    let cluster = ejecting(config::cluster("service", &hosts.map(|host| host.port)), true);
    let cluster = if spoken == Spoken::Grpc { config::http2(cluster) } else { cluster };
    let cluster = config::upstream_filters(cluster, &[upstream(change)?.filter()]);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
    let port = envoy.port("edge")?;
    Ok((envoy, port))
}

fn ejected(envoy: &Envoy) -> TestResult<u64> {
    envoy.stat("cluster.service.outlier_detection.ejections_active")
}

#[test]
fn async_graphql_with_a_resolver_that_fails() -> TestResult {
    if !holds()? {
        return is_refused(json!({}));
    }
    let (well, sick) = (Service::http()?, Service::http()?);
    let (envoy, port) = gateway(Spoken::GraphQl, [&well, &sick], json!({}))?;
    sick.sicken();
    let ask = |query: &str| {
        let body = json!({"query": query}).to_string();
        let call = Call::post(port, "/graphql", body.as_bytes()).header("content-type", "application/json");
        anyhow::Ok(call.send()?.json()?)
    };
    for _ in 0..20 {
        assert_eq!(ask("{ orders }")?, json!({"data": {"orders": ["two apples"]}}));
    }
    assert_eq!((ejected(&envoy)?, sick.hits() >= 3), (1, true));

    // What async-graphql says of a query that makes no sense has locations and no path.
    for _ in 0..20 {
        assert!(ask("{ nonsense }")?["errors"][0]["locations"].is_array());
    }
    assert_eq!(ejected(&envoy)?, 1, "nobody else");
    Ok(())
}

#[test]
fn axum_with_a_body_that_says_degraded() -> TestResult {
    let predicate = json!({"predicate": {"paths": ["/orders"], "json": {"pointer": "/status", "in": ["ok"]}}});
    if !holds()? {
        return is_refused(predicate);
    }
    let (well, sick) = (Service::http()?, Service::http()?);
    let (envoy, port) = gateway(Spoken::Rest, [&well, &sick], predicate)?;
    sick.sicken();
    for _ in 0..20 {
        assert_eq!(Call::get(port, "/orders").send()?.json()?["status"], "ok");
    }
    assert_eq!(ejected(&envoy)?, 1);
    Ok(())
}

#[test]
fn events_arrive_one_by_one() -> TestResult {
    let (one, other) = (Service::http()?, Service::http()?);
    let (_envoy, port) = gateway(Spoken::Rest, [&one, &other], json!({"allow_degraded": true}))?;
    let mut stream = Sse::open(port, "/events")?;
    for n in 0..5 {
        assert_eq!(stream.next(health::SOON)?.map(|event| event.data), Some(n.to_string()));
        one.acknowledge(n + 1);
        other.acknowledge(n + 1);
    }
    assert_eq!(stream.next(health::SOON)?, None);
    Ok(())
}

async fn client(port: u16) -> TestResult<HealthClient<Channel>> {
    Ok(HealthClient::new(Channel::from_shared(format!("http://127.0.0.1:{port}"))?.connect().await?))
}

fn within<T>(work: impl Future<Output = TestResult<T>>) -> TestResult<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(health::SOON, work).await })?
}

#[test]
fn tonic_with_a_service_that_is_out_of_order() -> TestResult {
    let (well, sick) = (Service::grpc()?, Service::grpc()?);
    let change = json!({"hold": {"grpc_methods": ["/grpc.health.v1.Health/Check"]}});
    if !holds()? {
        return is_refused(change);
    }
    let (envoy, port) = gateway(Spoken::Grpc, [&well, &sick], change)?;
    sick.sicken();
    within(async {
        let mut client = client(port).await?;
        for _ in 0..20 {
            let reply = client.check(HealthCheckRequest::default()).await?;
            assert_eq!(reply.get_ref().status, 1);
            assert!(!reply.metadata().contains_key("x-holdfast-outcome"));
        }
        Ok(())
    })?;
    eventually("the host that is out of order is ejected", health::SOON, || anyhow::Ok(ejected(&envoy)? == 1))
}

/// `Watch` is a stream, and configured as if it weren't: it is let go by the clock, or by its second message.
#[test]
fn tonics_stream_arrives_message_by_message() -> TestResult {
    for time in ["100ms", "10s"] {
        let (one, other) = (Service::grpc()?, Service::grpc()?);
        let change =
            json!({"hold": {"grpc_methods": ["/grpc.health.v1.Health/*"], "time": time}, "allow_degraded": true});
        let (_envoy, port) = gateway(Spoken::Grpc, [&one, &other], change)?;
        if time == "10s" {
            // The second message comes without an acknowledgement of the first.
            one.acknowledge(1);
            other.acknowledge(1);
        }
        within(async {
            let mut stream = client(port).await?.watch(HealthCheckRequest::default()).await?.into_inner();
            for n in 0..5_u64 {
                assert!(stream.message().await?.is_some(), "message {n}");
                one.acknowledge(n + 2);
                other.acknowledge(n + 2);
            }
            assert!(stream.message().await?.is_none());
            Ok(())
        })?;
    }
    Ok(())
}
