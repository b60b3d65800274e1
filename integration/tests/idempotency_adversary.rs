//! What an adversary made the idempotency plugin decide wrongly once, on a real proxy, and some of what was tried in vain.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "the stories live in real time")]
#![allow(clippy::cast_possible_truncation, reason = "frames written by hand, whose lengths are small")]

mod idempotency;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use idempotency::load::pay;
use idempotency::scripted::Scripted;
use idempotency::{Kind, Plan, SECRETS, SOON, Store};
use integration::ledger::{Delay, Trouble};
use integration::{Call, Envoy, Ledger, Response, Storm, TestResult, Upstream, config, eventually};
use serde_json::{Value, json};

const MS: Duration = Duration::from_millis(1);

struct Edge {
    store: Store,
    envoy: Envoy,
    port: u16,
}

struct Way<'a> {
    kind: Kind,
    change: Value,
    routes: Vec<Value>,
    listener: &'a dyn Fn(&mut Value),
    cluster: &'a dyn Fn(Value) -> Value,
    more: Vec<Value>,
    behind: Vec<Value>,
}

fn way<'a>(kind: Kind, change: Value) -> Way<'a> {
    Way {
        kind,
        change,
        routes: vec![config::route("pay", "service")],
        listener: &|_| (),
        cluster: &|c| c,
        more: vec![],
        behind: vec![],
    }
}

impl Way<'_> {
    fn start(&self, service: u16) -> TestResult<Edge> {
        let store = Store::start(self.kind, false)?;
        let names = SECRETS.map(|(name, _)| name);
        let plugin = Plan::new(self.kind).without_secrets().with(self.change.clone()).plugin(&store)?.host_env(&names);
        let filters = [vec![plugin.filter()], self.behind.clone()].concat();
        let mut listener = config::listener("edge", &filters, &self.routes);
        (self.listener)(&mut listener);
        let cluster = (self.cluster)(config::without_limits(config::cluster("service", &[service])));
        let clusters = [vec![cluster], self.more.clone()].concat();
        let bootstrap = store.tunnel(config::bootstrap(&[listener], &clusters));
        let options = Envoy::options();
        let envoy =
            SECRETS.iter().fold(options, |options, (name, value)| options.env(name, value)).start(&bootstrap)?;
        let port = envoy.port("edge")?;
        Ok(Edge { store, envoy, port })
    }
}

impl Edge {
    fn post(&self, path: &str, key: &str, body: &Value) -> Call {
        let call = Call::post(self.port, path, body.to_string().as_bytes());
        call.header("content-type", "application/json").header("idempotency-key", key)
    }

    fn no_trap(&self) {
        let log = self.envoy.log();
        let bad: Vec<&str> = log.lines().filter(|l| l.contains("panicked") || l.contains("Uncaught")).collect();
        assert!(bad.is_empty() && self.envoy.is_running(), "{bad:#?}");
    }
}

fn ten() -> Value {
    json!({"amount": 10})
}

fn is_replay(response: &Response) -> bool {
    response.header("idempotency-replayed") == Some("true")
}

fn show(r: &Response) -> String {
    format!("{} {:?} {}", r.status, r.headers, r.text().chars().take(300).collect::<String>())
}

fn known(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

// --- answers ---

#[test]
fn an_answer_that_memcached_finds_too_long_is_still_remembered() -> TestResult {
    let service = Scripted::start([("/pay", known("201 Created", &vec![b'x'; 1_500_000]))])?;
    let roomy = |listener: &mut Value| listener["per_connection_buffer_limit_bytes"] = json!(8 << 20);
    let more = |cluster: Value| config::patch(cluster, json!({"per_connection_buffer_limit_bytes": 8 << 20}));
    let change = json!({"max_body": 4 << 20, "lease": "2s", "store": {"timeout": "1s"}});
    let edge = Way { listener: &roomy, cluster: &more, ..way(Kind::Memcached, change) }.start(service.port())?;
    let first = edge.post("/pay", "\"k\"", &ten()).send()?;
    assert_eq!((first.status, first.body.len()), (201, 1_500_000));
    sleep(5_000 * MS);
    let again = edge.post("/pay", "\"k\"", &ten()).send()?;
    assert_eq!(service.hits("/pay"), 1);
    assert_eq!(again.status, 201, "{}", show(&again));
    Ok(())
}

// --- the store ---

/// Frames of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![];
    for (n, v) in headers {
        out.push(0);
        out.push(u8::try_from(n.len()).unwrap());
        out.extend(n.bytes());
        assert!(v.len() < 127);
        out.push(v.len() as u8);
        out.extend(v.bytes());
    }
    out
}

