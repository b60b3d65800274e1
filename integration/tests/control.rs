//! An operator at 3 a.m., with `holdfastctl` and nothing else: what is open, and how is it closed without a push?
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod story_b;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use integration::command::{Reply, holdfastctl_as};
use integration::{Call, Envoy, Fault, Storm, TestResult, Upstream, Wasm, client, config, eventually};
use serde_json::{Value, json};
use story_b::{SOON, breaker, everyone, is_refused, open_the_breaker, route};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A service, and an Envoy of two workers with a breaker before it and a control entry beside it.
struct Stage {
    orders: Upstream,
    envoy: Envoy,
    edge: u16,
    control: String,
}

/// The listener that the operator talks to.
fn control_listener() -> TestResult<Value> {
    let settings = json!({"token": {"env": "TOKEN"}, "headers_stop_iteration": true});
    let entry = Wasm::module("control")?.config(&settings).stop_iteration(true).env("TOKEN", TOKEN);
    Ok(config::listener("control", &[entry.filter()], &[config::direct("nobody", "/", 503, "")]))
}

impl Stage {
    fn set(change: Value) -> TestResult<Self> {
        let orders = Upstream::start("orders")?;
        let edge = config::listener("edge", &[breaker(change)?.filter()], &[route()]);
        let clusters = [config::cluster("up", &[orders.port()])];
        let envoy = Envoy::start(&config::bootstrap(&[edge, control_listener()?], &clusters))?;
        let (edge, control) = (envoy.port("edge")?, format!("http://127.0.0.1:{}", envoy.port("control")?));
        // A plugin says where its keys are when its timer fires for the first time.
        let stage = Self { orders, envoy, edge, control };
        eventually("the key is shown", SOON, || {
            everyone(stage.edge)?;
            Ok::<_, anyhow::Error>(stage.key().is_ok())
        })?;
        Ok(stage)
    }

    fn ctl(&self, arguments: &[&str]) -> TestResult<Reply> {
        ctl(TOKEN, &[arguments, &["--control", &self.control]].concat())
    }

    /// What is shown of the only key.
    fn key(&self) -> TestResult<Value> {
        let nodes = self.ctl(&["--json", "state"])?.json()?;
        let plugins = nodes[0]["answer"]["plugins"].as_array().context("plugins")?.clone();
        let breaker = plugins.iter().find(|plugin| plugin["plugin"] == "circuit-breaker").context("a breaker")?;
        ensure!(breaker["keys"][0]["key"] == "all", "{breaker}");
        Ok(breaker["keys"][0].clone())
    }

    fn order(&self, mode: &str, lasting: &str) -> TestResult {
        self.ctl(&["override", "circuit-breaker", "all", mode, "--for", lasting])?.good()
    }
}

fn ctl(token: &str, arguments: &[&str]) -> TestResult<Reply> {
    holdfastctl_as(&[("HOLDFAST_CONTROL_TOKEN", token)], arguments)
}

