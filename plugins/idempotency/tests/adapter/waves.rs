//! Thousands at once: no callback wakes more than a stack bears, and everybody gets an answer.

use crate::shop::{Redis, Shop, TICK, WIDE, of_store};
use crate::support::{Call, Plugin, count, leave, post, receipt, state};
use core::time::Duration;

fn wave(shop: &Redis, many: usize) -> Vec<Call> {
    (0..many).map(|n| post(&n.to_string()).send(shop.one())).collect()
}

/// What the plugin does to streams in one callback.
fn woken(plugin: &Plugin) -> usize {
    count(plugin, "resume") + count(plugin, "reply")
}

#[test]
fn a_callback_wakes_64_and_the_ticks_the_rest() {
    let shop = Shop::wide(1, "");
    let mut calls = wave(&shop, 300);
    let (own, rest) = calls.split_at_mut(8);
    assert!(own.iter().chain(&*rest).all(Call::paused));
    shop.tick();
    let sent = shop.one().host().pending_callouts();
    let (id, shared) = sent.into_iter().max_by_key(|(_, callout)| callout.body.len()).unwrap();
    let mut store = crate::stores::FakeRedis::new(&shop.proxy);
    let said = crate::stores::Store::answer(&mut store, &shared);
    shop.one().host().clear_calls();
    shop.one().answer(id, &[(":status", "200")], &said);
    assert_eq!(woken(shop.one()), 64);
    shop.one().host().clear_calls();
    shop.tick();
    assert!((1..=64).contains(&woken(shop.one())));
    assert!(shop.one().host().traps().is_empty());
    leave(calls);
}

#[test]
fn two_thousand_who_wait_for_a_stalled_store_are_all_answered() {
    let mut shop = Shop::wide(1, "");
    let calls = wave(&shop, 2_000);
    for _ in 0..400 {
        shop.one().host().clear_calls();
        shop.tick();
        assert!(woken(shop.one()) <= 64, "{}", woken(shop.one()));
    }
    shop.silence();
    shop.wait(Duration::from_secs(1));
    assert!(calls.iter().all(|call| call.reply().is_some_and(|reply| reply.status == 503)));
    for call in calls {
        call.finish();
    }
    assert!(shop.one().host().traps().is_empty());
    shop.rest(Duration::from_secs(20));
    assert_eq!(of_store(&shop.proxy, "redis", "store_errands"), 0);
    shop.is_quiet();
}

#[test]
fn two_thousand_who_wait_for_a_slow_store_run_once_each() {
    let mut shop = Shop::wide(1, "");
    let mut calls = wave(&shop, 2_000);
    let again = wave(&shop, 2_000);
    shop.rest(Duration::from_secs(1));
    assert!(calls.iter().chain(&again).all(|call| !call.paused()));
    let claimed = |calls: &[Call]| calls.iter().filter(|call| state(call) == "claimed").count();
    assert_eq!((claimed(&calls), claimed(&again)), (2_000, 0));
    calls.iter_mut().for_each(receipt);
    shop.rest(Duration::from_secs(1));
    for call in calls.into_iter().chain(again) {
        call.finish();
    }
    assert_eq!(shop.store.records().len(), 2_000);
    shop.is_quiet();
}

/// Some wait for the store, some for another one's end: together they are woken no faster.
#[test]
fn all_who_wait_in_one_worker_share_the_64() {
    let homes = r#""on_in_flight": "wait", "wait": "20s",
        "home": {"by": {"header": "x-region"}, "map": {"eu": "eu", "us": "us"}}"#;
    let mut shop = Shop::of_redis(1, WIDE, homes);
    let plugin = shop.one().clone();
    let of = |region: &str, key: &str| post(key).with("x-region", region).send(&plugin);
    let first = of("eu", "k");
    let sleeping: Vec<_> = (0..150).map(|_| of("eu", "k")).collect();
    shop.rest(Duration::from_secs(4));
    assert!(first.passed() && sleeping.iter().all(Call::paused));
    // Until they ask again, Europe's store goes down for longer than that, and others come for the one in America.
    for n in 0..7 {
        let call = of("eu", &format!("lost {n}"));
        shop.silence();
        call.finish();
        shop.proxy.advance(if n < 4 { Duration::ZERO } else { Duration::from_millis(310) });
    }
    let waiting: Vec<_> = (0..100).map(|n| of("us", &n.to_string())).collect();
    shop.proxy.advance(Duration::from_millis(600));
    let mut most = 0;
    for _ in 0..20 {
        shop.one().host().clear_calls();
        shop.one().tick();
        most = most.max(woken(shop.one()));
        shop.silence();
        shop.proxy.advance(TICK);
    }
    assert!(sleeping.iter().chain(&waiting).all(|call| !call.paused()));
    assert_eq!(most, 64);
    leave(sleeping.into_iter().chain(waiting));
    first.abort();
}

#[test]
fn the_lines_of_two_stores_share_the_64() {
    let homes = r#""home": {"by": {"header": "x-region"}, "map": {"eu": "eu", "us": "us"}}"#;
    let shop = Shop::of_redis(1, WIDE, homes);
    let of = |region: &str, n: usize| post(&n.to_string()).with("x-region", region).send(shop.one());
    let calls: Vec<_> = (0..100).flat_map(|n| [of("eu", n), of("us", n)]).collect();
    shop.proxy.advance(Duration::from_secs(1));
    for _ in 0..4 {
        shop.one().host().clear_calls();
        shop.one().tick();
        assert!(woken(shop.one()) <= 64, "{}", woken(shop.one()));
    }
    shop.silence();
    shop.tick();
    assert!(calls.iter().all(|call| !call.paused()));
    leave(calls);
}
