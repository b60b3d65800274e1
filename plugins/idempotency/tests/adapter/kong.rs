//! `WasmX`: bodies come whole or not at all, answers can't be held, the end of a message isn't told, and requests that wait for a call go on with its
//! answer.

use crate::shop::Shop;
use crate::stores::{FakeRedis, FakeWebdis, Store as _};
use crate::support::{
    Ask, Call, ORDER, Plugin, RECEIPT, ask, count, header, is, keyless, leave, metric, post, receipt, replayed, runs,
    state, worker,
};
use core::time::Duration;
use idempotency::Idempotency;
use sdk_shim::entry::Flow;
use sdk_shim::fake::{FakeProxy, Worker};

const MEMORY: &str = r#""store": {"kind": "memory", "accept_eviction": true}, "accept_reply_before_store": true"#;
const WEBDIS: &str = r#""store": {"kind": "webdis", "cluster": "127.0.0.1:7379"}, "accept_reply_before_store": true,
    "insecure_literal": true, "secret": [{"literal": "a secret of more than sixteen bytes"}]"#;

/// A Kong with one route, and one service behind it.
fn kong() -> FakeProxy {
    let proxy = FakeProxy::wasmx();
    proxy.set("kong.route_id", "checkout");
    proxy.set("kong.service_id", "payments");
    proxy
}

/// A Kong with its store in memory.
fn memory(more: &str) -> Plugin {
    worker(&kong(), MEMORY, more)
}

fn shop(more: &str) -> Shop<FakeWebdis> {
    let proxy = kong();
    let workers = vec![worker(&proxy, WEBDIS, more)];
    Shop { store: FakeWebdis(FakeRedis::new(&proxy)), proxy, workers }
}

/// There, a length is told where the client told one.
fn sized(key: &str) -> Ask {
    post(key).with("content-length", &ORDER.len().to_string())
}

fn faults(config: &str) -> Vec<String> {
    match Worker::<Idempotency>::start(&kong().worker(), &format!("{{{config}}}")) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(|fault| fault.path.clone()).collect(),
    }
}

