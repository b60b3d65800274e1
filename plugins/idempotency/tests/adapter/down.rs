//! A store that is down: requests are told at once, and what is to be told to it is not forgotten.

use crate::shop::{Shop, TICK, of_store};
use crate::support::{Call, SECOND, count, is, leave, post, receipt, replayed, state};
use core::time::Duration;

const OPEN: &str = r#""on_store_error": "open""#;

/// The promise of the breaker on the store: a dead one doesn't add its timeout to each request.
#[test]
fn after_five_failures_requests_are_told_at_once() {
    let mut shop = Shop::wide(1, "");
    for n in 0..5 {
        let call = post(&n.to_string()).send(shop.one());
        assert!(call.paused());
        shop.silence();
        is(call, 503, "store");
    }
    for n in 5..20 {
        is(post(&n.to_string()).send(shop.one()), 503, "store");
    }
    assert_eq!(shop.one().host().pending_callouts().len(), 0);
    shop.rest(Duration::from_secs(2));
    let call = shop.send(&post("again"));
    assert_eq!(state(&call), "claimed", "and when it is back, all is well");
    call.abort();
    assert_eq!(shop.store.ran("abandon"), 5, "who was told at once had claimed nothing");
    shop.is_quiet();
}

/// A tunnel to nowhere answers, too: with 503 and a body of its own, or with 200 and nothing in it.
#[test]
fn answers_that_say_nothing_count_as_failures() {
    for (status, body) in [("503", &b"upstream connect error"[..]), ("200", b"")] {
        let shop = Shop::wide(1, "");
        for n in 0..5 {
            let call = post(&n.to_string()).send(shop.one());
            let (id, _) = shop.one().host().pending_callouts().pop().unwrap();
            shop.one().answer(id, &[(":status", status)], body);
            is(call, 503, "store");
        }
        is(post("k").send(shop.one()), 503, "store");
        assert!(shop.one().host().pending_callouts().is_empty(), "{status}: it was asked a sixth time");
    }
}

#[test]
fn one_request_finds_out_that_the_store_is_back() {
    let mut shop = Shop::wide(1, OPEN);
    for n in 0..5 {
        let call = post(&n.to_string()).send(shop.one());
        shop.silence();
        call.abort();
    }
    // No tick: an errand would find out first.
    shop.proxy.advance(SECOND);
    let probe = post("probe").send(shop.one());
    assert!(probe.paused());
    for n in 0..3 {
        let other = post(&format!("other {n}")).send(shop.one());
        assert_eq!(state(&other), "unprotected", "one is enough to ask");
        other.abort();
    }
    shop.serve();
    assert_eq!(state(&probe), "claimed");
    assert_eq!(state(&shop.send(&post("k"))), "claimed");
    probe.abort();
}

#[test]
fn a_client_that_leaves_with_the_question_leaves_it_to_the_next_one() {
    let mut shop = Shop::wide(1, "");
    for n in 0..5 {
        let call = post(&n.to_string()).send(shop.one());
        shop.silence();
        call.finish();
    }
    shop.proxy.advance(SECOND);
    post("probe").send(shop.one()).abort();
    let next = post("next").send(shop.one());
    assert!(next.paused());
    shop.serve();
    assert_eq!(state(&next), "claimed");
    next.abort();
    shop.is_quiet();
}

#[test]
fn a_dead_store_is_asked_less_and_less_often() {
    let mut shop = Shop::wide(1, "");
    for n in 0..5 {
        let call = post(&n.to_string()).send(shop.one());
        shop.silence();
        call.finish();
    }
    let before = shop.one().host().sent_callouts().len();
    for _ in 0..6_000 {
        shop.tick();
        shop.silence();
    }
    let asked = shop.one().host().sent_callouts().len() - before;
    assert!((5..=14).contains(&asked), "{asked} times in half a minute");
    shop.rest(Duration::from_secs(10));
    shop.is_quiet();
}

#[test]
fn answers_that_could_not_be_stored_are_stored_when_the_store_is_back() {
    let mut shop = Shop::wide(1, "");
    let mut calls: Vec<_> = (0..6).map(|n| post(&n.to_string()).send(shop.one())).collect();
    shop.serve();
    for call in &mut calls {
        receipt(call);
        shop.silence();
        assert!(!call.paused(), "nobody's answer is held for longer than the timeout");
    }
    for call in calls {
        assert_eq!(call.finish().status, Some(201));
    }
    shop.rest(Duration::from_secs(5));
    for n in 0..6 {
        replayed(shop.send(&post(&n.to_string())));
    }
    shop.is_quiet();
}

#[test]
fn an_errand_that_the_store_refuses_is_tried_less_and_less_often() {
    let mut shop = Shop::wide(1, "");
    let call = shop.send(&post("k"));
    shop.store.error = Some("READONLY You can't write against a read only replica.");
    shop.receipt(call);
    let before = shop.one().host().sent_callouts().len();
    shop.rest(Duration::from_secs(30));
    let tried = shop.one().host().sent_callouts().len() - before;
    assert!((8..=14).contains(&tried), "{tried} times in half a minute");
    shop.store.error = None;
    shop.rest(Duration::from_secs(5));
    replayed(shop.send(&post("k")));
    shop.is_quiet();
}

