//! A gateway on its worst day: whatever an alert or a panel asks for has happened on it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::ensure;
use integration::client::{self, Running, Storm};
use integration::config::{self, patch, tunnel};
use integration::observability::Target;
use integration::observability::labels::SUFFIX;
use integration::store::Redis;
use integration::{Answer, Call, Envoy, Fault, TestResult, Upstream, Wasm};
use serde_json::{Value, json};

use crate::standin::StandIn;

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
/// A certificate for nobody, good until 2126; its key is no secret.
const CERTIFICATE: &str = include_str!("tls/certificate.pem");
const KEY: &str = include_str!("tls/key.pem");
/// Bytes of a Redis that evicts.
const EVICTING: u64 = 64 << 20;

/// The gateway, and all that stands around it.
pub(crate) struct Scene {
    pub(crate) envoy: Envoy,
    pub(crate) stand_in: StandIn,
    well: Upstream,
    sick: Upstream,
    hanging: Upstream,
    bare: Upstream,
    store: Redis,
}

// === impl Scene ===

impl Scene {
    pub(crate) fn set() -> TestResult<Self> {
        let [well, sick, hanging, bare] = ["well", "sick", "hanging", "bare"].map(Upstream::start);
        let (well, sick, hanging, bare) = (well?, sick?, hanging?, bare?);
        sick.set(Fault::Status(503));
        hanging.set(Fault::Hang);
        bare.set_answer(Answer::typed("text/plain; version=0.0.4", b""));
        let store = Redis::options().evicting("allkeys-lru", EVICTING).start()?;
        let envoy = Envoy::start(&bootstrap([well.port(), sick.port(), hanging.port()], store.port())?)?;
        Ok(Self { envoy, stand_in: StandIn::start()?, well, sick, hanging, bare, store })
    }

    /// What Prometheus scrapes: the gateway, the stand-in, and a node without Holdfast.
    pub(crate) fn targets(&self) -> [Target; 3] {
        let target = |port, path| Target { port, path, region: "eu" };
        [
            target(self.envoy.admin_port(), "/stats/prometheus"),
            target(self.stand_in.port(), "/metrics"),
            target(self.bare.port(), "/metrics"),
        ]
    }

    /// Everything happens. What it returns waits in a queue until it is dropped.
    pub(crate) fn play(&self) -> TestResult<Running> {
        let queue = Call::get(self.envoy.port("pools")?, "/queue").timeout(Duration::from_secs(300));
        let queue = Storm::new(queue).concurrency(200).total(200).start();
        self.keys_come_again()?;
        self.handshakes_fail()?;
        self.a_plugin_crashes()?;
        Ok(queue)
    }

    /// What goes on while Prometheus looks: a counter that begins at its last value has no rate.
    pub(crate) fn go_on(&self) -> TestResult {
        let full = Call::get(self.envoy.port("pools")?, "/full");
        Storm::new(full).concurrency(32).total(2_000).run(Duration::from_secs(30))?;
        self.requests_fail()?;
        self.dry_runs_disagree()?;
        self.keys_meet_no_store()?;
        ensure!(self.sick.hits() > 0 && self.hanging.hits() > 0, "somebody was never asked");
        Ok(())
    }

    /// The breaker opens, the budget is used up, deadlines are over or can't be read.
    fn requests_fail(&self) -> TestResult {
        let (edge, retried) = (self.envoy.port("edge")?, self.envoy.port("retried")?);
        let get = |path| Call::get(edge, path);
        for _ in 0..20 {
            get("/orders").send()?;
            get("/well").send()?;
        }
        Storm::new(Call::get(retried, "/")).concurrency(4).total(100).run(Duration::from_secs(30))?;
        ensure!(get("/well").header("x-request-timeout", "0").send()?.status == 504, "no time is left");
        get("/well").header("x-request-timeout", "soon").send()?;
        Ok(())
    }

