//! The tunnel to the stores, on plain Envoy: a body in a store's own language goes in, the store's answer comes out.
#![allow(clippy::disallowed_methods, reason = "the harness lives in real time")]

use std::time::Duration;

use anyhow::ensure;
use integration::config::{self, tunnel};
use integration::store::{Memcached, Redis, RedisCluster, Relay, Webdis, command};
use integration::{Call, Envoy, Response, TestResult, eventually_eq};
use serde_json::Value;

/// A gateway that lets its clients speak to the store, as no gateway should: here they stand for the filter.
struct Open {
    _envoy: Envoy,
    edge: u16,
}

// === impl Open ===

impl Open {
    fn start(with_store: impl FnOnce(Value) -> Value) -> TestResult<Self> {
        let edge = config::listener("edge", &[], &[config::route("store", "store")]);
        let envoy = Envoy::start(&with_store(config::bootstrap(&[edge], &[])))?;
        Ok(Self { edge: envoy.port("edge")?, _envoy: envoy })
    }

    /// Through the tunnel to one server.
    fn before(port: u16) -> TestResult<Self> {
        Self::start(|bootstrap| tunnel::to_server(bootstrap, "redis_tunnel", "store", port))
    }

    fn post(&self, body: &[u8]) -> Call {
        Call::post(self.edge, "/", body)
    }

    fn say(&self, body: &[u8]) -> TestResult<Response> {
        self.post(body).send()
    }
}

fn pipeline(commands: &[&[&str]]) -> Vec<u8> {
    commands.iter().flat_map(|parts| command(parts)).collect()
}

#[test]
fn a_pipeline_is_answered_by_redis() -> TestResult {
    let redis = Redis::start()?;
    let open = Open::before(redis.port())?;
    let commands = pipeline(&[&["SET", "k", "me", "NX"], &["SET", "k", "you", "NX"], &["GET", "k"]]);
    let reply = open.say(&commands)?;
    assert_eq!((reply.status, reply.text().as_str()), (200, "+OK\r\n$-1\r\n$2\r\nme\r\n"));
    assert_eq!(redis.ask(&["GET", "k"])?, "$2\r\nme\r\n");
    Ok(())
}

#[test]
fn memcached_understands_it_too() -> TestResult {
    let memcached = Memcached::start()?;
    let open = Open::before(memcached.port())?;
    let reply = open.say(b"add k 0 0 2\r\nme\r\nadd k 0 0 3\r\nyou\r\nget k\r\n")?;
    assert_eq!((reply.status, reply.text().as_str()), (200, "STORED\r\nNOT_STORED\r\nVALUE k 0 2\r\nme\r\nEND\r\n"));
    Ok(())
}

#[test]
fn a_node_of_a_cluster_is_named_in_a_header() -> TestResult {
    let cluster = RedisCluster::start()?;
    let open = Open::start(|bootstrap| tunnel::to_cluster(bootstrap, "redis_tunnel", "store", &cluster.ports()[..1]))?;
    let owner = cluster.owner(cluster.slot("k")?)?;
    let set = command(&["SET", "k", "me"]);
    for (index, port) in cluster.ports().iter().enumerate() {
        let reply = open.post(&set).header(tunnel::NODE_HEADER, format!("127.0.0.1:{port}")).send()?.text();
        if index == owner {
            assert_eq!(reply, "+OK\r\n");
        } else {
            assert_eq!(reply, format!("-MOVED {} 127.0.0.1:{}\r\n", cluster.slot("k")?, cluster.ports()[owner]));
        }
    }
    // Without a name it is the seed.
    let seed = open.say(&command(&["CLUSTER", "MYID"]))?.text();
    assert_eq!(seed, cluster.nodes()[0].ask(&["CLUSTER", "MYID"])?);
    Ok(())
}

#[test]
fn webdis_is_a_plain_cluster() -> TestResult {
    let redis = Redis::start()?;
    let webdis = Webdis::start(redis.port(), 2)?;
    let open = Open::start(|_| {
        let edge = config::listener("edge", &[], &[config::route("store", "store")]);
        config::bootstrap(&[edge], &[config::cluster("store", &[webdis.port()])])
    })?;
    let reply = open.say(b"SET/k/a%2Fb%0D%0A")?;
    assert_eq!((reply.status, reply.json()?["SET"][1].as_str()), (200, Some("OK")));
    assert_eq!(redis.ask(&["GET", "k"])?, "$5\r\na/b\r\n\r\n");
    Ok(())
}

// --- how long replies may be ---
//
// Redis reads 16 KiB or more, writes 64 KiB of replies and the rest of the piece of memory that it has begun, and reads again. If all commands
// are done, what it reads then is the half-close: it forgets the replies that are left, and the call looks like a success. QUIT changes nothing.

/// `GET` of a value of `length` bytes, and what it is answered.
fn get(redis: &Redis, length: usize) -> TestResult<(Vec<u8>, Vec<u8>)> {
    let (key, value) = (format!("k{length}"), "v".repeat(length));
    redis.ask(&["SET", &key, &value])?;
    Ok((command(&["GET", &key]), format!("${length}\r\n{value}\r\n").into_bytes()))
}

