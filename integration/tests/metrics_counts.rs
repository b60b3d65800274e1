//! Mixed load over two workers: what the plugin counts is what the load generator counts, exactly.

mod metrics;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use integration::client::{self, Call, Sse, WebSocket};
use integration::{Envoy, Response, TestResult, Wasm, config, eventually};
use metrics::{SOON, Services, counted, down, listener, routes, shows, tagged, up};
use serde_json::json;

/// By route, protocol and outcome.
type Counts = BTreeMap<(&'static str, &'static str, &'static str), u64>;

struct Stage {
    services: Services,
    envoy: Envoy,
    edge: u16,
    counts: Mutex<Counts>,
}

// === impl Stage ===

impl Stage {
    /// metrics before idempotency before a breaker, and metrics per attempt.
    fn start() -> TestResult<Self> {
        let services = Services::start()?;
        let idempotency = Wasm::module("idempotency")?.name("idempotency").vm_id("idempotency").stop_iteration(true);
        let idempotency = idempotency
            .config(&json!({"store": {"kind": "memory"}, "headers_stop_iteration": true, "paths": ["/pay"]}));
        let breaker = Wasm::module("circuit_breaker")?.name("breaker");
        // On one route only, so that the others' failures stay the services'.
        let breaker = breaker.config(&json!({
            "key": ["header:x-break"], "failure_ratio": null, "slow_ratio": null, "consecutive_failures": 3, "open": {"base": "60s"},
        }));
        let filters = [down(&json!({}))?.filter(), idempotency.filter(), breaker.filter()];
        let clusters = services.clusters(&[up(json!({}))?.filter()]);
        let bootstrap = tagged(config::bootstrap(&[listener(&filters, &routes())], &clusters))?;
        let envoy = Envoy::options().concurrency(2).start(&bootstrap)?;
        let edge = envoy.port("edge")?;
        Ok(Self { services, envoy, edge, counts: Mutex::default() })
    }

    fn count(&self, route: &'static str, protocol: &'static str, outcome: &'static str) {
        *self.counts.lock().expect("no client died").entry((route, protocol, outcome)).or_default() += 1;
    }

    fn get(&self, path: &str) -> TestResult<Response> {
        // Each on its own connection, so that both workers have some.
        Call::get(self.edge, path).fresh_connection().header("x-break", path).send()
    }

    /// One client's turn: each thing once, counted as the client sees it.
    fn turn(&self, client: usize, turn: usize) -> TestResult {
        for path in ["/rest/a", "/rest/b"] {
            ensure!(self.get(path)?.status == 200);
            self.count("rest", "rest", "ok");
        }
        let reply = self.get("/sick")?;
        // The breaker of this path opens after three: then nobody asks the service any more.
        let outcome = if reply.rejected_by().is_some() { "local_reject" } else { "server_fault" };
        self.count("sick", "rest", outcome);
        let reply = self.get(&format!("/retried/{client}/{turn}"))?;
        self.count("retried", "rest", if reply.status == 200 { "ok" } else { "server_fault" });
        for (path, status, outcome) in [
            ("reset", 503, "unreachable"),
            ("late", 504, "timeout"),
            ("gone", 503, "unreachable"),
            ("nobody", 503, "unreachable"),
            ("full", 503, "local_reject"),
            ("closed", 403, "local_reject"),
        ] {
            // A key of its own for each, so that no breaker opens.
            let path_and_more = format!("/{path}/{client}/{turn}");
            let reply = self.get(&path_and_more)?;
            ensure!(reply.status == status, "{path}: {}", reply.status);
            self.count(path, "rest", outcome);
        }
        ensure!(self.get(&format!("/cut/{client}/{turn}")).is_err(), "half a body is no answer");
        self.count("cut", "rest", "unreachable");
        let left = Call::get(self.edge, "/left").fresh_connection().timeout(Duration::from_millis(50)).send();
        ensure!(left.is_err(), "nobody answered");
        self.count("left", "rest", "unknown");
        self.spoken(client, turn)
    }

    fn spoken(&self, client: usize, turn: usize) -> TestResult {
        let query = Call::post(self.edge, "/graphql?a", br#"{"query": "{a}"}"#).fresh_connection();
        ensure!(query.header("content-type", "application/json").send()?.status == 200);
        self.count("graphql", "graphql", "ok");
        let pay = Call::post(self.edge, "/pay", b"{}").fresh_connection();
        let pay =
            pay.header("content-type", "application/json").header("idempotency-key", format!("\"{client}-{turn}\""));
        for outcome in ["ok", "replay"] {
            let reply = pay.send()?;
            ensure!(reply.status == 200 && reply.header("idempotency-replayed").is_some() == (outcome == "replay"));
            self.count("pay", "rest", outcome);
        }
        for (path, code, route, outcome) in
            [("/shop.Orders/Get", 0, "shop.Orders", "ok"), ("/shop.Sick/Get", 14, "shop.Sick", "unreachable")]
        {
            let key = format!("{path}/{client}/{turn}");
            let reply = client::grpc(self.edge, path, b"an order", &[("x-break", &key)])?;
            ensure!(reply.status == Some(code), "{path}: {reply:?}");
            self.count(route, "grpc", outcome);
        }
        let stream = Call::get(self.edge, "/sse?events=5&every_ms=2").fresh_connection();
        let events = Sse::from_call(&stream)?.finish(SOON)?;
        ensure!((events.events.len(), events.cut.as_deref()) == (5, None), "{events:?}");
        self.count("sse", "sse", "ok");
        let mut socket = WebSocket::open(self.edge, "/ws")?;
        ensure!(socket.echo("hello")? == "hello");
        drop(socket);
        self.count("ws", "websocket", "ok");
        Ok(())
    }
}

const CLIENTS: usize = 4;
const TURNS: usize = 6;

#[test]
fn what_is_counted_is_what_happened() -> TestResult {
    let stage = Stage::start()?;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let stage = &stage;
                scope.spawn(move || (0..TURNS).try_for_each(|turn| stage.turn(client, turn)))
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a client"))
    })?;
    let counts = stage.counts.lock().expect("no client died").clone();
    let envoy = &stage.envoy;
    for ((route, protocol, outcome), wanted) in &counts {
        let labels = [
            ("route", *route),
            ("protocol", *protocol),
            ("outcome", *outcome),
            ("chain", "downstream"),
            ("holdfast_instance", "default"),
        ];
        shows(envoy, "requests_total", &labels, *wanted)?;
        shows(envoy, "request_duration_us_count", &labels, *wanted)?;
        let answered = if *route == "left" { 0 } else { *wanted };
        shows(envoy, "request_ttfb_us_count", &labels, answered)?;
    }
    // And nothing else was.
    let all: u64 = counts.values().sum();
    assert_eq!(counted(envoy, "requests_total", &[])?, all);
    assert_eq!(counted(envoy, "request_duration_us_count", &[])?, all);
    assert_eq!(counted(envoy, "requests_in_flight", &[])?, 0);
    assert_eq!(counted(envoy, "streams_open", &[])?, 0);
    attempts(&stage, &counts)?;
    causes(&stage, &counts)?;
    lines(&stage)
}

