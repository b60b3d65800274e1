//! What real traffic brings along: routes without names, bytes that are no text, clients that lie, counters that are reset, streams.

mod budget;

use std::time::Duration;

use budget::{Entries, Story, counted, entries, gateway, plenty, route, until_counted};
use integration::client::WebSocket;
use integration::{Call, Envoy, Fault, TestResult, Upstream, config, eventually, throughout};
use serde_json::{Value, json};

/// Fifty requests of a kind to a service that is well, and fifty when it is down: a fifth of all is retried.
fn assert_bounded(story: &Story, call: &Call) -> TestResult {
    assert_eq!(budget::answered(call, 50)?.status(200), 50);
    story.orders.set(Fault::Status(503));
    let tally = budget::answered(call, 50)?;
    assert_eq!(tally.served_by("orders"), 50, "{:?}", tally.by_status());
    assert!((10..=20).contains(&story.retries()), "{} retries of 100 requests", story.retries());
    until_counted(story, "requests_total", 100)?;
    story.assert_no_trap();
    Ok(())
}

#[test]
fn a_route_without_a_name_has_a_budget_too() -> TestResult {
    let story = Story::on(&config::unnamed(route()), &entries(json!({}))?.both())?;
    assert_bounded(&story, &Call::get(story.edge, "/"))?;
    assert_eq!(counted(&story.envoy, "requests_total", &[("key", "all--orders")])?, 100);
    Ok(())
}

#[test]
fn headers_may_hold_any_byte() -> TestResult {
    let change = json!({"key": ["route", "header:x-tenant"], "client_retries": {}, "retry_unsafe": "keyed"});
    let story = Story::begin(change)?;
    story.orders.set_headers(&[
        ("retry-after", b"\xff"),
        ("grpc-retry-pushback", b"\xff"),
        ("x-holdfast-retry-in", b"\xff"),
        ("x-note", b"\xff"),
    ])?;
    let call = Call::get(story.edge, "/").header("x-tenant", b"a\xffb").header("x-retry-attempt", b"\xff");
    assert_bounded(&story, &call.header("x-holdfast-debug", b"\xff").header("idempotency-key", b"\xff"))
}

#[test]
fn a_client_that_speaks_our_language_gains_nothing() -> TestResult {
    let story = Story::begin(json!({}))?;
    let call = Call::get(story.edge, "/").headers(&[
        ("x-envoy-attempt-count", "77"),
        ("x-envoy-max-retries", "50"),
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-ratelimited", "true"),
        ("x-holdfast-retry-in", "1"),
        ("x-holdfast-reject", "retry-budget; cause=budget"),
        ("x-holdfast-granted", "9"),
    ]);
    assert_bounded(&story, &call)?;
    until_counted(&story, "retries_total", story.retries())
}

#[test]
fn counters_that_are_reset_stop_retries_for_one_ttl_and_no_longer() -> TestResult {
    let story = Story::on(&route(), &entries(json!({"ttl": "2s", "min_retries_per_second": 100}))?.both())?;
    story.orders.set(Fault::Status(503));
    let retried = || -> TestResult<bool> {
        let before = story.orders.hits();
        story.get()?;
        Ok(story.orders.hits() - before > 1)
    };
    // The first window is one in which nothing may be known; then all is.
    eventually("a request is retried", budget::SOON, retried)?;
    story.many(20)?;
    story.envoy.admin_post("/reset_counters")?;
    throughout("no request is retried", Duration::from_millis(1_500), || retried().map(|retried| !retried))?;
    eventually("a request is retried again", budget::SOON, retried)?;
    story.assert_no_trap();
    Ok(())
}

#[test]
fn an_idle_service_has_not_saved_up_more_than_its_budget() -> TestResult {
    let story = Story::begin(json!({"ttl": "1s"}))?;
    story.many(100)?;
    std::thread::sleep(Duration::from_millis(1_300));
    assert_bounded_after_idling(&story)
}

/// The hundred requests from before are forgotten: these fifty earn ten retries.
fn assert_bounded_after_idling(story: &Story) -> TestResult {
    story.orders.set(Fault::Status(503));
    story.many(50)?;
    assert!(story.retries() <= 10, "{} retries of 50 requests", story.retries());
    Ok(())
}

