//! The harness against plain Envoy, without any module: what the scenarios stand on must itself stand.
#![allow(clippy::disallowed_methods, reason = "the harness lives in real time")]

use std::time::{Duration, Instant};

use integration::client::{self, Sse, WebSocket};
use integration::{Call, Envoy, Fault, Grpc, Storm, TestResult, Upstream, config};
use integration::{envoy, eventually, eventually_eq};
use serde_json::json;

const SOON: Duration = Duration::from_secs(5);

/// One Envoy with listener `edge` in front of one upstream.
fn proxy(upstream: &Upstream) -> TestResult<(Envoy, u16)> {
    let route = config::with_timeout(config::route("all", "up"), Duration::ZERO);
    let config =
        config::bootstrap(&[config::listener("edge", &[], &[route])], &[config::cluster("up", &[upstream.port()])]);
    let envoy = Envoy::start(&config)?;
    let edge = envoy.port("edge")?;
    Ok((envoy, edge))
}

#[test]
fn a_request_passes_through_and_leaves_its_marks() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (envoy, edge) = proxy(&orders)?;

    let reply = client::get(edge, "/echo?x=1", &[("x-tenant", "blue")])?;

    assert_eq!((reply.status, reply.served_by(), reply.rejected_by()), (200, Some("orders"), None));
    assert_eq!(reply.json()?["headers"]["x-tenant"][0], "blue");
    assert_eq!((orders.hits(), orders.hits_on("/echo"), orders.peak_concurrency()), (1, 1, 1));
    assert_eq!(orders.seen()[0].header("x-tenant"), Some("blue"));
    eventually_eq("Envoy counts it", SOON, &1, || envoy.stat("http.edge.downstream_rq_2xx"))?;
    assert_eq!(envoy.stats("^cluster\\.up\\.upstream_rq_200$")?.len(), 1);
    let page = envoy.prometheus()?;
    assert!((page.sum("envoy_cluster_upstream_rq", &[("envoy_response_code", "200")]) - 1.0).abs() < 0.1);
    assert!(envoy.rss()? > 10_000_000 && envoy.cpu_time()? > Duration::ZERO);
    envoy.wait_for_log("starting main dispatch loop", SOON)?;
    assert!(envoy.admin_get("/server_info")?.contains(&format!("/{}.{}.", envoy::version()?.0, envoy::version()?.1)));
    Ok(())
}

#[test]
fn every_fault_shows_as_what_it_is() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (_envoy, edge) = proxy(&orders)?;
    let status = || client::get(edge, "/", &[]).map(|reply| reply.status);
    let hasty = Call::get(edge, "/").timeout(Duration::from_millis(200));

    orders.set(Fault::Status(429));
    assert_eq!(status()?, 429);
    orders.set(Fault::Reset);
    assert_eq!(status()?, 503);
    orders.set(Fault::Refuse);
    assert_eq!(status()?, 503);
    orders.set(Fault::Slow(Duration::from_millis(50)));
    assert!(client::get(edge, "/", &[])?.elapsed >= Duration::from_millis(50));
    orders.set(Fault::Cut);
    let error = format!("{:#}", client::get(edge, "/", &[]).unwrap_err());
    assert!(error.contains("cut after 500 bytes"), "{error}");
    orders.set(Fault::Hang);
    assert!(hasty.send().is_err());
    eventually_eq("the abandoned request ends", SOON, &0, || Ok::<_, String>(orders.in_flight()))?;
    orders.set(Fault::Fail { percent: 50, status: 500 });
    orders.reset_counts();
    let tally = client::storm(edge, "/", 1, 10, SOON)?;
    assert_eq!((tally.status(200), tally.status(500)), (5, 5));
    orders.set(Fault::Healthy);
    assert_eq!(client::get(edge, "/", &[("x-upstream-fault", "status:404")])?.status, 404);
    assert_eq!(status()?, 200);
    Ok(())
}

#[test]
fn refusing_and_coming_back_keeps_the_port() -> TestResult {
    let orders = Upstream::start("orders")?;
    let call = Call::get(orders.port(), "/").fresh_connection();
    for _ in 0..5 {
        orders.set(Fault::Refuse);
        let error = format!("{:#}", call.send().unwrap_err());
        assert!(error.contains("refused"), "{error}");
        orders.set(Fault::Healthy);
        assert_eq!(call.send()?.status, 200);
    }
    drop(orders);
    eventually("its port closes", SOON, || call.send().is_err())
}