/// Attempts are what the services themselves saw, and those that reached none.
fn attempts(stage: &Stage, counts: &Counts) -> TestResult {
    let (envoy, services) = (&stage.envoy, &stage.services);
    let of = |route: &str| counted(envoy, "attempts_total", &[("route", route), ("chain", "upstream")]);
    let flaky = services.flaky.hits();
    let tried = counts.iter().filter(|((route, ..), _)| *route == "retried").map(|(_, count)| count).sum::<u64>();
    ensure!(flaky > tried, "{flaky} attempts of {tried} requests: nothing was retried");
    assert_eq!(of("retried")?, flaky);
    let failed = counted(envoy, "attempts_total", &[("route", "retried"), ("outcome", "server_fault")])?;
    let well = counted(envoy, "attempts_total", &[("route", "retried"), ("outcome", "ok")])?;
    assert_eq!((failed + well, well), (flaky, counts.get(&("retried", "rest", "ok")).copied().unwrap_or(0)));
    let turns = (CLIENTS * TURNS) as u64;
    for (route, hits, outcome) in [
        ("sick", services.sick.hits(), "server_fault"),
        ("reset", services.reset.hits(), "timeout"),
        ("gone", turns, "unreachable"),
        ("left", turns, "unknown"),
        ("late", turns, "timeout"),
        ("cut", services.cut.hits(), "unknown"),
        ("shop.Sick", services.grpc_sick.hits(), "unreachable"),
        ("shop.Orders", services.grpc.hits(), "ok"),
        ("pay", turns, "ok"),
        ("sse", turns, "ok"),
        ("ws", turns, "ok"),
    ] {
        let counts = (of(route)?, counted(envoy, "attempts_total", &[("route", route), ("outcome", outcome)])?);
        assert_eq!(counts, (hits, hits), "{route}: {:?}", envoy.stats(&format!("attempts_total.*route={route};")));
    }
    for route in ["nobody", "closed", "full"] {
        assert_eq!(of(route)?, 0, "{route}");
    }
    Ok(())
}