/// An errand is tried for a quarter of an hour, and there are only so many.
#[test]
fn errands_are_not_kept_for_ever() {
    let mut shop = Shop::wide(1, "");
    let call = post("k").send(shop.one());
    shop.silence();
    is(call, 503, "store");
    for _ in 0..1_000 {
        shop.proxy.advance(SECOND);
        shop.one().tick();
        shop.silence();
    }
    shop.one().tick();
    assert!(of_store(&shop.proxy, "redis", "store_errands") <= 1, "but for the question whether it may evict");
    shop.is_quiet();
    assert_eq!(shop.store.ran("abandon"), 0);
}

/// What isn't told is uncertain when its lease is over: late, and safe.
#[test]
fn what_is_too_much_to_remember_is_dropped_and_counted() {
    let mut shop = Shop::wide(1, "");
    let calls: Vec<_> = (0..4_200).map(|n| post(&n.to_string()).without_body().send(shop.one())).collect();
    shop.tick();
    shop.silence();
    leave(calls);
    shop.tick();
    assert!(of_store(&shop.proxy, "redis", "store_errands") <= 4_096);
    let dropped = of_store(&shop.proxy, "redis", "store_errands_dropped_total");
    assert!((104..=112).contains(&dropped), "{dropped}");
    shop.rest(Duration::from_secs(5));
    shop.is_quiet();
}

#[test]
fn a_clock_that_steps_back_keeps_nobody_waiting_and_no_errand_from_its_way() {
    let mut shop = Shop::wide(1, "");
    let held = post("held").send(shop.one());
    let line: Vec<_> = (0..20).map(|n| post(&n.to_string()).send(shop.one())).collect();
    shop.tick();
    shop.proxy.clock().step_back(Duration::from_secs(3_600));
    shop.wait(Duration::from_millis(600));
    shop.silence();
    shop.wait(TICK);
    is(held, 503, "store");
    for call in line {
        is(call, 503, "store");
    }
    shop.rest(Duration::from_secs(10));
    assert_eq!(shop.store.ran("abandon"), 21);
    shop.is_quiet();
}

#[test]
fn a_clock_that_steps_back_between_two_tries_delays_no_errand_by_an_hour() {
    let mut shop = Shop::wide(1, "");
    let call = post("k").send(shop.one());
    shop.silence();
    is(call, 503, "store");
    shop.tick();
    shop.silence();
    shop.proxy.clock().step_back(Duration::from_secs(3_600));
    shop.rest(Duration::from_secs(10));
    assert_eq!(shop.store.ran("abandon"), 1);
    shop.is_quiet();
}

#[test]
fn a_clock_that_steps_forward_is_a_long_silence() {
    let mut shop = Shop::wide(1, "");
    let calls: Vec<Call> = (0..20).map(|n| post(&n.to_string()).send(shop.one())).collect();
    shop.tick();
    shop.proxy.advance(Duration::from_secs(3_600));
    shop.serve();
    shop.rest(SECOND);
    assert!(calls.iter().all(|call| !call.paused()));
    leave(calls);
    shop.is_quiet();
}

/// Nobody accepted that it may: nothing is claimed there, as if it were down.
#[test]
fn a_redis_that_may_evict_is_refused_unless_that_is_accepted() {
    let mut refused = Shop::redis(1, "");
    refused.store.evicts = true;
    let mut refused = refused.warm();
    is(refused.send(&post("k")), 503, "store");
    assert_eq!((of_store(&refused.proxy, "redis", "store_may_evict"), refused.store.ran("claim")), (1, 0));
    refused.store.evicts = false;
    refused.rest(Duration::from_secs(600));
    is(refused.send(&post("k")), 503, "store");
    refused.turn();
    assert_eq!(state(&refused.send(&post("k"))), "claimed", "somebody changed its configuration");
    let accepted = r#""store": {"kind": "redis", "cluster": "store", "accept_eviction": true},
        "secret": [{"env": "KEY"}], "headers_stop_iteration": true"#;
    let mut shop = Shop::of_redis(1, accepted, "");
    shop.store.evicts = true;
    let mut shop = shop.warm();
    assert_eq!(state(&shop.send(&post("k"))), "claimed");
    assert_eq!(of_store(&shop.proxy, "redis", "store_may_evict"), 1);
}

#[test]
fn an_uncertain_key_is_noted_for_whoever_must_look_at_it() {
    let mut shop = Shop::wide(1, "");
    shop.send(&post("k")).abort();
    shop.turn();
    assert_eq!(shop.store.ran("index"), 1, "when its client left");
    shop.proxy.advance(Duration::from_secs(31));
    is(shop.send(&post("k")), 409, "uncertain");
    shop.turn();
    assert_eq!(shop.store.ran("index"), 2, "and when somebody asked for it");
    shop.is_quiet();
}

#[test]
fn an_idle_plugin_asks_for_nothing() {
    let mut shop = Shop::wide(1, "");
    shop.rest(SECOND);
    shop.one().host().clear_calls();
    shop.rest(SECOND);
    assert_eq!(count(shop.one(), "dispatch"), 0);
}

#[test]
fn the_log_tells_of_a_dead_store_five_times_a_second() {
    let mut shop = Shop::wide(1, "");
    for n in 0..50 {
        let call = post(&n.to_string()).send(shop.one());
        shop.silence();
        is(call, 503, "store");
    }
    let told = shop.one().host().logs().iter().filter(|log| log.line.contains("store_failed")).count();
    assert_eq!(told, 5);
    shop.rest(Duration::from_secs(10));
    shop.is_quiet();
}
