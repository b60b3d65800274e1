//! Idempotency keys: two listeners, one with records in Envoy's memory, one with a Redis.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::ensure;
use integration::config::{self, tunnel};
use integration::store::Redis;
use integration::{
    Call, DynamicFilter, Envoy, Ledger, Response, Storm, TestResult, Upstream, Wasm, client, eventually,
};
use serde_json::{Value, json};

use crate::{SOON, Scene};

const TOKEN: &str = "what only operators know";
const SECRET: &str = "a secret of at least sixteen bytes";
/// More than one worker asks the store for by single calls: the others share one.
const MANY: usize = 64;

/// An answer that ends with trailers.
const ANSWER: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
    2\r\n{}\r\n0\r\nx-end: 1\r\n\r\n";
const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

struct Idempotency {
    ledger: Ledger,
    /// The service that speaks gRPC.
    orders: Upstream,
    redis: Redis,
    shared: Wasm,
    pushed: DynamicFilter,
    envoy: Envoy,
    ports: [u16; 2],
}

fn memory() -> Value {
    json!({"headers_stop_iteration": true, "store": {"kind": "memory"}, "debug_token": {"env": "HOLDFAST_DEBUG"}})
}

fn store() -> Value {
    json!({"headers_stop_iteration": true, "store": {"kind": "redis", "cluster": "store", "timeout": "2s"}, "secret": [{"env": "HOLDFAST_SECRET"}]})
}

// === impl Idempotency ===

impl Scene for Idempotency {
    const MODULE: &'static str = "idempotency";
    const UNMISSED: &'static [(&'static str, &'static str)] = &[(
        "proxy_on_delete",
        "without it no stream's memory is ever freed; whether a replaced configuration ends in time depends on it too, not always",
    )];

    fn start(list: &BTreeSet<String>) -> TestResult<Self> {
        let (ledger, orders, redis) = (Ledger::start()?, Upstream::start("orders")?, Redis::start()?);
        let module = Wasm::module(Self::MODULE)?.allow(list).stop_iteration(true);
        let module = module.env("HOLDFAST_DEBUG", TOKEN).env("HOLDFAST_SECRET", SECRET);
        let (alone, shared) = (module.clone().config(&memory()), module.name("shared").config(&store()));
        let pushed = shared.dynamic()?;
        let routes = [
            config::route_at("grpc", "/shop.Orders/", "grpc"),
            config::route_at("trailing", "/trailing", "trailing"),
            config::route_at("nobody", "/nobody", "nobody"),
            config::route("all", "ledger"),
        ];
        let listener = |name: &str, filter: Value| {
            let mut listener = config::listener(name, &[filter], &routes);
            config::hcm_mut(&mut listener)["http_protocol_options"] = json!({"enable_trailers": true});
            listener
        };
        let clusters = [
            config::cluster("ledger", &[ledger.port()]),
            config::http2(config::cluster("grpc", &[orders.port()])),
            trailing()?,
            config::cluster("nobody", &[]),
        ];
        let listeners = [listener("alone", alone.filter()), listener("shared", pushed.filter())];
        let bootstrap = config::bootstrap(&listeners, &clusters.map(config::without_limits));
        let bootstrap = tunnel::to_server(bootstrap, "redis_tunnel", "store", redis.port());
        let envoy = Envoy::options().concurrency(1).start(&bootstrap)?;
        let ports = [envoy.port("alone")?, envoy.port("shared")?];
        Ok(Self { ledger, orders, redis, shared, pushed, envoy, ports })
    }

    fn play(&self, patience: Duration) -> TestResult {
        let [alone, shared] = self.ports;
        let told = pay(alone, "told").header("x-holdfast-debug", TOKEN).send()?;
        ensure!(told.headers.keys().any(|name| name.as_str().starts_with("x-holdfast-debug")), "{:?}", told.headers);
        crate::tells_what_is_wrong(&self.shared)?;
        self.replays(alone)?;
        self.replays(shared)?;
        self.protects_whose_request_has_trailers(alone, patience)?;
        self.protects_grpc(alone)?;
        keeps_what_ends_with_trailers(alone)?;
        frees_what_was_never_sent(alone)?;
        many_share_a_call(shared)?;
        self.loses_no_errand_to_a_push(shared, patience)
    }

    fn envoy(&self) -> &Envoy {
        &self.envoy
    }
}

impl Idempotency {
    fn runs(&self, port: u16, key: &str) -> usize {
        self.ledger.executions(&format!("\"{key}-{port}\"")).len()
    }

    fn replays(&self, port: u16) -> TestResult {
        let (first, again) = (pay(port, "one").send()?, pay(port, "one").send()?);
        ensure!((first.status, again.status) == (201, 201), "{first:?} {again:?}");
        ensure!(is_replay(&again) && again.body == first.body, "{again:?}");
        ensure!(self.runs(port, "one") == 1, "it ran twice");
        let other = pay(port, "one").header("content-type", "text/plain").path("/pay").send()?;
        ensure!([201, 422].contains(&other.status), "{other:?}");
        Ok(())
    }