/// Why requests failed, each cause once.
fn causes(stage: &Stage, counts: &Counts) -> TestResult {
    let (envoy, turns) = (&stage.envoy, (CLIENTS * TURNS) as u64);
    for (route, cause) in [
        ("reset", "reset"),
        ("late", "timeout"),
        ("gone", "connect_failure"),
        ("nobody", "no_healthy_upstream"),
        ("full", "pool_overflow"),
        ("cut", "protocol"),
    ] {
        assert_eq!(counted(envoy, "upstream_errors_total", &[("route", route)])?, turns, "{route}");
        assert_eq!(
            counted(envoy, "upstream_errors_total", &[("route", route), ("cause", cause)])?,
            turns,
            "{route} {cause}"
        );
    }
    let refused = counts.get(&("sick", "rest", "local_reject")).copied().context("the breaker never opened")?;
    let open = [("route", "sick"), ("plugin", "circuit-breaker"), ("cause", "open")];
    assert_eq!(counted(envoy, "rejections_total", &open)?, refused);
    assert_eq!(counted(envoy, "rejections_total", &[("plugin", "envoy"), ("cause", "direct_response")])?, turns);
    assert_eq!(counted(envoy, "rejections_total", &[])?, turns + refused, "and nothing else");
    assert_eq!(counted(envoy, "streams_total", &[])?, 2 * turns, "events and sockets");
    Ok(())
}

/// One line per request, in the access log.
fn lines(stage: &Stage) -> TestResult {
    let log = stage.envoy.log();
    let has = |text: &str| -> TestResult {
        ensure!(log.contains(text), "no line {text}");
        Ok(())
    };
    has("line=[outcome=ok attempts=1 breaker=closed replay=no cause=-] status=200 path=/rest/a")?;
    has("line=[outcome=local_reject attempts=0 breaker=open replay=no cause=open] status=503 path=/sick")?;
    has("line=[outcome=replay attempts=0 breaker=closed replay=yes cause=-] status=200 path=/pay")?;
    has("line=[outcome=ok attempts=2 breaker=closed replay=no cause=-] status=200 path=/retried")?;
    has("line=[outcome=local_reject attempts=1 breaker=closed replay=no cause=pool_overflow] status=503 path=/full")?;
    has("line=[outcome=unknown attempts=1 breaker=closed replay=no cause=-] status=0 path=/left")?;
    ensure!(!log.contains("line=[-]"), "a request without a line");
    ensure!(!log.contains("panicked"), "a filter broke");
    Ok(())
}

