//! Whatever a client or a service sends: any byte, a thousand headers, keys and bodies at their bounds.

use crate::shop::Shop;
use crate::support::{
    MEMORY, SHOWN, ask, envoy, header, is, keyless, memory, pay, post, replayed, runs, state, worker,
};
use sdk_shim::fake::{FakeProxy, Headers};

const ALL: &str = r#""tenant": ["x-tenant"], "mirror": {}, "fingerprint": {"headers": ["x-kind"], "query": ["q"]}"#;
const KONGS: &str = r#""store": {"kind": "memory", "accept_eviction": true}, "accept_reply_before_store": true"#;

#[test]
fn a_byte_that_is_no_text_in_any_header_that_is_read_stops_nothing() {
    let read =
        [":path", ":authority", "host", "content-type", "content-length", "transfer-encoding", "x-tenant", "x-kind"];
    let ours =
        ["x-holdfast-fence", "x-holdfast-idempotency", "x-holdfast-debug", "x-envoy-upstream-rq-per-try-timeout-ms"];
    for (proxy, base) in [(envoy(), MEMORY), (FakeProxy::wasmx(), KONGS)] {
        let plugin = worker(&proxy, base, &format!("{ALL}, {SHOWN}"));
        for name in read.into_iter().chain(ours) {
            let whole = [(":method", "POST"), (":path", "/pay"), (":authority", "shop"), ("x-tenant", "a")];
            let others: Vec<_> = whole.into_iter().filter(|(other, _)| *other != name).collect();
            let headers = Headers::from(others.as_slice()).with(name, b"/\xFF\x80");
            let call = plugin.stream().request(headers.with("idempotency-key", name.as_bytes()));
            assert!(call.reply().is_none_or(|reply| reply.status < 500), "{name}");
            call.abort();
        }
        let key = Headers::from(&[(":method", "POST"), (":path", "/pay"), ("x-tenant", "a")]);
        is(plugin.stream().request(key.with("idempotency-key", b"\xFF")), 400, "key_character");
        let method = Headers::default().with(":method", b"\xFF").with("idempotency-key", b"k");
        assert!(plugin.stream().request(method).passed());
        assert!(plugin.host().traps().is_empty());
    }
}

