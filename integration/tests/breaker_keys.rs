//! Who shares a breaker with whom, and what strangers can do to it with odd or countless names.
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod story;

use std::collections::BTreeSet;

use integration::client;
use integration::{Call, Envoy, Fault, Storm, TestResult, Upstream, config};
use integration::{eventually, eventually_eq};
use serde_json::json;
use story::{SOON, Story, breaker, events, fail_until_rejected, metric};

const OPEN: Option<&str> = Some("circuit-breaker; cause=open");

fn per_tenant() -> TestResult<Story> {
    Story::begin(json!({"key": ["header:x-tenant"]}))
}

#[test]
fn one_tenants_trouble_is_not_the_others() -> TestResult {
    let story = per_tenant()?;
    let of = |tenant: &str| story.call().header("x-tenant", tenant);
    fail_until_rejected(&of("blue").header("x-upstream-fault", "status:500"))?;

    assert_eq!(of("blue").send()?.rejected_by(), OPEN);
    assert_eq!((of("green").send()?.status, of("blue2").send()?.status), (200, 200));
    assert_eq!(story.call().send()?.status, 200, "nobody's");
    assert_eq!(metric(&story.envoy, "blue", "state")?, 1);
    eventually_eq("green is counted", SOON, &1, || metric(&story.envoy, "green", "calls_total;outcome=success"))?;
    eventually_eq("so is nobody", SOON, &1, || metric(&story.envoy, "_none", "calls_total;outcome=success"))
}

#[test]
fn names_that_are_no_text_are_names_all_the_same() -> TestResult {
    let story = per_tenant()?;
    let odd: [&[u8]; 5] = [b"a\xffb", b"a\xfeb", b"\xff", b"a_b", b"a;outcome=failure\xc3\xa9"];
    for tenant in odd {
        for _ in 0..3 {
            assert_eq!(story.call().header("x-tenant", tenant).send()?.status, 200, "{tenant:?}");
        }
    }
    let bytes = b"GET / HTTP/1.1\r\nhost: x\r\nx-tenant: \xff\xff\r\nx-tenant: \xff\r\nconnection: close\r\n\r\n";
    assert_eq!(client::raw(story.edge, bytes, SOON)?.status, 200);
    eventually_eq("each has a key of its own", SOON, &6, || Ok::<_, anyhow::Error>(keys(&story.envoy)?.len()))?;
    assert_eq!(metric(&story.envoy, "a_b", "calls_total;outcome=success")?, 3);

    // A breaker opens for the odd one alone.
    fail_until_rejected(&story.call().header("x-tenant", b"a\xffb").header("x-upstream-fault", "status:500"))?;
    assert_eq!(story.call().header("x-tenant", b"a\xfeb").send()?.status, 200);
    assert!(story.envoy.is_running());
    Ok(())
}

/// The keys that success counters exist for.
fn keys(envoy: &Envoy) -> TestResult<BTreeSet<String>> {
    let counters = envoy.stats("holdfast_circuit_breaker_calls_total.*;outcome=success$")?;
    let key = |name: &String| name.split(";key=").nth(1)?.split(";outcome").next().map(str::to_owned);
    Ok(counters.keys().filter_map(key).collect())
}

#[test]
fn a_thousand_and_one_tenants_leave_room_for_routes() -> TestResult {
    let story = per_tenant()?;
    let crowd = Storm::new(story.call()).concurrency(16).total(1_001);
    let crowd = crowd.each(|n, call| call.header("x-tenant", format!("t{n:04}")));
    let tally = crowd.clone().run(SOON * 2)?;
    assert_eq!((tally.len(), tally.status(200)), (1_001, 1_001), "{:?}", tally.errors());

    // Names that clients choose may fill half of the thousand; the rest is counted together.
    eventually_eq("the rest is `_other`", SOON, &501, || {
        metric(&story.envoy, "_other", "calls_total;outcome=success")
    })?;
    let named = keys(&story.envoy)?;
    assert_eq!((named.len(), named.contains("_other")), (501, true));
    let hits = story.orders.hits();
    let again = crowd.run(SOON * 2)?;
    assert_eq!((again.status(200), story.orders.hits() - hits), (1_001, 1_001));
    assert_eq!(keys(&story.envoy)?, named, "who is a key stays one, and nobody else becomes one");

    others_are_counted_and_never_refused(&story, &named)
}

fn others_are_counted_and_never_refused(story: &Story, named: &BTreeSet<String>) -> TestResult {
    let beyond: Vec<String> = (0..1_001).map(|n| format!("t{n:04}")).filter(|name| !named.contains(name)).collect();
    let (other, member) = (beyond.first().expect("501 of them"), named.first().expect("500 of them"));
    let failing = |tenant: &str| story.call().header("x-tenant", tenant).header("x-upstream-fault", "status:500");
    let tally = Storm::new(failing(other)).concurrency(8).total(200).run(SOON)?;
    assert_eq!((tally.status(500), tally.rejected()), (200, 0));
    eventually_eq("they are counted", SOON, &200, || metric(&story.envoy, "_other", "calls_total;outcome=failure"))?;
    assert_eq!(events(&story.envoy)?.len(), 0);

    let tenant = member.replace("_other", "t0000");
    fail_until_rejected(&failing(&tenant))?;
    assert_eq!(events(&story.envoy)?[0]["key"], tenant);
    assert_eq!(
        story
            .envoy
            .stat("wasmcustom.holdfast_circuit_breaker_series_dropped_total;chain=downstream;instance=default")?,
        0
    );
    Ok(())
}