#[test]
fn what_is_under_way_is_seen_and_gone_when_it_is_over() -> TestResult {
    let stage = Stage::start()?;
    let streams: Vec<Sse> = (0..6)
        .map(|_| Sse::from_call(&Call::get(stage.edge, "/sse?events=1000&every_ms=50").fresh_connection()))
        .collect::<TestResult<_>>()?;
    let mut sockets: Vec<WebSocket> = (0..3).map(|_| WebSocket::open(stage.edge, "/ws")).collect::<TestResult<_>>()?;
    let gauges = |sse: u64, sockets: u64| {
        for (protocol, open) in [("sse", sse), ("websocket", sockets)] {
            shows(&stage.envoy, "streams_open", &[("protocol", protocol)], open)?;
            shows(&stage.envoy, "requests_in_flight", &[("protocol", protocol)], open)?;
        }
        shows(&stage.envoy, "requests_in_flight", &[("protocol", "rest")], 0)
    };
    gauges(6, 3)?;
    drop(streams);
    sockets.pop();
    gauges(0, 2)?;
    drop(sockets);
    gauges(0, 0)?;
    shows(&stage.envoy, "streams_total", &[("protocol", "sse"), ("outcome", "ok")], 6)
}

#[test]
fn bytes_are_those_of_bodies() -> TestResult {
    let stage = Stage::start()?;
    let mut answered = 0;
    for n in 1..=5 {
        let call = Call::post(stage.edge, "/rest", &vec![b'x'; n * 10_000]).fresh_connection();
        answered += call.send()?.body.len() as u64;
    }
    shows(&stage.envoy, "request_bytes_total", &[("route", "rest")], 150_000)?;
    shows(&stage.envoy, "response_bytes_total", &[("route", "rest")], answered)
}

#[test]
fn times_are_in_the_tables_buckets() -> TestResult {
    let stage = Stage::start()?;
    stage.get("/late")?;
    shows(&stage.envoy, "request_duration_us_count", &[("route", "late")], 1)?;
    eventually("100 ms are between 50 ms and 250 ms", SOON, || {
        let page = stage.envoy.prometheus()?;
        let at = |bound: &str| page.sum("holdfast_request_duration_us_bucket", &[("route", "late"), ("le", bound)]);
        ensure!(page.series("holdfast_request_duration_us_bucket").count() == 17, "16 bounds and infinity");
        Ok::<_, anyhow::Error>((at("50000"), at("250000"), at("60000000"), at("+Inf")) == (0.0, 1.0, 1.0, 1.0))
    })
}

#[test]
fn an_attempt_that_the_budget_refused_reached_nobody_and_is_a_rejection_of_the_budgets() -> TestResult {
    const REQUESTS: u64 = 10;
    let services = Services::start()?;
    let budget = Wasm::module("retry_budget")?.name("budget");
    let budget = budget.config(&json!({"chain": "upstream", "ratio": 0, "min_retries_per_second": 0}));
    let route = config::with_retries(config::route("reset", "reset"), "reset", 3);
    let clusters = services.clusters(&[up(json!({}))?.filter(), budget.filter()]);
    let bootstrap = tagged(config::bootstrap(&[listener(&[down(&json!({}))?.filter()], &[route])], &clusters))?;
    let envoy = Envoy::options().concurrency(2).start(&bootstrap)?;
    let edge = envoy.port("edge")?;
    for _ in 0..REQUESTS {
        let reply = Call::get(edge, "/").fresh_connection().send()?;
        ensure!(reply.rejected_by() == Some("retry-budget; cause=budget"), "{reply:?}");
    }
    shows(&envoy, "requests_total", &[("route", "reset"), ("outcome", "local_reject")], REQUESTS)?;
    shows(&envoy, "rejections_total", &[("plugin", "retry-budget"), ("cause", "budget")], REQUESTS)?;
    assert_eq!(services.reset.hits(), REQUESTS);
    assert_eq!(counted(&envoy, "attempts_total", &[])?, REQUESTS, "the second ones reached nobody");
    assert_eq!(counted(&envoy, "upstream_errors_total", &[])?, 0, "the first ones are attempts");
    envoy
        .wait_for_log("line=[outcome=local_reject attempts=2 breaker=closed replay=no cause=budget] status=503", SOON)
        .map(drop)
}

