//! The first run, and its repeats.

use crate::shop::Shop;
use crate::support::{
    MEMORY, SECOND, ask, cause_of, envoy, header, is, keyless, memory, metric, pay, post, receipt, replayed, runs,
    state, worker,
};
use core::time::Duration;
use serde_json::Value;

#[test]
fn the_first_run_goes_to_the_service_once() {
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    assert!(call.passed());
    let fence: u64 = call.request_header("x-holdfast-fence").unwrap().parse().unwrap();
    assert_eq!(fence, plugin.host().proxy().clock().now().as_millis());
    assert_eq!(call.request_header("x-envoy-max-retries").as_deref(), Some("0"));
    let timeout = call.request_header("x-envoy-upstream-rq-per-try-timeout-ms");
    assert_eq!(timeout.as_deref(), Some("27000"), "the lease, but a tenth");
    assert_eq!(call.request_header("idempotency-key").as_deref(), Some("\"k\""), "the service may want it too");
    assert_eq!(state(&call), "claimed");
    receipt(&mut call);
    let ended = call.finish();
    assert_eq!((ended.status, ended.response.get("idempotency-replayed")), (Some(201), None));
    assert_eq!(
        ended.response.text("set-cookie").as_deref(),
        Some("a=b"),
        "the first client gets what the service said"
    );
    assert_eq!(metric(plugin.host().proxy(), "claimed_total"), 1);
    assert_eq!(metric(plugin.host().proxy(), "stored_total;cause=in_time"), 1);
}

#[test]
fn a_repeat_gets_the_first_answer_byte_for_byte_in_any_worker() {
    let proxy = envoy();
    let [one, other] = [(); 2].map(|()| worker(&proxy, MEMORY, ""));
    pay(&one, &post("k"));
    for plugin in [&one, &other, &other] {
        let call = post("k").send(plugin);
        assert_eq!(state(&call), "replay");
        let reply = replayed(call);
        assert_eq!(header(&reply, "content-type").as_deref(), Some("application/json"));
        assert_eq!(header(&reply, "set-cookie"), None, "that was for the first client alone");
        assert_eq!(header(&reply, "x-holdfast-idempotency"), None, "it is whole");
    }
    assert_eq!((metric(&proxy, "claimed_total"), metric(&proxy, "replayed_total")), (1, 3));
}

#[test]
fn a_day_later_the_key_is_forgotten() {
    let plugin = memory("");
    pay(&plugin, &post("k"));
    plugin.host().proxy().advance(Duration::from_secs(24 * 3_600 - 1));
    replayed(post("k").send(&plugin));
    plugin.host().proxy().advance(SECOND);
    assert!(runs(&plugin, &post("k")));
}

