//! What a refused client gets, what a curious operator sees, and the configuration found in the wild.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod story;

use std::collections::BTreeSet;
use std::time::Duration;

use integration::client;
use integration::{Call, Envoy, Fault, Storm, TestResult, Upstream, Wasm, config};
use integration::{eventually, eventually_eq};
use serde_json::json;
use story::{SOON, Story, breaker, fail_until_rejected, metric, told};

#[test]
fn a_refusal_says_why_and_for_how_long() -> TestResult {
    let story = Story::begin(json!({}))?;
    story.break_it()?;
    let reply = story.call().send()?;
    assert_eq!((reply.status, reply.rejected_by()), (503, Some("circuit-breaker; cause=open")));
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.header("x-envoy-ratelimited"), Some("true"));
    let after: u64 = reply.header("retry-after").unwrap_or_default().parse()?;
    assert!((30..=90).contains(&after), "of 60 s, and up to half of it more: {after}");
    let problem = reply.json()?;
    assert_eq!((&problem["status"], &problem["cause"]), (&json!(503), &json!("open")));
    assert_eq!(problem["retry_after_seconds"], after);
    assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");

    let waits = (0..30).map(|_| Ok(story.call().send()?.header("retry-after").map(str::to_owned)));
    let waits = waits.collect::<TestResult<BTreeSet<_>>>()?;
    assert!(waits.len() >= 5, "clients don't come back all at once: {waits:?}");
    Ok(())
}

#[test]
fn an_answer_of_ones_own() -> TestResult {
    let headers = json!({"content-type": "text/html", "x-team": "payments", "retry-after": "7"});
    let reply = json!({"status": 429, "headers": headers, "body": "<p>later</p>"});
    let story = Story::begin(json!({"on_open": {"reply": reply}, "mark_rejections": false}))?;
    story.break_it()?;
    let reply = story.call().send()?;
    assert_eq!((reply.status, reply.text().as_str()), (429, "<p>later</p>"));
    assert_eq!((reply.header("content-type"), reply.header("x-team")), (Some("text/html"), Some("payments")));
    assert_eq!(reply.headers.get_all("retry-after").iter().collect::<Vec<_>>(), ["7"]);
    assert_eq!(reply.header("x-envoy-ratelimited"), None);
    assert!(reply.rejected_by().is_some());
    Ok(())
}

#[test]
fn a_grpc_client_is_told_in_its_own_words() -> TestResult {
    let story = Story::begin(json!({}))?;
    story.break_it()?;
    let reply = client::grpc(story.edge, "/shop.Orders/Get", b"hello", &[])?;
    assert_eq!((reply.http_status, reply.status, reply.in_trailers), (200, Some(14), false));
    assert!(reply.message.as_deref().is_some_and(|message| message.contains("open")), "{:?}", reply.message);
    assert_eq!(reply.headers["x-holdfast-reject"], "circuit-breaker; cause=open");
    assert_eq!(reply.headers["x-envoy-ratelimited"], "true");
    Ok(())
}

#[test]
fn the_proxy_in_front_does_not_retry_a_refusal() -> TestResult {
    let story = Story::begin(json!({}))?;
    story.break_it()?;
    let route = config::with_retries(config::route("all", "behind"), "5xx,gateway-error,reset", 3);
    let listener = config::listener("front", &[], &[route]);
    let front = Envoy::start(&config::bootstrap(&[listener], &[config::cluster("behind", &[story.edge])]))?;
    let before = story.metric("rejected_total;cause=open")?;
    let tally = client::storm(front.port("front")?, "/", 4, 20, SOON)?;
    assert_eq!((tally.status(503), tally.rejected()), (20, 20));
    assert_eq!(story.metric("rejected_total;cause=open")? - before, 20);
    Ok(())
}