#[test]
fn an_allow_list_says_who_is_a_key() -> TestResult {
    let allow = json!({"header:x-tenant": ["blue", "green"]});
    let story = Story::begin(json!({"key": ["header:x-tenant"], "key_allow": allow}))?;
    for tenant in ["blue", "green", "red", "Blue", ""] {
        assert_eq!(story.call().header("x-tenant", tenant).send()?.status, 200);
    }
    assert_eq!(story.call().send()?.status, 200);
    eventually_eq("the others are together", SOON, &4, || {
        metric(&story.envoy, "_other", "calls_total;outcome=success")
    })?;
    assert_eq!(keys(&story.envoy)?.into_iter().collect::<Vec<_>>(), ["_other", "blue", "green"]);
    Ok(())
}

#[test]
fn unnamed_routes_have_a_breaker_per_cluster() -> TestResult {
    let (first, second) = (Upstream::start("first")?, Upstream::start("second")?);
    let routes = [
        config::unnamed(config::route_at("", "/first", "first")),
        config::patch(config::route_at("", "/istio", "first"), json!({"name": "default"})),
        config::unnamed(config::route("", "second")),
    ];
    let listener = config::listener("edge", &[breaker(json!({}))?.filter()], &routes);
    let clusters = [config::cluster("first", &[first.port()]), config::cluster("second", &[second.port()])];
    let envoy = Envoy::start(&config::bootstrap(&[listener], &clusters))?;
    let edge = envoy.port("edge")?;

    first.set(Fault::Status(500));
    fail_until_rejected(&Call::get(edge, "/first"))?;
    assert_eq!(client::get(edge, "/istio", &[])?.rejected_by(), OPEN, "`default` is as good as no name");
    assert_eq!(client::get(edge, "/", &[])?.served_by(), Some("second"));
    assert_eq!((metric(&envoy, "all--first", "state")?, metric(&envoy, "all--second", "state")?), (1, 0));
    assert_eq!(events(&envoy)?[0]["key"], "all--first");
    Ok(())
}

#[test]
fn method_path_and_cluster_make_keys_too() -> TestResult {
    let story = Story::begin(json!({"key": ["virtual_host", "cluster", "method", "path:2"]}))?;
    let failing = |path: &str| Call::post(story.edge, path, b"").header("x-upstream-fault", "status:500");
    fail_until_rejected(&failing("/v1/pay/7?x=/y"))?;
    assert_eq!(Call::post(story.edge, "//v1//pay/8", b"").send()?.rejected_by(), OPEN);
    assert_eq!(Call::get(story.edge, "/v1/pay/7").send()?.status, 200);
    assert_eq!(Call::post(story.edge, "/v1/refund/7", b"").send()?.status, 200);
    let key = events(&story.envoy)?[0]["key"].as_str().unwrap_or_default().to_owned();
    assert!(key.starts_with("all--orders--POST--v1_pay-"), "{key}");
    Ok(())
}

#[test]
fn counters_that_are_reset_do_no_harm() -> TestResult {
    let story = Story::begin(json!({}))?;
    let healthy = Storm::new(story.call().fresh_connection()).concurrency(8).total(200);
    assert_eq!(healthy.clone().run(SOON)?.status(200), 200);
    story.envoy.admin_post("/reset_counters")?;
    // A few failures now must not look like a share of a window that never was.
    let some = Storm::new(story.call().header("x-upstream-fault", "status:500")).total(3).run(SOON)?;
    assert_eq!(some.status(500), 3);
    assert_eq!(healthy.clone().run(SOON)?.rejected(), 0);

    story.envoy.admin_post("/reset_counters")?;
    story.break_it()?;
    story.envoy.admin_post("/reset_counters")?;
    let refused = Storm::new(story.call().fresh_connection()).concurrency(8).total(40).run(SOON)?;
    assert_eq!(refused.rejected(), 40, "open stays open");
    let counted = story.envoy.stats("holdfast_circuit_breaker_.*_total")?;
    assert!(counted.values().all(|count| *count <= 1_000), "{counted:?}");
    Ok(())
}

#[test]
fn counters_reset_again_and_again_under_failures_only_delay_it() -> TestResult {
    let open = json!({"base": "300ms", "max": "300ms", "jitter": 0});
    let story = Story::begin(json!({"open": open}))?;
    story.orders.set(Fault::Status(500));
    let clients = Storm::new(story.call().fresh_connection()).concurrency(8).total(20_000).per_second(300.0).start();
    for _ in 0..20 {
        story.envoy.admin_post("/reset_counters")?;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    eventually("it opens", SOON, || clients.tally().rejected() > 0)?;
    story.orders.set(Fault::Healthy);
    story.envoy.admin_post("/reset_counters")?;
    eventually("it closes again", SOON, || Ok::<_, anyhow::Error>(!story::told(&story.envoy, "closed")?.is_empty()))?;
    drop(clients);
    story::until_every_worker_knows();
    let tally = Storm::new(story.call().fresh_connection()).concurrency(8).total(100).run(SOON)?;
    assert_eq!(tally.status(200), 100);
    Ok(())
}
