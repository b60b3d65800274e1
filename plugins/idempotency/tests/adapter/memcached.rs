//! memcached: one to three trips per verb, and seconds in place of milliseconds.

use crate::shop::{Shop, of_store};
use crate::stores::{FakeMemcached, Store};
use crate::support::{Call, SECOND, count, header, is, leave, memory, metric, pay, post, receipt, replayed, state};
use core::time::Duration;

fn shop(more: &str) -> Shop<FakeMemcached> {
    Shop::memcached(1, more)
}

#[test]
fn a_request_runs_once_and_its_repeat_gets_the_answer() {
    let mut shop = Shop::memcached(2, "");
    let call = shop.send(&post("k"));
    assert_eq!(state(&call), "claimed");
    is(shop.send(&post("k")), 409, "in_flight");
    is(shop.send(&post("k").body(b"{}")), 422, "mismatch");
    shop.receipt(call);
    let other = post("k").send(&shop.workers[1]);
    shop.settle(&other);
    replayed(other);
    assert_eq!(of_store(&shop.proxy, "memcached", "store_may_evict"), 1, "it always may");
    shop.is_quiet();
}

#[test]
fn many_share_a_call_however_many_trips_each_needs() {
    let mut shop = shop("");
    let running: Vec<_> = (0..4).map(|n| post(&format!("running {n}")).send(shop.one())).collect();
    shop.rest(SECOND);
    let asks = (0..40).map(|n| if n % 2 == 0 { post(&format!("running {}", n % 4)) } else { post(&n.to_string()) });
    let calls: Vec<_> = asks.map(|ask| ask.send(shop.one())).collect();
    shop.rest(SECOND);
    let states: Vec<_> = calls.iter().map(state).collect();
    assert!(
        states.iter().enumerate().all(|(n, state)| state == if n % 2 == 0 { "in_flight" } else { "claimed" }),
        "{states:?}"
    );
    leave(running);
    leave(calls);
    shop.rest(SECOND);
    shop.is_quiet();
}

/// Its lease lasts up to two seconds longer, never shorter.
#[test]
fn after_the_lease_nobody_knows() {
    let mut shop = shop("");
    shop.send(&post("k")).abort();
    shop.proxy.advance(Duration::from_secs(29));
    is(shop.send(&post("k")), 409, "in_flight");
    shop.proxy.advance(Duration::from_secs(4));
    is(shop.send(&post("k")), 409, "uncertain");
    assert_eq!(metric(&shop.proxy, "uncertain_total;cause=no_answer"), 1);
    shop.is_quiet();
}

#[test]
fn what_nobody_knows_may_be_run_again_with_a_higher_fence() {
    let mut shop = shop(r#""on_uncertain": "reexecute""#);
    let fence = |call: &Call| call.request_header("x-holdfast-fence").unwrap().parse::<u64>().unwrap();
    let lost = shop.send(&post("k"));
    shop.proxy.advance(Duration::from_secs(33));
    let again = shop.send(&post("k"));
    assert!(fence(&again) > fence(&lost));
    shop.receipt(again);
    lost.abort();
    replayed(shop.send(&post("k")));
    shop.is_quiet();
}

#[test]
fn a_status_that_frees_a_key_frees_it_here_too() {
    let mut shop = shop("");
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "429")], true);
    shop.settle(&call);
    call.finish();
    let again = shop.send(&post("k").body(b"another order"));
    assert_eq!(state(&again), "claimed");
    shop.receipt(again);
    is(shop.send(&post("k")), 422, "mismatch");
    shop.is_quiet();
}

/// Nobody reads the reply to an `add` that arrives late; so the mark in the record's place is there before.
#[test]
fn a_claim_that_arrives_after_its_client_left_holds_nobody_up() {
    for arrives in ["before", "after"] {
        let mut shop = shop("");
        let call = post("k").send(shop.one());
        let (_, claim) = shop.one().host().pending_callouts().pop().unwrap();
        call.abort();
        if arrives == "before" {
            shop.store.answer(&claim);
        }
        shop.rest(SECOND);
        if arrives == "after" {
            shop.store.answer(&claim);
        }
        assert_eq!(state(&shop.send(&post("k"))), "claimed", "{arrives}");
        shop.is_quiet();
    }
}

#[test]
fn a_memcached_that_is_full_or_silent_is_a_store_failure() {
    let mut shop = shop("");
    shop.store.error = Some("SERVER_ERROR out of memory storing object");
    is(shop.send(&post("k")), 503, "store");
    shop.store.error = None;
    shop.rest(Duration::from_secs(2));
    let call = shop.send(&post("k"));
    assert_eq!(state(&call), "claimed");
    shop.store.error = Some("SERVER_ERROR out of memory storing object");
    assert_eq!(shop.receipt(call).status, Some(201), "its client has its answer");
    shop.rest(SECOND);
    shop.store.error = None;
    shop.rest(Duration::from_secs(5));
    replayed(shop.send(&post("k")));
    let call = post("j").send(shop.one());
    shop.silence();
    is(call, 503, "store");
    shop.is_quiet();
}

#[test]
fn a_reply_that_is_cut_between_two_trips_gives_the_claim_up() {
    let mut shop = shop("");
    let first = shop.send(&post("k"));
    let call = post("k").send(shop.one());
    let (id, claim) = shop.one().host().pending_callouts().pop().unwrap();
    let said = shop.store.answer(&claim);
    shop.one().answer(id, &[(":status", "200")], &said);
    assert!(call.paused(), "whether the lease is over takes one more trip");
    let (id, lease) = shop.one().host().pending_callouts().pop().unwrap();
    let said = shop.store.answer(&lease);
    shop.one().answer(id, &[(":status", "200")], &said[..said.len() / 2]);
    is(call, 503, "store");
    shop.rest(SECOND);
    shop.receipt(first);
    replayed(shop.send(&post("k")));
    shop.is_quiet();
}

#[test]
fn a_long_answer_comes_back_whole() {
    let mut shop = shop("");
    let long = vec![b'x'; 200_000];
    let ask = post("k").without_body();
    let mut call = shop.send(&ask);
    call.respond(&[(":status", "200")], false).body(&long, true);
    shop.settle(&call);
    call.finish();
    assert_eq!(shop.send(&ask).finish().reply.unwrap().body, long);
}

/// That is what `accept_eviction` accepts.
#[test]
fn what_memcached_evicts_runs_again() {
    let mut shop = shop("");
    shop.pay(&post("k"));
    shop.store.evict_all();
    assert_eq!(state(&shop.send(&post("k"))), "claimed");
}

#[test]
fn who_waits_gets_the_first_answer() {
    let mut shop = shop(r#""on_in_flight": "wait", "wait": "5s""#);
    let mut first = shop.send(&post("k"));
    let waiting = post("k").send(shop.one());
    shop.rest(SECOND);
    assert!(waiting.paused());
    receipt(&mut first);
    shop.settle(&first);
    first.finish();
    shop.rest(Duration::from_secs(2));
    let reply = replayed(waiting);
    assert_eq!(header(&reply, "content-type").as_deref(), Some("application/json"));
    shop.is_quiet();
}

#[test]
fn memory_needs_no_calls_at_all() {
    let plugin = memory("");
    pay(&plugin, &post("k"));
    assert_eq!(count(&plugin, "dispatch"), 0);
}