#[test]
fn whoever_knows_the_token_sees_the_decision() -> TestResult {
    let orders = Upstream::start("orders")?;
    let breaker = breaker(json!({"debug_token": {"env": "HOLDFAST_DEBUG"}}))?.host_env(&["HOLDFAST_DEBUG"]);
    let listener = config::listener("edge", &[breaker.filter()], &[config::route("all", "orders")]);
    let config = config::bootstrap(&[listener], &[config::cluster("orders", &[orders.port()])]);
    let envoy = Envoy::options().env("HOLDFAST_DEBUG", "s3cret").start(&config)?;
    let edge = envoy.port("edge")?;
    let decision = |token: &[u8]| {
        let reply = Call::get(edge, "/").header("x-holdfast-debug", token).send()?;
        let header = reply.header("x-holdfast-debug-circuit-breaker").map(str::to_owned);
        Ok::<_, anyhow::Error>(header)
    };

    assert_eq!(decision(b"s3cret")?.as_deref(), Some("admitted; key=all; state=closed; generation=0"));
    let wrong: [&[u8]; 5] = [b"S3cret", b"s3cre", b"s3crets", b"", b"\xff\xff\xff\xff\xff\xff"];
    for token in wrong {
        assert_eq!(decision(token)?, None, "{token:?}");
    }
    assert_eq!(client::get(edge, "/", &[])?.header("x-holdfast-debug-circuit-breaker"), None);
    assert!(
        orders.seen().iter().all(|seen| seen.headers.iter().all(|(name, _)| name != "x-holdfast-debug")),
        "the token went on"
    );
    orders.set(Fault::Status(503));
    eventually("a refusal tells the decision too", SOON, || {
        Ok::<_, anyhow::Error>(
            decision(b"s3cret")?.is_some_and(|told| told.starts_with("refused; key=all; state=open")),
        )
    })?;
    let dump = envoy.admin_get("/config_dump")?;
    assert!(dump.contains("HOLDFAST_DEBUG") && !dump.contains("s3cret"), "the dump shows the secret");
    Ok(())
}

#[test]
fn headers_in_our_name_from_outside_change_nothing() -> TestResult {
    let story = Story::begin(json!({}))?;
    let names = ["reject", "fallback", "debug", "debug-circuit-breaker", "override", "test", "state", "mode", "key"];
    let spoofed = names.iter().fold(story.call().fresh_connection(), |call, name| {
        let odd: &[u8] = if name.len() % 2 == 0 { b"\xff" } else { b"force_closed" };
        call.header(&format!("x-holdfast-{name}"), odd)
    });
    let reply = spoofed.clone().header("x-holdfast-test", "trap").send()?;
    assert_eq!((reply.status, reply.rejected_by()), (200, None));
    assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("x-holdfast")), "{:?}", reply.headers);

    story.break_it()?;
    let tally = Storm::new(spoofed).concurrency(8).total(40).run(SOON)?;
    assert_eq!(tally.rejected(), 40);
    assert_eq!(story.metric("override")?, 0);
    Ok(())
}

#[test]
fn the_configuration_found_in_the_wild_works_as_it_is() -> TestResult {
    let text = r#"{"timeout": 150, "threshold": 0.5, "min_half_open_requests": 3, "window_size": 1000}"#;
    let legacy = Wasm::module("circuit_breaker")?.name("breaker").config_text(text);
    let story = Story::with_route(&legacy, config::route("all", "orders"))?;
    let clients = Storm::new(story.call().fresh_connection()).concurrency(64).total(20_000).per_second(100.0).start();
    eventually("all is well", SOON, || clients.tally().status(200) > 50)?;
    assert_eq!(clients.tally().rejected(), 0);

    // Slower than `timeout` is a failure, whatever the status.
    story.orders.set(Fault::Slow(Duration::from_millis(300)));
    eventually("it opens", SOON, || clients.tally().rejected() > 0)?;
    assert_eq!(told(&story.envoy, "open")?[0]["cause"], "failure_ratio");
    assert_eq!(clients.tally().count(|sample| sample.rejected_by.is_none() && sample.status != Some(200)), 0);

    story.orders.set(Fault::Healthy);
    eventually_eq("three probes succeed", SOON, &1, || story.metric("transitions_total;to=recovering"))?;
    drop(clients);
    assert_eq!(story.metric("probes_total;result=success")?, 3);
    Ok(())
}

#[test]
fn no_configuration_at_all_works_too() -> TestResult {
    let plain = Wasm::module("circuit_breaker")?.name("breaker").config_text("{}");
    let story = Story::with_route(&plain, config::unnamed(config::route("", "orders")))?;
    assert_eq!(story.call().send()?.status, 200);
    story.orders.set(Fault::Status(502));
    fail_until_rejected(&story.call())?;
    assert_eq!(metric(&story.envoy, "all--orders", "transitions_total;to=open")?, 1);
    Ok(())
}
