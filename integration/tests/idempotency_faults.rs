//! What goes wrong during a storm: proxies, stores, wires, services and clients. Nothing is executed twice, nothing hangs, and a key of which nobody knows
//! what came of it says so.
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

mod idempotency;

use std::time::Duration;

use idempotency::faulty::{load, plan, storm};
use idempotency::load::pay;
use idempotency::{Kind, SOON, Site, judge, one_at_a_time};
use integration::ledger::{Delay, Trouble};
use integration::{TestResult, eventually};
use serde_json::json;

const MS: Duration = Duration::from_millis(1);
/// How long what was stopped stays so.
const OUTAGE: Duration = Duration::from_secs(2);

fn rest() {
    std::thread::sleep(OUTAGE);
}

// --- proxies ---

fn a_proxy_is_killed(kind: Kind) -> TestResult {
    let _alone = one_at_a_time();
    let site = plan(kind).start()?;
    site.ledger.delay(Delay::Between(5 * MS, 40 * MS));
    let after = storm(site, load(), |site| {
        site.gateways[0].kill();
        site.gateways[0].restart()
    })?;
    assert!(after.told(0, "") > 0, "requests were cut");
    let replays = after.once_more()?;
    replays.assert_all_but(40)?;
    after.nobody_knows(&replays.uncertain)
}

#[test]
fn a_proxy_is_killed_and_comes_back_and_redis_remembers() -> TestResult {
    a_proxy_is_killed(Kind::Redis)
}

#[test]
fn a_proxy_is_killed_and_comes_back_and_memcached_remembers() -> TestResult {
    a_proxy_is_killed(Kind::Memcached)
}

// --- stores ---

fn the_store_fails(kind: Kind, fault: impl FnOnce(&Site) -> TestResult) -> TestResult {
    let _alone = one_at_a_time();
    let site = plan(kind).start()?;
    site.ledger.delay(Delay::Between(5 * MS, 40 * MS));
    let after = storm(site, load(), fault)?;
    assert!(after.told(503, "idempotency; cause=store") > 0, "it was missed");
    after.all_are_replayed_in_the_end()
}

#[test]
fn redis_stops_and_goes_on_and_late_claims_do_nothing() -> TestResult {
    the_store_fails(Kind::DurableRedis, |site| {
        site.store.redis()?.pause()?;
        rest();
        site.store.redis()?.resume()
    })
}

#[test]
fn redis_is_killed_and_comes_back_with_what_it_wrote() -> TestResult {
    the_store_fails(Kind::DurableRedis, |site| {
        site.store.redis()?.kill();
        rest();
        site.store.redis()?.restart()
    })
}

#[test]
fn a_node_of_a_redis_cluster_stops_and_goes_on() -> TestResult {
    the_store_fails(Kind::RedisCluster, |site| {
        let node = &site.store.cluster()?.nodes()[1];
        node.pause()?;
        // Less than what makes the others take it for dead.
        std::thread::sleep(OUTAGE / 2);
        node.resume()
    })
}

#[test]
fn memcached_stops_and_goes_on() -> TestResult {
    the_store_fails(Kind::Memcached, |site| {
        site.store.memcached()?.pause()?;
        rest();
        site.store.memcached()?.resume()
    })
}

#[test]
fn webdis_is_killed_and_comes_back() -> TestResult {
    the_store_fails(Kind::Webdis, |site| {
        site.store.webdis()?.kill();
        rest();
        site.store.webdis()?.restart()
    })
}

/// Webdis gives late answers to whoever has the descriptor by then.
#[test]
fn the_redis_behind_webdis_stops_and_goes_on() -> TestResult {
    the_store_fails(Kind::Webdis, |site| {
        site.store.redis()?.pause()?;
        rest();
        site.store.redis()?.resume()
    })
}

// --- the wire to the store ---

fn the_wire_fails(kind: Kind, fault: impl FnOnce(&integration::store::Relay)) -> TestResult {
    let _alone = one_at_a_time();
    let site = plan(kind).with_wire().start()?;
    site.ledger.delay(Delay::Between(5 * MS, 40 * MS));
    let after = storm(site, load(), |site| {
        let wire = site.store.wire()?;
        fault(wire);
        rest();
        wire.mend();
        Ok(())
    })?;
    assert!(after.told(503, "idempotency; cause=store") > 0, "it was missed");
    after.all_are_replayed_in_the_end()
}

#[test]
fn the_tunnel_is_cut() -> TestResult {
    the_wire_fails(Kind::Redis, integration::store::Relay::cut)
}

#[test]
fn the_tunnel_lets_nothing_through() -> TestResult {
    the_wire_fails(Kind::Redis, integration::store::Relay::block)
}

#[test]
fn replies_of_redis_are_cut_short() -> TestResult {
    the_wire_fails(Kind::Redis, |wire| wire.cut_replies_after(40))
}

#[test]
fn replies_of_memcached_are_cut_short() -> TestResult {
    the_wire_fails(Kind::Memcached, |wire| wire.cut_replies_after(10))
}

