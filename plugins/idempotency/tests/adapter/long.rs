//! Answers that are longer than what Redis writes at a time.

use crate::shop::{Redis, Shop};
use crate::support::{SECOND, leave, post};

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

/// What one call carries must be there within the store's timeout; on a way that is slower than that, less.
#[test]
fn long_answers_go_to_the_store_a_few_at_a_time() {
    const BYTES: usize = 200_000;
    let mut shop = Shop::wide(1, "");
    let mut calls: Vec<_> = (0..40_u8).map(|n| shop.send(&post(&n.to_string()).without_body())).collect();
    for call in &mut calls {
        call.respond(&[(":status", "200")], false).body(&vec![7; BYTES], true);
    }
    shop.tick();
    let under_way = |shop: &Redis| -> Vec<usize> {
        shop.one().host().pending_callouts().into_iter().map(|(_, callout)| callout.body.len()).collect()
    };
    let sizes = under_way(&shop);
    assert!(sizes[..8].iter().all(|size| *size < BYTES + 1_000), "eight have calls of their own: {sizes:?}");
    assert_eq!(sizes[8..].iter().map(|size| size / BYTES).collect::<Vec<_>>(), [5], "1 MiB is shared");

    // The way is slow: nothing is there in time. What is to be stored is stored in the end.
    shop.silence();
    shop.wait(SECOND);
    assert!(calls.iter().all(|call| !call.paused()), "clients have their answers");
    assert_eq!(under_way(&shop).iter().map(|size| size / BYTES).collect::<Vec<_>>(), [1], "one after the other");
    shop.rest(SECOND * 10);
    for (n, call) in calls.into_iter().enumerate() {
        call.finish();
        let again = shop.send(&post(&n.to_string()).without_body()).finish().reply.expect("a replay");
        assert_eq!((again.status, again.body.len()), (200, BYTES), "{n}");
    }
    shop.is_quiet();
}