#[test]
fn json_that_means_the_same_is_the_same_and_anything_else_is_refused() {
    let plugin = memory("");
    pay(&plugin, &post("k"));
    replayed(post("k").body(br#" {"to": "x", "amount": 1e1 } "#).send(&plugin));
    replayed(post("k").with("x-trace", "1").send(&plugin));
    for other in [&br#"{"amount": 11, "to": "x"}"#[..], br#"{"amount": 10}"#, b"", b"amount=10"] {
        is(post("k").body(other).send(&plugin), 422, "mismatch");
    }
    is(post("k").without_body().send(&plugin), 422, "mismatch");
    assert_eq!(metric(plugin.host().proxy(), "refused_total;cause=mismatch"), 5);
}

#[test]
fn other_bodies_are_compared_as_bytes() {
    let plugin = memory("");
    let form = |body: &[u8]| ask("POST", "/pay").with("idempotency-key", "\"k\"").body(body);
    pay(&plugin, &form(b"a=1&b=\xFF"));
    replayed(form(b"a=1&b=\xFF").send(&plugin));
    is(form(b"b=\xFF&a=1").send(&plugin), 422, "mismatch");
}

#[test]
fn what_counts_of_a_request_can_be_chosen() {
    let plugin = memory(
        r#""fingerprint": {"json": ["/amount"], "exclude": ["/amount/note"], "headers": ["x-kind"], "query": ["unit"]}"#,
    );
    let order = |kind: &str, query: &str, body: &str| {
        let ask = ask("POST", &format!("/pay?{query}")).with("content-type", "application/json").with("x-kind", kind);
        ask.with("idempotency-key", "\"k\"").body(body.as_bytes())
    };
    pay(&plugin, &order("a", "unit=1&t=1", r#"{"amount": {"n": 1, "note": "x"}, "at": 1}"#));
    replayed(order("a", "t=2&unit=1", r#"{"amount": {"n": 1, "note": "y"}, "at": 2}"#).send(&plugin));
    is(order("b", "unit=1", r#"{"amount": {"n": 1}}"#).send(&plugin), 422, "mismatch");
    is(order("a", "unit=2", r#"{"amount": {"n": 1}}"#).send(&plugin), 422, "mismatch");
    is(order("a", "unit=1", r#"{"amount": {"n": 2}}"#).send(&plugin), 422, "mismatch");
}

#[test]
fn a_changed_selection_makes_old_keys_incomparable_and_never_runs_them_again() {
    let proxy = envoy();
    let host = proxy.worker();
    let start = |more: &str| sdk_shim::fake::Worker::start(&host, &format!("{{{MEMORY}{more}}}")).unwrap();
    pay(&start(""), &post("k"));
    let pushed = start(r#", "fingerprint": {"json": ["/amount"]}"#);
    is(post("k").send(&pushed), 409, "unknown");
    replayed(post("k").send(&start("")));
}

#[test]
fn while_the_first_is_under_way_a_repeat_is_told_when_to_come_again() {
    let proxy = envoy();
    let [one, other] = [(); 2].map(|()| worker(&proxy, MEMORY, ""));
    let mut first = post("k").send(&one);
    proxy.advance(Duration::from_millis(10_500));
    let reply = post("k").send(&other).finish().reply.unwrap();
    assert_eq!((reply.status, cause_of(&reply)), (409, "in_flight".into()));
    assert_eq!(header(&reply, "retry-after").as_deref(), Some("20"), "what is left of the lease, in whole seconds");
    is(post("k").body(b"{}").send(&other), 422, "mismatch");
    receipt(&mut first);
    first.finish();
    replayed(post("k").send(&other));
}

/// RFC 9457, and what other proxies and the plugins of ours make of it.
#[test]
fn a_refusal_is_a_problem_that_says_what_is_wrong() {
    let plugin = memory("");
    let first = post("k").send(&plugin);
    for (ask, status, cause, later) in [
        (post("k"), 409, "in_flight", Some(30)),
        (post("k").body(b"{}"), 422, "mismatch", None),
        (post("k").with("idempotency-key", "\"k\""), 400, "key_several", None),
    ] {
        let call = ask.send(&plugin);
        assert_eq!(state(&call), cause, "so that nobody counts it against the service");
        let reply = call.finish().reply.unwrap();
        let problem: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(header(&reply, "content-type").as_deref(), Some("application/problem+json"));
        assert_eq!(header(&reply, "x-envoy-ratelimited").as_deref(), Some("true"), "a hop in front doesn't retry");
        assert_eq!(problem["type"], "urn:holdfast:problem:idempotency");
        assert_eq!((problem["status"].as_u64(), problem["cause"].as_str()), (Some(status), Some(cause)));
        assert_eq!(problem["retry_after_seconds"].as_u64(), later);
        assert!(problem["title"].as_str().is_some_and(|title| title.len() > 20));
    }
    first.finish();
}

#[test]
fn a_refusal_may_go_unmarked() {
    let plugin = memory(r#""mark_rejections": false, "required": true"#);
    let reply = keyless().send(&plugin).finish().reply.unwrap();
    assert_eq!(header(&reply, "x-envoy-ratelimited"), None);
}

#[test]
fn an_answer_may_be_kept_without_its_body() {
    let plugin = memory(r#""store_body": false"#);
    pay(&plugin, &post("k"));
    let reply = post("k").send(&plugin).finish().reply.unwrap();
    assert_eq!((reply.status, reply.body.len()), (201, 0));
    assert_eq!(header(&reply, "idempotency-replayed").as_deref(), Some("true"));
    assert_eq!(header(&reply, "x-holdfast-idempotency").as_deref(), Some("body-not-stored"));
    assert_eq!(header(&reply, "content-type"), None, "there is nothing of that type");
}

#[test]
fn a_service_that_is_idempotent_itself_may_be_retried_by_the_proxy() {
    let plugin = memory(r#""service_is_idempotent": true, "lease": "10s""#);
    let call = post("k").send(&plugin);
    assert_eq!(call.request_header("x-envoy-max-retries"), None);
    assert_eq!(call.request_header("x-envoy-upstream-rq-per-try-timeout-ms").as_deref(), Some("9000"));
    call.finish();
}

#[test]
fn a_shorter_timeout_that_is_set_already_stays_and_a_longer_one_does_not() {
    let plugin = memory(r#""lease": "10s""#);
    for (set, becomes) in [("8999", "8999"), ("9001", "9000"), ("0", "9000"), ("soon", "9000")] {
        let call = post(set).with("x-envoy-upstream-rq-per-try-timeout-ms", set).send(&plugin);
        assert_eq!(call.request_header("x-envoy-upstream-rq-per-try-timeout-ms").as_deref(), Some(becomes));
        call.finish();
    }
}

/// Two entries of one proxy don't share keys, unless they have one name.
#[test]
fn instances_and_namespaces_keep_keys_apart() {
    let proxy = envoy();
    let [one, other, third] =
        ["", r#""instance": "b""#, r#""namespace": "n""#].map(|more| worker(&proxy, MEMORY, more));
    for plugin in [&one, &other, &third] {
        pay(plugin, &post("k"));
    }
    replayed(post("k").send(&one));
}

#[test]
fn a_push_that_changes_neither_store_nor_selection_keeps_what_is_known() {
    let proxy = envoy();
    pay(&worker(&proxy, MEMORY, ""), &post("k"));
    let pushed = worker(&proxy, MEMORY, r#""lease": "10s", "ttl": "1h", "required": true, "release_on": []"#);
    replayed(post("k").send(&pushed));
}

#[test]
fn a_full_memory_is_a_store_error_and_forgets_nobody() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#""store": {"kind": "memory", "slots": 2}, "headers_stop_iteration": true"#, "");
    pay(&plugin, &post("a"));
    pay(&plugin, &post("b"));
    is(post("c").send(&plugin), 503, "store");
    replayed(post("a").send(&plugin));
    replayed(post("b").send(&plugin));
}

#[test]
fn an_answer_that_finds_no_room_is_kept_without_its_body() {
    let small = r#""store": {"kind": "memory", "slots": 1, "max_bytes": 1024}, "max_body": 1024, "headers_stop_iteration": true"#;
    let plugin = worker(&envoy(), small, "");
    let mut call = post("k").send(&plugin);
    call.respond(&[(":status", "200")], false).body(&[b'x'; 1_024], true);
    assert_eq!(call.finish().status, Some(200));
    let reply = post("k").send(&plugin).finish().reply.unwrap();
    assert_eq!(header(&reply, "x-holdfast-idempotency").as_deref(), Some("body-not-stored"));
}

/// Old, new: written under the first, looked up under all; nobody is charged twice while nodes differ.
#[test]
fn a_secret_is_changed_without_forgetting_what_ran() {
    let store = |secrets: &str| {
        format!(
            r#""store": {{"kind": "redis", "cluster": "store"}}, "secret": [{secrets}], "headers_stop_iteration": true"#
        )
    };
    let (old, new) = (r#"{"env": "KEY"}"#, r#"{"env": "NEW"}"#);
    let mut shop = Shop::of_redis(1, &store(old), "");
    shop.proxy.set_env("NEW", "another secret of sixteen bytes");
    shop.pay(&post("before"));
    for (n, secrets) in [format!("{old}, {new}"), format!("{new}, {old}"), format!("{old}, {new}")].iter().enumerate() {
        shop.workers = vec![worker(&shop.proxy, &store(secrets), "")];
        replayed(shop.send(&post("before")));
        (0..n).for_each(|n| _ = replayed(shop.send(&post(&format!("in step {n}")))));
        shop.pay(&post(&format!("in step {n}")));
    }
    shop.workers = vec![worker(&shop.proxy, &store(new), "")];
    replayed(shop.send(&post("in step 1")));
    assert_eq!(shop.store.records().len(), 4);
}