/// Of 20 calls, those whose reply was cut. What came of it is always its beginning, with status 200.
fn cut(open: &Open, commands: &[u8], whole: &[u8]) -> TestResult<usize> {
    let mut cut = 0;
    for _ in 0..20 {
        let reply = open.say(commands)?;
        ensure!(reply.status == 200 && whole.starts_with(&reply.body), "{} bytes", reply.body.len());
        cut += usize::from(reply.body.len() < whole.len());
    }
    Ok(cut)
}

#[test]
fn replies_of_64_kib_in_all_are_whole() -> TestResult {
    let redis = Redis::start()?;
    let open = Open::before(redis.port())?;
    for (count, length) in [(1, 65_000), (2, 32_500), (64, 1_000), (600, 100)] {
        let (get, reply) = get(&redis, length)?;
        assert_eq!(cut(&open, &get.repeat(count), &reply.repeat(count))?, 0, "{count} of {length} bytes");
    }
    Ok(())
}

#[test]
fn longer_ones_may_be_cut_and_nothing_tells() -> TestResult {
    let redis = Redis::start()?;
    let open = Open::before(redis.port())?;
    // One reply of 180,199 bytes leaves no room for its last two in the piece of memory that Redis (7.0) takes for it.
    for (count, length) in [(64, 30 << 10), (8, 256 << 10), (1, 180_199), (1, 180_200)] {
        let (get, reply) = get(&redis, length)?;
        let (commands, whole) = (get.repeat(count), reply.repeat(count));
        let half_closed = cut(&open, &commands, &whole)?;
        let quit = cut(&open, &[commands, command(&["QUIT"])].concat(), &[&whole[..], b"+OK\r\n"].concat())?;
        println!("{count} of {length} bytes: {half_closed} of 20 cut, with QUIT {quit} of 20");
    }
    Ok(())
}

/// Something to read gives it time to write: twice 16 KiB of a command that means nothing. For more than one long reply there is no such remedy,
/// since Redis reads the more at a time the more there is.
#[test]
fn padding_behind_its_command_keeps_one_long_reply_whole() -> TestResult {
    let redis = Redis::start()?;
    let open = Open::before(redis.port())?;
    let padding = command(&["EXISTS", &"p".repeat(16 << 10)]).repeat(2);
    for length in [180_199, 256 << 10, 1 << 20] {
        let (get, reply) = get(&redis, length)?;
        let whole = [&reply[..], b":0\r\n:0\r\n"].concat();
        assert_eq!(cut(&open, &[&get[..], &padding].concat(), &whole)?, 0, "{length} bytes");
    }
    Ok(())
}

#[test]
fn memcached_sends_all_it_has() -> TestResult {
    let memcached = Memcached::start()?;
    let open = Open::before(memcached.port())?;
    for (count, length) in [(64, 30 << 10), (8, 256 << 10)] {
        let value = "v".repeat(length);
        memcached.call(format!("set k 0 0 {length}\r\n{value}\r\n").as_bytes())?;
        let whole = format!("VALUE k 0 {length}\r\n{value}\r\nEND\r\n").repeat(count);
        for end in ["", "quit\r\n"] {
            let body = ["get k\r\n".repeat(count).as_bytes(), end.as_bytes()].concat();
            for _ in 0..20 {
                assert!(open.say(&body)?.body == whole.as_bytes(), "{count} replies of {length} bytes, {end:?}");
            }
        }
    }
    Ok(())
}

// --- what goes wrong ---

#[test]
fn a_wire_that_is_cut_blocked_or_short_looks_as_a_filter_will_see_it() -> TestResult {
    let redis = Redis::start()?;
    let relay = Relay::to(redis.port())?;
    let open = Open::before(relay.port())?;
    let get = command(&["GET", "k"]);
    redis.ask(&["SET", "k", &"v".repeat(100)])?;
    assert_eq!(open.say(&get)?.body.len(), "$100\r\n\r\n".len() + 100);

    relay.cut_replies_after(50);
    let short = open.say(&get)?;
    assert_eq!((short.status, short.body.len()), (200, 50), "a cut reply looks like a whole one");
    relay.cut();
    assert_eq!(open.say(&get)?.status, 503);
    relay.mend();
    relay.block();
    let hasty = open.post(&command(&["SET", "late", "1"])).timeout(Duration::from_millis(200));
    assert!(hasty.send().is_err());
    relay.mend();
    assert_eq!(open.say(&get)?.status, 200);
    Ok(())
}

#[test]
fn what_a_paused_redis_was_sent_is_done_when_it_goes_on_though_nobody_waits() -> TestResult {
    let redis = Redis::start()?;
    let open = Open::before(redis.port())?;
    redis.pause()?;
    assert!(open.post(&command(&["SET", "late", "1"])).timeout(Duration::from_millis(200)).send().is_err());
    redis.resume()?;
    eventually_eq("it is done", Duration::from_secs(5), &"$1\r\n1\r\n".to_owned(), || redis.ask(&["GET", "late"]))?;
    redis.kill();
    assert_eq!(open.say(&command(&["PING"]))?.status, 503);
    redis.restart()?;
    assert_eq!(open.say(&command(&["PING"]))?.text(), "+PONG\r\n");
    Ok(())
}
