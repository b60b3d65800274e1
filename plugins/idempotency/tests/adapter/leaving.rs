//! Clients that leave, and services that cut their answers, wherever a request just is.

use crate::shop::{REDIS, Shop};
use crate::stores::Store;
use crate::support::{
    Call, MEMORY, ORDER, Plugin, RECEIPT, SECOND, envoy, header, is, leave, memory, metric, number, post, receipt,
    replayed, state, worker,
};
use core::time::Duration;

#[test]
fn while_its_body_comes_nothing_was_claimed() {
    let mut shop = Shop::redis(1, "");
    let mut call = post("k").begin(shop.one());
    call.request_body(&ORDER[..3], false);
    call.abort();
    shop.rest(SECOND);
    assert!(shop.store.did.is_empty(), "{:?}", shop.store.did);
    shop.is_quiet();
}

/// The claim may be on its way, and run after the client's end (docs/hosts.md F4): so it is given up in any case.
#[test]
fn while_the_store_is_asked_its_claim_is_given_up() {
    for arrives in ["before", "after", "never"] {
        let mut shop = Shop::redis(1, "");
        let call = post("k").send(shop.one());
        let (id, claim) = shop.one().host().pending_callouts().pop().unwrap();
        call.abort();
        assert!(shop.one().host().pending_callouts().is_empty(), "its call died with it");
        if arrives == "before" {
            shop.store.answer(&claim);
        }
        shop.turn();
        assert_eq!(shop.store.ran("abandon"), 1, "by a call of the root's");
        if arrives == "after" {
            shop.store.answer(&claim);
        }
        assert!(!shop.one().answer(id, &[(":status", "200")], b""));
        let again = shop.send(&post("k").body(b"another order"));
        assert_eq!(state(&again), "claimed", "{arrives}");
        shop.receipt(again);
        shop.is_quiet();
    }
}

#[test]
fn giving_up_is_repeated_until_it_is_acknowledged() {
    let mut shop = Shop::redis(1, "");
    let call = shop.send(&post("j"));
    let lost = post("k").send(shop.one());
    let (_, claim) = shop.one().host().pending_callouts().pop().unwrap();
    shop.store.answer(&claim);
    lost.abort();
    for _ in 0..20 {
        shop.wait(Duration::from_millis(500));
        shop.silence();
    }
    shop.rest(Duration::from_secs(11));
    assert_eq!(shop.store.ran("abandon"), 1);
    assert_eq!(state(&shop.send(&post("k"))), "claimed");
    shop.receipt(call);
    shop.is_quiet();
}

#[test]
fn while_it_waits_for_another_one_nothing_is_left_behind() {
    let wait = r#""on_in_flight": "wait", "wait": "10s""#;
    let plugin = memory(wait);
    let first = post("k").send(&plugin);
    let waiting = post("k").send(&plugin);
    assert!(waiting.paused());
    waiting.abort();
    plugin.host().proxy().advance(SECOND);
    plugin.tick();
    assert!(plugin.hung().is_empty());
    is_done(first, &plugin);
    let mut shop = Shop::redis(1, wait);
    let first = shop.send(&post("k"));
    let waiting = post("k").send(shop.one());
    shop.serve();
    assert!(waiting.paused());
    waiting.abort();
    shop.rest(SECOND);
    shop.receipt(first);
    shop.is_quiet();
    replayed(shop.send(&post("k")));
}

fn is_done(mut first: Call, plugin: &Plugin) {
    receipt(&mut first);
    first.finish();
    replayed(post("k").send(plugin));
}

#[test]
fn while_its_request_is_with_the_service_nobody_knows() {
    let plugin = memory("");
    post("k").send(&plugin).abort();
    is(post("k").send(&plugin), 409, "in_flight");
    plugin.host().proxy().advance(Duration::from_secs(30));
    is(post("k").send(&plugin), 409, "uncertain");
    assert_eq!(metric(plugin.host().proxy(), "uncertain_total;cause=no_answer"), 1);
}

#[test]
fn before_its_request_was_sent_the_key_is_free() {
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    call.set_bytes("upstream.request_attempt_count", &number(0));
    call.abort();
    assert_eq!(state(&post("k").send(&plugin)), "claimed");
    assert_eq!(metric(plugin.host().proxy(), "released_total;cause=not_sent"), 1);
}

