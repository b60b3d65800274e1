//! Deadlines: whatever a client says, in whichever form, becomes one limit that the router keeps and the service is told of.

mod health;

use std::time::Duration;

use integration::{Call, Envoy, Fault, TestResult, Upstream, Wasm, client, config};
use serde_json::{Value, json};

/// A gateway before a service, with the plugin in both chains: each request is limited, each attempt told what is left.
fn gateway(service: &Upstream, grpc: bool, deadline: &Value) -> TestResult<(Envoy, u16)> {
    let edge = health::edge(&json!({"deadline": deadline}))?.filter();
    let attempts = json!({"chain": "upstream", "deadline": {}, "graphql": {"paths": []}});
    let attempts = Wasm::module("protocol_health")?.name("health-up").config(&attempts).filter();
    let route = config::with_timeout(config::route("all", "service"), Duration::from_secs(5));
    let listener = config::listener("edge", &[edge], &[route]);
    let cluster = config::cluster("service", &[service.port()]);
    let cluster = config::upstream_filters(if grpc { config::http2(cluster) } else { cluster }, &[attempts]);
    let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
    let port = envoy.port("edge")?;
    Ok((envoy, port))
}

fn millis(text: Option<&str>) -> Option<u64> {
    text?.trim_end_matches("ms").parse().ok()
}

#[test]
fn every_form_of_rest_and_graphql() -> TestResult {
    let service = Upstream::start("service")?;
    let deadline = json!({"default": "3s", "max": "4s", "graphql": {"default": "2s"}});
    let (_envoy, port) = gateway(&service, false, &deadline)?;
    // Path, header and its value; what the router saw, at most, and what the service saw in that header.
    // What a client says in the router's own header is Envoy's to take away.
    for (path, header, said, router, service_saw) in [
        ("/echo", "x-envoy-upstream-rq-timeout-ms", "100", 3_000, None),
        ("/echo", "x-none", "-", 3_000, None),
        ("/graphql", "x-none", "-", 2_000, None),
        ("/echo", "x-request-timeout", "250ms", 250, Some("ms")),
        ("/echo", "x-request-timeout", "1s", 1_000, Some("ms")),
        ("/echo", "request-timeout", "700", 700, Some("")),
        ("/echo", "x-request-timeout", "1h", 4_000, Some("ms")),
        ("/graphql", "request-timeout", "1h", 4_000, Some("ms")),
        ("/echo", "grpc-timeout", "10m", 3_000, None),
        ("/echo", "x-request-timeout", "soon", 3_000, None),
    ] {
        service.reset_counts();
        let reply = Call::get(port, path).header(header, said).send()?;
        assert_eq!(reply.status, 200, "{path} {header}: {said}");
        let seen = service.seen().into_iter().next().ok_or_else(|| anyhow::anyhow!("it came"))?;
        let left = millis(seen.header("x-envoy-expected-rq-timeout-ms")).unwrap_or(0);
        assert!((router / 2..=router).contains(&left), "{path} {header}: {said}: the router gives {left} ms");
        if let Some(unit) = service_saw {
            let told = seen.header(header).unwrap_or_default();
            assert!(told.trim_start_matches(|c: char| c.is_ascii_digit()) == unit, "{told}");
            assert!(millis(Some(told)).is_some_and(|told| told <= router), "{path} {header}: {said}: told {told}");
        }
    }
    Ok(())
}

#[test]
fn every_form_of_grpc() -> TestResult {
    let service = Upstream::start("service")?;
    let (_envoy, port) = gateway(&service, true, &json!({"default": "3s", "max": "4s", "grpc": {"max": "2s"}}))?;
    for (header, said, router) in [
        ("grpc-timeout", "250m", 250),
        ("grpc-timeout", "1S", 1_000),
        ("grpc-timeout", "1H", 2_000),
        ("x-none", "-", 5_000),
        ("x-request-timeout", "500ms", 500),
    ] {
        service.reset_counts();
        assert_eq!(client::grpc(port, "/shop.Orders/Place", b"x", &[(header, said)])?.status, Some(0));
        let seen = service.seen().into_iter().next().ok_or_else(|| anyhow::anyhow!("it came"))?;
        let left = millis(seen.header("x-envoy-expected-rq-timeout-ms")).unwrap_or(0);
        assert!((router / 2..=router).contains(&left), "{header}: {said}: the router gives {left} ms");
        let told = seen.header("grpc-timeout").unwrap_or_default();
        let told = protocol_health::grpc_timeout::parse(told.as_bytes()).ok_or_else(|| anyhow::anyhow!("{told:?}"))?;
        assert!(told <= Duration::from_millis(router) && told >= Duration::from_millis(router / 2), "told {told:?}");
    }
    Ok(())
}

