//! Requests' bodies: how they come, and how long they may be.

use crate::shop::Shop;
use crate::support::{
    MEMORY, ORDER, answered, ask, envoy, is, memory, metric, pay, post, receipt, replayed, state, worker,
};
use sdk_shim::entry::Flow;

const SMALL: &str = r#""max_body": 10"#;
const PASS: &str = r#""max_body": 10, "too_large": "pass""#;

#[test]
fn a_body_is_waited_for_in_however_many_parts_it_comes() {
    let plugin = memory("");
    pay(&plugin, &post("k"));
    for size in [1, 3, ORDER.len()] {
        let mut call = post("k").begin(&plugin);
        assert_eq!(call.flow(), Flow::Pause);
        for part in ORDER.chunks(size) {
            assert!(call.reply().is_none());
            call.request_body(part, false);
        }
        call.request_body(b"", true);
        replayed(call);
    }
}

#[test]
fn a_request_without_a_body_is_claimed_at_once() {
    let plugin = memory("");
    let ask = post("k").without_body();
    let mut call = ask.send(&plugin);
    receipt(&mut call);
    call.finish();
    replayed(ask.send(&plugin));
    replayed(ask.body(b"").send(&plugin));
}

#[test]
fn a_request_may_end_in_trailers() {
    let plugin = memory("");
    pay(&plugin, &post("k"));
    let mut call = post("k").begin(&plugin);
    call.request_body(ORDER, false).request_trailers();
    replayed(call);
    let mut other = post("k").begin(&plugin);
    other.request_body(b"{}", false).request_trailers();
    is(other, 422, "mismatch");
    let mut none = post("none").begin(&plugin);
    none.request_trailers();
    assert_eq!(state(&none), "claimed", "trailers, and no body");
}

#[test]
fn trailers_wait_too_while_the_store_is_asked() {
    let mut shop = Shop::redis(1, "");
    let mut call = post("k").begin(shop.one());
    call.request_body(ORDER, false).request_trailers();
    assert_eq!((call.flow(), call.paused()), (Flow::Pause, true));
    shop.settle(&call);
    shop.receipt(call);
    replayed(shop.send(&post("k")));
}

#[test]
fn exactly_max_body_is_not_too_long() {
    let plugin = memory(SMALL);
    for ask in [post("a").body(b"0123456789"), post("b").body(b"0123456789").with("content-length", "10")] {
        assert_eq!(state(&ask.send(&plugin)), "claimed");
    }
    let mut trailers = post("c").begin(&plugin);
    trailers.request_body(b"0123456789", false).request_trailers();
    assert_eq!(state(&trailers), "claimed");
}

#[test]
fn one_byte_more_is_refused_however_it_comes() {
    let plugin = memory(SMALL);
    let long = post("k").body(b"0123456789x");
    let told = long.clone().with("content-length", "11").begin(&plugin);
    assert!(told.reply().is_some(), "before it is sent");
    is(told, 413, "too_large");
    is(long.send(&plugin), 413, "too_large");
    let mut growing = long.begin(&plugin);
    growing.request_body(b"0123456789", false);
    assert!(growing.reply().is_none());
    growing.request_body(b"x", false);
    is(growing, 413, "too_large");
    let mut trailers = long.begin(&plugin);
    trailers.request_body(b"012345", false).request_body(b"6789x", false);
    is(trailers, 413, "too_large");
    assert_eq!(metric(plugin.host().proxy(), "refused_total;cause=too_large"), 4);
}

#[test]
fn what_is_too_long_may_pass_and_says_so() {
    let plugin = memory(PASS);
    let long = post("k").body(b"0123456789x");
    for ask in [long.clone(), long.with("content-length", "11")] {
        let call = ask.send(&plugin);
        assert!(call.passed());
        assert_eq!(call.request_header("x-holdfast-idempotency").as_deref(), Some("unprotected"));
        assert_eq!((call.request_header("x-holdfast-fence"), state(&call)), (None, "unprotected".into()));
        answered(call, "200");
    }
    assert_eq!(metric(plugin.host().proxy(), "unprotected_total;cause=too_large"), 2);
}

#[test]
fn the_rest_of_a_body_that_passes_is_not_held() {
    let plugin = memory(PASS);
    let mut call = post("k").begin(&plugin);
    call.request_body(b"0123456789x", false);
    assert!(call.passed());
    call.request_body(b"more", false);
    assert_eq!(call.flow(), Flow::Continue);
    call.request_body(b"", true).request_trailers();
    answered(call, "200");
}

#[test]
fn a_length_that_is_none_is_not_believed() {
    let plugin = memory(SMALL);
    for length in ["ten", "-1", "99999999999999999999", ""] {
        let call = post(&format!("k{length}")).body(b"0123").with("content-length", length).send(&plugin);
        assert_eq!(state(&call), "claimed", "{length:?}");
    }
}

#[test]
fn nothing_at_all_may_be_allowed() {
    let plugin = memory(r#""max_body": 0"#);
    assert_eq!(state(&post("k").without_body().send(&plugin)), "claimed");
    is(post("j").body(b"x").send(&plugin), 413, "too_large");
}

#[test]
fn a_reply_of_the_proxy_while_the_body_comes_ends_it() {
    let plugin = worker(&envoy(), MEMORY, "");
    let mut call = post("k").begin(&plugin);
    call.request_body(b"half", false);
    call.abort();
    assert_eq!(state(&post("k").send(&plugin)), "claimed", "nothing was claimed");
    assert_eq!(ask("POST", "/pay").begin(&plugin).flow(), Flow::Continue);
}