fn head<'a>(path: &'a str, key: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("idempotency-key", key)]
}

fn h2(port: u16) -> TestResult<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    stream.write_all(&bytes)?;
    Ok(stream)
}

fn drain(stream: &mut TcpStream, time: Duration) -> Vec<u8> {
    let start = Instant::now();
    let mut all = vec![];
    let mut chunk = vec![0; 65_536];
    while let Some(left) = time.checked_sub(start.elapsed()).filter(|l| !l.is_zero()) {
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(n) => all.extend(&chunk[..n]),
        }
    }
    all
}

#[test]
fn clients_that_leave_at_once_do_not_make_a_record_grow_without_bound() -> TestResult {
    let service = Scripted::start([("/pay", known("201 Created", b"paid"))])?;
    let edge = way(Kind::Redis, json!({})).start(service.port())?;
    let once = Call::post(edge.port, "/pay", b"").header("idempotency-key", "\"k\"").send()?;
    assert_eq!(once.status, 201);
    let redis = edge.store.redis()?;
    let key = redis.ask(&["KEYS", "{*}*"])?;
    let key = key.split("\r\n").find(|l| l.starts_with('{') && !l.contains("uncertain")).unwrap().to_owned();
    let (before, bytes) = (redis.ask(&["HLEN", &key])?, redis.ask(&["MEMORY", "USAGE", &key])?);
    for _ in 0..25 {
        let mut stream = h2(edge.port)?;
        let mut bytes = vec![];
        for n in 0..40u32 {
            let id = 2 * n + 1;
            bytes.extend(frame(1, 0x5, id, &block(&head("/pay", "\"k\""))));
            bytes.extend(frame(3, 0, id, &8u32.to_be_bytes()));
        }
        stream.write_all(&bytes)?;
        drain(&mut stream, 100 * MS);
    }
    sleep(3_000 * MS);
    let (after, grown) = (redis.ask(&["HLEN", &key])?, redis.ask(&["MEMORY", "USAGE", &key])?);
    let read = |text: &str| text.trim().trim_start_matches(':').parse::<usize>().unwrap_or(0);
    println!("fields {before} -> {after}; bytes {bytes} -> {grown}");
    assert_eq!(service.hits("/pay"), 1);
    assert!(read(&after) < 100, "fields {before} -> {after}; bytes {bytes} -> {grown}");
    Ok(())
}

#[test]
fn a_tenant_is_not_readable_in_the_store_where_metrics_are_by_tenant() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.trouble(Trouble::Hang, 100);
    let change = json!({"lease": "1s", "tenant": ["x-tenant"], "key": ["header:x-tenant"]});
    let edge = way(Kind::Redis, change).start(ledger.port())?;
    let answer = edge.post("/pay", "\"k\"", &ten()).header("x-tenant", "acme-secret").send()?;
    assert_eq!(answer.status, 504);
    sleep(1_000 * MS);
    let index = edge.store.redis()?.ask(&["ZRANGE", "{holdfast:}:uncertain", "0", "-1"])?;
    assert!(!index.contains("acme-secret"), "{index}");
    Ok(())
}

#[test]
fn a_path_is_not_readable_in_the_store_where_metrics_are_by_path() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.trouble(Trouble::Hang, 100);
    let change = json!({"lease": "1s", "key": ["path:2"]});
    let edge = way(Kind::Redis, change).start(ledger.port())?;
    let answer = edge.post("/pay/alice-at-example", "\"k\"", &ten()).send()?;
    assert_eq!(answer.status, 504);
    sleep(1_000 * MS);
    let index = edge.store.redis()?.ask(&["ZRANGE", "{holdfast:}:uncertain", "0", "-1"])?;
    assert!(!index.contains("alice-at-example"), "{index}");
    Ok(())
}

