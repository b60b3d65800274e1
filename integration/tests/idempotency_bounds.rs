//! What is bounded, and what happens at the bound: tenants, bodies, memory, connections, and a store that is away or forgets.
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

mod idempotency;

use std::time::{Duration, Instant};

use idempotency::edge::{Edge, Setup};
use idempotency::load::{keys, pay};
use idempotency::{Kind, Load, Plan, SOON, judge, one_at_a_time};
use integration::ledger::Delay;
use integration::store::command;
use integration::{Call, Ledger, Response, Storm, TestResult, client, eventually, eventually_eq};
use serde_json::{Value, json};

const MS: Duration = Duration::from_millis(1);
const STORE_IS_AWAY: Option<&str> = Some("idempotency; cause=store");

fn is_replay(answer: &Response) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

// --- tenants ---

#[test]
fn a_tenant_has_so_many_requests_under_way_over_both_workers_and_no_more() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.delay(Delay::Between(4_000 * MS, 4_000 * MS));
    let edge = Setup::new(json!({"tenant": ["x-tenant"], "per_tenant_in_flight": 5})).start(ledger.port())?;
    let call = |tenant: &str| edge.post("/pay", "").header("x-tenant", tenant).fresh_connection();
    let port = edge.port;
    let busy = Storm::new(call("busy"))
        .concurrency(30)
        .total(30)
        .each(move |n, _| pay(port, &format!("\"b-{n}\"")).header("x-tenant", "busy").fresh_connection());
    let busy = busy.start();
    eventually("the others are refused", SOON, || busy.tally().status(429) == 25)?;
    let refused = pay(port, "\"one more\"").header("x-tenant", "busy").send()?;
    assert_eq!((refused.status, refused.rejected_by()), (429, Some("idempotency; cause=tenant_busy")));
    assert_eq!((refused.header("retry-after"), refused.json()?["status"].as_u64()), (Some("1"), Some(429)));
    assert_eq!(pay(port, "\"k\"").header("x-tenant", "idle").send()?.status, 201, "another one is not concerned");
    let tally = busy.join(SOON);
    assert_eq!((tally.status(201), tally.status(429), ledger.total()), (5, 25, 6), "{:?}", tally.by_status());

    ledger.delay(Delay::None);
    let again = Storm::new(call("busy"))
        .concurrency(3)
        .total(30)
        .each(move |n, _| pay(port, &format!("\"b-{n}\"")).header("x-tenant", "busy").fresh_connection());
    assert_eq!(again.run(SOON)?.status(201), 30, "each place is free again");
    assert_eq!(ledger.total(), 31);
    Ok(())
}

// --- a store that is away ---

#[test]
fn without_its_store_nothing_runs_and_nobody_waits_long() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({})).start(ledger.port())?;
    assert_eq!(edge.post("/pay", "\"before\"").send()?.status, 201);
    edge.store.redis()?.kill();
    let refused = edge.post("/pay", "\"k\"").send()?;
    assert_eq!((refused.status, refused.rejected_by()), (503, STORE_IS_AWAY));
    assert_eq!((refused.header("retry-after"), refused.json()?["cause"].as_str()), (Some("1"), Some("store")));
    assert_eq!(edge.post("/pay", "\"before\"").send()?.status, 503, "not even a replay");
    assert_eq!(Call::post(edge.port, "/pay", b"{}").send()?.status, 201, "what has no key needs no store");
    assert_eq!(ledger.total(), 2);
    edge.store.redis()?.restart()?;
    eventually_eq("it serves again", SOON, &201, || anyhow::Ok(edge.post("/pay", "\"k\"").send()?.status))?;
    assert!(is_replay(&edge.post("/pay", "\"k\"").send()?));
    Ok(())
}

#[test]
fn a_store_that_never_answers_adds_its_timeout_to_few_requests_only() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({"store": {"timeout": "1s"}})).start(ledger.port())?;
    edge.post("/pay", "\"before\"").send()?;
    edge.store.redis()?.pause()?;
    let first = edge.post("/pay", "\"k\"").send()?;
    assert!((first.status, first.rejected_by()) == (503, STORE_IS_AWAY) && first.elapsed >= 900 * MS, "{first:?}");
    let storm = Storm::new(edge.post("/pay", "\"k\"").fresh_connection()).concurrency(32).total(64).run(SOON)?;
    assert_eq!(storm.status(503), 64, "{:?}", storm.by_status());
    // By now both workers know, and ask once in a while.
    let begun = Instant::now();
    let storm = Storm::new(edge.post("/pay", "\"k\"").fresh_connection()).concurrency(32).total(256).run(SOON)?;
    assert_eq!(storm.status(503), 256, "{:?}", storm.by_status());
    assert!(storm.latency(0.9) < 500 * MS, "{:?} of {:?}", storm.latency(0.9), begun.elapsed());
    edge.store.redis()?.resume()?;
    eventually_eq("it serves again", SOON, &201, || anyhow::Ok(edge.post("/pay", "\"k\"").send()?.status))?;
    assert_eq!(ledger.executions("\"k\"").len(), 1);
    edge.assert_no_trap();
    Ok(())
}

