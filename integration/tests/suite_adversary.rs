//! What a reviewer who meant harm did to the built suite and metrics modules, kept as tests: each story is told with the separate modules and with the suite.
#![allow(clippy::too_many_lines, reason = "a story is told in one go")]
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

#[allow(dead_code, reason = "each story uses its part")]
mod adversary;
mod metrics;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use integration::{Answer, Call, Envoy, Fault, TestResult, Upstream, Wasm, config, eventually};
use metrics::{SOON, counted, listener, shows, tagged};
use serde_json::{Value, json};

/// Parts in the order of a listener's chain, each a filter of its own, or all of them in one.
fn row(suite: bool, common: &Value, parts: &[(&str, Value)]) -> TestResult<Vec<Value>> {
    let entry = |module: &str, policy: &Value| -> TestResult<Value> {
        let module = Wasm::module(module)?.name(module).stop_iteration(true);
        Ok(module.config(policy).filter())
    };
    if suite {
        let all = parts.iter().fold(common.clone(), |mut all, (part, own)| {
            all[*part] = own.clone();
            all
        });
        return Ok(vec![entry("holdfast_suite", &all)?]);
    }
    parts.iter().map(|(part, own)| entry(part, &config::patch(common.clone(), own.clone()))).collect()
}

fn memory() -> Value {
    json!({"store": {"kind": "memory"}})
}

fn common() -> Value {
    // Envoy 1.36 holds no answers.
    json!({"headers_stop_iteration": true, "allow_degraded": true})
}

struct Node {
    envoy: Envoy,
    port: u16,
}

fn node(down: &[Value], routes: &[Value], clusters: &[Value]) -> TestResult<Node> {
    let bootstrap = tagged(config::bootstrap(&[listener(down, routes)], clusters))?;
    let envoy = Envoy::options().concurrency(1).start(&bootstrap)?;
    let port = envoy.port("edge")?;
    Ok(Node { envoy, port })
}

fn nothing_is_left(envoy: &Envoy) -> TestResult {
    shows(envoy, "requests_in_flight", &[], 0)?;
    shows(envoy, "streams_open", &[], 0)
}

/// A unary call whose first five bytes come in two parts while idempotency waits for the rest of it.
fn a_head_in_two_parts(suite: bool) -> TestResult<(u64, u64)> {
    let service = Upstream::start("service")?;
    service.set_answer(Answer::typed(
        "application/grpc-web+proto",
        &[0x80, 0, 0, 0, 15, b'g', b'r', b'p', b'c', b'-', b's', b't', b'a', b't', b'u', b's', b':', b'0', 13, 10],
    ));
    let down = row(suite, &common(), &[("metrics", json!({})), ("idempotency", memory())])?;
    let node = node(&down, &[config::route("all", "service")], &[config::cluster("service", &[service.port()])])?;
    let mut client = TcpStream::connect(("127.0.0.1", node.port))?;
    client.set_read_timeout(Some(SOON))?;
    client.write_all(b"POST /shop.Orders/Place HTTP/1.1\r\nhost: x\r\nidempotency-key: \"a-key-of-this-story-1\"\r\ncontent-type: application/grpc-web+proto\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")?;
    sleep(Duration::from_millis(100));
    client.write_all(b"3\r\n\0\0\0\r\n")?;
    sleep(Duration::from_millis(100));
    client.write_all(b"7\r\n\0\x05hello\r\n0\r\n\r\n")?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    shows(&node.envoy, "requests_total", &[], 1)?;
    nothing_is_left(&node.envoy)?;
    Ok((counted(&node.envoy, "streams_total", &[])?, counted(&node.envoy, "request_bytes_total", &[])?))
}

#[test]
fn a_message_whose_head_comes_in_two_parts_is_no_stream() -> TestResult {
    assert_eq!(a_head_in_two_parts(false)?, (0, 10), "separate modules");
    assert_eq!(a_head_in_two_parts(true)?, (0, 10), "suite");
    Ok(())
}

/// Whose retries the budget counts, by route, when the breaker has sent the request another way.
fn rerouted(suite: bool) -> TestResult<Vec<(String, u64)>> {
    let (first, second) = (Upstream::start("first")?, Upstream::start("second")?);
    let parts = [
        ("circuit_breaker", json!({"mode": "force_open", "on_open": {"reroute": {}}})),
        ("retry_budget", json!({"client_retries": {"ratio": 0.5}})),
    ];
    let down = row(suite, &json!({}), &parts)?;
    let routes = [
        config::when_header(config::route("fallback", "second"), "x-holdfast-fallback", "1"),
        config::route("home", "first"),
    ];
    let clusters = [config::cluster("first", &[first.port()]), config::cluster("second", &[second.port()])];
    let node = node(&down, &routes, &clusters)?;
    for _ in 0..5 {
        let reply = Call::get(node.port, "/").header("x-retry-attempt", "1").send()?;
        anyhow::ensure!(reply.served_by() == Some("second"), "{reply:?}");
        Call::post(node.port, "/", b"x").send()?;
    }
    let page = node.envoy.prometheus()?;
    let mut seen = Vec::new();
    for name in page.names("holdfast_retry_budget_") {
        for series in page.series(name) {
            if let Some(key) = series.labels.get("key").filter(|_| series.value > 0.0) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test")]
                seen.push((format!("{name} {key}"), series.value as u64));
            }
        }
    }
    seen.sort();
    Ok(seen)
}

