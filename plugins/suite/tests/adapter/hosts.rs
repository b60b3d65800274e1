//! The suite on the other host.

use crate::support::{Call, GET, ORDER, POST, Plugin, call, cause, worker};
use core::time::Duration;
use sdk_shim::fake::{FakeProxy, Worker};

fn kong() -> FakeProxy {
    let proxy = FakeProxy::wasmx();
    proxy.set("kong.route_id", "checkout");
    proxy.set("kong.service_id", "payments");
    proxy
}

#[test]
fn kong_runs_what_it_can() {
    let plugin = worker(
        &kong(),
        r#"{"allow_degraded": true, "protocol_health": {}, "circuit_breaker": {"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2}}"#,
    );
    assert!(call(&plugin, "200") && call(&plugin, "500") && call(&plugin, "500"));
    assert!(!call(&plugin, "200"), "the breaker is open");
    (0..3).for_each(|_| plugin.tick());
    assert!(plugin.host().traps().is_empty());
}

#[test]
fn a_service_that_kong_cant_reach_opens_the_breaker() {
    let all = r#"{"allow_degraded": true, "protocol_health": {}, "metrics": {}, "circuit_breaker": {"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2}}"#;
    let plugin = worker(&kong(), all);
    plugin.request(GET).forget();
    plugin.request(GET).forget();
    assert!(!call(&plugin, "200"));
    assert!(plugin.host().traps().is_empty());
}

/// Kong's own error pages end a request without a word to its filters.
#[test]
fn a_request_of_whose_end_nobody_hears_leaves_nothing_behind() {
    let all = r#"{"circuit_breaker": {}, "insecure_literal": true, "idempotency": {"store": {"kind": "webdis", "cluster": "127.0.0.1:7379"},
        "accept_reply_before_store": true, "secret": [{"literal": "a secret of more than sixteen bytes"}], "on_store_error": "open"}}"#;
    let plugin = worker(&kong(), all);
    let length = ORDER.len().to_string();
    for _ in 0..3 {
        let keyed = sdk_shim::fake::Headers::from(POST).with("content-length", length.as_bytes());
        let mut keyed = plugin.stream().with_body().request(keyed);
        keyed.request_body(ORDER, true);
        assert!(keyed.paused());
        let (id, _) = plugin.host().pending_callouts().pop().unwrap();
        plugin.answer_nothing(id);
        assert!(keyed.passed());
        keyed.forget();
    }
    assert!(format!("{:?}", plugin.plugin()).contains("held: 0"), "{:?}", plugin.plugin());
}

const WITH_WEBDIS: &str = r#"{"circuit_breaker": {}, "insecure_literal": true, "idempotency": {"store": {"kind": "webdis", "cluster": "127.0.0.1:7379"},
    "accept_reply_before_store": true, "secret": [{"literal": "a secret of more than sixteen bytes"}]}}"#;

/// With a key, and its whole body.
fn pay(plugin: &Plugin) -> Call {
    let length = ORDER.len().to_string();
    let keyed = sdk_shim::fake::Headers::from(POST).with("content-length", length.as_bytes());
    let mut keyed = plugin.stream().with_body().request(keyed);
    keyed.request_body(ORDER, true);
    keyed
}

/// Before 3.8, Kong ends a request with an error page of its own whose call fails, and only forgets it.
#[test]
fn a_request_whose_call_fails_unheard_leaves_nothing_behind() {
    let proxy = kong();
    let plugin = worker(&proxy, WITH_WEBDIS);
    let mut calls = Vec::new();
    for _ in 0..3 {
        let keyed = pay(&plugin);
        assert!(keyed.paused());
        calls.extend(plugin.host().pending_callouts().pop());
        keyed.forget();
    }
    for _ in 0..100 {
        proxy.advance(Duration::from_secs(1));
        plugin.tick();
    }
    let left = format!("{:?}", plugin.plugin());
    let count = |what: &str| left.matches(what).count();
    let roots = format!("owner: {:?}", plugin.root());
    assert_eq!((count("OwnCall {"), count("held: 0"), count("owner: ")), (0, 1, count(&roots)));
    for (id, _) in calls {
        assert!(!plugin.answer_nothing(id), "nobody is there to hear it");
    }
    assert!(call(&plugin, "200"));
    assert!(plugin.host().traps().is_empty());
}

/// Kong makes a VM anew after a trap, and lets a request go on behind an answer that only the former one could have read.
#[test]
fn a_request_that_waited_in_a_vm_that_is_gone_is_refused() {
    let proxy = kong();
    let former = worker(&proxy, WITH_WEBDIS);
    let waits = pay(&former);
    assert!(waits.paused());
    let (id, _) = former.host().pending_callouts().pop().unwrap();
    let now = Worker::start(former.host(), WITH_WEBDIS).unwrap();
    let waits = waits.anew(&now);
    now.answer(id, &[(":status", "200")], b"whatever");
    assert_eq!(waits.reply().as_ref().map(cause), Some("idempotency; cause=store"));
}