#[test]
fn what_protocol_health_refuses_before_anybody_sees_it_is_a_rejection_and_no_request() -> TestResult {
    let services = Services::start()?;
    let health = Wasm::module("protocol_health")?.name("health").config(&json!({"deadline": {}}));
    let filters = [health.filter(), down(&json!({}))?.filter()];
    let bootstrap =
        tagged(config::bootstrap(&[listener(&filters, &routes())], &services.clusters(&[up(json!({}))?.filter()])))?;
    let envoy = Envoy::start(&bootstrap)?;
    let edge = envoy.port("edge")?;
    for n in 1..=3 {
        let late = Call::get(edge, "/rest").header("x-request-timeout", "0").send()?;
        ensure!(late.rejected_by() == Some("protocol-health; cause=deadline"), "{late:?}");
        shows(&envoy, "rejections_total", &[("plugin", "protocol-health"), ("cause", "deadline")], n)?;
    }
    // A probe of this node is nobody's request, and no refusal either.
    ensure!(client::get(edge, "/healthz", &[])?.status == 200);
    ensure!(client::get(edge, "/rest", &[])?.status == 200);
    shows(&envoy, "requests_total", &[], 1)?;
    shows(&envoy, "rejections_total", &[], 3)?;
    envoy
        .wait_for_log("line=[outcome=local_reject attempts=0 breaker=closed replay=no cause=deadline] status=504", SOON)
        .map(drop)
}

/// Two judges of one attempt: what protocol-health reads in a body is what metrics count, of the request and of the attempt.
#[test]
fn what_protocol_health_reads_is_what_is_counted() -> TestResult {
    let services = Services::start()?;
    let errors = json!({"data": null, "errors": [{"message": "connection refused", "path": ["orders"]}]});
    services.well.set_answer(integration::Answer::json(&errors));
    let health = Wasm::module("protocol_health")?.name("health");
    let health = health.config(&json!({"chain": "upstream", "signal": "observe"}));
    let clusters = services.clusters(&[up(json!({}))?.filter(), health.filter()]);
    let filters = [down(&json!({}))?.filter()];
    let envoy = Envoy::start(&tagged(config::bootstrap(&[listener(&filters, &routes())], &clusters))?)?;
    let edge = envoy.port("edge")?;
    let query = Call::post(edge, "/graphql", br#"{"query": "{orders}"}"#).header("content-type", "application/json");
    let mut sent = 0;
    // The word that there is something to hear is heard with a tick.
    eventually("it is heard", SOON, || {
        ensure!(query.send()?.status == 200);
        sent += 1;
        Ok::<_, anyhow::Error>(counted(&envoy, "requests_total", &[("outcome", "server_fault")])? > 0)
    })?;
    for (name, chain) in [("requests_total", "downstream"), ("attempts_total", "upstream")] {
        shows(&envoy, name, &[("protocol", "graphql"), ("chain", chain)], sent)?;
        let told = counted(&envoy, name, &[("protocol", "graphql"), ("outcome", "server_fault")])?;
        ensure!(told > 0, "{name}: {told} of {sent}");
    }
    Ok(())
}

#[test]
fn a_grpc_call_of_two_messages_is_a_stream_and_one_of_one_is_none() -> TestResult {
    let stage = Stage::start()?;
    let frame = b"\0\0\0\0\x08an order";
    for messages in [1, 2, 1, 3, 2] {
        let call = Call::post(stage.edge, "/shop.Orders/Get", &frame.repeat(messages)).http2();
        let reply = call.header("content-type", "application/grpc").header("te", "trailers").send()?;
        ensure!(reply.status == 200, "{reply:?}");
    }
    shows(&stage.envoy, "requests_total", &[("protocol", "grpc"), ("outcome", "ok")], 5)?;
    shows(&stage.envoy, "streams_total", &[("protocol", "grpc"), ("outcome", "ok")], 3)?;
    shows(&stage.envoy, "streams_open", &[], 0)
}