    fn protects_whose_request_has_trailers(&self, port: u16, patience: Duration) -> TestResult {
        let bytes = b"POST /pay HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\
            idempotency-key: \"trailers\"\r\n\r\n2\r\n{}\r\n0\r\nx-end: 1\r\n\r\n";
        let twice = [client::raw(port, bytes, patience)?, client::raw(port, bytes, patience)?];
        ensure!(is_replay(&twice[1]) && self.ledger.executions("\"trailers\"").len() == 1, "{twice:?}");
        Ok(())
    }

    /// Its answer isn't kept, but it runs once.
    fn protects_grpc(&self, port: u16) -> TestResult {
        let call = || client::grpc(port, "/shop.Orders/Pay", b"1", &[("idempotency-key", "\"grpc\"")]);
        let (first, again) = (call()?, call()?);
        ensure!((first.status, again.status) == (Some(0), Some(6)), "{first:?} {again:?}");
        ensure!(self.orders.hits() == 1, "it ran twice");
        Ok(())
    }

    /// What a client that left has claimed is given up, once the store is back, by a configuration that has been replaced meanwhile.
    fn loses_no_errand_to_a_push(&self, port: u16, patience: Duration) -> TestResult {
        self.redis.pause()?;
        let left = pay(port, "left").timeout(Duration::from_millis(50)).fresh_connection().send();
        ensure!(left.is_err(), "Redis was to stop");
        self.pushed
            .update(&self.shared.clone().config(&config::patch(store(), json!({"required": true}))).typed_config())?;
        let pushed = eventually("the push is in effect", patience, || {
            Ok::<_, anyhow::Error>(Call::post(port, "/pay", b"{}").fresh_connection().send()?.status == 400)
        });
        std::thread::sleep(Duration::from_millis(300));
        self.redis.resume()?;
        pushed?;
        eventually("its key is free again", patience, || {
            Ok::<_, anyhow::Error>(pay(port, "left").send()?.status == 201)
        })?;
        // The old configuration has nothing left to do, and says so at its next tick.
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    }
}

fn pay(port: u16, key: &str) -> Call {
    Call::post(port, "/pay", br#"{"pay": "10 EUR"}"#)
        .header("content-type", "application/json")
        .header("idempotency-key", format!("\"{key}-{port}\""))
        .timeout(SOON)
}

fn many_share_a_call(port: u16) -> TestResult {
    let key = move |n: usize, call: Call| call.header("idempotency-key", format!("\"many-{n}\""));
    let calls = Call::post(port, "/pay", b"{}").fresh_connection();
    let tally = Storm::new(calls).each(key).concurrency(MANY).total(2 * MANY).run(SOON)?;
    ensure!(tally.status(201) == 2 * MANY, "{:?} {:?}", tally.by_status(), tally.errors());
    Ok(())
}

/// A service whose one answer ends with trailers.
fn trailing() -> TestResult<Value> {
    let service = TcpListener::bind("127.0.0.1:0")?;
    let port = service.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in service.incoming().flatten() {
            let mut request = BufReader::new(&stream).lines();
            // The head; that is all it wants to know.
            while request.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ = (&stream).write_all(ANSWER);
        }
    });
    let options = json!({"@type": format!("type.googleapis.com/{OPTIONS}"),
        "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}}});
    let options = json!({"typed_extension_protocol_options": {OPTIONS: options}});
    Ok(config::patch(config::cluster("trailing", &[port]), options))
}

fn keeps_what_ends_with_trailers(port: u16) -> TestResult {
    let call = || pay(port, "trailing").path("/trailing").timeout(Duration::from_secs(3)).send();
    let (first, again) = (call()?, call()?);
    ensure!(first.status == 201 && is_replay(&again) && again.text() == "{}", "{first:?} {again:?}");
    Ok(())
}

fn is_replay(reply: &Response) -> bool {
    reply.header("idempotency-replayed") == Some("true")
}

#[test]
fn with_its_list_idempotency_does_all_that_it_does() -> TestResult {
    crate::nothing_is_missing::<Idempotency>()
}

#[test]
fn each_entry_of_idempotencys_list_is_needed() -> TestResult {
    crate::nothing_is_too_much::<Idempotency>()
}

/// Nobody is there to send it to.
fn frees_what_was_never_sent(port: u16) -> TestResult {
    for _ in 0..2 {
        let nobody = pay(port, "nobody").path("/nobody").send()?;
        ensure!(nobody.status == 503 && nobody.rejected_by().is_none(), "{nobody:?}");
    }
    Ok(())
}
