//! The service's answers: which are held until they are stored, and what a repeat gets of them.

use crate::shop::Shop;
use crate::support::{
    Call, Plugin, RECEIPT, answered, header, is, keyless, memory, metric, number, post, receipt, replayed, state,
};
use core::time::Duration;
use sdk_shim::entry::Flow;
use sdk_shim::fake::Headers;
use sdk_shim::host::Reply;

/// What a repeat gets.
fn repeat(plugin: &Plugin) -> Reply {
    post("k").send(plugin).finish().reply.expect("a replay")
}

fn without_body(reply: &Reply) -> bool {
    header(reply, "x-holdfast-idempotency").as_deref() == Some("body-not-stored")
}

#[test]
fn an_answer_is_held_until_it_is_stored() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "201"), ("content-type", "application/json")], false);
    assert_eq!(call.flow(), Flow::Pause);
    call.body(&RECEIPT[..5], false);
    assert_eq!(call.flow(), Flow::Pause);
    call.body(&RECEIPT[5..], true);
    assert_eq!((call.flow(), call.paused()), (Flow::Pause, true), "whole, and not stored yet");
    shop.settle(&call);
    assert_eq!(shop.store.ran("complete"), 1);
    call.finish();
    replayed(shop.send(&post("k")));
    shop.is_quiet();
}

#[test]
fn in_memory_it_is_stored_at_once() {
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    call.respond(&[(":status", "200")], false).body(b"a", false);
    assert!(call.paused());
    call.body(b"b", true);
    assert!(!call.paused());
    assert_eq!(repeat(&plugin).body, b"ab");
    call.finish();
}

#[test]
fn an_answer_without_a_body_is_stored_at_its_headers() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "204"), ("location", "/pay/1")], true);
    assert!(call.paused());
    shop.settle(&call);
    call.finish();
    let reply = shop.send(&post("k")).finish().reply.unwrap();
    assert_eq!((reply.status, header(&reply, "location").as_deref()), (204, Some("/pay/1")));
    assert!(!without_body(&reply));
}

#[test]
fn an_answer_may_end_in_trailers() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "200")], false).body(b"body", false).trailers(&[("x-sum", "1")]);
    assert!(call.paused());
    shop.settle(&call);
    call.finish();
    let reply = shop.send(&post("k")).finish().reply.unwrap();
    assert_eq!((reply.body.as_slice(), header(&reply, "x-sum")), (&b"body"[..], None));
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    call.respond(&[(":status", "200")], false).trailers(&[("x-sum", "1")]);
    call.finish();
    assert!(repeat(&plugin).body.is_empty() && !without_body(&repeat(&plugin)));
}

#[test]
fn a_stream_and_its_trailers_pass_at_once() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "200"), ("content-type", "text/event-stream")], false);
    assert!(!call.paused());
    call.body(b"data: 1\n\n", false).trailers(&[("x-sum", "1")]);
    assert!(!call.paused());
    call.finish();
    shop.turn();
    assert!(shop.send(&post("k")).finish().reply.is_some_and(|reply| without_body(&reply)));
}

#[test]
fn what_may_never_end_is_not_held() {
    for kind in
        ["text/event-stream", "text/event-stream;charset=utf-8", "Application/X-NDJSON", "multipart/x-mixed-replace"]
    {
        let plugin = memory("");
        let mut call = post("k").send(&plugin);
        call.respond(&[(":status", "200"), ("content-type", kind)], false);
        assert!(!call.paused(), "{kind}");
        for _ in 0..3 {
            call.body(b"data: 1\n\n", false);
            assert_eq!(call.flow(), Flow::Continue);
        }
        assert!(without_body(&repeat(&plugin)), "known to be done before it ends");
        call.body(b"", true);
        call.finish();
    }
}

