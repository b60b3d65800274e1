//! `protocol-health.yaml`. An Envoy that can't hold answers back refuses the file: there each story ends with that.

use std::time::Duration;

use anyhow::ensure;
use integration::config::{from_yaml, patch};
use integration::{Answer, Call, Envoy, Fault, Grpc, Response, TestResult, Upstream, client, eventually};
use serde_json::json;

use crate::health::holds;
use crate::shipped::{self, Shipped};
use crate::{SOON, is_valid};

pub(crate) const FILE: &str = "protocol-health.yaml";

/// The file before two hosts of each of its three services.
struct Site {
    rest: [Upstream; 2],
    graphql: [Upstream; 2],
    grpc: [Upstream; 2],
    envoy: Envoy,
    edge: u16,
}

/// What Envoy says of the file: that it is valid, or that it lacks what the file needs.
pub(crate) fn assert_verdict(verdict: Result<String, String>) -> TestResult {
    match (verdict, holds()?) {
        (verdict, true) => is_valid(FILE, verdict),
        (Ok(log), false) => anyhow::bail!("an Envoy that can't hold answers back takes what needs it: {log}"),
        (Err(log), false) => {
            ensure!(log.contains("holds_responses") && log.contains("$.predicate.json: found"), "{log}");
            Ok(())
        }
    }
}

/// A story about the file, where Envoy takes it.
fn story(tell: impl FnOnce(&Site) -> TestResult) -> TestResult {
    if holds()? {
        return tell(&Site::start()?);
    }
    assert_verdict(integration::envoy::validate(&Shipped::read(FILE, &[])?.config))
}

fn pair(name: &str) -> TestResult<[Upstream; 2]> {
    Ok([Upstream::start(&format!("{name}-1"))?, Upstream::start(&format!("{name}-2"))?])
}

/// A GraphQL service that can do nothing of what it is asked.
fn errors() -> Answer {
    Answer::json(&json!({"data": null, "errors": [{"message": "connection refused", "path": ["orders"]}]}))
}

// === impl Site ===

impl Site {
    fn start() -> TestResult<Self> {
        let (rest, graphql, grpc) = (pair("rest")?, pair("graphql")?, pair("grpc")?);
        for host in rest.iter().chain(&graphql) {
            host.set_answer(Answer::json(&json!({"data": {"orders": []}, "status": "ok"})));
        }
        let hosts = rest.iter().chain(&graphql).chain(&grpc);
        let ports: Vec<(u16, u16)> = (8081..).zip(hosts.map(Upstream::port)).collect();
        let config = Shipped::read(FILE, &ports)?.config;
        let envoy = Envoy::start(&patch(config, from_yaml(&shipped::text("stats-tags.yaml")?)?))?;
        let edge = envoy.port("edge")?;
        Ok(Self { rest, graphql, grpc, envoy, edge })
    }

    fn get(&self, path: &str) -> TestResult<Response> {
        client::get(self.edge, path, &[])
    }

    fn query(&self) -> TestResult<Response> {
        self.get("/graphql?query=%7Borders%7D")
    }

    fn mutate(&self) -> TestResult<Response> {
        let mutation = br#"{"query": "mutation { pay }"}"#;
        Call::post(self.edge, "/graphql", mutation).header("content-type", "application/json").send()
    }

    /// The sick host of a cluster is ejected and asked no more, and whoever asks meanwhile is content.
    fn assert_ejects(&self, cluster: &str, sick: &Upstream, ask: impl Fn() -> TestResult<bool>) -> TestResult {
        let stat = format!("cluster.{cluster}.outlier_detection.ejections_active");
        // Not an error, which would only mean "not yet".
        let ask = || assert!(ask().is_ok_and(|content| content), "somebody noticed");
        eventually("the sick host is ejected", SOON, || {
            ask();
            self.envoy.stat(&stat).map(|ejected| ejected == 1)
        })?;
        // Envoy tells its workers once a second (`update_merge_window`) where hosts have come and gone just before.
        eventually("nobody asks it any more", SOON, || {
            let before = sick.hits();
            (0..10).for_each(|_| ask());
            sick.hits() == before
        })?;
        ensure!(!self.envoy.log().contains("panicked"), "a filter broke");
        Ok(())
    }

    /// Attempts that came to this.
    fn attempts(&self, protocol: &str, outcome: &str) -> TestResult<f64> {
        let labels =
            [("chain", "upstream"), ("holdfast_instance", protocol), ("protocol", protocol), ("outcome", outcome)];
        Ok(self.envoy.prometheus()?.sum("holdfast_protocol_health_attempts_total", &labels))
    }
}