#[test]
fn grpc_web_has_grpcs_form_and_earlier_filters_the_routers() -> TestResult {
    let service = Upstream::start("service")?;
    let edge = health::edge(&json!({"deadline": {"default": "3s"}}))?.filter();
    let earlier = |value: &str| {
        let header = json!({"header": {"key": "x-envoy-upstream-rq-timeout-ms", "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
        let mutations = json!({"request_mutations": [{"append": header}]});
        config::patch(config::header_mutation("x", "y"), json!({"typed_config": {"mutations": mutations}}))
    };
    let filters = |value| vec![earlier(value), edge.clone()];
    let listeners = [("quick", "400"), ("never", "0")]
        .map(|(name, value)| config::listener(name, &filters(value), &[config::route("all", "service")]));
    let envoy = Envoy::start(&config::bootstrap(&listeners, &[config::cluster("service", &[service.port()])]))?;
    for (listener, content_type, said, router) in [
        ("quick", "application/json", "9S", 400),
        ("never", "application/json", "9S", 3_000),
        ("quick", "application/grpc-web+proto", "100m", 100),
        ("quick", "application/grpc-web+proto", "9S", 400),
        ("never", "application/grpc-web+proto", "9S", 9_000),
    ] {
        service.reset_counts();
        let call = Call::post(envoy.port(listener)?, "/echo", b"x").header("content-type", content_type);
        call.header("grpc-timeout", said).send()?;
        let seen = service.seen().into_iter().next().ok_or_else(|| anyhow::anyhow!("it came"))?;
        let left = millis(seen.header("x-envoy-expected-rq-timeout-ms")).unwrap_or(0);
        assert!((router / 2..=router).contains(&left), "{listener} {content_type} {said}: the router gives {left} ms");
    }
    Ok(())
}

#[test]
fn the_router_keeps_it() -> TestResult {
    let service = Upstream::start("service")?;
    service.set(Fault::Hang);
    let (_envoy, port) = gateway(&service, false, &json!({}))?;
    let reply = Call::get(port, "/").header("x-request-timeout", "200ms").send()?;
    assert_eq!(reply.status, 504);
    assert!(reply.elapsed < Duration::from_secs(4), "the route would wait five seconds");
    Ok(())
}

#[test]
fn whose_time_is_over_never_reaches_the_service() -> TestResult {
    let service = Upstream::start("service")?;
    let (_envoy, port) = gateway(&service, true, &json!({}))?;
    for (header, said) in [("x-request-timeout", "0"), ("request-timeout", "0s")] {
        let reply = Call::get(port, "/").header(header, said).send()?;
        assert_eq!((reply.status, reply.rejected_by()), (504, Some("protocol-health; cause=deadline")));
    }
    let reply = client::grpc(port, "/shop.Orders/Place", b"x", &[("grpc-timeout", "0n")])?;
    assert_eq!((reply.http_status, reply.status), (200, Some(4)));
    assert_eq!(service.hits(), 0);
    Ok(())
}

#[test]
fn what_cant_be_read_is_refused_where_that_is_wanted() -> TestResult {
    let service = Upstream::start("service")?;
    let (_envoy, port) = gateway(&service, true, &json!({"strict": true}))?;
    assert_eq!(Call::get(port, "/").header("x-request-timeout", "soon").send()?.status, 400);
    assert_eq!(client::grpc(port, "/shop.Orders/Place", b"x", &[("grpc-timeout", "soon")])?.status, Some(3));
    assert_eq!(service.hits(), 0);
    Ok(())
}