    /// A repeat, another payload, no answer; then the store is gone.
    fn keys_come_again(&self) -> TestResult {
        let edge = self.envoy.port("edge")?;
        let pay = |path, key: &str, body: &[u8]| Call::post(edge, path, body).header("idempotency-key", key).send();
        let statuses =
            [pay("/well", "a", b"1")?, pay("/well", "a", b"1")?, pay("/well", "a", b"2")?, pay("/hanging", "b", b"1")?];
        let statuses = statuses.map(|reply| reply.status);
        ensure!(statuses == [200, 200, 422, 504], "{statuses:?}; {} requests were served", self.well.hits());
        self.store.kill();
        self.keys_meet_no_store()
    }

    fn keys_meet_no_store(&self) -> TestResult {
        let edge = self.envoy.port("edge")?;
        let pay = Call::post(edge, "/well", b"1");
        let keyed = Storm::new(pay).each(|nth, call| call.header("idempotency-key", format!("gone-{nth}")));
        keyed.concurrency(8).total(40).run(Duration::from_secs(30)).map(drop)
    }

    fn dry_runs_disagree(&self) -> TestResult {
        let trial = self.envoy.port("trial")?;
        for _ in 0..40 {
            ensure!(client::get(trial, "/", &[])?.served_by() == Some("sick"), "a dry run touches nothing");
        }
        client::get(trial, "/", &[("x-request-timeout", "0")])?;
        let pay = |body| Call::post(trial, "/", body).header("idempotency-key", "a").send();
        pay(b"1")?;
        pay(b"2").map(drop)
    }

    /// The service speaks no TLS, and clients of the TLS port speak none either.
    fn handshakes_fail(&self) -> TestResult {
        let pools = self.envoy.port("pools")?;
        Storm::new(Call::get(pools, "/tls")).concurrency(4).total(100).run(Duration::from_secs(30))?;
        let port = self.envoy.port("tls")?;
        for _ in 0..300 {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
            // An error as well as an end: whatever comes, it is no answer.
            drop(stream.read_to_end(&mut Vec::new()));
        }
        Ok(())
    }

    fn a_plugin_crashes(&self) -> TestResult {
        let call = Call::get(self.envoy.port("crashing")?, "/").http2();
        ensure!(call.clone().header("x-holdfast-test", "trap").send()?.status == 503, "it crashed");
        integration::eventually("it is started again", Duration::from_secs(10), || {
            call.send().map(|reply| reply.status == 200)
        })
    }
}

fn bootstrap([well, sick, hanging]: [u16; 3], store: u16) -> TestResult<Value> {
    let to = |path: &str, cluster: &str| config::route_at(path.trim_matches('/'), path, cluster);
    let plain = |name: &str, port| config::without_limits(config::cluster(name, &[port]));
    let listeners = [
        edge()?,
        config::listener(
            "retried",
            &[budget("downstream", "enforce")?],
            &[config::with_retries(config::route("retried", "retried"), "5xx", 3)],
        ),
        trial()?,
        config::listener(
            "crashing",
            &[Wasm::test_module("circuit_breaker_hooks")?.name("circuit-breaker-test").vm_id("crashing").filter()],
            &[to("/", "well")],
        ),
        config::listener(
            "pools",
            &[],
            &[config::with_timeout(to("/queue", "queue"), Duration::ZERO), to("/full", "full"), to("/tls", "tls")],
        ),
        tls_listener(),
    ];
    let judged = |name: &str, port| {
        TestResult::Ok(config::upstream_filters(
            plain(name, port),
            &[health(&json!({"chain": "upstream", "protocol": "rest"}))?],
        ))
    };
    let one = |waiting: u32| json!({"circuit_breakers": {"thresholds": [{"max_connections": 1, "max_pending_requests": waiting}]}});
    let client =
        json!({"name": "envoy.transport_sockets.tls", "typed_config": {"@type": format!("{TLS}.UpstreamTlsContext")}});
    let clusters = [
        patch(judged("well", well)?, json!({"outlier_detection": {}})),
        judged("sick", sick)?,
        plain("hanging", hanging),
        config::upstream_filters(plain("retried", sick), &[budget("upstream", "enforce")?]),
        config::upstream_filters(plain("trial", sick), &[budget("upstream", "dry_run")?]),
        patch(config::cluster("queue", &[hanging]), one(1_000)),
        patch(config::cluster("full", &[well]), one(1)),
        patch(config::cluster("tls", &[well]), json!({"transport_socket": client})),
    ];
    // TEMPORARY: the shipped stats-tags.yaml, once it is made from the same table; today it lacks what plugins/metrics brings.
    let tags = SUFFIX.map(|(label, word)| (label, format!("holdfast_.*?(;{word}=([^;]+))")));
    let mut tags: Vec<(&str, &str)> = tags.iter().map(|(label, regex)| (*label, regex.as_str())).collect();
    // Envoy 1.36 puts the cluster's name before the metrics of an upstream chain.
    tags.push(("holdfast_cluster", r"^(cluster\.(.+?)\.)wasmcustom\.holdfast_"));
    let bootstrap = config::with_stats_tags(config::bootstrap(&listeners, &clusters), &tags);
    Ok(tunnel::to_server(bootstrap, "redis_tunnel", "store", store))
}