#[test]
fn redis_in_bad_moods_runs_nothing_twice() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = way(Kind::Redis, json!({"lease": "2s"})).start(ledger.port())?;
    let redis = edge.store.redis()?;
    assert_eq!(edge.post("/pay", "\"a\"", &ten()).send()?.status, 201);
    redis.ask(&["SCRIPT", "FLUSH"])?;
    assert!(is_replay(&edge.post("/pay", "\"a\"", &ten()).send()?));
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"])?;
    let readonly = edge.post("/pay", "\"b\"", &ten()).send()?;
    assert_eq!(readonly.status, 503, "{}", show(&readonly));
    redis.ask(&["REPLICAOF", "NO", "ONE"])?;
    sleep(6_000 * MS);
    eventually("b runs", SOON, || anyhow::Ok(edge.post("/pay", "\"b\"", &ten()).send()?.status == 201))?;
    let keys = redis.ask(&["KEYS", "{*}*"])?;
    for key in keys.split("\r\n").filter(|l| l.starts_with('{') && !l.contains("uncertain")) {
        redis.ask(&["DEL", key])?;
        redis.ask(&["SET", key, "x"])?;
    }
    for key in ["\"a\"", "\"b\""] {
        let r = edge.post("/pay", key, &ten()).send()?;
        assert_eq!((r.status, r.rejected_by()), (409, Some("idempotency; cause=unknown")));
    }
    // full
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"])?;
    let full = edge.post("/pay", "\"c\"", &ten()).send()?;
    assert_eq!(full.status, 503, "{}", show(&full));
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"])?;
    assert_eq!(ledger.total(), 2);
    edge.no_trap();
    Ok(())
}

// --- executions ---

#[test]
fn a_key_is_not_forgotten_while_its_request_still_runs() -> TestResult {
    // Headers at once, a body that takes 4 s.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let hits = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&hits);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer);
                seen.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 40\r\n\r\n");
                for _ in 0..40 {
                    sleep(100 * MS);
                    let _ = stream.write_all(b"x");
                }
                sleep(1_000 * MS);
            });
        }
    });
    let route = config::with_timeout(config::route("pay", "service"), Duration::ZERO);
    let edge = Way { routes: vec![route], ..way(Kind::Redis, json!({"lease": "1s", "ttl": "2s"})) }.start(port)?;
    let call = edge.post("/pay", "\"k\"", &ten());
    let first = std::thread::spawn(move || call.send());
    sleep(3_000 * MS);
    let early = edge.post("/pay", "\"k\"", &ten()).send()?;
    println!("{} {}", show(&early), show(&first.join().unwrap()?));
    assert_eq!(hits.load(Ordering::SeqCst), 1, "the first was still running, {}", show(&early));
    Ok(())
}

#[test]
fn a_key_is_not_forgotten_while_its_request_waits_for_a_connection() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.delay(Delay::Between(3_500 * MS, 3_501 * MS));
    let one = |cluster: Value| {
        config::patch(
            cluster,
            json!({"circuit_breakers": {"thresholds": [{"max_connections": 1, "max_pending_requests": 100, "max_requests": 100}]}}),
        )
    };
    let route = config::with_timeout(config::route("pay", "service"), Duration::ZERO);
    let edge = Way { routes: vec![route], cluster: &one, ..way(Kind::Redis, json!({"lease": "1s", "ttl": "2s"})) }
        .start(ledger.port())?;
    // Without a key, so that nothing ends it.
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let call = Call::post(edge.port, "/pay", b"{}").fresh_connection();
            std::thread::spawn(move || call.send())
        })
        .collect();
    sleep(300 * MS);
    let repeats: Vec<_> = (0..2)
        .map(|_| {
            let call = edge.post("/pay", "\"k\"", &ten()).fresh_connection();
            let one = std::thread::spawn(move || call.send());
            sleep(2_500 * MS);
            one
        })
        .collect();
    for one in repeats.into_iter().chain(busy) {
        println!("{:?}", one.join().unwrap().map(|r| show(&r)));
    }
    assert_eq!(ledger.executions("k").len().max(ledger.executions("\"k\"").len()), 1);
    Ok(())
}