#[test]
fn where_that_is_wanted_requests_pass_without_the_store_and_the_service_is_told() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({"on_store_error": "open"})).start(ledger.port())?;
    edge.store.redis()?.kill();
    for _ in 0..2 {
        let answer = edge.post("/pay", "\"k\"").send()?;
        assert!(answer.status == 201 && !is_replay(&answer));
    }
    let executions = ledger.executions("\"k\"");
    let marks: Vec<_> = executions.iter().map(|done| (done.header("x-holdfast-idempotency"), done.fence)).collect();
    assert_eq!(marks, [(Some("unprotected"), None); 2]);
    assert_eq!(edge.counted("unprotected_total", &[("cause", "store")])?, 2);
    edge.store.redis()?.restart()?;
    eventually("it remembers again", SOON, || {
        edge.post("/pay", "\"again\"").send()?;
        anyhow::Ok(is_replay(&edge.post("/pay", "\"again\"").send()?))
    })
}

// --- a store that wants to know who asks ---

#[test]
fn a_redis_that_wants_a_password_gets_it_and_the_database_is_the_one_that_was_said() -> TestResult {
    let ledger = Ledger::start()?;
    let login = json!({"password": {"literal": "open sesame"}, "database": 3});
    let edge = Setup::new(json!({"store": login, "insecure_literal": true})).start(ledger.port())?;
    let redis = edge.store.redis()?;
    redis.ask(&["CONFIG", "SET", "requirepass", "open sesame"])?;
    assert_eq!(edge.post("/pay", "\"k\"").send()?.status, 201);
    assert!(is_replay(&edge.post("/pay", "\"k\"").send()?));
    let as_us =
        |words: &[&str]| redis.call(&[command(&["AUTH", "open sesame"]), command(words), command(&["QUIT"])].concat());
    let kept = String::from_utf8(as_us(&["INFO", "keyspace"])?)?;
    assert!(kept.contains("db3:") && !kept.contains("db0:"), "{kept}");

    as_us(&["CONFIG", "SET", "requirepass", "open barley"])?;
    let refused = edge.post("/pay", "\"j\"").send()?;
    assert_eq!((refused.status, refused.rejected_by(), ledger.total()), (503, STORE_IS_AWAY, 1));
    assert!(!edge.envoy.log().contains("sesame"));
    Ok(())
}

// --- a store that forgets ---

fn may_evict(edge: &Edge, expected: u64) -> TestResult {
    eventually_eq("the gauge tells", SOON, &expected, || edge.counted("store_may_evict", &[]))
}

#[test]
fn a_redis_that_may_evict_is_not_used() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({})).over(Kind::EvictingRedis).start(ledger.port())?;
    // Each worker asks when it is first used.
    eventually("both workers refuse", SOON, || {
        let asked = Storm::new(edge.post("/pay", "\"k\"").fresh_connection()).concurrency(4).total(16).run(SOON)?;
        anyhow::Ok(asked.status(503) == 16)
    })?;
    may_evict(&edge, 1)?;
    let answer = edge.post("/pay", "\"k\"").send()?;
    assert_eq!((answer.status, answer.rejected_by()), (503, STORE_IS_AWAY));
    assert!(ledger.executions("\"k\"").len() <= 1);
    Ok(())
}

#[test]
fn where_that_is_accepted_it_is_used_and_a_gauge_tells() -> TestResult {
    let ledger = Ledger::start()?;
    let edge =
        Setup::new(json!({"store": {"accept_eviction": true}})).over(Kind::EvictingRedis).start(ledger.port())?;
    assert_eq!(edge.post("/pay", "\"k\"").send()?.status, 201);
    assert!(is_replay(&edge.post("/pay", "\"k\"").send()?));
    may_evict(&edge, 1)?;
    let asked = Storm::new(edge.post("/pay", "\"k\"").fresh_connection()).concurrency(4).total(16).run(SOON)?;
    assert_eq!(asked.status(201), 16);
    Ok(())
}