#[test]
fn an_answer_that_is_too_long_is_not_held() {
    let plugin = memory(r#""max_body": 10"#);
    let post = || post("k").without_body();
    let mut call = post().send(&plugin);
    call.respond(&[(":status", "200"), ("content-length", "11")], false);
    assert!(!call.paused());
    call.body(b"0123456789x", true);
    call.finish();
    let reply = post().send(&plugin).finish().reply.unwrap();
    assert!(without_body(&reply) && reply.body.is_empty());
}

#[test]
fn an_answer_that_turns_out_too_long_goes_on_when_it_does() {
    let mut shop = Shop::redis(1, r#""max_body": 10"#);
    let ask = post("k").without_body();
    let mut call = shop.send(&ask);
    call.respond(&[(":status", "200")], false).body(b"0123456789", false);
    assert!(call.paused(), "not yet");
    call.body(b"x", false);
    assert!(!call.paused(), "more is not held, nor does anybody wait for the store");
    call.body(b"more", true);
    call.finish();
    shop.turn();
    assert!(without_body(&shop.send(&ask).finish().reply.unwrap()));
    assert_eq!(metric(&shop.proxy, "stored_total;cause=later"), 1);
}

/// Envoy answers 500 in the service's place where a filter holds more than its buffers do.
#[test]
fn no_more_than_max_body_is_held_while_the_store_is_asked() {
    for kind in [("content-length", "1000000"), ("content-type", "text/event-stream")] {
        let mut shop = Shop::redis(1, r#""max_body": 100"#);
        let ask = post("k").without_body();
        let mut call = shop.send(&ask);
        call.respond(&[(":status", "200"), kind], false);
        call.body(&[b'x'; 100], false);
        call.body(&[b'x'; 100], false);
        assert!(!call.paused(), "{kind:?}");
        shop.serve();
        call.body(&[b'x'; 100], true);
        assert!(!call.paused());
        call.finish();
        shop.is_quiet();
        assert!(without_body(&shop.send(&ask).finish().reply.unwrap()));
    }
}

#[test]
fn exactly_max_body_is_kept() {
    let plugin = memory(r#""max_body": 10"#);
    let ask = post("k").without_body();
    let mut call = ask.send(&plugin);
    call.respond(&[(":status", "200"), ("content-length", "10")], false).body(b"0123456789", true);
    call.finish();
    assert_eq!(ask.send(&plugin).finish().reply.unwrap().body, b"0123456789");
}

#[test]
fn an_upgrade_is_nothing_that_can_be_replayed() {
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    call.respond(&[(":status", "101"), ("upgrade", "websocket")], false);
    assert!(!call.paused());
    call.finish();
    is(post("k").send(&plugin), 409, "in_flight");
    plugin.host().proxy().advance(Duration::from_secs(30));
    is(post("k").send(&plugin), 409, "uncertain");
}

/// Of one moment, one client, one connection: nothing of that is said a second time.
#[test]
fn a_repeat_gets_the_headers_that_are_meant_for_it() {
    let plugin = memory(r#""replay_headers": ["location", "x-note", "x-odd", "x-hop"]"#);
    let answer = Headers::from(&[
        (":status", "200"),
        ("location", "/1"),
        ("x-note", "a"),
        ("x-note", "b"),
        ("content-type", "text/plain"),
        ("date", "today"),
        ("set-cookie", "a=b"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-request-id", "7"),
    ]);
    let mut call = post("k").send(&plugin);
    call.respond(answer.with("x-odd", b"\xFF"), true);
    call.finish();
    let reply = repeat(&plugin);
    let names: Vec<_> = reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(names, ["location: /1", "x-note: a", "x-note: b", "idempotency-replayed: true"]);
}

#[test]
fn an_answer_that_says_it_is_a_replay_is_not_believed_to_be_one_by_us() {
    let plugin = memory(r#""release_on": []"#);
    answered(post("k").send(&plugin), "429");
    assert_eq!(repeat(&plugin).status, 429);
}

#[test]
fn a_completion_that_fails_never_replaces_the_services_answer_and_is_repeated() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    receipt(&mut call);
    shop.silence();
    assert!(!call.paused(), "the client has waited long enough");
    assert_eq!((call.status(), call.finish().status), (Some(201), Some(201)));
    assert_eq!(metric(&shop.proxy, "not_stored_total;cause=missing"), 1);
    is(shop.send(&post("k")), 409, "in_flight");
    shop.turn();
    replayed(shop.send(&post("k")));
    shop.is_quiet();
}

#[test]
fn an_errand_is_repeated_until_the_store_says_yes() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    receipt(&mut call);
    shop.silence();
    call.finish();
    for _ in 0..10 {
        shop.wait(Duration::from_secs(1));
        shop.silence();
    }
    assert_eq!(shop.store.ran("complete"), 0);
    shop.rest(Duration::from_secs(20));
    assert_eq!(shop.store.ran("complete"), 1, "and once is enough");
    shop.is_quiet();
    replayed(shop.send(&post("k")));
}

#[test]
fn a_completion_that_the_store_refuses_is_repeated_too() {
    let mut shop = Shop::redis(1, "");
    let call = shop.send(&post("k"));
    shop.store.error = Some("OOM command not allowed when used memory > 'maxmemory'");
    shop.receipt(call);
    assert_eq!(metric(&shop.proxy, "not_stored_total;cause=refused"), 1);
    shop.rest(Duration::from_secs(1));
    shop.store.error = None;
    shop.rest(Duration::from_secs(5));
    replayed(shop.send(&post("k")));
    shop.is_quiet();
}

#[test]
fn a_store_that_lost_the_claim_is_told_of_no_answer() {
    let mut shop = Shop::redis(1, "");
    let call = shop.send(&post("k"));
    shop.store.lose_everything();
    shop.receipt(call);
    assert_eq!(metric(&shop.proxy, "not_stored_total;cause=claim_lost"), 1);
    assert_eq!(state(&shop.send(&post("k"))), "claimed", "what a store loses runs again: docs/idempotency.md");
}

/// A reply of the proxy's own in an answer's place, after the service was asked once.
#[test]
fn the_proxys_own_answer_is_not_kept_for_the_services() {
    let plugin = memory("");
    let mut call: Call = post("k").send(&plugin);
    call.set_bytes("upstream.request_attempt_count", &number(1));
    call.local_reply(504, 4, "response_timeout");
    assert!(!call.paused());
    call.finish();
    is(post("k").send(&plugin), 409, "in_flight");
    assert!(keyless().send(&plugin).passed());
}
