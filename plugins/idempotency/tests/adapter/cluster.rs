//! A Redis Cluster: each key has its node, and nodes change.

use crate::shop::{Redis, Shop, WIDE};
use crate::support::{SECOND, is, post, replayed, state};
use core::time::Duration;

fn cluster(at: &'static str) -> Redis {
    let base = WIDE.replace(r#""cluster": "store""#, r#""cluster": "store", "cluster_mode": true"#);
    let mut shop = Shop::of_redis(1, &base, "");
    shop.store.at = Some(at);
    shop
}

/// A Redis Cluster: the node is named in a header of the tunnel's.
#[test]
fn a_cluster_is_followed_to_the_node_that_has_the_key() {
    let mut shop = cluster("10.0.0.2:6379");
    let call = shop.send(&post("k"));
    assert_eq!((state(&call), shop.one().host().sent_callouts().len()), ("claimed".into(), 2), "sent on once");
    shop.receipt(call);
    assert_eq!(shop.one().host().sent_callouts().len(), 3, "the way is known now");
    shop.store.at = Some("10.0.0.3:6379");
    replayed(shop.send(&post("k")));
    assert_eq!(shop.one().host().sent_callouts().len(), 5);
    shop.is_quiet();
}

#[test]
fn the_whole_map_of_a_cluster_is_learnt_and_then_keys_go_straight_there() {
    let mut shop = cluster("10.0.0.2:6379").warm();
    for n in 0..5 {
        let before = shop.one().host().sent_callouts().len();
        let call = shop.send(&post(&n.to_string()));
        assert_eq!(shop.one().host().sent_callouts().len(), before + 1);
        call.abort();
        shop.turn();
    }
    shop.is_quiet();
}

#[test]
fn a_slot_that_is_moving_is_asked_for_where_it_goes() {
    for forgets in [false, true] {
        let mut shop = cluster("10.0.0.2:6379").warm();
        shop.store.moving_to = Some("10.0.0.3:6379");
        if forgets {
            shop.store.forget_scripts();
        }
        let call = shop.send(&post("k"));
        assert_eq!((state(&call), shop.store.ran("claim")), ("claimed".into(), 1), "{forgets}");
        shop.receipt(call);
        shop.store.moving_to = None;
        replayed(shop.send(&post("k")));
        shop.is_quiet();
    }
}

#[test]
fn a_node_that_is_gone_is_asked_for_no_longer() {
    let mut shop = cluster("10.0.0.2:6379");
    shop.pay(&post("k"));
    let call = post("k").send(shop.one());
    shop.silence();
    is(call, 503, "store");
    shop.store.at = Some("10.0.0.3:6379");
    replayed(shop.send(&post("k")));
    shop.rest(SECOND);
    shop.is_quiet();
}

/// There are only so many lines to wait in; whoever is sent on to one more is told so.
#[test]
fn a_redirect_to_more_nodes_than_are_kept_apart_is_a_store_failure() {
    let homes: Vec<String> = (0..64).map(|n| format!(r#""{n}": "store-{n}""#)).collect();
    let homes = format!(r#""home": {{"by": {{"header": "x-region"}}, "map": {{{}}}}}"#, homes.join(","));
    let base = WIDE.replace(r#""cluster": "store""#, r#""cluster": "store", "cluster_mode": true"#);
    let shop = Shop::of_redis(1, &base, &homes);
    let of = |region: usize, key: &str| post(key).with("x-region", &region.to_string()).send(shop.one());
    let everywhere: Vec<_> = (0..64).map(|n| of(n, "k")).collect();
    let more: Vec<_> = (0..8).map(|n| of(0, &n.to_string())).collect();
    shop.tick();
    let (_, last) = more.split_last().unwrap();
    assert_eq!(last.iter().filter(|call| call.paused()).count(), 7);
    let sent = shop.one().host().pending_callouts();
    let (id, _) = sent.into_iter().rev().find(|(_, callout)| callout.upstream == "store-0").unwrap();
    let moved = "-MOVED 1 10.0.0.9:6379\r\n".repeat(3) + "+OK\r\n";
    shop.one().answer(id, &[(":status", "200")], moved.as_bytes());
    shop.wait(SECOND);
    shop.silence();
    shop.wait(SECOND);
    assert!(everywhere.iter().chain(&more).all(|call| !call.paused()), "{:?}", shop.one().hung());
}

#[test]
fn redirects_that_go_round_and_round_end_in_a_store_failure() {
    let shop = cluster("10.0.0.1:6379");
    let call = post("k").send(shop.one());
    for hop in 0..10 {
        let Some((id, _)) = shop.one().host().pending_callouts().pop() else { break };
        let moved = format!("-MOVED 1 10.0.0.{}:6379\r\n+OK\r\n", hop % 2 + 1);
        shop.one().answer(id, &[(":status", "200")], moved.as_bytes());
    }
    is(call, 503, "store");
}

/// Each node says it for itself, and takes it back itself.
#[test]
fn a_cluster_that_no_longer_evicts_is_used_again() {
    let mut shop = cluster("10.0.0.2:6379");
    shop.store.evicts = true;
    let mut shop = shop.warm();
    for _ in 0..5 {
        is(shop.send(&post("k")), 503, "store");
        shop.rest(Duration::from_secs(61));
    }
    shop.store.evicts = false;
    is(shop.send(&post("k")), 503, "store");
    shop.turn();
    shop.turn();
    assert_eq!(state(&shop.send(&post("k"))), "claimed", "somebody changed its configuration");
}