#[test]
fn nothing_that_a_client_or_a_route_says_switches_retries_on() -> TestResult {
    let service = Upstream::start("service")?;
    service.set(integration::Fault::Slow(700 * MS));
    let mut route = config::with_per_try_timeout(
        config::with_retries(
            config::route("pay", "service"),
            "5xx,reset,retriable-status-codes,retriable-4xx,connect-failure,refused-stream,gateway-error",
            3,
        ),
        200 * MS,
    );
    route["route"]["retry_policy"]["retriable_status_codes"] = json!([201, 200, 503]);
    route["route"]["hedge_policy"] = json!({"hedge_on_per_try_timeout": true});
    let edge = Way { routes: vec![route], ..way(Kind::Memory, json!({})) }.start(service.port())?;
    let control = Call::post(edge.port, "/pay", b"{}").send()?;
    let without = service.hits();
    assert!(without > 1, "{}", show(&control));
    let tricks = [
        ("x-envoy-max-retries", "7"),
        ("x-envoy-retry-on", "5xx,retriable-status-codes"),
        ("x-envoy-retriable-status-codes", "200,201,503"),
        ("x-envoy-hedge-on-per-try-timeout", "true"),
        ("x-envoy-retry-grpc-on", "unavailable"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "100"),
        ("x-envoy-upstream-rq-timeout-ms", "9000"),
    ];
    for fault in [integration::Fault::Slow(700 * MS), integration::Fault::Status(503), integration::Fault::Healthy] {
        service.set(fault);
        service.reset_counts();
        let call = tricks
            .iter()
            .fold(edge.post("/pay", &format!("\"{}\"", client_id()), &ten()), |call, (n, v)| call.header(n, v));
        let r = call.header("x-envoy-max-retries", "9").send()?;
        assert_eq!(service.hits(), 1, "{}", show(&r));
    }
    Ok(())
}

fn client_id() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn what_nobody_knows_stays_unknown_when_a_second_run_declines() -> TestResult {
    let site = Plan::new(Kind::Redis).nodes(2).with(json!({"lease": "1s"})).start()?;
    site.ledger.trouble(Trouble::Hang, 100);
    let edges = site.edges();
    assert_eq!(pay(edges[0], "k").send()?.status, 504);
    site.ledger.trouble(Trouble::Decline(429), 100);
    site.push(1, json!({"lease": "1s", "on_uncertain": "reexecute"}))?;
    eventually("it is asked again, and declines", SOON, || anyhow::Ok(pay(edges[1], "k").send()?.status == 429))?;
    site.ledger.trouble(Trouble::None, 0);
    // This one never runs again what nobody knows.
    let last = pay(edges[0], "k").send()?;
    assert_eq!(site.ledger.executions("k").len(), 1, "{}", show(&last));
    Ok(())
}

#[test]
fn another_payload_does_not_take_a_key_of_which_nobody_knows() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = way(Kind::Redis, json!({"lease": "1s", "on_uncertain": "reexecute"})).start(ledger.port())?;
    ledger.trouble(Trouble::Hang, 100);
    assert_eq!(edge.post("/pay", "\"k\"", &ten()).send()?.status, 504);
    ledger.trouble(Trouble::Decline(429), 100);
    eventually("declined", SOON, || anyhow::Ok(edge.post("/pay", "\"k\"", &ten()).send()?.status == 429))?;
    ledger.trouble(Trouble::None, 0);
    let other = edge.post("/pay", "\"k\"", &json!({"amount": 20})).send()?;
    assert_eq!(other.status, 422, "{}", show(&other));
    Ok(())
}