#[test]
fn a_graphql_host_that_answers_errors_is_ejected_and_no_reader_notices() -> TestResult {
    story(|site| {
        let sick = &site.graphql[1];
        sick.set_answer(errors());
        site.assert_ejects("graphql", sick, || {
            let reply = site.query()?;
            let unmarked = reply.header("x-holdfast-outcome").is_none();
            Ok(reply.status == 200 && unmarked && reply.json()?["errors"].is_null())
        })?;
        let faults = site.attempts("graphql", "server_fault")?;
        ensure!(faults >= 3.0 && site.attempts("graphql", "ok")? >= faults + 10.0, "{faults} attempts failed");
        site.envoy.wait_for_log("200 - attempts=2 outcome=ok", SOON).map(drop)
    })
}

#[test]
fn a_mutation_is_run_once_whatever_it_came_to() -> TestResult {
    story(|site| {
        site.graphql.iter().for_each(|host| host.set_answer(errors()));
        let hits = || site.graphql.iter().map(Upstream::hits).sum::<u64>();
        let reply = site.mutate()?;
        assert_eq!((reply.status, hits()), (200, 1));
        ensure!(reply.json()?["errors"].is_array(), "{}", reply.text());
        assert_eq!((site.query()?.status, hits()), (200, 3), "what only reads is tried at both");
        site.graphql.iter().for_each(|host| host.set(Fault::Status(503)));
        assert_eq!((site.mutate()?.status, hits()), (503, 4), "a plain 503 may have run too");
        site.envoy.wait_for_log("POST /graphql 200 - attempts=1 outcome=server_fault", SOON).map(drop)
    })
}

#[test]
fn a_rest_host_that_says_degraded_is_ejected() -> TestResult {
    story(|site| {
        let sick = &site.rest[1];
        sick.set_answer(Answer::json(&json!({"status": "degraded"})));
        site.assert_ejects("rest", sick, || Ok(site.get("/orders")?.json()?["status"] == "ok"))
    })
}

#[test]
fn a_grpc_host_that_says_unavailable_after_its_message_is_ejected() -> TestResult {
    story(|site| {
        let sick = &site.grpc[1];
        sick.set_grpc(Grpc::MessageThen(14));
        site.assert_ejects("grpc", sick, || {
            let reply = client::grpc(site.edge, "/shop.Orders/Get", b"1", &[])?;
            Ok(reply.status == Some(0) && reply.in_trailers && !reply.headers.contains_key("grpc-status"))
        })
    })
}

#[test]
fn who_says_how_long_he_waits_waits_no_longer() -> TestResult {
    story(|site| {
        let wait = |name: &str, time: &str| client::get(site.edge, "/orders", &[(name, time)]);
        let over = wait("x-request-timeout", "0")?;
        assert_eq!((over.status, over.rejected_by()), (504, Some("protocol-health; cause=deadline")));
        assert_eq!(site.rest.iter().map(Upstream::hits).sum::<u64>(), 0, "nobody was asked");

        site.rest.iter().for_each(|host| host.set(Fault::Slow(Duration::from_millis(500))));
        let impatient = wait("request-timeout", "100ms")?;
        assert_eq!((impatient.status, impatient.rejected_by()), (504, None));
        assert_eq!(wait("x-request-timeout", "30s")?.status, 200);
        assert_eq!(wait("x-envoy-upstream-rq-timeout-ms", "100")?.status, 200, "from outside it is worth nothing");
        Ok(())
    })
}

#[test]
fn probes_ask_each_service_in_its_own_words_and_the_node_says_that_it_drains() -> TestResult {
    story(|site| {
        for host in &site.graphql {
            host.set_answer(Answer::json(&json!({"data": {"__typename": "Query"}})));
        }
        for path in ["/healthz", "/healthz/deep", "/healthz/graphql"] {
            assert_eq!(site.get(path)?.status, 200, "{path}");
        }
        // The scripted service echoes the request, an empty message, which as an answer says UNKNOWN.
        assert_eq!(String::from_utf8_lossy(&site.get("/healthz/grpc")?.body), "grpc: not serving\n");
        // Who asks and who judges share a VM, and the calls of the one are no attempts of the other.
        let log = site.envoy.log();
        assert!(!log.contains("panicked"), "{log}");
        site.envoy.admin_post("/healthcheck/fail")?;
        eventually("every worker knows", SOON, || {
            let answers = (0..8).map(|_| Ok(Call::get(site.edge, "/healthz").fresh_connection().send()?.status));
            anyhow::Ok(answers.collect::<TestResult<Vec<u16>>>()?.iter().all(|status| *status == 503))
        })
    })
}