#[test]
fn a_budget_behind_a_breaker_that_sends_requests_another_way_is_that_routes() -> TestResult {
    let apart = rerouted(false)?;
    assert_eq!(rerouted(true)?, apart);
    Ok(())
}

fn redirected(suite: bool) -> TestResult<(u64, u64)> {
    let port = adversary::service(adversary::many_ways)?;
    let down = row(suite, &json!({}), &[("metrics", json!({}))])?;
    let follow = json!({"route": {"internal_redirect_policy": {"max_internal_redirects": 2}}});
    let route = config::patch(config::route("all", "service"), follow);
    let node = node(&down, &[route], &[config::cluster("service", &[port])])?;
    for _ in 0..3 {
        assert_eq!(Call::get(node.port, "/start").header("host", "x").send()?.status, 200);
    }
    eventually("they are counted", SOON, || anyhow::Ok(counted(&node.envoy, "requests_total", &[])? >= 3))?;
    sleep(Duration::from_millis(500));
    Ok((counted(&node.envoy, "requests_in_flight", &[])?, counted(&node.envoy, "requests_total", &[])?))
}

#[test]
fn a_request_that_envoy_redirects_by_itself_does_not_stay_in_flight() -> TestResult {
    let (apart, suite) = (redirected(false)?, redirected(true)?);
    assert_eq!((apart.0, suite.0), (0, 0), "in flight; {apart:?} {suite:?}");
    assert_eq!((apart.1, suite.1), (6, 6), "each of its two requests is one");
    Ok(())
}

fn mirrored(suite: bool) -> TestResult<(u64, u64, u64)> {
    let (service, shadow) = (Upstream::start("service")?, Upstream::start("shadow")?);
    let down = row(suite, &json!({}), &[("metrics", json!({}))])?;
    let up = row(suite, &json!({"chain": "upstream"}), &[("metrics", json!({}))])?;
    let mirror = json!({"route": {"request_mirror_policies": [{"cluster": "shadow"}]}});
    let route = config::patch(config::route("all", "service"), mirror);
    let clusters = [
        config::upstream_filters(config::cluster("service", &[service.port()]), &up),
        config::upstream_filters(config::cluster("shadow", &[shadow.port()]), &up),
    ];
    let node = node(&down, &[route], &clusters)?;
    for _ in 0..10 {
        Call::get(node.port, "/").send()?;
    }
    shows(&node.envoy, "requests_total", &[], 10)?;
    sleep(Duration::from_millis(300));
    nothing_is_left(&node.envoy)?;
    let all = counted(&node.envoy, "attempts_total", &[])?;
    Ok((counted(&node.envoy, "attempts_total", &[("route", "all")])?, all, shadow.hits()))
}

#[test]
fn a_mirrored_request_does_not_amplify_its_route() -> TestResult {
    for suite in [false, true] {
        let (of_route, all, hits) = mirrored(suite)?;
        assert_eq!(of_route, 10, "of {all}, {hits} mirrored, suite: {suite}");
    }
    Ok(())
}

