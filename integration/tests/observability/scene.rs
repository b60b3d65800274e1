//! A gateway on its worst day: whatever an alert or a panel asks for has happened on it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::ensure;
use integration::client::{self, Running, Sse, Storm};
use integration::observability::Target;
use integration::store::Redis;
use integration::{Answer, Call, Envoy, TestResult, Upstream, eventually};

use crate::gateway::{self, Services};

/// Bytes of a Redis that evicts.
const EVICTING: u64 = 64 << 20;
/// What a node tells whose modules were replaced while it ran. No gateway here can: there is one build of the modules.
const TWO_VERSIONS: &str = "# TYPE holdfast_build_info gauge\n\
    holdfast_build_info{version=\"0.0.1\",git=\"0000001\"} 1\nholdfast_build_info{version=\"0.0.2\",git=\"0000002\"} 1\n";

/// The gateway, and all that stands around it.
pub(crate) struct Scene {
    envoy: Envoy,
    /// A gateway that missed a push: its breaker is configured differently.
    late: Envoy,
    /// A node of other versions.
    replaced: Upstream,
    /// A node without Holdfast.
    bare: Upstream,
    services: Services,
    store: Redis,
}

/// What is still under way; dropping it ends it.
pub(crate) struct Waiting {
    _queue: Running,
    _events: Sse,
}

// === impl Scene ===

impl Scene {
    pub(crate) fn set() -> TestResult<Self> {
        let services = Services::start()?;
        let [replaced, bare] = ["replaced", "bare"].map(Upstream::start);
        let (replaced, bare) = (replaced?, bare?);
        replaced.set_answer(Answer::typed("text/plain; version=0.0.4", TWO_VERSIONS.as_bytes()));
        bare.set_answer(Answer::typed("text/plain; version=0.0.4", b""));
        let store = Redis::options().evicting("allkeys-lru", EVICTING).start()?;
        let envoy = Envoy::start(&gateway::bootstrap(&services, store.port())?)?;
        let late = Envoy::start(&gateway::late(&services)?)?;
        Ok(Self { envoy, late, replaced, bare, services, store })
    }

    /// What Prometheus scrapes: both gateways, and two nodes that are none.
    pub(crate) fn targets(&self) -> [Target; 4] {
        let target = |port, path| Target { port, path, region: "eu" };
        [
            target(self.envoy.admin_port(), "/stats/prometheus"),
            target(self.late.admin_port(), "/stats/prometheus"),
            target(self.replaced.port(), "/metrics"),
            target(self.bare.port(), "/metrics"),
        ]
    }

    /// Everything happens. What it returns is under way until it is dropped.
    pub(crate) fn play(&self) -> TestResult<Waiting> {
        let queue = Call::get(self.envoy.port("pools")?, "/queue").timeout(Duration::from_secs(300));
        let queue = Storm::new(queue).concurrency(200).total(200).start();
        let events = Sse::open(self.envoy.port("edge")?, "/sse?events=300&every_ms=1000")?;
        ensure!(events.status == 200, "the stream is open: {}", events.status);
        self.keys_come_again()?;
        self.handshakes_fail()?;
        self.a_plugin_crashes()?;
        Ok(Waiting { _queue: queue, _events: events })
    }

    /// What goes on while Prometheus looks: a counter that begins at its last value has no rate.
    pub(crate) fn go_on(&self) -> TestResult {
        let full = Call::get(self.envoy.port("pools")?, "/full");
        Storm::new(full).concurrency(32).total(2_000).run(Duration::from_secs(30))?;
        self.requests_fail()?;
        self.all_is_well()?;
        self.dry_runs_disagree()?;
        self.keys_meet_no_store()?;
        let Services { sick, hanging, grpc, .. } = &self.services;
        ensure!([sick, hanging, grpc].iter().all(|service| service.hits() > 0), "somebody was never asked");
        Ok(())
    }

    /// Calls and streams that end as they should, and more routes than one entry has room for.
    fn all_is_well(&self) -> TestResult {
        let (edge, crowded) = (self.envoy.port("edge")?, self.envoy.port("crowded")?);
        let reply = client::grpc(edge, "/shop.Orders/Get", b"an order", &[])?;
        ensure!(reply.status == Some(0), "{reply:?}");
        let events = Sse::open(edge, "/sse?events=3&every_ms=2")?.finish(Duration::from_secs(10))?;
        ensure!(events.events.len() == 3 && events.cut.is_none(), "{events:?}");
        for path in ["/first", "/second"] {
            ensure!(client::get(crowded, path, &[])?.status == 200, "{path} is counted, or not, and goes on");
        }
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
        let broken = Call::get(self.envoy.port("pools")?, "/broken");
        let refused = Storm::new(broken).concurrency(4).total(20).run(Duration::from_secs(30))?.rejected();
        ensure!(refused > 0, "the budget refuses attempts that had no answer");
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
        ensure!(statuses == [200, 200, 422, 504], "{statuses:?}; {} requests were served", self.services.well.hits());
        self.store.kill();
        self.keys_meet_no_store()
    }

    fn keys_meet_no_store(&self) -> TestResult {
        let (edge, strict) = (self.envoy.port("edge")?, self.envoy.port("strict")?);
        let refused = Call::post(strict, "/", b"1").header("idempotency-key", "gone").send()?;
        ensure!(refused.status == 503, "nobody knows whether it ran: {}", refused.status);
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
        eventually("it is started again", Duration::from_secs(10), || call.send().map(|reply| reply.status == 200))
    }
}
