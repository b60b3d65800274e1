//! Answers that are longer than what Redis writes at a time.

use crate::shop::Shop;
use crate::support::{leave, post};

/// Redis drops what it hasn't written of long replies; so they are read in pieces.
#[test]
fn a_long_answer_is_replayed_whole() {
    let mut shop = Shop::wide(1, "");
    let long: Vec<u8> = (0..250_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let ask = post("k").without_body();
    let mut call = shop.send(&ask);
    call.respond(&[(":status", "200")], false).body(&long, true);
    shop.settle(&call);
    call.finish();
    for _ in 0..2 {
        let call = shop.send(&ask);
        assert_eq!(call.finish().reply.unwrap().body, long);
    }
    assert!(shop.store.ran("read") >= 8, "{:?}", shop.store.did);
    shop.is_quiet();
}

#[test]
fn long_answers_in_a_shared_call_are_replayed_whole() {
    let mut shop = Shop::wide(1, "");
    let ask = |n: u8| post(&n.to_string()).without_body();
    for n in 0..6 {
        let mut call = shop.send(&ask(n));
        call.respond(&[(":status", "200")], false).body(&vec![n; 30_000 * usize::from(n)], true);
        shop.settle(&call);
        call.finish();
    }
    let blockers: Vec<_> = (0..8).map(|n| post(&format!("blocker {n}")).send(shop.one())).collect();
    let calls: Vec<_> = (0..6).map(|n| ask(n).send(shop.one())).collect();
    for (n, call) in (0..6).zip(calls) {
        shop.settle(&call);
        assert_eq!(call.finish().reply.unwrap().body, vec![n; 30_000 * usize::from(n)]);
    }
    leave(blockers);
    shop.is_quiet();
}