#[test]
fn a_reset_is_a_real_one() -> TestResult {
    let orders = Upstream::start("orders")?;
    orders.set(Fault::Reset);
    let error = format!("{:#}", client::get(orders.port(), "/", &[]).unwrap_err());
    assert!(error.contains("reset"), "{error}");
    Ok(())
}

#[test]
fn health_and_control_have_switches_of_their_own() -> TestResult {
    let orders = Upstream::start("orders")?;
    let status = |path: &str| client::get(orders.port(), path, &[]).map(|reply| reply.status);

    orders.set_health(Fault::Status(503));
    assert_eq!((status("/healthz")?, status("/")?), (503, 200));
    assert_eq!(status("/control?health=healthy&fault=status:500")?, 200);
    assert_eq!((status("/healthz")?, status("/")?), (200, 500));
    assert_eq!(status("/control?fault=sulk")?, 400);
    assert_eq!((orders.hits(), orders.health_checks()), (2, 2));
    Ok(())
}

#[test]
fn events_arrive_one_by_one_and_a_cut_stream_is_told_from_a_finished_one() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (_envoy, edge) = proxy(&orders)?;

    let whole = Sse::open(edge, "/sse?events=5&every_ms=60")?.finish(SOON)?;
    assert_eq!((whole.events.len(), whole.cut), (5, None));
    assert!(whole.events[0].at < Duration::from_millis(55), "buffered: {:?}", whole.events);
    assert!(whole.events[4].at >= Duration::from_millis(240));

    let mut stream = Sse::from_call(&Call::get(edge, "/sse?events=1000&every_ms=10").http2())?;
    assert_eq!(stream.next(SOON)?.map(|event| event.data).as_deref(), Some("0"));
    orders.set(Fault::Refuse);
    assert!(stream.finish(SOON)?.cut.is_some());
    Ok(())
}

#[test]
fn a_web_socket_echoes() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (_envoy, edge) = proxy(&orders)?;
    let mut socket = WebSocket::open(edge, "/ws")?;
    assert_eq!((socket.echo("one")?, socket.echo("two")?), ("one".into(), "two".into()));
    orders.set(Fault::Status(503));
    assert_eq!(socket.echo("three")?, "three");
    assert!(format!("{:#}", WebSocket::open(edge, "/ws").unwrap_err()).contains("503"));
    Ok(())
}

#[test]
fn every_grpc_end_is_seen() -> TestResult {
    let orders = Upstream::start("orders")?;
    let config = config::bootstrap(
        &[config::listener("edge", &[], &[config::route("all", "up")])],
        &[config::http2(config::cluster("up", &[orders.port()]))],
    );
    let envoy = Envoy::start(&config)?;
    let edge = envoy.port("edge")?;
    let call = || client::grpc(edge, "/shop.Orders/Get", b"hello", &[]);

    let reply = call()?;
    assert_eq!(
        (reply.http_status, reply.status, reply.in_trailers, reply.messages),
        (200, Some(0), true, vec![b"hello".to_vec()])
    );
    for (end, in_trailers, messages) in
        [(Grpc::Trailers(14), true, 0), (Grpc::TrailersOnly(14), false, 0), (Grpc::MessageThen(14), true, 1)]
    {
        orders.set_grpc(end);
        let reply = call()?;
        assert_eq!(
            (reply.status, reply.in_trailers, reply.messages.len()),
            (Some(14), in_trailers, messages),
            "{end:?}"
        );
        assert_eq!(reply.message.as_deref(), Some("as-told"));
    }
    orders.set(Fault::Reset);
    assert_eq!(call()?.status, Some(14));
    Ok(())
}

#[test]
fn bytes_that_libraries_refuse_are_sent() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (_envoy, edge) = proxy(&orders)?;
    let odd = Call::get(edge, "/echo").header("x-odd", b"a\xffb").send()?;
    assert_eq!(odd.json()?["headers"]["x-odd"][0], "a\u{fffd}b");
    let bytes = b"GET /echo HTTP/1.1\r\nhost: x\r\nx-odd: \xff\r\nconnection: close\r\n\r\n";
    let reply = client::raw(edge, bytes, SOON)?;
    assert_eq!((reply.status, reply.json()?["headers"]["x-odd"][0].as_str()), (200, Some("\u{fffd}")));
    assert_eq!(client::raw(edge, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n", SOON)?.status, 400);
    Ok(())
}

#[test]
fn a_storm_is_bounded_and_told_in_full() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (_envoy, edge) = proxy(&orders)?;
    let users = Storm::new(Call::get(edge, "/")).each(|n, call| call.header("x-user", format!("u{n}")));

    let tally = users.clone().concurrency(16).total(300).run(Duration::from_secs(20))?;
    assert_eq!((tally.len(), tally.status(200), tally.served_by("orders")), (300, 300, 300), "{:?}", tally.errors());
    assert!(tally.latency(0.5) <= tally.latency(0.99));
    assert!(orders.peak_concurrency() <= 16);
    assert!(orders.seen().iter().any(|seen| seen.header("x-user") == Some("u299")));

    let steady = users.concurrency(4).total(10_000).per_second(100.0).start();
    eventually("some are over", SOON, || steady.tally().len() >= 20)?;
    let tally = steady.stop();
    assert!(tally.samples.last().is_some_and(|last| last.at >= Duration::from_millis(150)), "faster than its rate");

    orders.set(Fault::Hang);
    let begun = Instant::now();
    assert!(client::storm(edge, "/", 4, 100, Duration::from_millis(300)).is_err());
    assert!(begun.elapsed() < SOON);
    Ok(())
}