/// Everything at once: a payment, its replay, a body in parts, one that the breaker refuses behind its claim.
fn everything(suite: bool, split: bool) -> TestResult<Vec<String>> {
    let service = Upstream::start("service")?;
    let parts = [
        ("protocol_health", json!({})),
        ("metrics", json!({})),
        ("idempotency", memory()),
        ("circuit_breaker", json!({"minimum_calls": 3, "open": {"base": "60s", "max": "60s", "jitter": 0}})),
        ("retry_budget", json!({})),
    ];
    let down = if suite && split {
        let mut both = row(true, &common(), &parts[..2])?;
        let mut rest = row(true, &common(), &parts[2..])?;
        rest[0]["name"] = json!("second");
        rest[0]["typed_config"]["config"]["name"] = json!("second");
        rest[0]["typed_config"]["config"]["root_id"] = json!("second");
        both.append(&mut rest);
        both
    } else {
        row(suite, &common(), &parts)?
    };
    let node = node(&down, &[config::route("all", "service")], &[config::cluster("service", &[service.port()])])?;
    let mut told = Vec::new();
    let mut tell = |what: &str, call: Call| -> TestResult {
        let reply = call.send()?;
        let header = |name: &str| reply.header(name).unwrap_or("-").to_owned();
        told.push(format!(
            "{what}: {} {} replayed={} reject={} after={} len={} type={}",
            reply.status,
            reply.body.len(),
            header("idempotency-replayed"),
            header("x-holdfast-reject"),
            header("retry-after").len(),
            header("content-length"),
            header("content-type"),
        ));
        Ok(())
    };
    let pay = |key: &str, body: &[u8]| {
        Call::post(node.port, "/pay", body).header("idempotency-key", format!("\"{key}-0123456789abcdef\""))
    };
    tell("pay", pay("one", b"x"))?;
    tell("again", pay("one", b"x"))?;
    tell("other body", pay("one", b"y"))?;
    tell("empty", pay("empty", b""))?;
    tell("empty again", pay("empty", b""))?;
    tell("h2", pay("two", b"x").http2())?;
    tell("h2 again", pay("two", b"x").http2())?;
    tell("no key", Call::post(node.port, "/pay", b"x"))?;
    tell("bad key", Call::post(node.port, "/pay", b"x").header("idempotency-key", "\"\""))?;
    tell("large", pay("large", &vec![b'x'; 200_000]))?;
    tell("too large", pay("larger", &vec![b'x'; 300_000]))?;
    tell("head", Call::get(node.port, "/").method("HEAD".parse()?))?;
    tell("expects", pay("expects", b"x").header("expect", "100-continue"))?;
    tell("health", Call::get(node.port, "/healthz"))?;
    service.set_answer(Answer { parts: vec![vec![b'a'; 100_000]; 2], ..Answer::typed("text/plain", b"") });
    tell("big answer", pay("big", b"x"))?;
    tell("big answer again", pay("big", b"x"))?;
    service.set_answer(Answer { parts: vec![vec![b'a'; 100_000]; 5], ..Answer::typed("text/plain", b"") });
    tell("huge answer", pay("huge", b"x"))?;
    tell("huge answer again", pay("huge", b"x"))?;
    service.set_answer(Answer { parts: vec![], ..Answer::typed("text/plain", b"") });
    tell("empty answer", pay("hollow", b"x"))?;
    tell("empty answer again", pay("hollow", b"x"))?;
    service.set(Fault::Cut);
    tell("cut", pay("cut", b"x")).or_else(|_| Ok::<_, anyhow::Error>(()))?;
    service.set(Fault::Status(500));
    for n in 0..12 {
        tell("sick", pay(&format!("sick{n}"), b"x"))?;
    }
    sleep(Duration::from_millis(300));
    tell("refused", pay("refused", b"x"))?;
    tell("refused again", pay("refused", b"x"))?;
    tell("refused get", Call::get(node.port, "/"))?;
    tell("replay while open", pay("one", b"x"))?;
    nothing_is_left(&node.envoy)?;
    let page = node.envoy.prometheus()?;
    let mut infos: Vec<String> = page
        .series("holdfast_config_info")
        .map(|series| format!("{} {} {}", series.labels["plugin"], series.labels["config"], series.value))
        .collect();
    infos.sort();
    told.append(&mut infos);
    for name in [
        "requests_total",
        "rejections_total",
        "upstream_errors_total",
        "request_bytes_total",
        "response_bytes_total",
        "idempotency_released_total",
        "idempotency_stored_total",
        "idempotency_replayed_total",
        "idempotency_refused_total",
    ] {
        let page = node.envoy.prometheus()?;
        let mut lines: Vec<String> = page
            .series(&format!("holdfast_{name}"))
            .map(|series| {
                let of = |label: &str| series.labels.get(label).cloned().unwrap_or_default();
                format!(
                    "{name} {} {} {} {} {} = {}",
                    of("route"),
                    of("protocol"),
                    of("outcome"),
                    of("plugin"),
                    of("cause"),
                    series.value
                )
            })
            .collect();
        lines.sort();
        told.append(&mut lines);
    }
    // Envoy writes its log once a second.
    sleep(Duration::from_millis(1_500));
    let mut log: Vec<String> =
        node.envoy.log().lines().filter_map(|line| line.find("line=[").map(|at| line[at..].to_owned())).collect();
    told.append(&mut log);
    Ok(told)
}

#[test]
fn everything_at_once_is_told_alike() -> TestResult {
    let apart = everything(false, false)?;
    println!("{}", apart.join("\n"));
    let differs = |other: &[String]| -> Vec<String> {
        let gone = apart.iter().filter(|line| !other.contains(line)).map(|line| format!("- {line}"));
        let new = other.iter().filter(|line| !apart.contains(line)).map(|line| format!("+ {line}"));
        gone.chain(new).collect()
    };
    let (one, two) = (everything(true, false)?, everything(true, true)?);
    assert_eq!((differs(&one), differs(&two)), (vec![], vec![]));
    Ok(())
}

fn takes(config: &Value) -> TestResult<bool> {
    let entry = Wasm::module("holdfast_suite")?.name("suite").stop_iteration(true).config(config).filter();
    let upstream = config["chain"] == json!("upstream");
    let (down, up) = if upstream { (vec![], vec![entry]) } else { (vec![entry], vec![]) };
    let cluster = config::cluster("service", &[1]);
    let cluster = if upstream { config::upstream_filters(cluster, &up) } else { cluster };
    let bootstrap =
        config::bootstrap(&[config::listener("edge", &down, &[config::route("all", "service")])], &[cluster]);
    Ok(Envoy::options().validate(&bootstrap).is_ok())
}

const LEGACY: &str = r#"{"timeout": 1000, "threshold": 0.5, "min_half_open_requests": 1, "window_size": 10000}"#;

