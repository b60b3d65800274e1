//! The idempotency stories' words without the plugin: a repeated payment is paid as often as it is sent, and the judge says so.
#![allow(clippy::disallowed_methods, reason = "the harness lives in real time")]

mod idempotency;

use std::collections::BTreeMap;
use std::time::Duration;

use idempotency::load::{keys, pay};
use idempotency::{Kind, Load, Plan, SOON, judge};
use integration::ledger::{Delay, Trouble};
use integration::store::command;
use integration::{Call, TestResult, eventually};

const MS: Duration = Duration::from_millis(1);

#[test]
fn without_the_plugin_each_repeat_is_paid_and_the_judge_names_the_keys() -> TestResult {
    let site = Plan::new(Kind::Redis).without_plugin().start()?;
    site.ledger.delay(Delay::Between(MS, 20 * MS));
    let answers = site.storm(50, 10)?;
    assert_eq!(answers.len(), 500);
    assert_eq!(judge::by_status(&answers), BTreeMap::from([((201, String::new()), 500)]));
    assert_eq!((site.ledger.total(), site.ledger.keys(), judge::paid(&answers).len()), (500, 50, 50));
    let served: Vec<usize> =
        site.edges().iter().map(|edge| answers.iter().filter(|answered| answered.edge == *edge).count()).collect();
    assert!(served.iter().all(|count| *count > 150), "both proxies serve: {served:?}");

    let verdict = judge::exactly_once(&site.ledger, &keys(50)).unwrap_err().to_string();
    assert!(verdict.contains("50 keys were executed more than once") && verdict.contains("k-"), "{verdict}");
    let verdict = judge::told_the_truth(&answers, &site.ledger).unwrap_err().to_string();
    assert!(verdict.contains("not 201"), "{verdict}");
    assert!(judge::replays(&site.edges(), &site.ledger, &keys(50)).is_err());
    site.assert_no_trap();
    Ok(())
}

#[test]
fn what_is_sent_once_is_right_but_no_replay() -> TestResult {
    let site = Plan::new(Kind::Memory).without_plugin().start()?;
    let answers = site.storm(40, 1)?;
    judge::exactly_once(&site.ledger, &keys(40))?;
    judge::told_the_truth(&answers, &site.ledger)?;
    assert!(judge::exactly_once(&site.ledger, &keys(41)).is_err());
    Ok(())
}

#[test]
fn envoys_own_retries_pay_twice_after_a_reset() -> TestResult {
    let site = Plan::new(Kind::Memory).without_plugin().start()?;
    site.ledger.trouble(Trouble::Reset, 50);
    let answers = site.storm(40, 1)?;
    let attempts = |key: &String| site.ledger.executions(key).len();
    assert!(keys(40).iter().map(attempts).max() > Some(1), "{:?}", judge::by_status(&answers));
    assert!(judge::at_most_once(&site.ledger).is_err());
    Ok(())
}

#[test]
fn a_proxy_is_killed_and_comes_back_during_a_storm() -> TestResult {
    let site = Plan::new(Kind::Redis).without_plugin().start()?;
    let storm = Load::new(500, 2).over(Duration::from_secs(2)).impatient(5).start(&site.edges());
    eventually("a part is over", SOON, || storm.over() > 200)?;
    site.gateways[0].kill();
    assert!(pay(site.edges()[0], "\"x\"").fresh_connection().send().is_err());
    site.gateways[0].restart()?;
    let answers = storm.finish(2 * SOON)?;
    let statuses = judge::by_status(&answers);
    assert!(statuses[&(201, String::new())] > 500 && statuses[&(0, String::new())] > 0, "{statuses:?}");
    assert_eq!(pay(site.edges()[0], "\"x\"").fresh_connection().send()?.status, 201);
    Ok(())
}

#[test]
fn every_proxy_reaches_every_store() -> TestResult {
    let ping = command(&["PING"]);
    let ask: [(Kind, &[u8], &str); 5] = [
        (Kind::Redis, &ping, "+PONG\r\n"),
        (Kind::DurableRedis, &ping, "+PONG\r\n"),
        (Kind::RedisCluster, &ping, "+PONG\r\n"),
        (Kind::Memcached, b"get k\r\n", "END\r\n"),
        (Kind::Webdis, b"PING", "{\"PING\":[true,\"PONG\"]}"),
    ];
    for (kind, question, answer) in ask {
        let plan = Plan::new(kind).without_plugin();
        let wired = kind != Kind::RedisCluster;
        let site = if wired { plan.with_wire() } else { plan }.start()?;
        let call = |edge| Call::post(edge, "/store", question).send();
        for edge in site.edges() {
            eventually("it answers", SOON, || Ok::<_, anyhow::Error>(call(edge)?.text() == answer))?;
        }
        if wired {
            site.store.wire()?.cut();
            assert_eq!(call(site.edges()[0])?.status, 503, "{kind:?}");
        }
    }
    Ok(())
}

#[test]
fn a_budget_stands_in_both_chains() -> TestResult {
    let site = Plan::new(Kind::Memory).without_plugin().with_budget().start()?;
    assert_eq!(pay(site.edges()[0], "\"x\"").send()?.status, 201);
    let requests = || {
        site.gateways[0].look(|envoy| Ok(envoy.stats("holdfast_retry_budget_requests_total")?.values().sum::<u64>()))
    };
    eventually("it counts", SOON, || requests().map(|count| count == 1))?;
    site.assert_no_trap();
    Ok(())
}
