//! Thousands of requests that wait for one thing, and go on at one moment: every wake-up recurses in the proxy, through all filters that stand behind the
//! plugin. All are answered, and no filter breaks.
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

mod idempotency;

use std::time::Duration;

use anyhow::ensure;
use idempotency::load::{key, pay};
use idempotency::{Kind, LONG, Plan, SOON, Site, judge, one_at_a_time};
use integration::client::{Running, Tally};
use integration::ledger::Delay;
use integration::{Storm, TestResult, eventually};
use serde_json::json;

const WAITING: usize = 2_000;
/// Longer than it takes for all of them to come.
const STORE: Duration = Duration::from_secs(8);

fn chain() -> Plan {
    Plan::new(Kind::Redis).nodes(1).with_breaker().with_budget().with(json!({"store": {"timeout": "8s"}}))
}

/// Each with a connection and a key of its own.
fn wave(site: &Site, key: fn(usize) -> String) -> Running {
    let edge = site.edges()[0];
    let storm = Storm::new(pay(edge, "")).total(WAITING).concurrency(WAITING);
    storm.each(move |n, _| pay(edge, &key(n)).timeout(4 * STORE)).start()
}

/// They are inside of the proxy.
fn until_all_wait(site: &Site) -> TestResult {
    eventually("all of them wait", STORE, || {
        let active = site.gateways[0].look(|envoy| envoy.stat("http.edge.downstream_rq_active"))?;
        ensure!(active == WAITING as u64, "{active}");
        Ok::<_, anyhow::Error>(true)
    })
}

fn all_answered(tally: &Tally) {
    println!("{:?}, the last after {:?}", tally.by_status(), tally.latency(1.0));
    assert_eq!((tally.len(), tally.errors().len()), (WAITING, 0), "{:?}", tally.errors());
    assert_eq!(tally.status(201) + tally.status(503), WAITING, "{:?}", tally.by_status());
}

/// The store stops, all of them come, it goes on.
fn a_stalled_store_goes_on(plan: Plan) -> TestResult {
    let _alone = one_at_a_time();
    let site = plan.start()?;
    pay(site.edges()[0], "\"first\"").send()?;
    site.store.redis()?.pause()?;
    let running = wave(&site, key);
    until_all_wait(&site)?;
    site.store.redis()?.resume()?;
    let tally = running.join(LONG);
    all_answered(&tally);
    judge::at_most_once(&site.ledger)?;
    ensure!(site.ledger.total() >= tally.status(201), "who was told so has paid");
    site.assert_no_trap();
    eventually("it serves", SOON, || anyhow::Ok(pay(site.edges()[0], "\"last\"").send()?.status == 201))
}

#[test]
fn a_wave_of_answers_of_the_store_breaks_nothing() -> TestResult {
    a_stalled_store_goes_on(chain())
}

#[test]
fn a_wave_of_answers_of_the_store_breaks_nothing_in_one_vm() -> TestResult {
    a_stalled_store_goes_on(chain().in_one_vm())
}

/// Nothing goes on: the deadlines of all of them pass at one moment.
fn a_stalled_store_is_given_up(plan: Plan) -> TestResult {
    let _alone = one_at_a_time();
    let site = plan.start()?;
    pay(site.edges()[0], "\"first\"").send()?;
    site.store.redis()?.pause()?;
    let tally = wave(&site, key).join(LONG);
    all_answered(&tally);
    assert_eq!((tally.status(503), site.ledger.total()), (WAITING, 1), "nothing was let through");
    assert!(tally.latency(1.0) < 3 * STORE, "{:?}", tally.latency(1.0));
    site.assert_no_trap();
    site.store.redis()?.resume()?;
    eventually("it serves", SOON, || anyhow::Ok(pay(site.edges()[0], "\"last\"").send()?.status == 201))
}

#[test]
fn a_wave_of_deadlines_breaks_nothing() -> TestResult {
    a_stalled_store_is_given_up(chain())
}

#[test]
fn a_wave_of_deadlines_breaks_nothing_in_one_vm() -> TestResult {
    a_stalled_store_is_given_up(chain().in_one_vm())
}

#[test]
fn two_thousand_repeats_wait_for_one_payment_and_all_get_its_answer() -> TestResult {
    let _alone = one_at_a_time();
    let site = chain().with(json!({"on_in_flight": "wait", "wait": "20s"})).start()?;
    let slow = Duration::from_secs(3);
    site.ledger.delay(Delay::Between(slow, slow));
    let tally = wave(&site, |_| key(0)).join(LONG);
    all_answered(&tally);
    assert_eq!((tally.status(201), site.ledger.total()), (WAITING, 1), "{:?}", tally.by_status());
    site.assert_no_trap();
    Ok(())
}