/// The service's word is known, and only the rest of it isn't.
#[test]
fn while_its_answer_is_held_the_answer_is_kept_without_its_body() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "201"), ("content-type", "application/json"), ("location", "/pay/1")], false);
    call.body(&RECEIPT[..5], false);
    call.abort();
    shop.turn();
    let reply = shop.send(&post("k")).finish().reply.unwrap();
    assert_eq!((reply.status, header(&reply, "location").as_deref()), (201, Some("/pay/1")));
    assert_eq!(header(&reply, "x-holdfast-idempotency").as_deref(), Some("body-not-stored"));
    shop.is_quiet();
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    call.respond(&[(":status", "201")], false);
    call.abort();
    assert_eq!(post("k").send(&plugin).finish().reply.unwrap().status, 201);
}

#[test]
fn while_its_answer_is_being_stored_it_is_stored_all_the_same() {
    for arrives in [true, false] {
        let mut shop = Shop::redis(1, "");
        let mut call = shop.send(&post("k"));
        receipt(&mut call);
        let (_, completion) = shop.one().host().pending_callouts().pop().unwrap();
        if arrives {
            shop.store.answer(&completion);
        }
        call.abort();
        shop.turn();
        assert_eq!(shop.store.ran("complete"), 1 + usize::from(arrives), "a second time does no harm");
        replayed(shop.send(&post("k")));
        shop.is_quiet();
    }
}

/// The service said its status, and then its connection broke: whether it did all of it, nobody knows.
#[test]
fn a_service_that_cuts_its_answer_leaves_the_key_uncertain() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "201")], false).body(b"half", false);
    call.cut(64);
    is(shop.send(&post("k")), 409, "in_flight");
    shop.proxy.advance(Duration::from_secs(31));
    is(shop.send(&post("k")), 409, "uncertain");
    assert_eq!(metric(&shop.proxy, "uncertain_total;cause=answer_cut"), 1);
    shop.is_quiet();
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    call.respond(&[(":status", "201")], false).body(b"half", false);
    call.cut(64);
    is(post("k").send(&plugin), 409, "in_flight");
}

#[test]
fn what_went_out_already_is_stored_whoever_leaves() {
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    call.respond(&[(":status", "200"), ("content-type", "text/event-stream")], false).body(b"data: 1\n\n", false);
    call.abort();
    assert_eq!(post("k").send(&plugin).finish().reply.unwrap().status, 200);
}

#[test]
fn a_worker_that_dies_leaves_its_claims_uncertain() {
    let proxy = envoy();
    let [one, other] = [(); 2].map(|()| worker(&proxy, MEMORY, ""));
    let call = post("k").send(&one);
    drop((call, one));
    is(post("k").send(&other), 409, "in_flight");
    proxy.advance(Duration::from_secs(30));
    is(post("k").send(&other), 409, "uncertain");
}

/// A push keeps the former plugin as long as one of its streams lives.
#[test]
fn whoever_waits_when_a_new_configuration_comes_is_answered_by_the_old_one() {
    let shop = Shop::redis(1, "");
    let mut store = crate::stores::FakeRedis::new(&shop.proxy);
    let calls: Vec<_> = (0..20).map(|n| post(&n.to_string()).send(shop.one())).collect();
    let pushed = shop.one().host().clone();
    let pushed = sdk_shim::fake::Worker::<idempotency::Idempotency>::start(&pushed, &format!("{{{REDIS}}}")).unwrap();
    for _ in 0..40 {
        shop.tick();
        pushed.tick();
        for (id, callout) in shop.one().host().pending_callouts() {
            shop.one().answer(id, &[(":status", "200")], &store.answer(&callout));
        }
    }
    assert!(calls.iter().all(|call| state(call) == "claimed"));
    leave(calls);
}

/// A push: the former configuration goes when the store knows all that it had to tell.
#[test]
fn a_configuration_that_is_replaced_tells_the_store_what_it_has_to_before_it_goes() {
    let mut shop = Shop::redis(1, "").warm();
    let idle = shop.one().clone();
    let lost = post("k").send(&idle);
    let (_, claim) = shop.one().host().pending_callouts().pop().unwrap();
    shop.store.answer(&claim);
    lost.abort();
    idle.retire();
    shop.wait(SECOND);
    shop.silence();
    assert!(!idle.is_gone(), "the store doesn't answer");
    shop.rest(SECOND);
    assert!(idle.is_gone());
    assert_eq!((shop.store.ran("abandon"), shop.store.ran("index")), (1, 0));

    let idle = Shop::redis(1, "").warm();
    idle.one().retire();
    assert!(idle.one().is_gone(), "with nothing to tell it goes at once");
}