/// Everything that exists, in the order of docs/architecture.md.
fn edge() -> TestResult<Value> {
    let to = |path: &str, cluster: &str| config::route_at(path.trim_matches('/'), path, cluster);
    let idempotency = idempotency(&json!({
        "store": {"kind": "redis", "cluster": "store", "accept_eviction": true},
        "secret": [{"literal": "sixteen bytes, at least"}], "insecure_literal": true, "on_store_error": "open",
    }))?;
    let breaker = Wasm::module("circuit_breaker")?.name("circuit-breaker");
    let breaker = breaker.config(&json!({"minimum_calls": 5, "open": {"base": "100ms", "max": "200ms"}}));
    let filters = [health(&json!({"deadline": {"min": 0}}))?, idempotency, breaker.filter()];
    let hanging = config::with_timeout(to("/hanging", "hanging"), Duration::from_millis(300));
    Ok(config::listener("edge", &filters, &[to("/orders", "sick"), to("/well", "well"), hanging]))
}

/// The same in dry runs.
fn trial() -> TestResult<Value> {
    let breaker = Wasm::module("circuit_breaker")?.name("circuit-breaker");
    let breaker = breaker.config(&json!({"instance": "trial", "mode": "dry_run", "minimum_calls": 5}));
    let filters = [
        health(&json!({"instance": "trial", "mode": "dry_run", "deadline": {}}))?,
        idempotency(&json!({"instance": "trial", "mode": "dry_run", "store": {"kind": "memory"}}))?,
        breaker.filter(),
    ];
    Ok(config::listener("trial", &filters, &[config::with_retries(config::route("trial", "trial"), "5xx", 3)]))
}

fn health(policy: &Value) -> TestResult<Value> {
    Ok(Wasm::module("protocol_health")?.name("protocol-health").config(policy).filter())
}

fn idempotency(policy: &Value) -> TestResult<Value> {
    let policy = patch(policy.clone(), json!({"headers_stop_iteration": true}));
    Ok(Wasm::module("idempotency")?
        .name("idempotency")
        .vm_id("holdfast-idempotency")
        .stop_iteration(true)
        .config(&policy)
        .filter())
}

fn budget(chain: &str, mode: &str) -> TestResult<Value> {
    let instance = if mode == "dry_run" { "trial" } else { "default" };
    let policy = json!({"chain": chain, "mode": mode, "instance": instance, "ratio": 0.1, "min_retries_per_second": 0});
    Ok(Wasm::module("retry_budget")?.name("retry-budget").config(&policy).filter())
}

fn tls_listener() -> Value {
    let certificate =
        json!([{"certificate_chain": {"inline_string": CERTIFICATE}, "private_key": {"inline_string": KEY}}]);
    let context = json!({"@type": format!("{TLS}.DownstreamTlsContext"), "common_tls_context": {"tls_certificates": certificate}});
    let mut listener = config::listener("tls", &[], &[config::direct("all", "/", 200, "never")]);
    listener["filter_chains"][0]["transport_socket"] =
        json!({"name": "envoy.transport_sockets.tls", "typed_config": context});
    listener
}