// --- clients ---

#[test]
fn clients_that_leave_are_no_reason_to_pay_twice() -> TestResult {
    let _alone = one_at_a_time();
    let site = plan(Kind::Redis).start()?;
    site.ledger.delay(Delay::Between(5 * MS, 40 * MS));
    let after = storm(site, load().impatient(30), |_| Ok(()))?;
    assert!(after.told(0, "") > 100, "they left");
    let replays = after.once_more()?;
    assert!(replays.same > 200, "{}", replays.told());
    after.nobody_knows(&replays.uncertain)
}

// --- the service ---

#[test]
fn the_service_is_killed_and_comes_back_and_a_key_can_be_run_again_where_that_is_wanted() -> TestResult {
    let _alone = one_at_a_time();
    let site = plan(Kind::Redis).start()?;
    site.ledger.delay(Delay::Between(20 * MS, 60 * MS));
    let after = storm(site, load(), |site| {
        site.ledger.kill();
        std::thread::sleep(200 * MS);
        site.ledger.restart();
        Ok(())
    })?;
    let replays = after.once_more()?;
    assert!(!replays.uncertain.is_empty(), "some were under way");
    after.nobody_knows(&replays.uncertain)?;

    let (site, key) = (&after.site, &replays.uncertain[0]);
    let answer = pay(site.edges()[1], key).send()?;
    assert_eq!((answer.status, answer.rejected_by()), (409, Some("idempotency; cause=uncertain")));
    (0..site.gateways.len()).try_for_each(|n| site.push(n, json!({"on_uncertain": "reexecute"})))?;
    for key in replays.uncertain.iter().take(10) {
        runs_again(site, key)?;
    }
    Ok(())
}

/// Once, with a later fence, and its answer is replayed by the other proxy.
fn runs_again(site: &Site, key: &str) -> TestResult {
    let edges = site.edges();
    eventually("it runs again", SOON, || anyhow::Ok(pay(edges[0], key).send()?.status == 201))?;
    let fences = site.ledger.fences(key);
    assert!(fences.len() == 2 && fences[0].is_some() && fences[0] < fences[1], "{fences:?}");
    assert_eq!(pay(edges[1], key).send()?.header("idempotency-replayed"), Some("true"));
    assert_eq!(site.ledger.executions(key).len(), 2);
    Ok(())
}

#[test]
fn a_service_that_resets_after_it_has_paid_leaves_uncertain_keys() -> TestResult {
    let _alone = one_at_a_time();
    let site = plan(Kind::Redis).start()?;
    site.ledger.trouble(Trouble::Reset, 10);
    let after = storm(site, load(), |_| Ok(()))?;
    let replays = after.once_more()?;
    let lost: Vec<String> = after.executed().into_iter().filter(|key| unanswered(&after.site, key)).collect();
    assert!(!lost.is_empty());
    assert_eq!(replays.uncertain, lost, "those whose answer was lost, and no others");
    after.nobody_knows(&replays.uncertain)
}

fn unanswered(site: &Site, key: &str) -> bool {
    site.ledger.executions(key).iter().all(|execution| execution.answer.is_none())
}

#[test]
fn a_service_that_hangs_is_left_before_the_lease_is_over() -> TestResult {
    let _alone = one_at_a_time();
    let site = plan(Kind::Redis).start()?;
    site.ledger.trouble(Trouble::Hang, 10);
    let after = storm(site, load(), |_| Ok(()))?;
    assert!(after.told(504, "") > 0, "{:?}", judge::by_status(&after.answers));
    let replays = after.once_more()?;
    let lost: Vec<String> = after.executed().into_iter().filter(|key| unanswered(&after.site, key)).collect();
    assert_eq!(replays.uncertain, lost, "those whose answer was lost, and no others");
    after.nobody_knows(&replays.uncertain)
}

#[test]
fn a_failure_is_an_answer_and_is_replayed() -> TestResult {
    let _alone = one_at_a_time();
    let site = plan(Kind::Redis).start()?;
    site.ledger.trouble(Trouble::Fail(500), 20);
    let after = storm(site, load(), |_| Ok(()))?;
    assert!(after.told(500, "") > 0, "{:?}", judge::by_status(&after.answers));
    let replays = after.once_more()?;
    replays.assert_all()?;
    after.nobody_knows(&[])
}

#[test]
fn a_service_that_declines_has_done_nothing_and_frees_the_key() -> TestResult {
    let _alone = one_at_a_time();
    let site = plan(Kind::Redis).start()?;
    site.ledger.trouble(Trouble::Decline(429), 20);
    let after = storm(site, load(), |_| Ok(()))?;
    assert!(after.site.ledger.declined() > 50 && after.told(429, "") > 50, "{:?}", judge::by_status(&after.answers));
    assert!(after.executed().len() > 350, "who was declined was taken later");
    after.once_more()?.assert_all()
}