#[test]
fn what_stands_at_the_top_is_checked_also_where_no_part_takes_it_over() -> TestResult {
    let legacy: Value = serde_json::from_str(LEGACY)?;
    assert!(takes(&json!({"circuit_breaker": legacy}))?, "as it is documented");
    let mut taken = Vec::new();
    for config in [
        json!({"chain": "sideways", "circuit_breaker": legacy}),
        json!({"mode": "nonsense", "circuit_breaker": legacy}),
        json!({"instance": 7, "circuit_breaker": legacy}),
        json!({"mode": "nonsense", "metrics": {"mode": "enforce"}}),
        json!({"instance": "not an instance!", "metrics": {"instance": "a"}}),
    ] {
        if takes(&config)? {
            taken.push(config.to_string());
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
    Ok(())
}

/// The breaker of four numbers in a cluster's filters.
#[test]
fn the_form_with_four_numbers_is_the_listeners_or_is_refused() -> TestResult {
    let legacy: Value = serde_json::from_str(LEGACY)?;
    let config = json!({"chain": "upstream", "circuit_breaker": legacy});
    if !takes(&config)? {
        return Ok(());
    }
    let service = Upstream::start("service")?;
    let up = row(true, &json!({"chain": "upstream"}), &[("circuit_breaker", legacy)])?;
    let clusters = [config::upstream_filters(config::cluster("service", &[service.port()]), &up)];
    let node = node(&[], &[config::route("all", "service")], &clusters)?;
    for _ in 0..5 {
        assert_eq!(Call::get(node.port, "/").send()?.status, 200);
    }
    let page = node.envoy.prometheus()?;
    let calls: Vec<String> = page
        .series("holdfast_circuit_breaker_calls_total")
        .map(|series| format!("{:?} {}", series.labels, series.value))
        .collect();
    assert_eq!(counted(&node.envoy, "circuit_breaker_calls_total", &[("chain", "upstream")])?, 5, "{calls:#?}");
    Ok(())
}

/// Retries, held answers, gRPC with its status in trailers, streams, and clients that leave, with both chains.
fn both_chains(suite: bool) -> TestResult<Vec<String>> {
    let (service, grpc, sick) = (Upstream::start("service")?, Upstream::start("grpc")?, Upstream::start("sick")?);
    sick.set(Fault::Fail { percent: 50, status: 503 });
    let down = row(
        suite,
        &common(),
        &[
            (
                "protocol_health",
                json!({"deadline": {"default": "5s"}, "probes": [{"path": "/deep", "clusters": ["service"]}]}),
            ),
            (
                "metrics",
                json!({"canary": {"cluster": true}, "labels": {"tenant": {"header": "x-tenant", "allow": ["acme"]}}}),
            ),
            ("idempotency", json!({"store": {"kind": "memory"}, "on_in_flight": "wait", "wait": "3s"})),
            ("circuit_breaker", json!({"minimum_calls": 1000})),
            ("retry_budget", json!({})),
        ],
    )?;
    let up = row(
        suite,
        &config::patch(common(), json!({"chain": "upstream"})),
        &[
            ("metrics", json!({})),
            ("circuit_breaker", json!({"minimum_calls": 1000})),
            ("retry_budget", json!({"min_retries_per_second": 100})),
            ("protocol_health", json!({})),
        ],
    )?;
    let clusters: Vec<Value> = [
        config::cluster("service", &[service.port()]),
        config::cluster("sick", &[sick.port()]),
        config::http2(config::cluster("grpc", &[grpc.port()])),
    ]
    .into_iter()
    .map(|cluster| config::upstream_filters(config::without_limits(cluster), &up))
    .collect();
    let routes = [
        config::route_at("shop", "/shop.", "grpc"),
        config::with_retries(config::route_at("sick", "/sick", "sick"), "5xx", 3),
        config::with_timeout(config::route_at("sse", "/sse", "service"), Duration::ZERO),
        config::with_timeout(config::route_at("late", "/late", "service"), Duration::from_millis(200)),
        config::route("all", "service"),
    ];
    let node = node(&down, &routes, &clusters)?;
    let mut told = Vec::new();
    sleep(Duration::from_millis(1_200));
    let graphql = |query: &str| {
        Call::post(node.port, "/graphql", json!({"query": query}).to_string().as_bytes())
            .header("content-type", "application/json")
    };
    service.set_answer(Answer::json(&json!({"errors": [{"message": "down", "path": ["a"]}], "data": null})));
    told.push(format!("graphql {:?}", graphql("{ a }").send()?.status));
    service.set_answer(Answer::json(&json!({"data": {"a": 1}})).in_halves(Duration::from_millis(60)));
    told.push(format!("graphql {:?}", graphql("{ a }").send()?.status));
    service.set_answer(Answer::json(&json!({"data": {"a": 1}})).in_halves(Duration::from_millis(700)));
    told.push(format!("slow graphql {:?}", graphql("{ a }").send()?.body.len()));
    told.push(format!(
        "slow paid graphql {:?}",
        graphql("{ a }").header("idempotency-key", "\"a-key-0123456789\"").send()?.body.len()
    ));
    told.push(format!(
        "again {:?}",
        graphql("{ a }")
            .header("idempotency-key", "\"a-key-0123456789\"")
            .send()?
            .header("idempotency-replayed")
            .is_some()
    ));
    service.set_answer(Answer::typed("text/plain", b"fine"));
    for _ in 0..6 {
        told.push(format!("sick {}", Call::get(node.port, "/sick").header("x-tenant", "acme").send()?.status));
    }
    for status in ["ok", "trailers:14", "message:5"] {
        let reply = integration::client::grpc(
            node.port,
            "/shop.Orders/Place",
            b"x",
            &[("x-upstream-fault", status), ("x-tenant", "nobody")],
        );
        told.push(format!("grpc {status} {:?}", reply.map(|reply| reply.status).ok()));
    }
    told.push(format!("sse {}", Call::get(node.port, "/sse?events=3&every_ms=10").send()?.status));
    told.push(format!("late {}", Call::get(node.port, "/late").header("x-upstream-fault", "hang").send()?.status));
    // Clients that leave, at each stage.
    let leave = |bytes: &[u8]| -> TestResult {
        let mut client = TcpStream::connect(("127.0.0.1", node.port))?;
        client.write_all(bytes)?;
        sleep(Duration::from_millis(150));
        Ok(())
    };
    leave(b"POST /pay HTTP/1.1\r\nhost: x\r\nidempotency-key: \"leaves-0123456789\"\r\ncontent-length: 10\r\n\r\nabc")?;
    leave(b"POST /pay HTTP/1.1\r\nhost: x\r\nx-upstream-fault: hang\r\nidempotency-key: \"leaver-0123456789\"\r\ncontent-length: 3\r\n\r\nabc")?;
    leave(b"POST /pay HTTP/1.1\r\nhost: x\r\nidempotency-key: \"leaver-0123456789\"\r\ncontent-length: 3\r\n\r\nabc")?;
    leave(b"GET /sse?events=1000&every_ms=10 HTTP/1.1\r\nhost: x\r\n\r\n")?;
    leave(b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n")?;
    // Followers wait for the first one.
    let pay =
        Call::post(node.port, "/pay", b"x").header("idempotency-key", "\"together-0123456789\"").fresh_connection();
    let first = pay.clone().header("x-upstream-fault", "slow:400");
    let tally = integration::Storm::new(first).concurrency(5).total(5).run(SOON)?;
    told.push(format!("together {:?}", tally.by_status()));
    nothing_is_left(&node.envoy)?;
    sleep(Duration::from_millis(500));
    let page = node.envoy.prometheus()?;
    for name in page.names("holdfast_") {
        if name.ends_with("_us") || name.contains("_us_") || name.contains("bytes") || name.contains("build_info") {
            continue;
        }
        for series in page.series(name) {
            // Envoy 1.36 puts all that a VM counts in the scope of whoever began it.
            let own =
                series.labels.iter().filter(|(name, _)| !name.ends_with("_cluster") && *name != "envoy_cluster_name");
            let mut labels: Vec<_> = own.map(|(name, value)| format!("{name}={value}")).collect();
            labels.sort();
            told.push(format!("{name} {} = {}", labels.join(" "), series.value));
        }
    }
    // Envoy writes its log once a second.
    sleep(Duration::from_millis(1_500));
    let mut log: Vec<String> =
        node.envoy.log().lines().filter_map(|line| line.find("line=[").map(|at| line[at..].to_owned())).collect();
    log.sort();
    told.append(&mut log);
    Ok(told)
}

#[test]
fn both_chains_are_told_alike() -> TestResult {
    let (apart, suite) = (both_chains(false)?, both_chains(true)?);
    println!("{}", apart.join("\n"));
    let gone: Vec<_> = apart.iter().filter(|line| !suite.contains(line)).map(|line| format!("- {line}")).collect();
    let new: Vec<_> = suite.iter().filter(|line| !apart.contains(line)).map(|line| format!("+ {line}")).collect();
    assert!(gone.is_empty() && new.is_empty(), "{}\n{}", gone.join("\n"), new.join("\n"));
    Ok(())
}

/// What the upstream entry counts of the edge's own deep probes.
fn probed(suite: bool) -> TestResult<u64> {
    let service = Upstream::start("service")?;
    let probes = json!({"probes": [{"path": "/deep", "clusters": ["service"]}]});
    let down = row(suite, &common(), &[("protocol_health", probes), ("metrics", json!({}))])?;
    let up = row(
        suite,
        &config::patch(common(), json!({"chain": "upstream"})),
        &[("metrics", json!({})), ("protocol_health", json!({}))],
    )?;
    let clusters = [config::upstream_filters(config::cluster("service", &[service.port()]), &up)];
    let node = node(&down, &[config::route("all", "service")], &clusters)?;
    assert_eq!(Call::get(node.port, "/deep").send()?.status, 200);
    sleep(Duration::from_millis(300));
    counted(&node.envoy, "attempts_total", &[])
}

/// One thing that is different (docs/suite.md): the edge's own calls begin within its VM, which is the cluster's entry's too.
#[test]
fn a_deep_probe_is_an_attempt_for_separate_modules_alone() -> TestResult {
    let separate = u64::from(!config::suite::is_meant());
    assert_eq!((probed(true)?, probed(false)?), (0, separate));
    Ok(())
}

#[test]
fn pushes_lose_nobody_who_waits() -> TestResult {
    let service = Upstream::start("service")?;
    let entry = |ratio: f64| -> TestResult<Wasm> {
        let policy = json!({
            "headers_stop_iteration": true,
            "protocol_health": {}, "metrics": {}, "circuit_breaker": {"minimum_calls": 1000},
            "retry_budget": {"ratio": ratio},
            "idempotency": {"store": {"kind": "memory"}, "on_in_flight": "wait", "wait": "5s"},
        });
        Ok(Wasm::module("holdfast_suite")?.name("suite").stop_iteration(true).config(&policy))
    };
    let filter = entry(0.2)?.dynamic()?;
    let bootstrap = tagged(config::bootstrap(
        &[listener(&[filter.filter()], &[config::route("all", "service")])],
        &[config::without_limits(config::cluster("service", &[service.port()]))],
    ))?;
    let envoy = Envoy::options().concurrency(2).start(&bootstrap)?;
    let port = envoy.port("edge")?;
    let pay = Call::post(port, "/pay", b"x")
        .header("idempotency-key", "\"together-0123456789\"")
        .header("x-upstream-fault", "slow:2500")
        .fresh_connection();
    let running = integration::Storm::new(pay).concurrency(20).total(20).start();
    sleep(Duration::from_millis(400));
    for ratio in [0.3, 0.2, 0.3, 0.2] {
        filter.update(&entry(ratio)?.typed_config())?;
        sleep(Duration::from_millis(300));
        let _ = Call::get(port, "/").send()?;
    }
    let tally = running.join(SOON);
    assert_eq!((tally.status(200), service.hits_on("/pay")), (20, 1), "{:?}", tally.by_status());
    nothing_is_left(&envoy)?;
    shows(&envoy, "requests_total", &[("outcome", "replay")], 19)?;
    let page = envoy.prometheus()?;
    let infos: Vec<_> = page
        .series("holdfast_config_info")
        .map(|series| format!("{} {} {}", series.labels["plugin"], series.labels["config"], series.value))
        .collect();
    let of_budget: Vec<_> = infos.iter().filter(|info| info.starts_with("retry-budget")).collect();
    assert!(infos.len() == 6 && of_budget.iter().filter(|info| info.ends_with(" 1")).count() == 1, "{infos:#?}");
    Ok(())
}

/// Both desks wake as many as they may, in the same ticks, before another entry of the same VM.
#[test]
fn probers_and_followers_that_are_woken_together_all_go_on() -> TestResult {
    let service = Upstream::start("service")?;
    let front = json!({
        "protocol_health": {"probes": [{"path": "/deep", "clusters": ["service"], "fresh": "1s", "timeout": "3s"}]},
        "metrics": {},
        "idempotency": {"store": {"kind": "memory"}, "on_in_flight": "wait", "wait": "5s"},
    });
    let mut down = row(true, &config::patch(common(), front), &[])?;
    let mut second =
        row(true, &common(), &[("circuit_breaker", json!({"minimum_calls": 1000})), ("retry_budget", json!({}))])?;
    second[0]["name"] = json!("second");
    second[0]["typed_config"]["config"]["name"] = json!("second");
    second[0]["typed_config"]["config"]["root_id"] = json!("second");
    down.append(&mut second);
    let cluster = config::without_limits(config::cluster("service", &[service.port()]));
    let node = node(&down, &[config::route("all", "service")], &[cluster])?;
    service.set(Fault::Slow(Duration::from_millis(900)));
    let pay =
        Call::post(node.port, "/pay", b"x").header("idempotency-key", "\"together-0123456789\"").fresh_connection();
    let followers = integration::Storm::new(pay).concurrency(150).total(150).start();
    let probers =
        integration::Storm::new(Call::get(node.port, "/deep").fresh_connection()).concurrency(150).total(150).start();
    let (followers, probers) = (followers.join(SOON), probers.join(SOON));
    assert_eq!(
        (followers.status(200), probers.status(200)),
        (150, 150),
        "{:?} {:?}",
        followers.by_status(),
        probers.by_status()
    );
    assert_eq!(service.hits_on("/pay"), 1);
    nothing_is_left(&node.envoy)
}

/// The same message, spoken as gRPC over HTTP/2, while the store is asked: what is held are its first bytes.
fn a_head_in_two_frames(suite: bool) -> TestResult<u64> {
    let service = Upstream::start("service")?;
    let down = row(suite, &common(), &[("metrics", json!({})), ("idempotency", memory())])?;
    let cluster = config::http2(config::cluster("service", &[service.port()]));
    let node = node(&down, &[config::route("all", "service")], &[cluster])?;
    let mut client = TcpStream::connect(("127.0.0.1", node.port))?;
    client.set_read_timeout(Some(Duration::from_millis(1_500)))?;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let mut head = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/shop.Orders/Place"),
        (":authority", "x"),
        ("content-type", "application/grpc-web+proto"),
        ("idempotency-key", "\"a-key-of-this-story-2\""),
    ] {
        head.push(0);
        for text in [name, value] {
            head.push(u8::try_from(text.len())?);
            head.extend_from_slice(text.as_bytes());
        }
    }
    bytes.extend(frame(4, 0, 0, b""));
    bytes.extend(frame(1, 4, 1, &head));
    bytes.extend(frame(0, 0, 1, &[0, 0, 0]));
    bytes.extend(frame(0, 1, 1, &[0, 5, b'h', b'e', b'l', b'l', b'o']));
    client.write_all(&bytes)?;
    let _ = client.read_to_end(&mut Vec::new());
    drop(client);
    shows(&node.envoy, "requests_total", &[], 1)?;
    nothing_is_left(&node.envoy)?;
    counted(&node.envoy, "streams_total", &[])
}

#[test]
fn a_message_whose_head_comes_in_two_frames_is_no_stream() -> TestResult {
    assert_eq!(a_head_in_two_frames(false)?, 0, "separate modules");
    assert_eq!(a_head_in_two_frames(true)?, 0, "suite");
    Ok(())
}

/// And the other way round: a stream that is missed. Its first message is empty, and what is read for its length is what came before.
fn two_messages(suite: bool) -> TestResult<u64> {
    let service = Upstream::start("service")?;
    service.set_answer(Answer::typed("application/grpc-web+proto", &[0x80, 0, 0, 0, 0]));
    let down = row(suite, &common(), &[("metrics", json!({})), ("idempotency", memory())])?;
    let node = node(&down, &[config::route("all", "service")], &[config::cluster("service", &[service.port()])])?;
    let mut client = TcpStream::connect(("127.0.0.1", node.port))?;
    client.set_read_timeout(Some(SOON))?;
    client.write_all(b"POST /shop.Orders/Place HTTP/1.1\r\nhost: x\r\nidempotency-key: \"a-key-of-this-story-3\"\r\ncontent-type: application/grpc-web+proto\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")?;
    sleep(Duration::from_millis(100));
    client.write_all(b"2\r\n\x01\0\r\n")?;
    sleep(Duration::from_millis(100));
    client.write_all(b"c\r\n\0\0\x02hi\0\0\0\0\x02ho\r\n0\r\n\r\n")?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    shows(&node.envoy, "requests_total", &[], 1)?;
    nothing_is_left(&node.envoy)?;
    counted(&node.envoy, "streams_total", &[])
}

#[test]
fn two_messages_are_a_stream_wherever_they_are_cut() -> TestResult {
    assert_eq!((two_messages(false)?, two_messages(true)?), (1, 1), "separate modules, suite");
    Ok(())
}

#[test]
fn no_answer_is_too_long_to_be_counted() {
    use sdk_shim::fake::FakeHost;
    use sdk_shim::meter::Meter;
    let vm = FakeHost::envoy();
    let meter = Meter::new(&vm, "", "downstream", "default", 10);
    let bytes = meter.counter(&vm, "response_bytes_total", &[]);
    bytes.add_many(&vm, 5 << 30);
    assert_eq!(bytes.read(&vm), 5 << 30);
}

/// Answers that are held, judged, and tried again: what each part of the cluster's entry counts of them.
fn held_and_retried(suite: bool, signal: &str) -> TestResult<Vec<String>> {
    let (service, grpc) = (Upstream::start("service")?, Upstream::start("grpc")?);
    let down = row(
        suite,
        &common(),
        &[
            ("protocol_health", json!({})),
            ("metrics", json!({})),
            ("circuit_breaker", json!({"minimum_calls": 1000})),
            ("retry_budget", json!({"retry_unsafe": "always"})),
        ],
    )?;
    let parts = [
        ("metrics", json!({})),
        ("circuit_breaker", json!({"minimum_calls": 1000, "measure": "completion"})),
        ("retry_budget", json!({"min_retries_per_second": 3, "ttl": "10s"})),
        ("protocol_health", json!({"signal": signal, "hold": {"grpc_methods": ["/shop.Orders/Place"]}})),
    ];
    let up = row(suite, &config::patch(common(), json!({"chain": "upstream"})), &parts)?;
    let clusters: Vec<Value> =
        [config::cluster("service", &[service.port()]), config::http2(config::cluster("grpc", &[grpc.port()]))]
            .into_iter()
            .map(|cluster| config::upstream_filters(config::without_limits(cluster), &up))
            .collect();
    let routes = [
        config::with_retries(config::route_at("shop", "/shop.", "grpc"), "5xx,unavailable", 2),
        config::with_retries(config::route("all", "service"), "5xx", 2),
    ];
    let node = node(&down, &routes, &clusters)?;
    sleep(Duration::from_millis(1_200));
    let graphql =
        || Call::post(node.port, "/graphql", br#"{"query": "{ a }"}"#).header("content-type", "application/json");
    let mut told = Vec::new();
    let sick = json!({"errors": [{"message": "down", "path": ["a"]}], "data": null});
    for every in [0, 40, 400] {
        service.set_answer(Answer::json(&sick).in_halves(Duration::from_millis(every)));
        for _ in 0..3 {
            let reply = graphql().send()?;
            told.push(format!("{every}: {} {}", reply.status, reply.body.len()));
        }
    }
    for fault in ["ok", "trailers:14", "message:14", "message:5"] {
        for _ in 0..3 {
            let reply = integration::client::grpc(node.port, "/shop.Orders/Place", b"x", &[("x-upstream-grpc", fault)]);
            told.push(format!("grpc {fault} {:?}", reply.map(|reply| reply.status).ok()));
        }
    }
    grpc.set_grpc(integration::Grpc::MessageThen(14));
    for _ in 0..4 {
        let reply = integration::client::grpc(node.port, "/shop.Orders/Place", b"x", &[]);
        told.push(format!("grpc {:?}", reply.map(|reply| reply.status).ok()));
    }
    told.push(format!("hits {} {}", service.hits(), grpc.hits()));
    nothing_is_left(&node.envoy)?;
    sleep(Duration::from_millis(500));
    let page = node.envoy.prometheus()?;
    for name in page.names("holdfast_") {
        let changes = ["_us", "_permille", "_left", "_floor", "build_info"];
        if name.contains("_us_") || changes.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        for series in page.series(name) {
            // Envoy 1.36 puts all that a VM counts in the scope of whoever began it.
            let own =
                series.labels.iter().filter(|(name, _)| !name.ends_with("_cluster") && *name != "envoy_cluster_name");
            let mut labels: Vec<_> = own.map(|(name, value)| format!("{name}={value}")).collect();
            labels.sort();
            told.push(format!("{name} {} = {}", labels.join(" "), series.value));
        }
    }
    Ok(told)
}

fn held_alike(signal: &str) -> TestResult {
    let (apart, suite) = (held_and_retried(false, signal)?, held_and_retried(true, signal)?);
    println!("{}", apart.join("\n"));
    let gone: Vec<_> = apart.iter().filter(|line| !suite.contains(line)).map(|line| format!("- {line}")).collect();
    let new: Vec<_> = suite.iter().filter(|line| !apart.contains(line)).map(|line| format!("+ {line}")).collect();
    assert!(gone.is_empty() && new.is_empty(), "- separate modules, + suite\n{}\n{}", gone.join("\n"), new.join("\n"));
    Ok(())
}

#[test]
fn held_answers_whose_status_is_replaced_are_tried_again_and_told_alike() -> TestResult {
    held_alike("status")
}

#[test]
fn held_answers_that_are_marked_are_tried_again_and_told_alike() -> TestResult {
    held_alike("marker")
}

/// Whether Envoy starts with a part's own module, and with the suite.
#[test]
fn what_a_module_refuses_the_suite_refuses_and_nothing_else() -> TestResult {
    let mut parted = Vec::new();
    for (part, own) in [
        ("idempotency", json!({"chain": "upstream", "headers_stop_iteration": true, "store": {"kind": "memory"}})),
        ("idempotency", json!({"store": {"kind": "memory"}})),
        ("protocol_health", json!({"chain": "upstream"})),
        ("protocol_health", json!({"chain": "upstream", "mode": "disabled"})),
        ("metrics", json!({"mode": "force_open"})),
        ("metrics", json!({"chain": "upstream", "region": {"metadata": "zone"}, "labels": {}})),
        ("metrics", json!({"canary": {"cluster": null}})),
        ("metrics", json!({"chain": null})),
        ("circuit_breaker", json!({"chain": "upstream", "on_open": {"reroute": {}}})),
        ("circuit_breaker", json!({"threshold": 0.5, "mode": "dry_run"})),
        ("circuit_breaker", json!({"mode": "force_open"})),
        ("retry_budget", json!({"percent": 20, "mode": "dry_run"})),
        ("retry_budget", json!({"percent": 20, "chain": "upstream"})),
    ] {
        let chain = own.get("chain").cloned();
        let upstream = chain == Some(json!("upstream"));
        let mut inner = own.clone();
        inner.as_object_mut().map(|fields| fields.remove("chain"));
        let mut whole = json!({part: inner});
        if let Some(chain) = chain {
            whole["chain"] = chain;
        }
        let starts = |module: &str, policy: &Value| -> TestResult<bool> {
            let entry = Wasm::module(module)?.name(module).stop_iteration(true).config(policy).filter();
            let (down, up) = if upstream { (vec![], vec![entry]) } else { (vec![entry], vec![]) };
            let cluster = config::cluster("service", &[1]);
            let cluster = if upstream { config::upstream_filters(cluster, &up) } else { cluster };
            let listener = config::listener("edge", &down, &[config::route("all", "service")]);
            Ok(Envoy::options().validate(&config::bootstrap(&[listener], &[cluster])).is_ok())
        };
        let (apart, suite) = (starts(part, &own)?, starts("holdfast_suite", &whole)?);
        println!("{part} {own}: {apart} {suite}");
        if apart != suite {
            parted.push(format!("{part} {own}: its module {apart}, the suite {suite}"));
        }
    }
    assert!(parted.is_empty(), "{parted:#?}");
    Ok(())
}