/// Each property that Kong has not would be a line in its error log, for each request.
#[test]
fn a_healthy_request_costs_kong_no_line_in_its_log() {
    let all = r#"{"allow_degraded": true, "protocol_health": {}, "metrics": {}, "circuit_breaker": {}, "retry_budget": {"client_retries": {}},
        "idempotency": {"store": {"kind": "memory", "accept_eviction": true}, "accept_reply_before_store": true}}"#;
    let plugin = worker(&kong(), all);
    let length = ORDER.len().to_string();
    for _ in 0..2 {
        let mut plain = plugin.request(GET);
        plain.respond(&[(":status", "200")], false).body(b"ok", true);
        plain.finish();
        let keyed = sdk_shim::fake::Headers::from(POST).with("content-length", length.as_bytes());
        let mut keyed = plugin.stream().with_body().request(keyed);
        keyed.request_body(ORDER, true);
        if keyed.passed() {
            keyed.respond(&[(":status", "200")], false).body(b"paid", true);
        }
        keyed.finish();
        plugin.tick();
    }
    assert!(plugin.host().logs().is_empty(), "{:?}", plugin.host().logs());
    let asked =
        |path: &str| plugin.host().call_lines().iter().filter(|line| **line == format!("property({path})")).count();
    assert_eq!((asked("plugin_name"), asked("kong.version")), (1, 1), "once per worker");
}

/// A query of GraphQL, answered with 200.
fn query(plugin: &Plugin, answer: &[u8]) -> bool {
    let (body, kind) = (br#"{"query": "{a}"}"#, ("content-type", "application/json"));
    let headers = [(":method", "POST"), (":path", "/graphql"), (":authority", "shop"), kind, ("content-length", "16")];
    let mut query = plugin.stream().with_body().request(&headers);
    query.request_body(body, true);
    let passed = query.passed();
    if passed {
        query.respond(&[(":status", "200"), kind], false).body(answer, true);
    }
    query.finish();
    passed
}

const SICK: &[u8] = br#"{"errors": [{"message": "x", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}], "data": null}"#;

/// What a body says is known when it has gone by, and forgotten when the request is over.
#[test]
fn errors_in_a_body_open_a_breaker_that_measures_to_completion() {
    let all = r#"{"allow_degraded": true, "protocol_health": {"graphql": {"paths": ["/graphql"]}},
        "circuit_breaker": {"measure": "completion", "failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2}}"#;
    let plugin = worker(&kong(), all);
    assert_eq!([SICK; 4].map(|answer| query(&plugin, answer)), [true, true, false, false]);
}

#[test]
fn errors_in_a_body_are_counted_as_what_they_are() {
    let all = r#"{"allow_degraded": true, "protocol_health": {"graphql": {"paths": ["/graphql"]}}, "metrics": {}}"#;
    let proxy = kong();
    assert!(query(&worker(&proxy, all), SICK));
    let requests = |(name, total): &(String, u64)| name.starts_with("holdfast_requests_total") && *total > 0;
    let counted: Vec<_> = proxy.metrics().into_iter().filter(requests).collect();
    assert!(counted.len() == 1 && counted[0].0.contains("outcome=server_fault"), "{counted:?}");
}

/// It was never sent. To take the breaker's answer for the service's would be to give it again for as long as the key lives.
#[test]
fn a_key_whose_request_the_breaker_refused_in_kong_is_free_again() {
    for status in ["503", "500", "420"] {
        let proxy = kong();
        let config = format!(
            r#"{{"circuit_breaker": {{"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 2,
            "open": {{"base": "1s", "jitter": 0}}, "on_open": {{"reply": {{"status": {status}}}}}}},
            "idempotency": {{"store": {{"kind": "memory", "accept_eviction": true}}, "accept_reply_before_store": true, "lease": "30s"}}}}"#
        );
        let plugin = worker(&proxy, &config);
        assert!(call(&plugin, "500") && call(&plugin, "500") && !call(&plugin, "200"), "the breaker is open");
        let first = plugin.stream().request(POST).finish().reply.expect("a refusal");
        assert_eq!((first.status.to_string().as_str(), cause(&first)), (status, "circuit-breaker; cause=open"));
        proxy.advance(Duration::from_secs(60));
        for _ in 0..20 {
            call(&plugin, "200");
            proxy.advance(Duration::from_millis(500));
            plugin.tick();
        }
        assert!(plugin.stream().request(POST).passed(), "{status}: its repeat runs");
    }
}