#[test]
fn routes_by_header_retries_timeouts_and_access_log_are_what_they_say() -> TestResult {
    let (first, second) = (Upstream::start("first")?, Upstream::start("second")?);
    let primary = config::with_retries(config::route("primary", "first"), "5xx", 2);
    let quick = config::with_timeout(config::route_at("quick", "/quick", "first"), Duration::from_millis(100));
    let fallback = config::when_header(config::route("fallback", "second"), "x-fallback", "1");
    let mut listener = config::listener("edge", &[], &[fallback, quick, primary]);
    config::virtual_host_mut(&mut listener)["include_request_attempt_count"] = json!(true);
    config::hcm_mut(&mut listener)["access_log"] = config::access_log("seen %RESPONSE_CODE% %REQ(:PATH)%");
    let clusters = [config::cluster("first", &[first.port()]), config::cluster("second", &[second.port()])];
    let envoy = Envoy::start(&config::bootstrap(&[listener], &clusters))?;
    let edge = envoy.port("edge")?;

    assert_eq!(client::get(edge, "/", &[("x-fallback", "1")])?.served_by(), Some("second"));
    first.set(Fault::Status(500));
    assert_eq!(client::get(edge, "/pay", &[])?.status, 500);
    let attempts: Vec<_> =
        first.seen().iter().map(|seen| seen.header("x-envoy-attempt-count").map(str::to_owned)).collect();
    assert_eq!(attempts, ["1", "2", "3"].map(|attempt| Some(attempt.to_owned())));
    first.set(Fault::Hang);
    assert_eq!(client::get(edge, "/quick", &[])?.status, 504);
    envoy.wait_for_log("seen 504 /quick", SOON)?;
    Ok(())
}

#[test]
fn a_bad_configuration_is_told_with_envoys_own_words() {
    let nonsense = config::bootstrap(&[json!({"nonsense": 1})], &[]);
    let error = format!("{:#}", Envoy::start(&nonsense).unwrap_err());
    assert!(error.contains("nonsense"), "{error}");
    assert!(envoy::validate(&nonsense).unwrap_err().contains("nonsense"));
    let good = config::bootstrap(&[config::listener("edge", &[], &[])], &[]);
    assert!(envoy::validate(&good).is_ok());
}

#[test]
fn a_shipped_text_with_its_own_admin_runs_on_free_ports() -> TestResult {
    let text = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}";
    let envoy = Envoy::options().concurrency(1).start_text(text)?;
    assert_ne!(envoy.admin_port(), 9901);
    let listener = config::patch(
        config::listener("edge", &[], &[config::direct("all", "/", 200, "hi")]),
        json!({"address": {"socket_address": {"address": "0.0.0.0", "port_value": 10_000}}}),
    );
    let config = config::from_yaml(&config::bootstrap(&[listener], &[]).to_string())?;
    let second = Envoy::start(&config::on_free_ports(config))?;
    assert_eq!(client::get(second.port("edge")?, "/", &[])?.text(), "hi");
    assert!(format!("{:#}", second.port("nope").unwrap_err()).contains("edge"));
    envoy.stop()
}

#[test]
fn nothing_is_left_behind() -> TestResult {
    let envoy = Envoy::options().env("HARNESS_PROBE", "1").start(&config::bootstrap(&[], &[]))?;
    let (process, folder) = (format!("/proc/{}", envoy.pid()), envoy.folder().to_owned());
    let environment = std::fs::read_to_string(format!("{process}/environ"))?;
    assert!(environment.contains("HARNESS_PROBE=1") && folder.exists());
    drop(envoy);
    assert!(!std::path::Path::new(&process).exists() && !folder.exists());
    Ok(())
}
