//! What the stories of protocol-health share: two hosts of a service, a proxy that ejects and retries, and the plugin in both of its chains.
#![allow(dead_code, reason = "each story uses its part")]
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

use std::time::Duration;

use integration::{Answer, Call, Envoy, Response, TestResult, Upstream, Wasm, config, envoy, eventually};
use serde_json::{Value, json};

/// Deadline of whatever should happen at once: long, because only a failure waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// What Envoy is to take for a failure besides its own: our mark. A matcher replaces the rule for statuses, so that is said again.
fn error_matcher() -> Value {
    let header = |name: &str, matched: Value| json!({"http_response_headers_match": {"headers": [{"name": name, "string_match": matched}]}});
    json!({"or_match": {"rules": [
        header("x-holdfast-outcome", json!({"safe_regex": {"regex": "server_fault|unreachable|timeout"}})),
        header(":status", json!({"safe_regex": {"regex": "5.."}})),
    ]}})
}

/// A cluster that ejects a host after three failures in a row.
pub(crate) fn ejecting(cluster: Value, matcher: bool) -> Value {
    let detection = json!({
        "consecutive_5xx": 3, "interval": "0.2s", "base_ejection_time": "60s", "max_ejection_percent": 50,
        "enforcing_success_rate": 0,
    });
    let cluster = config::patch(
        cluster,
        json!({"outlier_detection": detection, "common_lb_config": {"healthy_panic_threshold": {"value": 0}}}),
    );
    if !matcher {
        return cluster;
    }
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let own = json!({"outlier_detection": {"error_matcher": error_matcher()}});
    config::patch(cluster, json!({"typed_extension_protocol_options": {options: own}}))
}

/// A route that tries once more, elsewhere, on whatever a service can come to.
pub(crate) fn route() -> Value {
    let route = config::with_retries(config::route("all", "service"), "5xx,unavailable,retriable-headers", 1);
    let marked = json!([{
        "name": "x-holdfast-outcome",
        "string_match": {"safe_regex": {"regex": "server_fault|unreachable|timeout"}},
    }]);
    let elsewhere = json!([{
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
    }]);
    let policy = json!({
        "retriable_headers": marked, "retry_host_predicate": elsewhere, "host_selection_retry_max_attempts": 5,
    });
    config::patch(route, json!({"route": {"retry_policy": policy}}))
}

/// The entry of attempts, that may hold what it must read.
pub(crate) fn upstream(change: Value) -> TestResult<Wasm> {
    let policy =
        json!({"chain": "upstream", "headers_stop_iteration": true, "hold": {"grpc_methods": ["/shop.Orders/*"]}});
    Ok(Wasm::module("protocol_health")?.name("health-up").stop_iteration(true).config(&config::patch(policy, change)))
}

/// The entry of requests.
pub(crate) fn edge(policy: &Value) -> TestResult<Wasm> {
    Ok(Wasm::module("protocol_health")?.name("health-edge").config(policy))
}

/// Whether this Envoy can hold back what must be read first.
pub(crate) fn holds() -> TestResult<bool> {
    Ok(envoy::version()? >= (1, 39, 1))
}

/// An Envoy that can't is told so, path by path, and doesn't start.
pub(crate) fn is_refused(change: Value) -> TestResult {
    let listener = config::listener("edge", &[], &[route()]);
    let cluster = config::upstream_filters(config::cluster("service", &[1]), &[upstream(change)?.filter()]);
    let Err(error) = Envoy::start(&config::bootstrap(&[listener], &[cluster])) else {
        anyhow::bail!("an Envoy that can't hold answers takes a configuration that needs it")
    };
    let text = format!("{error:#}");
    anyhow::ensure!(text.contains("$.graphql.paths: found") && text.contains("holds_responses"), "{text}");
    Ok(())
}

/// How the service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Rest,
    GraphQl,
    Grpc,
}

/// Two hosts of one service, and a proxy before them.
pub(crate) struct Story {
    pub(crate) well: Upstream,
    pub(crate) other: Upstream,
    pub(crate) envoy: Envoy,
    pub(crate) port: u16,
    spoken: Spoken,
}

