//! The stores, and what happens to them: what the faults of the stories stand on must itself stand.
#![allow(clippy::disallowed_methods, reason = "the harness lives in real time")]

use std::time::Duration;

use integration::store::{Memcached, Redis, RedisCluster, Webdis, command};
use integration::{Call, TestResult, eventually, eventually_eq};

const SOON: Duration = Duration::from_secs(10);

fn is_gone(pid: u32) -> bool {
    !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_durable_redis_keeps_what_it_acknowledged_when_it_is_killed() -> TestResult {
    let redis = Redis::options().durable().start()?;
    let (port, pid) = (redis.port(), redis.pid());
    for round in 0..3 {
        redis.ask(&["SET", &format!("k{round}"), "v"])?;
        redis.kill();
        assert!(redis.ask(&["PING"]).is_err());
        redis.restart()?;
        assert_eq!(redis.ask(&["GET", &format!("k{round}")])?, "$1\r\nv\r\n");
    }
    assert_eq!(redis.port(), port);
    assert!(redis.pid() != pid && is_gone(pid));
    Ok(())
}

#[test]
fn any_other_redis_forgets() -> TestResult {
    let redis = Redis::start()?;
    redis.ask(&["SET", "k", "v"])?;
    redis.restart()?;
    assert_eq!(redis.ask(&["GET", "k"])?, "$-1\r\n");
    Ok(())
}

#[test]
fn an_evicting_redis_says_so_and_evicts() -> TestResult {
    let redis = Redis::options().evicting("allkeys-lru", 3 << 20).start()?;
    assert!(redis.ask(&["CONFIG", "GET", "maxmemory-policy"])?.contains("allkeys-lru"));
    for key in 0..100 {
        redis.ask(&["SET", &format!("k{key}"), &"v".repeat(50_000)])?;
    }
    assert!(!redis.ask(&["INFO", "stats"])?.contains("evicted_keys:0\r\n"));
    Ok(())
}

#[test]
fn a_paused_store_answers_when_it_goes_on() -> TestResult {
    let (redis, memcached) = (Redis::start()?, Memcached::start()?);
    std::thread::scope(|scope| {
        redis.pause()?;
        memcached.pause()?;
        let late = scope.spawn(|| (redis.ask(&["INCR", "n"]), memcached.call(b"version\r\n")));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!late.is_finished());
        redis.resume()?;
        memcached.resume()?;
        let (one, version) = late.join().expect("the one that waits");
        assert_eq!(one?, ":1\r\n");
        assert!(version?.starts_with(b"VERSION "));
        Ok(())
    })
}

#[test]
fn a_memcached_and_a_webdis_come_back_where_they_were() -> TestResult {
    let (redis, memcached) = (Redis::start()?, Memcached::start()?);
    let webdis = Webdis::start(redis.port(), 2)?;
    let ping = || Call::post(webdis.port(), "/", b"PING").fresh_connection().send();
    assert_eq!(ping()?.json()?["PING"][1], "PONG");
    memcached.kill();
    webdis.kill();
    assert!(memcached.call(b"version\r\n").is_err() && ping().is_err());
    memcached.restart()?;
    webdis.restart()?;
    assert!(memcached.call(b"version\r\n")?.starts_with(b"VERSION "));
    // It listens before it has its connections to Redis.
    eventually("it asks Redis", SOON, || Ok::<_, anyhow::Error>(ping()?.json()?["PING"][1] == "PONG"))?;
    webdis.pause()?;
    let hasty = Call::post(webdis.port(), "/", b"PING").timeout(Duration::from_millis(200)).send();
    webdis.resume()?;
    assert!(hasty.is_err());
    // It may give the hasty one's answer to whoever comes next.
    eventually("it answers again", SOON, || Ok::<_, anyhow::Error>(ping().is_ok()))
}

#[test]
fn a_slot_moves_by_ask_and_then_by_moved() -> TestResult {
    let cluster = RedisCluster::start()?;
    let slot = cluster.slot("{a}")?;
    let (old, new) = (cluster.owner(slot)?, (cluster.owner(slot)? + 1) % 3);
    let port = cluster.ports()[new];
    let get = |node: usize, key: &str| cluster.nodes()[node].call(&command(&["GET", key]));
    cluster.nodes()[old].ask(&["SET", "{a}1", "v"])?;

    cluster.begin_move(slot, new)?;
    assert_eq!(get(old, "{a}1")?, b"$1\r\nv\r\n", "what is there is still served");
    assert_eq!(get(old, "{a}2")?, format!("-ASK {slot} 127.0.0.1:{port}\r\n").as_bytes());
    cluster.end_move(slot, new)?;
    assert_eq!(cluster.owner(slot)?, new);
    assert_eq!(get(old, "{a}1")?, format!("-MOVED {slot} 127.0.0.1:{port}\r\n").as_bytes());
    assert_eq!(get(new, "{a}1")?, b"$1\r\nv\r\n");

    cluster.nodes()[old].kill();
    eventually_eq("the others miss it", SOON, &false, || {
        let said = cluster.nodes()[new].ask(&["CLUSTER", "INFO"])?;
        Ok::<_, anyhow::Error>(said.contains("cluster_state:ok"))
    })?;
    cluster.nodes()[old].restart()?;
    eventually("the cluster is well again", SOON, || cluster.is_well())
}

#[test]
fn nothing_is_left_behind() -> TestResult {
    let (redis, memcached) = (Redis::start()?, Memcached::start()?);
    let webdis = Webdis::start(redis.port(), 1)?;
    redis.pause()?;
    let pids = [redis.pid(), memcached.pid(), webdis.pid()];
    drop((redis, memcached, webdis));
    assert!(pids.into_iter().all(is_gone));
    Ok(())
}