#[test]
fn any_tenant_is_a_tenant() {
    let plugin = memory(r#""tenant": ["x-tenant"]"#);
    let of = |tenant: &[u8]| post("k").with_bytes("x-tenant", tenant);
    pay(&plugin, &of(b"\xFF"));
    replayed(of(b"\xFF").send(&plugin));
    assert!(runs(&plugin, &of(b"\xFE")));
    assert!(runs(&plugin, &of("\u{fffd}".as_bytes())), "nothing is taken for what it might have been");
}

#[test]
fn any_home_that_is_no_text_is_none() {
    let home = r#""home": {"by": {"header": "x-region"}, "map": {"eu": "store-eu"}}"#;
    let shop = Shop::redis(1, home);
    is(post("k").with_bytes("x-region", b"\xFF").send(shop.one()), 400, "home");
}

#[test]
fn a_thousand_headers_are_read_through() {
    let plugin = memory(r#""tenant": ["x-tenant"], "fingerprint": {"headers": ["x-999"]}"#);
    let many = |last: &str| {
        let mut ask = post("k").with("x-tenant", "a");
        for n in 0..1_000 {
            ask = ask.with(&format!("x-{n}"), if n == 999 { last } else { "1" });
        }
        ask
    };
    pay(&plugin, &many("1"));
    replayed(many("1").send(&plugin));
    is(many("2").send(&plugin), 422, "mismatch");
}

#[test]
fn a_thousand_headers_in_an_answer_leave_room_for_those_that_are_kept() {
    let plugin = memory("");
    let answer = (0..1_000).fold(Headers::from(&[(":status", "200")]), |all, n| {
        all.with(&format!("x-{n}"), b"1").with("etag", format!("\"{n}\"").as_bytes())
    });
    let mut call = post("k").send(&plugin);
    call.respond(answer.with("location", b"/1"), true);
    call.finish();
    let reply = post("k").send(&plugin).finish().reply.unwrap();
    assert_eq!(reply.headers.len(), 65, "64, and that it is a replay");
    assert_eq!(header(&reply, "location").as_deref(), Some("/1"), "in the order of the configuration");
}

#[test]
fn a_key_has_255_bytes_at_most() {
    let (longest, longer) = ("k".repeat(255), "k".repeat(256));
    for (more, name, quote) in
        [("", "idempotency-key", "\""), ("", "idempotency-key", ""), (r#""header": "x-key""#, "x-key", "")]
    {
        let plugin = memory(more);
        let with = |key: &str| keyless().with(name, &format!("{quote}{key}{quote}")).send(&plugin);
        assert_eq!(state(&with(&longest)), "claimed");
        is(with(&longer), 400, "key_too_long");
    }
    let escaped = format!("\"{}\"", "\\\"".repeat(255));
    assert_eq!(state(&keyless().with("idempotency-key", &escaped).send(&memory(""))), "claimed", "escapes don't count");
}

#[test]
fn a_key_that_is_a_name_of_ours_is_only_a_key() {
    let mut shop = Shop::redis(1, "");
    for key in ["{0000}", "x:t:1", "\\\\", "*1", "k", "\\\"; DROP", "$5"] {
        let call = shop.send(&post(key));
        assert_eq!(state(&call), "claimed", "{key}");
        shop.receipt(call);
    }
    assert_eq!(shop.store.records().len(), 7);
    for record in shop.store.records() {
        let shown = format!("{record:?}");
        assert!(!shown.contains("DROP"));
    }
}

/// Nothing that a client sent, or a service answered, can be read in the store.
#[test]
fn the_store_sees_neither_keys_nor_tenants_nor_payloads_nor_answers() {
    let mut shop = Shop::redis(1, r#""tenant": ["x-tenant"]"#);
    let call = shop.send(&post("s3cret-key").with("x-tenant", "s3cret-tenant").body(br#"{"card": "s3cret-card"}"#));
    let mut call = call;
    call.respond(&[(":status", "200"), ("location", "/s3cret-place")], false).body(b"s3cret-receipt", true);
    shop.settle(&call);
    call.finish();
    shop.send(&post("s3cret-key").with("x-tenant", "s3cret-tenant")).finish();
    shop.send(&post("s3cret-lost").with("x-tenant", "s3cret-tenant")).abort();
    shop.is_quiet();
    for (_, callout) in shop.one().host().sent_callouts() {
        assert!(!contains(&callout.body, b"s3cret") && !contains(&callout.body, b"a secret of"));
    }
    assert!(shop.one().host().logs().iter().all(|log| !log.line.contains("s3cret")));
    assert!(shop.proxy.metrics().keys().all(|name| !name.contains("s3cret")));
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[test]
fn a_body_that_is_nearly_json_is_bytes() {
    let plugin = memory("");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (n, body) in
        [&b"{\"a\": 1, \"a\": 2}"[..], b"[NaN]", b"\xFF", b"{", deep.as_bytes(), b"[1e400]"].iter().enumerate()
    {
        let of = |body: &[u8]| post(&n.to_string()).body(body);
        pay(&plugin, &of(body));
        replayed(of(body).send(&plugin));
        is(of(&[body, &b" "[..]].concat()).send(&plugin), 422, "mismatch");
    }
}

#[test]
fn a_status_that_is_none_is_nobodys_word() {
    for status in [&b"2\xFF0"[..], b"", b"99999", b"100"] {
        let plugin = memory("");
        let mut call = post("k").send(&plugin);
        call.respond(Headers::default().with(":status", status), true);
        call.finish();
        is(post("k").send(&plugin), 409, "in_flight");
    }
}

#[test]
fn a_request_without_a_method_or_a_path_is_nobodys() {
    let plugin = memory("");
    assert!(plugin.stream().request(Headers::from(&[(":path", "/pay"), ("idempotency-key", "k")])).passed());
    let call = plugin.stream().request(Headers::from(&[(":method", "POST"), ("idempotency-key", "k")]));
    assert!(call.passed(), "no path is below none of those that are configured");
    assert_eq!(state(&call), "");
    assert_eq!(state(&ask("POST", "*").with("idempotency-key", "k").send(&plugin)), "");
}