// === impl Story ===

impl Story {
    /// With the plugin in both chains.
    pub(crate) fn begin(spoken: Spoken, change: Value) -> TestResult<Self> {
        let matcher = change["signal"] != json!("status");
        Self::with(spoken, &route(), &[edge(&json!({}))?.filter()], &[upstream(change)?.filter()], matcher)
    }

    /// With nothing but Envoy: the control.
    pub(crate) fn without(spoken: Spoken) -> TestResult<Self> {
        Self::with(spoken, &route(), &[], &[], true)
    }

    /// With a route and filters of one's own.
    pub(crate) fn with(spoken: Spoken, route: &Value, down: &[Value], up: &[Value], matcher: bool) -> TestResult<Self> {
        let (well, other) = (Upstream::start("well")?, Upstream::start("other")?);
        for host in [&well, &other] {
            host.set_answer(Answer::json(&json!({"data": {"orders": []}, "status": "ok"})));
        }
        let mut listener = config::listener("edge", down, std::slice::from_ref(route));
        config::virtual_host_mut(&mut listener)["include_request_attempt_count"] = json!(true);
        config::hcm_mut(&mut listener)["access_log"] =
            config::access_log("told=%FILTER_STATE(wasm.holdfast.outcome:PLAIN)% status=%RESPONSE_CODE%");
        let cluster = ejecting(config::cluster("service", &[well.port(), other.port()]), matcher);
        let cluster = if spoken == Spoken::Grpc { config::http2(cluster) } else { cluster };
        let cluster = if up.is_empty() { cluster } else { config::upstream_filters(cluster, up) };
        let envoy = Envoy::start(&config::bootstrap(&[listener], &[cluster]))?;
        let port = envoy.port("edge")?;
        Ok(Self { well, other, envoy, port, spoken })
    }

    /// One request of its kind; whether its caller is content.
    pub(crate) fn call(&self) -> TestResult<bool> {
        if self.spoken == Spoken::Grpc {
            return Ok(
                integration::client::grpc(self.port, "/shop.Orders/Place", b"two apples", &[])?.status == Some(0)
            );
        }
        let reply = self.ask()?;
        let body = reply.json()?;
        Ok(reply.status == 200 && (body["errors"].is_null() && body["status"] != json!("degraded")))
    }

    /// The same, as an HTTP response.
    pub(crate) fn ask(&self) -> TestResult<Response> {
        if self.spoken == Spoken::Rest {
            return Call::get(self.port, "/orders").send();
        }
        let query = br#"{"query": "{ orders { id } }"}"#;
        Call::post(self.port, "/graphql", query).header("content-type", "application/json").send()
    }

    /// So many requests; how many callers were content.
    pub(crate) fn calls(&self, total: usize) -> TestResult<usize> {
        (0..total).try_fold(0, |content, _| Ok(content + usize::from(self.call()?)))
    }

    /// Hosts that are ejected.
    pub(crate) fn ejected(&self) -> TestResult<u64> {
        self.envoy.stat("cluster.service.outlier_detection.ejections_active")
    }

    pub(crate) fn until_ejected(&self) -> TestResult {
        eventually("the sick host is ejected", SOON, || {
            self.call()?;
            Ok::<_, anyhow::Error>(self.ejected()? == 1)
        })
    }

    /// The sum of a counter over all its series that carry these labels.
    pub(crate) fn counted(&self, what: &str, labels: &[&str]) -> TestResult<u64> {
        let series =
            self.envoy.stats(&format!("^(cluster\\.[^.]+\\.)?wasmcustom\\.holdfast_protocol_health_{what};"))?;
        let wanted = |name: &str| labels.iter().all(|label| name.split(';').any(|part| part == *label));
        Ok(series.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| value).sum())
    }

    /// No request was lost to a broken filter.
    pub(crate) fn assert_no_trap(&self) {
        let log = self.envoy.log();
        let bad: Vec<&str> =
            log.lines().filter(|line| line.contains("panicked") || line.contains("Uncaught")).collect();
        assert!(bad.is_empty() && self.envoy.is_running(), "{bad:#?}");
    }
}
