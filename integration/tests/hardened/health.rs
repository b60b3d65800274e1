//! protocol-health, in both chains. Older Envoys refuse what this scene needs (answers that are held back); `hardened-1.36.yaml` has a story of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use integration::config::{self, patch};
use integration::{Answer, Call, Envoy, Fault, Grpc, TestResult, Upstream, Wasm, client, envoy, eventually};
use serde_json::{Value, json};

use crate::Scene;

const HEALTH_CHECK: &str = "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck";
const INTERNAL: &str = "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener";
const WITH_TRAILERS: &[u8] =
    b"POST /trailers HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
    2\r\n{}\r\n0\r\nx-end: 1\r\n\r\n";

struct Health {
    module: Wasm,
    service: Upstream,
    envoy: Envoy,
    edge: u16,
}

fn edge() -> Value {
    json!({
        "deadline": {"max": "60s"}, "drain_cluster": "drain",
        "probes": [
            {"path": "/deep", "clusters": ["service"], "target": "/probed", "fresh": "10ms", "stale": "10ms",
             "predicate": {"json": {"pointer": "/status", "in": ["ok"]}}},
        ],
    })
}

fn attempts() -> Value {
    json!({
        "chain": "upstream", "headers_stop_iteration": true, "hold": {"grpc_methods": ["/shop.Orders/*"]},
        "predicate": {"json": {"pointer": "/status", "in": ["ok"]}, "absent": "ok"},
    })
}

/// Says 503 once the node is to be taken out.
fn drain() -> (Value, Value) {
    let check = json!({
        "name": "envoy.filters.http.health_check",
        "typed_config": {"@type": HEALTH_CHECK, "pass_through_mode": false,
            "headers": [{"name": ":path", "string_match": {"exact": "/drain"}}]},
    });
    let asked = config::listener("drain", &[check], &[config::direct("none", "/", 404, "")]);
    let address = json!({"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": "drain"}}}});
    let places = json!({"load_assignment": {"endpoints": [{"lb_endpoints": [address]}]}});
    (patch(asked, json!({"address": null, "internal_listener": {}})), patch(config::cluster("drain", &[]), places))
}

fn json_of(status: &str) -> Answer {
    Answer::json(&json!({"status": status}))
}

// === impl Health ===

impl Scene for Health {
    const MODULE: &'static str = "protocol_health";
    const UNMISSED: &'static [(&'static str, &'static str)] =
        &[("proxy_on_delete", "without it no stream's memory is ever freed, which shows after days")];

    fn start(list: &BTreeSet<String>) -> TestResult<Self> {
        let service = Upstream::start("service")?;
        let module = Wasm::module(Self::MODULE)?.allow(list);
        let upstream = module.clone().stop_iteration(true).config(&attempts()).filter();
        let marked = json!([{"name": "x-holdfast-outcome", "string_match": {"exact": "server_fault"}}]);
        let retried = config::with_retries(config::route("all", "service"), "retriable-headers", 1);
        let routes = [
            config::route_at("grpc", "/shop.Orders/", "grpc"),
            config::with_timeout(config::route_at("sse", "/sse", "service"), Duration::ZERO),
            patch(retried, json!({"route": {"retry_policy": {"retriable_headers": marked}}})),
        ];
        let mut listener = config::listener("edge", &[module.clone().config(&edge()).filter()], &routes);
        config::hcm_mut(&mut listener)["http_protocol_options"] = json!({"enable_trailers": true});
        config::hcm_mut(&mut listener)["access_log"] =
            config::access_log("%REQ(:PATH)% told=%FILTER_STATE(wasm.holdfast.outcome:PLAIN)%");
        let (asked, drain) = drain();
        let cluster = |name: &str| config::cluster(name, &[service.port()]);
        let clusters = [
            config::upstream_filters(cluster("service"), std::slice::from_ref(&upstream)),
            config::upstream_filters(config::http2(cluster("grpc")), std::slice::from_ref(&upstream)),
            drain,
        ];
        let extension = json!([{"name": "envoy.bootstrap.internal_listener", "typed_config": {"@type": INTERNAL}}]);
        let bootstrap = config::bootstrap(&[listener, asked], &clusters);
        let envoy =
            Envoy::options().concurrency(1).start(&patch(bootstrap, json!({"bootstrap_extensions": extension})))?;
        service.set_answer(json_of("ok"));
        Ok(Self { edge: envoy.port("edge")?, service, envoy, module })
    }