#[test]
fn an_order_closes_a_route_in_the_middle_of_load_and_ends_by_itself() -> TestResult {
    let stage = Stage::set(json!({}))?;
    let refused = Arc::new(AtomicUsize::new(0));
    let (seen, edge) = (Arc::clone(&refused), stage.edge);
    // Both workers have requests all the time.
    let load = Storm::new(Call::get(edge, "/").fresh_connection()).concurrency(8).total(20_000).per_second(200.0).see(
        move |_, reply| {
            let by = reply.as_ref().ok().and_then(client::Response::rejected_by);
            seen.fetch_add(usize::from(by == Some("circuit-breaker; cause=forced")), Ordering::Relaxed);
        },
    );
    let load = load.start();
    assert_eq!(stage.key()?["override"], Value::Null);
    let given = Instant::now();
    stage.order("force_open", "5s")?;
    eventually("requests are refused", SOON, || Ok::<_, anyhow::Error>(refused.load(Ordering::Relaxed) > 50))?;
    if given.elapsed() < Duration::from_secs(3) {
        assert_eq!(stage.key()?["override"]["mode"], "force_open");
        stage.orders.reset_counts();
        assert_eq!((everyone(edge)?.rejected(), stage.orders.hits()), (64, 0), "by both workers");
    }
    eventually("it is over", SOON, || is_refused(edge).map(|refused| !refused))?;
    assert!(given.elapsed() >= Duration::from_secs(5), "it held for {:?} only", given.elapsed());
    assert_eq!(stage.key()?["override"], Value::Null);
    let tally = load.stop();
    assert_eq!(tally.status(200) + tally.rejected(), tally.samples.len(), "nothing was lost");
    assert_eq!(everyone(edge)?.status(200), 64);
    let log = stage.envoy.log();
    assert!(
        log.contains(r#""event":"override""#) && log.contains(r#""mode":"force_open""#) && log.contains("127.0.0.1:"),
        "no audit"
    );
    assert!(!log.contains(TOKEN));
    Ok(())
}

#[test]
fn an_open_breaker_is_released_by_hand_and_the_order_is_lifted() -> TestResult {
    let stage = Stage::set(json!({}))?;
    open_the_breaker(stage.edge, &stage.orders)?;
    eventually("the operator sees it", SOON, || Ok::<_, anyhow::Error>(stage.key()?["state"] == "open"))?;
    stage.order("force_closed", "1h")?;
    eventually("it is released", SOON, || is_refused(stage.edge).map(|refused| !refused))?;
    assert_eq!(everyone(stage.edge)?.status(200), 64);
    let page = stage.ctl(&["state"])?.text()?;
    assert!(page.contains("open") && page.contains("force_closed by order for another"), "{page}");
    stage.ctl(&["override", "circuit-breaker", "all", "none"])?.good()?;
    eventually("it is as open as before", SOON, || is_refused(stage.edge))
}

#[test]
fn nobody_is_obeyed_without_the_token() -> TestResult {
    let stage = Stage::set(json!({}))?;
    let order = ["override", "circuit-breaker", "all", "force_open", "--for", "1h", "--control", &stage.control];
    ctl("", &order)?.refuses("HOLDFAST_CONTROL_TOKEN isn't set")?;
    for wrong in ["x", "0123456789abcdef0123456789abcdeg", &TOKEN[1..]] {
        ctl(wrong, &order)?.ends_with(1, "The token is missing, or wrong.")?;
    }
    let port = stage.envoy.port("control")?;
    for path in ["/", "/state", "/override", "/stats", "/quitquitquit"] {
        assert_eq!(client::get(port, path, &[])?.status, 401);
        let body = br#"{"plugin": "circuit-breaker", "key": "all", "mode": "force_open", "for": "1h"}"#;
        assert_eq!(Call::post(port, path, body).header("authorization", "Bearer x").send()?.status, 401);
        assert_eq!(Call::post(port, path, body).http2().send()?.status, 401);
    }
    assert_eq!(everyone(stage.edge)?.status(200), 64);
    Ok(())
}

#[test]
fn an_order_for_two_nodes_says_what_each_made_of_it() -> TestResult {
    let (one, other) = (Stage::set(json!({}))?, Stage::set(json!({}))?);
    let order = |key: &str, urls: &[&str]| {
        let named: Vec<&str> = urls.iter().flat_map(|url| ["--control", url]).collect();
        ctl(TOKEN, &[&["override", "circuit-breaker", key, "force_open", "--for", "1m"], &named[..]].concat())
    };
    order("all", &[&one.control, &other.control])?.good()?;
    for stage in [&one, &other] {
        eventually("it is obeyed", SOON, || is_refused(stage.edge))?;
    }
    order("al", &[&one.control])?.ends_with(1, "there are: all")?;
    // One of them is down: the other one obeys, and the command says so.
    let down = "http://127.0.0.1:1";
    order("all", &[down, &other.control])?.ends_with(1, "no answer")?;
    Ok(())
}

#[test]
fn a_client_that_never_sends_its_order_holds_nothing_up() -> TestResult {
    let stage = Stage::set(json!({}))?;
    let port = stage.envoy.port("control")?;
    let mut slow = std::net::TcpStream::connect(("127.0.0.1", port))?;
    let head = format!(
        "POST /override HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 80\r\n\r\n{{\"plugin\""
    );
    std::io::Write::write_all(&mut slow, head.as_bytes())?;
    assert_eq!(stage.key()?["override"], Value::Null);
    stage.order("dry_run", "1m")?;
    drop(slow);
    // A body longer than any order, in one piece and in many.
    let long = vec![b' '; 100_000];
    let reply = Call::post(port, "/override", &long).header("authorization", format!("Bearer {TOKEN}")).send()?;
    assert_eq!(reply.status, 413);
    stage.orders.set(Fault::Status(500));
    Ok(())
}

/// A configuration that was replaced before its timer fired goes on ticking as long as its streams live.
#[test]
fn orders_reach_the_breaker_that_serves_and_not_one_that_was_replaced_at_once() -> TestResult {
    let orders = Upstream::start("orders")?;
    // Its first tick comes after six seconds.
    let filter = breaker(json!({"window": {"time": "60s"}}))?.dynamic()?;
    let edge = config::listener("edge", &[filter.filter()], &[route()]);
    let clusters = [config::cluster("up", &[orders.port()])];
    let envoy = Envoy::start(&config::bootstrap(&[edge, control_listener()?], &clusters))?;
    let (edge, control) = (envoy.port("edge")?, format!("http://127.0.0.1:{}", envoy.port("control")?));
    let stage = Stage { orders, envoy, edge, control };
    let streams =
        (0..16).map(|_| client::Sse::open(edge, "/sse?events=600&every_ms=50")).collect::<Result<Vec<_>, _>>()?;
    let other = json!({"window": {"time": "2s"}});
    filter.update(&breaker(other)?.typed_config())?;
    eventually("the key is shown", SOON, || {
        everyone(edge)?;
        Ok::<_, anyhow::Error>(stage.key().is_ok())
    })?;
    stage.order("force_open", "1h")?;
    eventually("it is obeyed", SOON, || Ok::<_, anyhow::Error>(everyone(edge)?.rejected() == 64))?;
    // The former one's first tick is over now, on both workers.
    std::thread::sleep(Duration::from_secs(9));
    everyone(edge)?;
    assert_eq!(stage.key()?["override"]["mode"], "force_open", "what serves is what is shown");
    stage.ctl(&["override", "circuit-breaker", "all", "none"])?.good()?;
    eventually("it is lifted", SOON, || Ok::<_, anyhow::Error>(everyone(edge)?.status(200) == 64))?;
    drop(streams);
    Ok(())
}
