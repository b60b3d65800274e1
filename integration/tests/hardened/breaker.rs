//! The circuit breaker, in both chains.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use integration::{Call, Envoy, Fault, Grpc, TestResult, Upstream, Wasm, client, config, eventually};
use serde_json::json;

use crate::Scene;

const TOKEN: &str = "what only operators know";
const SLOW: Duration = Duration::from_millis(250);
const OPEN: Option<&str> = Some("circuit-breaker; cause=open");

/// A request that ends with trailers.
const WITH_TRAILERS: &[u8] =
    b"POST /trailers HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
    2\r\n{}\r\n0\r\nx-end: 1\r\n\r\n";

struct Breaker {
    orders: Upstream,
    /// Whoever may leave is served here.
    second: Upstream,
    envoy: Envoy,
    edge: u16,
}

// === impl Breaker ===

impl Scene for Breaker {
    const MODULE: &'static str = "circuit_breaker";
    const UNMISSED: &'static [(&'static str, &'static str)] = &[
        ("proxy_on_delete", "without it no stream's memory is ever freed, which shows after days"),
        ("proxy_on_response_body", "for probes that are gRPC streams of hours: breaker_streams.rs has them"),
    ];

    fn start(list: &BTreeSet<String>) -> TestResult<Self> {
        let (orders, second) = (Upstream::start("orders")?, Upstream::start("second")?);
        let policy = json!({
            "window": {"time": "2s"}, "minimum_calls": 4, "measure": "completion", "slow_call": "100ms", "slow_ratio": 0.5,
            "open": {"base": "500ms", "factor": 1, "max": "500ms", "jitter": 0}, "recovery": {"over": "300ms"},
            "debug_token": {"env": "HOLDFAST_DEBUG"},
            "on_open": {"reroute": {"header": "x-holdfast-fallback", "value": "1", "only_if": {"header": "x-data-region", "in": ["world"]}}},
        });
        let breaker = Wasm::module(Self::MODULE)?.allow(list);
        let downstream = breaker.clone().config(&policy).env("HOLDFAST_DEBUG", TOKEN).filter();
        let upstream = breaker.vm_id("attempts").config(&json!({"chain": "upstream", "mode": "dry_run"})).filter();
        let routes = [
            config::when_header(config::route("fallback", "second"), "x-holdfast-fallback", "1"),
            config::route_at("grpc", "/shop.Orders/", "grpc"),
            config::route_at("uploads", "/uploads", "orders"),
            config::route_at("trailers", "/trailers", "orders"),
            config::route("all", "orders"),
        ];
        let mut listener = config::listener("edge", &[downstream], &routes);
        config::hcm_mut(&mut listener)["http_protocol_options"] = json!({"enable_trailers": true});
        let clusters = [
            config::upstream_filters(config::cluster("orders", &[orders.port()]), &[upstream]),
            config::cluster("second", &[second.port()]),
            config::http2(config::cluster("grpc", &[orders.port()])),
        ];
        // One worker: its windows are its own.
        let envoy = Envoy::options().concurrency(1).start(&config::bootstrap(&[listener], &clusters))?;
        Ok(Self { edge: envoy.port("edge")?, orders, second, envoy })
    }

    fn play(&self, patience: Duration) -> TestResult {
        self.tells_operators()?;
        self.hears_of_attempts_without_an_answer(patience)?;
        self.opens_and_closes(patience)?;
        self.times_the_service_and_not_its_clients(patience)?;
        self.reads_grpc(patience)
    }

    fn envoy(&self) -> &Envoy {
        &self.envoy
    }
}

impl Breaker {
    fn tells_operators(&self) -> TestResult {
        let reply = client::get(self.edge, "/", &[("x-holdfast-debug", TOKEN)])?;
        ensure!(reply.headers.keys().any(|name| name.as_str().starts_with("x-holdfast-")), "{:?}", reply.headers);
        Ok(())
    }

    fn hears_of_attempts_without_an_answer(&self, patience: Duration) -> TestResult {
        self.orders.set(Fault::Reset);
        client::get(self.edge, "/", &[])?;
        self.orders.set(Fault::Healthy);
        eventually("the attempt is counted", patience, || {
            let counted = self.envoy.stats("holdfast_circuit_breaker_calls_total;chain=upstream.*outcome=failure")?;
            Ok::<_, anyhow::Error>(counted.values().sum::<u64>() == 1)
        })
    }

    fn opens_and_closes(&self, patience: Duration) -> TestResult {
        self.orders.set(Fault::Status(500));
        refuses(patience, &Call::get(self.edge, "/"))?;
        let moves = client::get(self.edge, "/", &[("x-data-region", "world")])?;
        ensure!(moves.served_by() == Some("second"), "{moves:?}");
        let pretends = client::get(self.edge, "/", &[("x-holdfast-fallback", "1")])?;
        ensure!(pretends.served_by() != Some("second"), "{pretends:?}");
        ensure!(self.second.hits() == 1, "somebody moved who may not");
        self.orders.set(Fault::Healthy);
        eventually("it closes", patience, || Ok::<_, anyhow::Error>(client::get(self.edge, "/", &[])?.status == 200))?;
        // By itself: nobody calls any more.
        self.envoy.wait_for_log(r#""event":"closed""#, patience).map(drop)
    }

    /// A service that is slow from the end of a request on opens it.
    fn times_the_service_and_not_its_clients(&self, patience: Duration) -> TestResult {
        self.orders.set(Fault::Slow(SLOW));
        refuses(patience, &Call::post(self.edge, "/uploads", b"{}"))?;
        eventually("it refuses", patience, || {
            Ok::<_, anyhow::Error>(client::raw(self.edge, WITH_TRAILERS, patience)?.rejected_by() == OPEN)
        })?;
        self.orders.set(Fault::Healthy);
        Ok(())
    }

    fn reads_grpc(&self, patience: Duration) -> TestResult {
        self.orders.set_grpc(Grpc::MessageThen(14));
        eventually("it refuses", patience, || {
            let reply = client::grpc(self.edge, "/shop.Orders/Get", b"1", &[])?;
            Ok::<_, anyhow::Error>(reply.headers.contains_key("x-holdfast-reject"))
        })
    }
}

fn refuses(patience: Duration, call: &Call) -> TestResult {
    eventually("it refuses", patience, || Ok::<_, anyhow::Error>(call.send()?.rejected_by() == OPEN))
}

#[test]
fn with_its_list_the_breaker_does_all_that_it_does() -> TestResult {
    crate::nothing_is_missing::<Breaker>()
}

#[test]
fn each_entry_of_the_breakers_list_is_needed() -> TestResult {
    crate::nothing_is_too_much::<Breaker>()
}