/// A configuration that is replaced while the store is away still has to tell it of clients that left.
#[test]
fn a_push_during_an_outage_wedges_no_key() -> TestResult {
    const KEYS: usize = 6;
    let site = Plan::new(Kind::Redis).nodes(1).start()?;
    let (edge, redis) = (site.edges()[0], site.store.redis()?);
    assert_eq!(pay(edge, "before").send()?.status, 201);
    redis.pause()?;
    for n in 0..KEYS {
        // Redis has the claim, and runs it when it goes on.
        assert!(pay(edge, &format!("k-{n}")).timeout(50 * MS).fresh_connection().send().is_err(), "Redis was to stop");
    }
    site.push(0, json!({"required": true}))?;
    eventually("the push is in effect", SOON, || {
        anyhow::Ok(Call::post(edge, "/pay", b"{}").fresh_connection().send()?.status == 400)
    })?;
    sleep(500 * MS);
    redis.resume()?;
    for n in 0..KEYS {
        let key = format!("k-{n}");
        eventually("its key is free again", SOON, || anyhow::Ok(pay(edge, &key).send()?.status == 201))?;
        assert_eq!(site.ledger.executions(&key).len(), 1);
    }
    site.assert_no_trap();
    Ok(())
}

// --- long answers, many errands ---

fn is_whole(again: &Response, bytes: usize) -> bool {
    again.header("idempotency-replayed") == Some("true") && again.body.len() > bytes
}

#[test]
fn long_answers_of_many_at_once_are_all_remembered() -> TestResult {
    const BYTES: usize = 200_000;
    const MANY: usize = 256;
    let site = Plan::new(Kind::Redis).nodes(1).start()?;
    let port = site.edges()[0];
    site.ledger.pad_answers(BYTES);
    // The service answers them together.
    site.ledger.delay(Delay::Between(300 * MS, 310 * MS));
    let key = |n: usize| format!("\"l{n}\"");
    let storm = Storm::new(pay(port, "")).concurrency(MANY).total(MANY).each(move |n, _| pay(port, &key(n)));
    assert_eq!(storm.run(4 * SOON)?.status(201), MANY);
    site.ledger.delay(Delay::None);
    for n in 0..MANY {
        // What could not be stored in time is stored later.
        eventually("the answer is stored", 2 * SOON, || anyhow::Ok(is_whole(&pay(port, &key(n)).send()?, BYTES)))?;
    }
    assert_eq!(site.ledger.total(), MANY);
    site.assert_no_trap();
    Ok(())
}

/// The memory of a VM ends at 1 GiB; who waits in one that died waits for ever.
#[test]
fn more_answers_than_a_vm_has_memory_for_break_nothing() -> TestResult {
    const BYTES: usize = 2_000_000;
    const MANY: usize = 300;
    let (ledger, store) = (Ledger::start()?, Store::start(Kind::Redis, false)?);
    let settings = json!({"max_body": 2 << 20, "lease": "120s", "store": {"timeout": "2s"}});
    let plugin = Plan::new(Kind::Redis).with(settings).plugin(&store)?;
    let room = json!({"per_connection_buffer_limit_bytes": 64 << 20});
    let patient = config::with_timeout(config::route("pay", "service"), 4 * SOON);
    let listener = config::listener("edge", &[plugin.filter()], &[patient]);
    let service = config::without_limits(config::cluster("service", &[ledger.port()]));
    let bootstrap = config::bootstrap(&[config::patch(listener, room.clone())], &[config::patch(service, room)]);
    let envoy = Envoy::options().concurrency(1).start(&store.tunnel(bootstrap))?;
    let port = envoy.port("edge")?;
    ledger.pad_answers(BYTES);
    ledger.delay(Delay::Between(500 * MS, 510 * MS));
    let key = |n: usize| format!("\"l{n}\"");
    let all = Storm::new(pay(port, "")).concurrency(MANY).total(MANY);
    let tally = all.each(move |n, _| pay(port, &key(n)).timeout(4 * SOON)).run(5 * SOON)?;
    assert_eq!(tally.status(201), MANY, "{:?} {:?}", tally.by_status(), tally.errors());
    assert_eq!(ledger.total(), MANY);
    assert!(!envoy.log().contains("Function: proxy_on"), "a VM died");
    Ok(())
}