    fn play(&self, patience: Duration) -> TestResult {
        let (deep, late) = (self.get("/deep", "60s")?, self.get("/", "0")?);
        ensure!(deep.status == 200 && deep.served_by().is_none(), "{deep:?}");
        ensure!(late.rejected_by() == Some("protocol-health; cause=deadline"), "{late:?}");
        crate::tells_what_is_wrong(&self.module)?;
        self.marks_what_was_read(patience)?;
        self.lets_go_what_takes_too_long()?;
        self.reads_what_comes_last(patience)?;
        self.knows_whose_fault_silence_is(patience)?;
        self.says_that_it_drains(patience)
    }

    fn envoy(&self) -> &Envoy {
        &self.envoy
    }
}

impl Health {
    fn get(&self, path: &str, timeout: &str) -> TestResult<integration::Response> {
        client::get(self.edge, path, &[("x-request-timeout", timeout)])
    }

    /// Attempts that came to this.
    fn counted(&self, patience: Duration, protocol: &str, outcome: &str, times: u64) -> TestResult {
        let name = format!("holdfast_protocol_health_attempts_total;.*protocol={protocol}.*outcome={outcome}");
        eventually(&name, patience, || Ok::<_, anyhow::Error>(self.envoy.stats(&name)?.values().sum::<u64>() >= times))
    }

    /// Envoy tries again by the mark, and the client sees none.
    fn marks_what_was_read(&self, patience: Duration) -> TestResult {
        self.service.set_answer(json_of("degraded"));
        let sick = self.get("/sick", "60s")?;
        ensure!(sick.status == 200 && sick.header("x-holdfast-outcome").is_none(), "{sick:?}");
        ensure!(self.service.hits_on("/sick") == 2, "it wasn't tried again");
        self.envoy.wait_for_log("/sick told=server_fault", patience).map(drop)
    }

    fn lets_go_what_takes_too_long(&self) -> TestResult {
        self.service.set_answer(json_of("ok").in_halves(Duration::from_millis(900)));
        let slow = self.get("/slow", "60s")?;
        ensure!(slow.json()?["status"] == "ok", "{slow:?}");
        self.service.set_answer(json_of("ok"));
        Ok(())
    }

    fn reads_what_comes_last(&self, patience: Duration) -> TestResult {
        self.service.set_grpc(Grpc::MessageThen(14));
        client::grpc(self.edge, "/shop.Orders/Get", b"1", &[])?;
        self.counted(patience, "grpc", "unreachable", 1)
    }

    /// Of a request that was complete it is the service's.
    fn knows_whose_fault_silence_is(&self, patience: Duration) -> TestResult {
        self.service.set(Fault::Reset);
        Call::post(self.edge, "/body", b"{}").send()?;
        self.counted(patience, "rest", "timeout", 1)?;
        client::raw(self.edge, WITH_TRAILERS, patience)?;
        self.counted(patience, "rest", "timeout", 2)?;
        self.service.set(Fault::Healthy);
        Ok(())
    }

    /// Streams are told when to come back.
    fn says_that_it_drains(&self, patience: Duration) -> TestResult {
        let stream = Call::get(self.edge, "/sse?events=30&every_ms=100").timeout(crate::SOON);
        let stream = std::thread::spawn(move || stream.send());
        self.envoy.admin_post("/healthcheck/fail")?;
        let told =
            eventually("it says so", patience, || Ok::<_, anyhow::Error>(self.get("/healthz", "60s")?.status == 503));
        let text = stream.join().map_err(|_| anyhow::anyhow!("the client panicked"))??.text();
        told?;
        ensure!(text.contains("retry:"), "{text}");
        Ok(())
    }
}

#[test]
fn with_its_list_protocol_health_does_all_that_it_does() -> TestResult {
    if holds()? { crate::nothing_is_missing::<Health>() } else { Ok(()) }
}

#[test]
fn each_entry_of_protocol_healths_list_is_needed() -> TestResult {
    if holds()? { crate::nothing_is_too_much::<Health>() } else { Ok(()) }
}

fn holds() -> TestResult<bool> {
    Ok(envoy::version()? >= (1, 39, 1))
}