#[test]
fn what_kong_lacks_must_be_accepted_in_so_many_words() {
    assert_eq!(faults(r#""store": {"kind": "memory"}"#), ["$.accept_reply_before_store", "$.store.accept_eviction"]);
    assert!(faults(MEMORY).is_empty() && faults(WEBDIS).is_empty());
    // There, a request that waits for nothing but a tick hangs, or goes on by itself.
    assert_eq!(faults(&format!(r#"{MEMORY}, "on_in_flight": "wait", "wait": "2s""#)), ["$.on_in_flight"]);
    let redis = WEBDIS.replace("webdis", "redis").replace("127.0.0.1:7379", "store");
    assert_eq!(faults(&redis), ["$.store.kind", "$.store.cluster"]);
}

#[test]
fn in_memory_a_request_runs_once_and_its_repeat_gets_the_answer() {
    let plugin = memory("");
    let chunked = post("j").with("transfer-encoding", "chunked").property("request.size", "25");
    for ask in [sized("k"), chunked, post("h").without_body()] {
        let mut call = ask.send(&plugin);
        assert!(call.passed());
        assert!(call.request_header("x-holdfast-fence").is_some());
        assert_eq!(call.request_header("x-envoy-max-retries"), None, "nobody there reads it");
        receipt(&mut call);
        call.finish();
        replayed(ask.send(&plugin));
    }
    is(sized("k").body(b"{}").send(&plugin), 422, "mismatch");
    assert_eq!(metric(plugin.host().proxy(), "claimed_total"), 3);
}

#[test]
fn while_the_first_is_under_way_a_repeat_is_refused() {
    let plugin = memory("");
    let first = sized("k").send(&plugin);
    is(sized("k").send(&plugin), 409, "in_flight");
    first.abort();
    plugin.host().proxy().advance(Duration::from_secs(30));
    is(sized("k").send(&plugin), 409, "uncertain");
}

#[test]
fn requests_without_a_key_pass() {
    let plugin = memory("");
    assert!(runs(&plugin, &keyless()) && runs(&plugin, &ask("GET", "/pay")));
}

/// The size of such a body is told, and nothing is shown: nginx has it in a file.
#[test]
fn a_body_that_nginx_keeps_in_a_file_is_too_long() {
    let plugin = memory("");
    let ask = post("k").body(&[b'x'; 8 * 1_024 + 1]).with("content-length", "8193");
    is(ask.send(&plugin), 413, "too_large");
    let fits = post("k").body(&[b'x'; 8 * 1_024]).with("content-length", "8192");
    assert_eq!(state(&fits.send(&plugin)), "claimed");
    let open = memory(r#""too_large": "pass""#);
    let call = ask.send(&open);
    assert!(call.passed());
    assert_eq!(call.request_header("x-holdfast-idempotency").as_deref(), Some("unprotected"));
}

#[test]
fn an_answer_goes_out_as_it_comes_and_is_stored_behind_it() {
    let plugin = memory("");
    let mut call = sized("k").send(&plugin);
    call.respond(&[(":status", "201"), ("content-type", "application/json")], false);
    assert_eq!(call.flow(), Flow::Continue);
    for part in RECEIPT.chunks(4) {
        call.body(part, false);
        assert!(!call.paused());
    }
    call.body(b"", true);
    call.finish();
    replayed(sized("k").send(&plugin));
}

/// nginx tells the end of an answer with a length only where it comes in one piece.
#[test]
fn an_answer_with_a_length_is_stored_however_many_pieces_it_comes_in() {
    let length = RECEIPT.len().to_string();
    for size in [1, 4, RECEIPT.len() - 1, RECEIPT.len()] {
        let plugin = memory("");
        let mut call = sized("k").send(&plugin);
        call.respond(&[(":status", "201"), ("content-length", length.as_str())], false);
        for part in RECEIPT.chunks(size) {
            call.body(part, false);
        }
        // Nothing more is shown, not even an empty piece.
        call.body(b"", true);
        call.finish();
        let reply = sized("k").send(&plugin).finish().reply.unwrap_or_else(|| panic!("in pieces of {size}"));
        assert_eq!((reply.status, reply.body.as_slice()), (201, RECEIPT));
        assert_eq!(header(&reply, "x-holdfast-idempotency"), None);
    }
}

#[test]
fn an_answer_with_a_length_that_it_does_not_reach_is_uncertain() {
    let plugin = memory("");
    let mut call = sized("k").send(&plugin);
    call.respond(&[(":status", "200"), ("content-length", "100")], false).body(b"half of", false).body(b" it", false);
    call.finish();
    is(sized("k").send(&plugin), 409, "in_flight");
    assert_eq!(metric(plugin.host().proxy(), "uncertain_total;cause=answer_cut"), 1);
    assert!(
        plugin.host().logs().is_empty(),
        "nginx logs each property that it doesn't know: {:?}",
        plugin.host().logs()
    );
}

/// Nobody there hears of a request's body that is empty: it would pass, and its repeat too.
#[test]
fn a_body_of_which_nobody_says_whether_it_comes_is_refused() {
    let plugin = memory("");
    let chunked = || post("k").with("transfer-encoding", "chunked");
    let over_http2 = || post("k").property("request.protocol", "HTTP/2.0");
    for ask in [chunked(), chunked().body(b""), over_http2(), over_http2().without_body()] {
        let call = ask.begin(&plugin);
        assert!(!call.passed());
        is(call, 411, "length");
    }
    assert_eq!(metric(plugin.host().proxy(), "refused_total;cause=length"), 4);
    let dry = memory(r#""mode": "dry_run""#);
    assert!(runs(&dry, &chunked()));
    assert_eq!(metric(dry.host().proxy(), "would_refuse_total;cause=length"), 1);
    assert!(runs(&memory(""), &keyless().with("transfer-encoding", "chunked")), "without a key it is nobody's");
}

#[test]
fn what_says_how_long_it_is_runs_once_over_http_2_too() {
    let plugin = memory("");
    let over_http2 = |ask: Ask| ask.property("request.protocol", "HTTP/2.0");
    let [paid, empty] = [over_http2(sized("k")), over_http2(post("j").without_body().with("content-length", "0"))];
    for ask in [&paid, &empty] {
        let mut call = ask.send(&plugin);
        assert_eq!(state(&call), "claimed");
        receipt(&mut call);
        call.finish();
        replayed(ask.send(&plugin));
    }
    let other = post("k").body(b"{}").with("content-length", "2");
    is(over_http2(other).send(&plugin), 422, "mismatch");
}

/// A plugin of Kong's may have read the body, and then nginx knows how long it is.
#[test]
fn a_body_that_kong_has_read_is_compared() {
    let plugin = memory("");
    let chunked = |key: &str| post(key).with("transfer-encoding", "chunked");
    let mut call = chunked("k").property("request.size", "25").send(&plugin);
    receipt(&mut call);
    call.finish();
    replayed(chunked("k").property("request.size", "25").send(&plugin));
    is(chunked("k").body(b"{}").property("request.size", "2").send(&plugin), 422, "mismatch");
    let empty = chunked("j").without_body().property("request.size", "0");
    let mut call = empty.send(&plugin);
    assert_eq!(state(&call), "claimed");
    receipt(&mut call);
    call.finish();
    replayed(empty.send(&plugin));
}

/// Its body may be a stream, and nobody waits for it.
#[test]
fn a_grpc_call_needs_no_length() {
    let plugin = memory("");
    let call = ask("POST", "/shop.Orders/Place")
        .with("content-type", "application/grpc")
        .with("idempotency-key", "\"k\"")
        .property("request.protocol", "HTTP/2.0")
        .body(b"\0\0\0\0\x02ab");
    assert_eq!(state(&call.send(&plugin)), "claimed");
}

/// A length beyond what is counted is no reason to take a body for none.
#[test]
fn a_body_of_more_bytes_than_can_be_counted_is_too_long() {
    let plugin = memory("");
    let ask = post("k").body(&[b'x'; 9_000]).with("content-length", "4294967296");
    assert_eq!(state(&ask.begin(&plugin)), "", "it is waited for");
    is(ask.send(&plugin), 413, "too_large");
}

/// nginx shows a hundred of all headers, its own four among them.
#[test]
fn a_request_with_a_key_and_more_headers_than_are_shown_is_refused() {
    let plugin = memory(r#""tenant": ["x-tenant"]"#);
    let with = |key: Option<&str>, count: usize| {
        let ask = ask("POST", "/pay").with("x-tenant", "blue");
        let ask = (0..count).fold(ask, |ask, n| ask.with(&format!("x-{n}"), "1"));
        key.into_iter().fold(ask, |ask, key| ask.with("idempotency-key", &format!("\"{key}\"")))
    };
    for count in [200, 100, 94] {
        is(with(Some("k"), count).send(&plugin), 431, "headers");
        assert!(runs(&plugin, &with(None, count)), "without a key it is nobody's");
    }
    assert_eq!(state(&with(Some("k"), 93).send(&plugin)), "claimed");
    // Whose it is may be told twice, and the second word not be shown.
    is(with(Some("j"), 200).with("x-tenant", "green").send(&plugin), 431, "headers");
    is(with(None, 200).send(&memory(r#""required": true"#)), 400, "key_missing");
    is(with(None, 200).send(&memory(r#""derive": {"ttl": "1m"}, "tenant": ["x-tenant"]"#)), 431, "headers");
}

#[test]
fn what_only_this_filter_may_say_is_taken_out_behind_any_number_of_headers() {
    let plugin = memory("");
    for method in ["POST", "PUT"] {
        let ask = (0..200).fold(ask(method, "/pay"), |ask, n| ask.with(&format!("x-{n}"), "1"));
        let call = ask.with("x-holdfast-fence", "7").with("x-holdfast-idempotency", "mirrored").send(&plugin);
        assert!(call.passed());
        assert_eq!(
            (call.request_header("x-holdfast-fence"), call.request_header("x-holdfast-idempotency")),
            (None, None)
        );
    }
}

/// Over `wasm_response_body_buffers` (64 KiB) nginx flushes what a filter holds: its last part is not all of it.
#[test]
fn a_long_answer_is_kept_whole_or_not_at_all() {
    let plugin = memory("");
    let parts = [b'a', b'b', b'c', b'd'].map(|byte| vec![byte; if byte == b'd' { 10 } else { 40_000 }]);
    let mut call = sized("k").send(&plugin);
    call.respond(&[(":status", "200")], false);
    for (n, part) in parts.iter().enumerate() {
        call.body(part, n == 3);
    }
    call.finish();
    assert_eq!(sized("k").send(&plugin).finish().reply.unwrap().body, parts.concat());
    let short = memory(r#""max_body": 100000"#);
    let mut call = sized("k").send(&short);
    call.respond(&[(":status", "200")], false);
    for part in &parts {
        call.body(part, false);
    }
    call.body(b"", true);
    call.finish();
    let reply = sized("k").send(&short).finish().reply.unwrap();
    assert_eq!(header(&reply, "x-holdfast-idempotency").as_deref(), Some("body-not-stored"));
}

/// nginx never says that headers are all; where nothing can follow, nothing does.
#[test]
fn an_answer_that_has_no_body_is_stored_at_its_headers() {
    for (status, length) in [("204", None), ("304", None), ("200", Some("0"))] {
        let plugin = memory("");
        let mut call = sized("k").send(&plugin);
        let headers: Vec<(&str, &str)> =
            [(":status", status)].into_iter().chain(length.map(|length| ("content-length", length))).collect();
        call.respond(headers.as_slice(), true);
        call.finish();
        let reply = sized("k").send(&plugin).finish().reply.unwrap_or_else(|| panic!("{status} {length:?}"));
        assert_eq!(reply.status.to_string(), status);
        assert_eq!(header(&reply, "x-holdfast-idempotency"), None);
    }
}

#[test]
fn an_answer_that_is_cut_is_uncertain() {
    let plugin = memory("");
    let mut call = sized("k").send(&plugin);
    call.respond(&[(":status", "200")], false).body(b"half", false);
    call.finish();
    is(sized("k").send(&plugin), 409, "in_flight");
    assert_eq!(metric(plugin.host().proxy(), "uncertain_total;cause=answer_cut"), 1);
}

/// It can't be told from nginx' own, which comes after the service was asked.
#[test]
fn a_gateways_status_is_nobodys_answer() {
    for status in ["502", "503", "504"] {
        let plugin = memory(r#""release_on": [503]"#);
        let mut call = sized("k").send(&plugin);
        call.respond(&[(":status", status)], false).body(b"no", true);
        call.finish();
        is(sized("k").send(&plugin), 409, "in_flight");
    }
    let plugin = memory("");
    let mut call = sized("k").send(&plugin);
    call.respond(&[(":status", "429")], false).body(b"no", true);
    call.finish();
    assert_eq!(state(&sized("k").send(&plugin)), "claimed");
}

/// nginx' own error pages pass no filter: neither that the service was never reached is heard, nor that it may have run.
#[test]
fn an_error_of_kongs_own_frees_no_key_and_is_nobodys_answer() {
    let plugin = memory(r#""per_tenant_in_flight": 1, "lease": "30s""#);
    sized("k").send(&plugin).forget();
    is(sized("j").send(&plugin), 429, "tenant_busy");
    plugin.host().proxy().advance(Duration::from_secs(30));
    is(sized("k").send(&plugin), 409, "uncertain");
    assert_eq!(state(&sized("j").send(&plugin)), "claimed", "its tenant's place is free with the lease");
    let mut shop = shop("");
    let call = sized("k").send(shop.one()).also(&mut shop);
    call.forget();
    shop.rest(Duration::from_secs(1));
    assert_eq!((shop.store.0.ran("abandon"), shop.store.0.ran("complete")), (0, 0));
    is(sized("k").send(shop.one()).also(&mut shop), 409, "in_flight");
    shop.is_quiet();
}

#[test]
fn through_webdis_a_request_runs_once() {
    let mut shop = shop("");
    for ask in [sized("k"), post("j").without_body()] {
        let call = ask.send(shop.one());
        assert!(call.paused(), "it has a call of its own");
        shop.serve();
        assert!(call.passed() && call.request_header("x-holdfast-fence").is_some());
        is(ask.send(shop.one()).also(&mut shop), 409, "in_flight");
        finish_at_the_tick(&mut shop, call);
        replayed(ask.send(shop.one()).also(&mut shop));
    }
    assert!(shop.one().host().traps().is_empty());
    shop.is_quiet();
}

/// A callout from a response's callback would be the end of the worker.
fn finish_at_the_tick(shop: &mut Shop<FakeWebdis>, mut call: Call) {
    let before = shop.one().host().sent_callouts().len();
    receipt(&mut call);
    assert_eq!(shop.one().host().sent_callouts().len(), before);
    call.finish();
    assert_eq!(shop.one().host().sent_callouts().len(), before);
    shop.turn();
    assert!(shop.store.0.ran("complete") > 0);
}

trait Also {
    fn also(self, shop: &mut Shop<FakeWebdis>) -> Self;
}

impl Also for Call {
    /// Webdis answers.
    fn also(self, shop: &mut Shop<FakeWebdis>) -> Self {
        shop.serve();
        self
    }
}

#[test]
fn a_script_that_redis_forgot_is_sent_in_the_same_wait() {
    let mut shop = shop("");
    shop.store.0.forget_scripts();
    let call = sized("k").send(shop.one()).also(&mut shop);
    assert_eq!((call.passed(), shop.store.0.did.clone()), (true, vec!["NOSCRIPT", "claim"]));
    finish_at_the_tick(&mut shop, call);
    shop.is_quiet();
}

#[test]
fn each_request_has_a_call_of_its_own_however_many_come_at_once() {
    let mut shop = shop("");
    let calls: Vec<_> = (0..300).map(|n| sized(&n.to_string()).send(shop.one())).collect();
    let pending = shop.one().host().pending_callouts();
    assert_eq!(pending.len(), 300, "nginx lets a request go on with its own call only");
    shop.serve();
    assert!(calls.iter().all(|call| call.passed() && call.request_header("x-holdfast-fence").is_some()));
    leave(calls);
    shop.is_quiet();
}

#[test]
fn a_webdis_that_says_nothing_or_no_is_a_store_failure() {
    for status in [None, Some("403"), Some("503")] {
        let mut shop = shop("");
        let call = sized("k").send(shop.one());
        let (id, _) = shop.one().host().pending_callouts().pop().unwrap();
        match status {
            None => shop.one().answer_nothing(id),
            Some(status) => shop.one().answer(id, &[(":status", status)], b"{}"),
        };
        is(call, 503, "store");
        shop.turn();
        assert_eq!(shop.store.0.ran("abandon"), 1);
        shop.is_quiet();
    }
}

/// Webdis before 0.1.20 answers whoever has the descriptor now.
#[test]
fn an_answer_to_somebody_elses_call_is_none() {
    let mut shop = shop("");
    let calls = ["k", "j"].map(|key| sized(key).send(shop.one()));
    let pending = shop.one().host().pending_callouts();
    let said: Vec<_> = pending.iter().map(|(_, asked)| (shop.store.headers(asked), shop.store.answer(asked))).collect();
    for ((id, _), (headers, body)) in pending.iter().zip(said.into_iter().rev()) {
        shop.one().answer(*id, headers, &body);
    }
    for call in calls {
        is(call, 503, "store");
    }
    shop.turn();
    assert_eq!((shop.store.0.ran("claim"), shop.store.0.ran("abandon")), (2, 2));
    assert_eq!(state(&sized("k").send(shop.one()).also(&mut shop)), "claimed");
    let failures = "holdfast_idempotency_store_failures_total;chain=downstream;instance=default;cause=unexpected";
    assert_eq!(shop.proxy.metric(failures), 2);
    shop.is_quiet();
}

#[test]
fn open_it_passes_unprotected() {
    let shop = shop(r#""on_store_error": "open""#);
    let call = sized("k").send(shop.one());
    shop.silence();
    assert!(call.passed());
    assert_eq!(call.request_header("x-holdfast-idempotency").as_deref(), Some("unprotected"));
}

#[test]
fn a_client_that_leaves_while_webdis_is_asked_gives_its_key_up() {
    let mut shop = shop("");
    let call = sized("k").send(shop.one());
    call.abort();
    shop.turn();
    assert_eq!((shop.store.0.ran("claim"), shop.store.0.ran("abandon")), (0, 1));
    assert_eq!(state(&sized("k").send(shop.one()).also(&mut shop)), "claimed");
    shop.is_quiet();
}

/// Before 3.8, Kong ends a request with an error page of its own whose call fails, and only forgets it. What is left is the call.
#[test]
fn a_request_whose_call_fails_unheard_gives_its_key_up_and_is_forgotten() {
    let mut shop = shop(r#""per_tenant_in_flight": 3"#);
    let calls: Vec<_> = ["a", "b", "c"].map(|key| sized(key).send(shop.one())).into();
    let under_way = |shop: &Shop<FakeWebdis>| format!("{:?}", shop.one().plugin()).matches("OwnCall {").count();
    assert_eq!(under_way(&shop), 3);
    // One of them came to Redis, whose answer didn't come.
    let asked = shop.one().host().pending_callouts();
    shop.store.answer(&asked[0].1);
    calls.into_iter().for_each(Call::forget);
    shop.rest(Duration::from_secs(1));
    assert_eq!((under_way(&shop), shop.store.0.ran("abandon")), (0, 3));
    for (id, _) in asked {
        assert!(!shop.one().answer_nothing(id), "nobody is there to hear it");
    }
    for key in ["a", "b", "c"] {
        assert_eq!(state(&sized(key).send(shop.one()).also(&mut shop)), "claimed");
    }
    shop.is_quiet();
}

/// Nobody says of what a stream is forgotten that waits; it is the call that failed.
#[test]
fn a_webdis_that_fails_unheard_is_left_alone_after_a_while() {
    let shop = shop("");
    let mut asked = 0;
    for n in 0..10 {
        let call = sized(&n.to_string()).send(shop.one());
        if call.paused() {
            asked += 1;
            call.forget();
        } else {
            is(call, 503, "store");
        }
        shop.tick();
    }
    assert_eq!(asked, 5);
}

/// There, a request whose call fails goes on, and its filter isn't told.
#[test]
fn kong_3_8_asks_no_webdis() {
    let shop = shop("");
    for version in ["3.8", "3.8.0", "3.8.1"] {
        shop.proxy.set("kong.version", version);
        let plugin = worker(&shop.proxy, WEBDIS, "");
        is(sized("k").send(&plugin), 503, "store");
        let open = worker(&shop.proxy, WEBDIS, r#""on_store_error": "open""#);
        let call = sized("k").send(&open);
        assert_eq!((call.passed(), state(&call).as_str()), (true, "unprotected"));
        assert_eq!(count(&plugin, "dispatch") + count(&open, "dispatch"), 0);
    }
    shop.proxy.set("kong.version", "3.9.1");
    assert_eq!(count(shop.one(), "dispatch"), 0);
    assert!(sized("k").send(shop.one()).paused());
}

/// The same plugin in a VM that was made anew.
fn anew(plugin: &Plugin, base: &str, more: &str) -> Plugin {
    let comma = if more.is_empty() { "" } else { ", " };
    Worker::start(plugin.host(), &format!("{{{base}{comma}{more}}}")).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Kong lets a request go on behind an answer that only the former VM could have read.
#[test]
fn a_repeat_that_waited_in_a_vm_that_is_gone_is_refused() {
    for (more, refused) in [("", true), (r#""on_store_error": "open""#, false), (r#""mode": "dry_run""#, false)] {
        let shop = shop(more);
        let call = sized("k").send(shop.one());
        assert!(call.paused());
        let (id, _) = shop.one().host().pending_callouts().pop().unwrap();
        let now = anew(shop.one(), WEBDIS, more);
        let call = call.anew(&now);
        now.answer(id, &[(":status", "200")], b"{}");
        assert_eq!((call.passed(), call.paused()), (!refused, false), "{more}");
        if refused {
            is(call, 503, "store");
        }
    }
}

/// Its headers came to the former VM, and its body comes to this one.
#[test]
fn a_request_whose_body_comes_to_a_new_vm_is_judged_there() {
    let plugin = memory("");
    let mut first = sized("k").send(&plugin);
    let mut repeat = sized("k").begin(&plugin);
    let mut other = keyless().with("content-length", "25").begin(&plugin);
    let mut fresh = sized("j").begin(&plugin);
    receipt(&mut first);
    first.finish();
    let now = anew(&plugin, MEMORY, "");
    (repeat, other, fresh) = (repeat.anew(&now), other.anew(&now), fresh.anew(&now));
    for call in [&mut repeat, &mut other, &mut fresh] {
        call.request_body(ORDER, true);
    }
    replayed(repeat);
    assert!(other.passed());
    assert_eq!(state(&fresh), "claimed");
    is(sized("j").send(&now), 409, "in_flight");
}

#[test]
fn a_healthy_request_asks_for_no_property_that_nginx_would_log() {
    let plugin = memory("");
    let mut call = sized("k").send(&plugin);
    receipt(&mut call);
    call.finish();
    assert!(plugin.host().logs().is_empty(), "{:?}", plugin.host().logs());
    assert_eq!(count(&plugin, "dispatch"), 0);
}

/// `:authority` is Kong's own name there, the same for everybody.
#[test]
fn whose_host_was_asked_for_is_told_by_its_own_header() {
    let plugin = memory(r#""tenant": [":authority"], "mirror": {}"#);
    let of = |host: &str| {
        let headers = sdk_shim::fake::Headers::from(&[(":method", "POST"), (":path", "/pay"), (":authority", host)]);
        plugin.request(headers.with("idempotency-key", b"\"k\""))
    };
    for host in ["a.example", "b.example"] {
        let call = of(host);
        assert_eq!(state(&call), "claimed", "{host}");
        call.abort();
    }
    assert_eq!(state(&of("a.example-shadow:80")), "mirrored");
}

/// A Redis behind Webdis that sends us elsewhere, where nobody may be asked: nothing of the request's own keeps it waiting then, so it must not go on.
#[test]
fn a_claim_that_is_sent_elsewhere_by_a_redis_that_fails_there_is_refused() {
    let shop = shop("");
    let plugin = shop.one();
    for n in 0..8 {
        let call = sized(&format!("k{n}")).send(plugin);
        if let Some((id, callout)) = plugin.host().pending_callouts().pop() {
            let path = callout.headers.iter().find(|(name, _)| name == ":path").expect("a path").1.clone();
            let mark = path.rsplit_once('=').expect("a mark").1.to_owned();
            let disposition = format!("attachment; filename=\"{mark}\"");
            let headers = [(":status", "200"), ("content-disposition", disposition.as_str())];
            plugin.answer(id, &headers, b"-MOVED 1234 10.0.0.2:6379\r\n");
            if let Some((id, _)) = plugin.host().pending_callouts().pop() {
                plugin.answer_nothing(id);
            }
        }
        assert_eq!(call.reply().map(|reply| reply.status), Some(503), "request {n}");
    }
}