/// Its lines for the index wait for room, and are only help.
#[test]
fn a_client_that_repeats_an_uncertain_key_pushes_out_no_errand_that_matters() -> TestResult {
    const MORE_THAN_ALL_ERRANDS: usize = 5_000;
    let site = Plan::new(Kind::Redis).nodes(1).with(json!({"lease": "1s"})).start()?;
    let (port, redis) = (site.edges()[0], site.store.redis()?);
    site.ledger.trouble(Trouble::Hang, 100);
    assert_eq!(pay(port, "u").send()?.status, 504);
    site.ledger.trouble(Trouble::None, 0);
    eventually("nobody knows", SOON, || {
        anyhow::Ok(pay(port, "u").send()?.rejected_by() == Some("idempotency; cause=uncertain"))
    })?;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"])?;
    let storm = Storm::new(pay(port, "u")).concurrency(32).total(MORE_THAN_ALL_ERRANDS).run(4 * SOON)?;
    assert_eq!(storm.status(409), MORE_THAN_ALL_ERRANDS, "{:?}", storm.by_status());
    assert_eq!(site.gateways[0].counted("store_errands_dropped_total", &[])?, 0);
    Ok(())
}

// --- requests ---

/// Where Envoy leaves the word to the service, which sees nothing before we have the body.
#[test]
fn who_waits_to_be_asked_for_a_body_is_told_to_send_it() -> TestResult {
    for (leaves_it, first_word) in [(false, "HTTP/1.1 100 Continue"), (true, "HTTP/1.1 417 Expectation Failed")] {
        let ledger = Ledger::start()?;
        let mut way = way(Kind::Memory, json!({}));
        let change = move |listener: &mut Value| {
            listener["filter_chains"][0]["filters"][0]["typed_config"]["proxy_100_continue"] = json!(leaves_it);
        };
        way.listener = &change;
        let edge = way.start(ledger.port())?;
        let mut client = TcpStream::connect(("127.0.0.1", edge.port))?;
        client.set_read_timeout(Some(SOON))?;
        client.write_all(b"POST /pay HTTP/1.1\r\nhost: x\r\nidempotency-key: \"k\"\r\n")?;
        client.write_all(b"content-length: 2\r\nexpect: 100-continue\r\n\r\n")?;
        let mut said = [0; 1024];
        let length = client.read(&mut said)?;
        let said = String::from_utf8_lossy(&said[..length]).into_owned();
        assert_eq!(said.lines().next(), Some(first_word), "{said}");
    }
    Ok(())
}

#[test]
fn a_client_can_not_make_up_a_fence() -> TestResult {
    let service = Scripted::start([("/pay", known("200 OK", b"ok"))])?;
    let edge = way(Kind::Memory, json!({})).start(service.port())?;
    for method in ["PUT", "DELETE", "POST"] {
        let call = Call::post(edge.port, "/pay", b"{}").method(method.parse()?);
        call.header("x-holdfast-fence", "99999999999999").header("x-holdfast-idempotency", "mirrored").send()?;
    }
    let forged: Vec<_> = service
        .seen("/pay")
        .iter()
        .map(|s| {
            (s.header("x-holdfast-fence").map(str::to_owned), s.header("x-holdfast-idempotency").map(str::to_owned))
        })
        .collect();
    assert!(forged.iter().all(|(a, b)| a.is_none() && b.is_none()), "{forged:?}");
    Ok(())
}

#[test]
fn a_filter_behind_that_answers_frees_the_key() -> TestResult {
    let ledger = Ledger::start()?;
    let fault = json!({"name": "fault", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "abort": {"header_abort": {}, "percentage": {"numerator": 100}}, "delay": {"header_delay": {}, "percentage": {"numerator": 100}}}});
    let edge = Way { behind: vec![fault], ..way(Kind::Redis, json!({})) }.start(ledger.port())?;
    let aborted = edge.post("/pay", "\"k\"", &ten()).header("x-envoy-fault-abort-request", "502").send()?;
    assert_eq!(aborted.status, 502);
    let left = edge
        .post("/pay", "\"k\"", &ten())
        .header("x-envoy-fault-delay-request", "800")
        .timeout(200 * MS)
        .fresh_connection()
        .send();
    assert!(left.is_err());
    eventually("free", 5_000 * MS, || anyhow::Ok(edge.post("/pay", "\"k\"", &ten()).send()?.status == 201))?;
    sleep(1_000 * MS);
    assert_eq!(ledger.total(), 1);
    Ok(())
}