#[test]
fn a_web_socket_is_one_request_however_long_it_lives() -> TestResult {
    let story = Story::on(&route(), &plenty(json!({}))?.both())?;
    let mut socket = WebSocket::open(story.edge, "/ws")?;
    for word in ["one", "two", "three"] {
        assert_eq!(socket.echo(word)?, word);
    }
    until_counted(&story, "requests_total", 1)?;
    drop(socket);
    assert_eq!(story.get()?.status, 200);
    until_counted(&story, "requests_total", 2)?;
    assert_eq!((story.counted("retries_total")?, story.counted("granted_total")?), (0, 0));
    story.assert_no_trap();
    Ok(())
}

/// One Envoy with two ways to the same service; each has a listener, a cluster, a budget and the same route name.
fn two_ways(orders: &Upstream, web: &Entries, batch: &Entries) -> TestResult<(Envoy, u16, u16)> {
    let way = |name: &str, entries: &Entries| -> (Value, Value) {
        let route = config::with_retries(config::route("all", name), "5xx", 3);
        let cluster = config::without_limits(config::cluster(name, &[orders.port()]));
        let cluster = config::upstream_filters(cluster, &[entries.upstream.filter()]);
        (config::listener(name, &[entries.downstream.filter()], &[route]), cluster)
    };
    let ((web, to_web), (batch, to_batch)) = (way("web", web), way("batch", batch));
    let envoy = Envoy::start(&config::bootstrap(&[web, batch], &[to_web, to_batch]))?;
    let (web, batch) = (envoy.port("web")?, envoy.port("batch")?);
    Ok((envoy, web, batch))
}

#[test]
fn two_budgets_under_two_names_do_not_mix() -> TestResult {
    let orders = Upstream::start("orders")?;
    let instance = |name: &str| entries(json!({"instance": name}));
    let (envoy, web, batch) = two_ways(&orders, &instance("web")?, &instance("batch")?)?;
    budget::answered(&Call::get(web, "/"), 100)?;
    orders.set(Fault::Status(503));
    let attempts = |port: u16| -> TestResult<u64> {
        let before = orders.hits();
        Call::get(port, "/").send()?;
        Ok(orders.hits() - before)
    };
    assert_eq!(attempts(batch)?, 1, "what the other has earned isn't spent here");
    budget::answered(&Call::get(batch, "/"), 50)?;
    assert_eq!(attempts(web)?, 4, "what the other has spent isn't missed here");
    let of = |instance| counted(&envoy, "requests_total", &[("instance", instance)]);
    assert_eq!((of("web")?, of("batch")?), (101, 51));
    Ok(())
}

#[test]
fn two_clusters_under_one_name_share_what_there_is() -> TestResult {
    let orders = Upstream::start("orders")?;
    let one = entries(json!({}))?;
    let (_envoy, web, batch) = two_ways(&orders, &one, &one)?;
    budget::answered(&Call::get(web, "/"), 50)?;
    budget::answered(&Call::get(batch, "/"), 50)?;
    orders.set(Fault::Status(503));
    orders.reset_counts();
    budget::answered(&Call::get(web, "/"), 50)?;
    budget::answered(&Call::get(batch, "/"), 50)?;
    let retries = orders.hits() - 100;
    // With a scope per cluster (Envoy 1.36) each has its own share; either way it is a fifth of all.
    assert!((20..=40).contains(&retries), "{retries} retries of 200 requests");
    Ok(())
}

#[test]
fn one_key_does_not_spend_anothers() -> TestResult {
    let story = Story::begin(json!({"key": ["header:x-tenant"], "key_allow": {"header:x-tenant": ["blue", "red"]}}))?;
    let of = |tenant: &str| Call::get(story.edge, "/").header("x-tenant", tenant);
    budget::answered(&of("blue"), 100)?;
    story.orders.set(Fault::Status(503));
    let attempts = |tenant: &str| -> TestResult<u64> {
        let before = story.orders.hits();
        of(tenant).send()?;
        Ok(story.orders.hits() - before)
    };
    assert_eq!((attempts("red")?, attempts("blue")?), (1, 4));
    Ok(())
}

#[test]
fn a_filter_in_one_chain_only_is_still_a_bound() -> TestResult {
    let orders = Upstream::start("orders")?;
    let (_envoy, edge) = gateway(orders.port(), &route(), &entries(json!({}))?.upstream_only(), |cluster| cluster)?;
    orders.set(Fault::Status(503));
    budget::answered(&Call::get(edge, "/"), 50)?;
    assert!((51..=60).contains(&orders.hits()), "{} attempts of 50 requests", orders.hits());
    Ok(())
}