#[test]
fn a_redis_that_evicts_nothing_is_no_alarm_and_memcached_is_one() -> TestResult {
    let ledger = Ledger::start()?;
    for (kind, expected) in [(Kind::Redis, 0), (Kind::Webdis, 0), (Kind::Memcached, 1)] {
        let edge = Setup::new(json!({})).over(kind).start(ledger.port())?;
        assert_eq!(edge.post("/pay", "\"k\"").send()?.status, 201);
        // A claim, a completion, and the question.
        eventually("it is asked", SOON, || edge.counted("store_calls_total", &[]).map(|calls| calls + expected > 2))?;
        may_evict(&edge, expected)?;
    }
    Ok(())
}

// --- bodies ---

#[test]
fn where_that_is_wanted_long_bodies_pass_unprotected_and_whole() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({"max_body": 10_000, "too_large": "pass"})).start(ledger.port())?;
    let long = vec![b'x'; 150_000];
    for _ in 0..2 {
        let answer = Call::post(edge.port, "/pay", &long).header("idempotency-key", "\"k\"").send()?;
        assert!(answer.status == 201 && !is_replay(&answer));
    }
    let chunk = |bytes: usize| format!("{bytes:x}\r\n{}\r\n", "y".repeat(bytes));
    let head = "POST /pay HTTP/1.1\r\nhost: x\r\nidempotency-key: \"k\"\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let unknown = [head, &chunk(8_000), &chunk(8_000), &chunk(60_000), "0\r\n\r\n"].concat();
    assert_eq!(client::raw(edge.port, unknown.as_bytes(), SOON)?.status, 201);
    let executions = ledger.executions("\"k\"");
    let lengths: Vec<_> = executions.iter().map(|done| done.body.len()).collect();
    assert_eq!(lengths, [150_000, 150_000, 76_000]);
    assert!(executions.iter().all(|done| done.header("x-holdfast-idempotency") == Some("unprotected")));
    assert_eq!(edge.counted("unprotected_total", &[("cause", "too_large")])?, 3);
    edge.assert_no_trap();
    Ok(())
}

// --- memory ---

#[test]
fn a_full_memory_takes_nothing_new_and_forgets_nothing() -> TestResult {
    let ledger = Ledger::start()?;
    let small = json!({"store": {"slots": 64, "max_bytes": 1 << 20}});
    let edge = Setup::new(small).over(Kind::Memory).start(ledger.port())?;
    let pay = |key: &String| edge.post("/pay", key).send();
    let statuses = keys(200).iter().map(|key| Ok(pay(key)?.status)).collect::<TestResult<Vec<_>>>()?;
    let taken: Vec<String> =
        keys(200).into_iter().zip(&statuses).filter(|(_, status)| **status == 201).map(|(key, _)| key).collect();
    assert!((32..=64).contains(&taken.len()), "{} keys in 64 slots", taken.len());
    assert!(statuses.iter().all(|status| [201, 503].contains(status)), "{statuses:?}");
    for key in &taken {
        assert!(is_replay(&pay(key)?), "{key}");
    }
    assert_eq!(ledger.total(), taken.len());
    assert_eq!(edge.counted("refused_total", &[("cause", "store")])?, (200 - taken.len()) as u64);
    Ok(())
}

// --- connections ---

/// What a store's tunnel opened, per second.
fn opened(plan: Plan, load: Load, seconds: f64) -> TestResult<f64> {
    let _alone = one_at_a_time();
    let site = plan.nodes(1).start()?;
    let answers = load.run(&site.edges())?;
    let counts = judge::by_status(&answers);
    assert!(counts.keys().all(|(status, _)| *status == 201), "{counts:?}");
    let opened = site.gateways[0].counted("store_connections_total", &[])?;
    println!("{opened} connections for {} requests", answers.len());
    #[allow(clippy::cast_precision_loss, reason = "a small count")]
    let rate = opened as f64 / seconds;
    Ok(rate)
}

#[test]
fn requests_share_the_connections_that_there_may_be() -> TestResult {
    let few = json!({"store": {"max_new_connections": 40, "timeout": "1s"}});
    let rate = opened(Plan::new(Kind::Redis).with(few), Load::new(900, 1).over(Duration::from_secs(3)), 3.0)?;
    // Three VMs, and what is left in their buckets; and the load's last answers come after its end.
    assert!(rate < 40.0 * 1.5, "{rate} per second");
    Ok(())
}

#[test]
fn every_node_of_a_cluster_gets_its_share_of_them() -> TestResult {
    let few: Value = json!({"store": {"max_new_connections": 60, "timeout": "1s"}});
    let load = Load::new(1_000, 1).over(Duration::from_secs(5));
    let rate = opened(Plan::new(Kind::RedisCluster).with(few), load, 5.0)?;
    assert!(rate < 60.0 * 1.5, "{rate} per second");
    Ok(())
}