// --- the second wave ---

// --- the third wave ---

#[test]
fn interim_answers_are_no_answers() -> TestResult {
    let hints = [
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n".as_slice(),
        &known("201 Created", b"paid"),
    ]
    .concat();
    let service = Scripted::start([("/pay", hints)])?;
    let edge = way(Kind::Redis, json!({"lease": "1s"})).start(service.port())?;
    let first = edge.post("/pay", "\"k\"", &ten()).send();
    println!("{:?}", first.as_ref().map(show).map_err(ToString::to_string));
    let again = edge.post("/pay", "\"k\"", &ten()).send()?;
    assert!(service.hits("/pay") == 1 && is_replay(&again) && again.text() == "paid", "{}", show(&again));
    Ok(())
}

// --- the fourth wave ---

fn one_evicts(which: usize) -> TestResult {
    let site = Plan::new(Kind::RedisCluster).nodes(1).start()?;
    let cluster = site.store.cluster()?;
    let port = site.edges()[0];
    let node = &cluster.nodes()[which];
    node.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])?;
    let mut taken = 0;
    for round in 0..3 {
        for n in 0..40 {
            taken +=
                usize::from(round == 2 && pay(port, &format!("k{round}-{n}")).fresh_connection().send()?.status == 201);
            if round < 2 {
                drop(pay(port, &format!("k{round}-{n}")).fresh_connection().send());
            }
        }
        sleep(700 * MS);
    }
    let there = node.ask(&["DBSIZE"])?;
    println!("node {which}: {taken} of 40 taken; the node has {there}");
    let gauge = site.gateways[0].look(|envoy| envoy.stats("store_may_evict"))?;
    anyhow::ensure!(taken < 40, "a third of the keys is where they may be evicted: {there} {gauge:?}");
    Ok(())
}

#[test]
fn a_cluster_of_which_one_node_may_evict_is_refused() {
    let told: Vec<_> = (0..3).map(|which| one_evicts(which).is_ok()).collect();
    println!("{told:?}");
    assert_eq!(told, [true; 3]);
}

#[test]
fn what_memcached_does_not_take_is_bounded_in_bytes() -> TestResult {
    let service = Scripted::start([
        ("/pay", known("201 Created", &vec![b'x'; 3_000_000])),
        ("/small", known("201 Created", b"paid")),
    ])?;
    let roomy = |listener: &mut Value| listener["per_connection_buffer_limit_bytes"] = json!(16 << 20);
    let more = |cluster: Value| config::patch(cluster, json!({"per_connection_buffer_limit_bytes": 16 << 20}));
    let change = json!({"max_body": 4 << 20, "store": {"timeout": "1s"}});
    let edge = Way { listener: &roomy, cluster: &more, ..way(Kind::Memcached, change) }.start(service.port())?;
    assert_eq!(edge.post("/small", "\"warm\"", &ten()).send()?.status, 201);
    let mut rss = vec![edge.envoy.rss()? >> 20];
    for n in 0..60 {
        assert_eq!(edge.post("/pay", &format!("\"{n}\""), &ten()).send()?.status, 201);
        if n % 20 == 19 {
            rss.push(edge.envoy.rss()? >> 20);
        }
    }
    let told = edge.envoy.stats("holdfast_idempotency_store_errands")?;
    println!("{rss:?} MiB; {told:?}");
    edge.no_trap();
    let grown = rss.last().unwrap() - rss[0];
    assert!(grown < 100, "at most 16 MiB per worker are to be kept: {rss:?} MiB; {told:?}");
    Ok(())
}
