//! Which requests, and whose.

use crate::shop::{REDIS, Redis, Shop};
use crate::support::{
    Ask, Call, MEMORY, SECOND, answered, ask, envoy, header, is, keyless, memory, metric, pay, post, replayed, runs,
    state, worker,
};
use core::time::Duration;

#[test]
fn requests_that_have_no_key_pass_untouched() {
    let plugin = memory("");
    for ask in [keyless(), ask("GET", "/pay").with("idempotency-key", "\"k\""), ask("DELETE", "/pay")] {
        let call = ask.send(&plugin);
        assert_eq!((call.request_header("x-envoy-max-retries"), call.request_header("x-holdfast-fence")), (None, None));
        answered(call, "200");
        assert!(runs(&plugin, &ask), "and again");
    }
    assert!(plugin.host().proxy().metrics().keys().all(|name| !name.contains("claimed")));
}

#[test]
fn methods_and_paths_say_which_requests_have_keys() {
    let plugin = memory(r#""methods": ["PUT", "POST"], "paths": ["/pay", "/v1/"]"#);
    let keyed = |method: &str, path: &str| ask(method, path).with("idempotency-key", path).body(b"x");
    for (method, path) in
        [("POST", "/pay"), ("POST", "/pay/1"), ("PUT", "/pay"), ("POST", "/v1/x"), ("POST", "/pay?x=1")]
    {
        assert_eq!(state(&keyed(method, path).send(&plugin)), "claimed", "{method} {path}");
    }
    for (method, path) in [("PATCH", "/pay"), ("POST", "/payments"), ("POST", "/v1"), ("POST", "/"), ("post", "/pay")] {
        assert_eq!(state(&keyed(method, path).send(&plugin)), "", "{method} {path}");
    }
}

#[test]
fn one_key_on_two_paths_or_with_two_methods_is_two_keys() {
    let plugin = memory("");
    for (method, path) in [("POST", "/pay"), ("POST", "/refund"), ("PATCH", "/pay")] {
        pay(&plugin, &ask(method, path).with("idempotency-key", "\"k\"").body(b"x"));
    }
    is(ask("POST", "/pay?a=1").with("idempotency-key", "\"k\"").body(b"y").send(&plugin), 422, "mismatch");
}

#[test]
fn a_key_may_be_required() {
    let plugin = memory(r#""required": true"#);
    is(keyless().send(&plugin), 400, "key_missing");
    assert!(runs(&plugin, &post("k")));
    assert!(runs(&plugin, &ask("GET", "/pay")), "not of those that need none");
}

#[test]
fn a_bare_key_is_the_quoted_one_and_is_counted() {
    let plugin = memory("");
    pay(&plugin, &post("k"));
    replayed(keyless().with("idempotency-key", " k ").send(&plugin));
    assert_eq!(metric(plugin.host().proxy(), "bare_keys_total"), 1);
    let strict = memory(r#""strict": true"#);
    is(keyless().with("idempotency-key", "k").send(&strict), 400, "key_unquoted");
    assert!(runs(&strict, &post("k")));
}

#[test]
fn what_is_no_key_is_refused_by_its_own_name() {
    let plugin = memory("");
    for (value, cause) in [
        ("", "key_empty"),
        ("\"\"", "key_empty"),
        ("\"a\", \"b\"", "key_several"),
        ("\"a", "key_malformed"),
        ("a b", "key_character"),
        ("\u{e9}", "key_character"),
    ] {
        is(keyless().with("idempotency-key", value).send(&plugin), 400, cause);
    }
    is(post("a").with("idempotency-key", "\"b\"").send(&plugin), 400, "key_several");
}

#[test]
fn another_header_has_bare_keys_whatever_is_in_them() {
    let plugin = memory(r#""header": "x-idempotency-key""#);
    let with = |key: &str| keyless().with("x-idempotency-key", key);
    pay(&plugin, &with("\"k\""));
    replayed(with(" \"k\" ").send(&plugin));
    assert!(runs(&plugin, &with("k")), "the quotes are part of it");
    assert!(runs(&plugin, &post("k")), "and the draft's header is none");
}

#[test]
fn two_tenants_with_one_key_never_meet() {
    let plugin = memory(r#""tenant": ["x-tenant", "x-user"]"#);
    let of = |tenant: &str, user: &str| post("k").with("x-tenant", tenant).with("x-user", user);
    for (tenant, user) in [("a", "bc"), ("ab", "c"), ("b", "a")] {
        pay(&plugin, &of(tenant, user));
    }
    replayed(of("a", "bc").send(&plugin));
}

#[test]
fn a_request_of_nobody_is_refused_and_so_is_one_of_two() {
    let plugin = memory(r#""tenant": ["x-tenant"]"#);
    is(post("k").send(&plugin), 400, "tenant");
    is(post("k").with("x-tenant", "").send(&plugin), 400, "tenant");
    is(post("k").with("x-tenant", "a").with("x-tenant", "b").send(&plugin), 400, "tenant");
    assert!(runs(&plugin, &keyless()), "who sends no key isn't asked");
}

#[test]
fn what_only_this_filter_may_say_is_taken_away_from_clients() {
    let plugin = memory("");
    let spoofed = |ask: Ask| ask.with("x-holdfast-fence", "99").with("x-holdfast-idempotency", "unprotected");
    let call = spoofed(post("k")).with("x-holdfast-fence", "98").send(&plugin);
    assert!(call.request_header("x-holdfast-fence").unwrap().starts_with("17000"), "ours");
    assert_eq!(call.request_header("x-holdfast-idempotency"), None);
    for ask in [spoofed(keyless()), spoofed(ask("POST", "/pay"))] {
        let call = ask.send(&plugin);
        assert_eq!(call.request_header("x-holdfast-fence"), None);
        assert_eq!(call.request_header("x-holdfast-idempotency"), None);
    }
    // Of a request without a key it is true.
    let unprotected = keyless().with("x-holdfast-idempotency", "unprotected").send(&plugin);
    assert_eq!(unprotected.request_header("x-holdfast-idempotency").as_deref(), Some("unprotected"));
    let elsewhere = memory(r#""paths": ["/other"]"#);
    assert_eq!(
        spoofed(keyless()).send(&elsewhere).request_header("x-holdfast-fence"),
        None,
        "also where it is not asked"
    );
}

#[test]
fn a_request_without_a_key_may_get_its_content_for_one() {
    let plugin = memory(r#""derive": {"ttl": "60s"}, "tenant": ["x-tenant"]"#);
    let of = |tenant: &str| keyless().with("x-tenant", tenant);
    pay(&plugin, &of("a"));
    replayed(of("a").body(br#"{"to": "x", "amount": 10}"#).send(&plugin));
    pay(&plugin, &of("b"));
    pay(&plugin, &of("a").body(b"{}"));
    pay(&plugin, &post("k").with("x-tenant", "a"));
    replayed(post("k").with("x-tenant", "a").send(&plugin));
    plugin.host().proxy().advance(Duration::from_secs(61));
    assert!(runs(&plugin, &of("a")), "it is meant again a minute later");
    replayed(post("k").with("x-tenant", "a").send(&plugin));
}

#[test]
fn a_derived_key_of_which_nobody_knows_the_end_is_not_forgotten_as_early() {
    let plugin = memory(r#""derive": {"ttl": "60s"}, "tenant": ["x-tenant"]"#);
    let ask = keyless().with("x-tenant", "a");
    ask.send(&plugin).abort();
    plugin.host().proxy().advance(Duration::from_secs(59));
    is(ask.send(&plugin), 409, "uncertain");
    // It may still run: a proxy may wait for a connection, and an answer may be slow.
    plugin.host().proxy().advance(Duration::from_secs(13 * 60));
    is(ask.send(&plugin), 409, "uncertain");
    plugin.host().proxy().advance(Duration::from_secs(61));
    assert!(runs(&plugin, &ask));
}

#[test]
fn copies_of_requests_claim_nothing_where_that_is_configured() {
    let mirrored = ask("POST", "/pay").body(b"x").with("idempotency-key", "\"k\"");
    for (host, is_copy) in [("shop-shadow", true), ("shop-shadow:8080", true), ("shop", false), ("shadow", false)] {
        let plugin = memory(r#""mirror": {}"#);
        let mut call = plugin.stream().with_body().request(
            sdk_shim::fake::Headers::from(&[(":method", "POST"), (":path", "/pay"), (":authority", host)])
                .with("idempotency-key", b"\"k\""),
        );
        call.request_body(b"x", true);
        assert_eq!(state(&call) != "claimed", is_copy, "{host}");
        assert_eq!(call.request_header("x-holdfast-idempotency").as_deref(), is_copy.then_some("mirrored"));
        assert_eq!(metric(plugin.host().proxy(), "unprotected_total;cause=mirrored"), u64::from(is_copy));
    }
    let plugin = memory("");
    assert_eq!(state(&mirrored.send(&plugin)), "claimed", "a client may call any host what it likes");
}

#[test]
fn a_key_has_one_home_and_who_has_none_is_refused() {
    let home = r#""home": {"by": {"header": "x-region"}, "map": {"eu": "store-eu", "us": "store-us"}}"#;
    let mut shop = Shop::of_redis(1, REDIS, home);
    let of = |region: &str| post(&format!("for {region}")).with("x-region", region);
    for region in ["eu", "us"] {
        let call = of(region).send(shop.one());
        assert_eq!(shop.one().host().pending_callouts()[0].1.upstream, format!("store-{region}"));
        shop.settle(&call);
        answered_later(&mut shop, call);
    }
    for ask in [of("asia"), of(""), post("k"), of("eu").with("x-region", "us"), of("EU")] {
        is(ask.send(shop.one()), 400, "home");
    }
    shop.is_quiet();
}

#[test]
fn a_tenant_may_be_the_home() {
    let home = r#""tenant": ["x-tenant"], "home": {"by": "tenant", "map": {"acme": "store-eu"}}"#;
    let mut shop = Shop::of_redis(1, REDIS, home);
    let call = post("k").with("x-tenant", "acme").send(shop.one());
    assert_eq!(shop.one().host().pending_callouts()[0].1.upstream, "store-eu");
    shop.settle(&call);
    is(post("k").with("x-tenant", "other").send(shop.one()), 400, "home");
}

fn answered_later(shop: &mut Redis, mut call: Call) {
    call.respond(&[(":status", "200")], true);
    shop.settle(&call);
    call.finish();
}

#[test]
fn a_grpc_call_is_claimed_without_waiting_for_messages_that_may_never_end() {
    let proxy = envoy();
    let plugin = worker(&proxy, MEMORY, "");
    let call = |message: &[u8]| {
        ask("POST", "/a.B/C").with("content-type", "application/grpc").with("idempotency-key", "\"k\"").body(message)
    };
    let mut first = call(b"\0\0\0\0\x01a").begin(&plugin);
    assert!(first.passed(), "at once");
    is_grpc(call(b"x").send(&plugin), 10, "in_flight");
    first.request_body(b"\0\0\0\0\x01a", false).request_body(b"more", true);
    first.respond(&[(":status", "200"), ("content-type", "application/grpc")], false);
    assert!(!first.paused(), "nor is the answer held");
    first.body(b"\0\0\0\0\x01b", false).trailers(&[("grpc-status", "0")]);
    first.finish();
    is_grpc(call(b"x").send(&plugin), 6, "not_kept");
    proxy.advance(SECOND);
    assert_eq!(metric(&proxy, "stored_total;cause=in_time"), 1);
}

fn is_grpc(call: Call, status: u32, cause: &str) {
    let reply = call.finish().reply.expect("a refusal");
    assert_eq!(reply.grpc_status, Some(status), "{reply:?}");
    assert_eq!(header(&reply, "x-holdfast-reject").as_deref(), Some(format!("idempotency; cause={cause}").as_str()));
}

#[test]
fn grpc_clients_are_refused_in_their_own_language_for_what_headers_say() {
    let plugin = memory(r#""required": true"#);
    is_grpc(
        ask("POST", "/a.B/C").with("content-type", "application/grpc+proto").body(b"x").send(&plugin),
        3,
        "key_missing",
    );
}
