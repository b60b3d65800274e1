//! One side: the containers of one compose project.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use integration::chaos::{Action, Config, Sample};
use integration::{Call, TestResult, client, eventually};
use serde_json::Value;

use crate::docker::{docker, docker_with};

pub(crate) const NODES: [&str; 2] = ["edge-a", "edge-b"];
/// What a node is in.
const NETWORKS: [&str; 4] = ["front", "store", "eu", "us"];
const SERVICES: [&str; 7] = ["rest-eu", "grpc-eu", "graphql-eu", "rest-us", "grpc-us", "graphql-us", "rest-canary"];
/// Those that execute payments of customers.
const PAYMENTS: [&str; 3] = ["rest-eu", "rest-us", "rest-canary"];
const STORES: [&str; 2] = ["redis", "redis-replica"];
/// Gets copies, and isn't one of those whose work counts.
const SHADOW: &str = "rest-shadow";
/// The port of a node's admin page.
const ADMIN: u16 = 9901;
/// A gateway's start takes a second or two.
const WELL: Duration = Duration::from_secs(30);
const SHIPPED: &str = include_str!("../../../compose/envoy/holdfast.yaml");

/// Where one side is.
pub(crate) struct Site {
    /// In file names and tables.
    pub(crate) name: &'static str,
    pub(crate) project: String,
    /// The services' switches, on 127.0.0.1.
    switches: BTreeMap<String, u16>,
}

// === impl Site ===

impl Site {
    /// By a variable: `project rest-eu=32768 …`.
    pub(crate) fn find(name: &'static str, variable: &str) -> TestResult<Self> {
        let words = std::env::var(variable).with_context(|| format!("{variable}: run `cargo xtask compose chaos`"))?;
        let (project, places) = words.split_once(' ').with_context(|| format!("{variable}: {words}"))?;
        let place = |word: &str| {
            let (name, port) = word.split_once('=').with_context(|| word.to_owned())?;
            Ok((name.to_owned(), port.parse()?))
        };
        let switches = places.split_whitespace().map(place).collect::<TestResult<_>>()?;
        Ok(Self { name, project: project.to_owned(), switches })
    }

    /// Does it.
    pub(crate) fn act(&self, action: Action) -> TestResult {
        match action {
            Action::Suffer(services, word) => services.iter().try_for_each(|service| self.suffer(service, word)),
            Action::Kill(service) => self.order(&["kill"], service),
            Action::Drain(node) => self.drain(node),
            Action::Await(node) => self.wait_for(node),
            Action::Start(service) => self.order(&["start"], service),
            Action::Pause(service) => self.order(&["kill", "--signal", "STOP"], service),
            Action::Unpause(service) => self.order(&["kill", "--signal", "CONT"], service),
            Action::Restart(service) => self.order(&["restart", "--time", "2"], service),
            Action::Cut(service, network) => self.order(&["network", "disconnect", &self.network(network)], service),
            Action::Join(service, network) => self.order(&["network", "connect", &self.network(network)], service),
            Action::Redis(service, words) => self.redis(service, words),
            Action::Shift(percent) => NODES.iter().try_for_each(|node| self.shift(node, percent)),
            Action::Push(node, config) => self.push(node, config),
        }
    }

    /// Undoes whatever was done, and gives the gateways a new start: nothing of one experiment reaches the next one.
    pub(crate) fn heal(&self) -> TestResult {
        for service in NODES.into_iter().chain(STORES) {
            self.revive(service)?;
        }
        SERVICES.iter().chain([&SHADOW]).try_for_each(|service| self.suffer(service, "none"))?;
        self.redis("redis", &["replicaof", "no", "one"])?;
        self.redis("redis", &["config", "set", "maxmemory", "0"])?;
        self.redis("redis", &["flushall"])?;
        self.redis("redis-replica", &["replicaof", "redis", "6379"])?;
        for node in NODES {
            self.rejoin(node)?;
            self.push(node, Config::Shipped)?;
            self.order(&["restart", "--time", "0"], node)?;
        }
        NODES.iter().try_for_each(|node| self.wait_for(node))
    }

    /// What the services have done of the run whose keys begin so, since the time that `at` says.
    pub(crate) fn sample(&self, at: Duration, keys: &str) -> TestResult<Sample> {
        let mut sample = Sample { at, ..Sample::default() };
        for service in SERVICES {
            sample.asked += self.asked(service)?;
        }
        sample.copies = self.asked(SHADOW)?;
        let executed = self.executed(keys)?;
        (sample.keys, sample.executions) = (executed.len() as u64, executed.values().sum());
        Ok(sample)
    }

    /// How often each key of a run was executed, in both regions together.
    pub(crate) fn executed(&self, keys: &str) -> TestResult<BTreeMap<String, u64>> {
        let mut executed = BTreeMap::new();
        for service in PAYMENTS {
            let ledger = self.ledger(service)?;
            for (key, times) in ledger["keys"].as_object().context("a ledger without keys")? {
                if key.strip_prefix(keys).is_some_and(|rest| rest.starts_with('-')) {
                    *executed.entry(key.clone()).or_insert(0) += times.as_u64().unwrap_or(0);
                }
            }
        }
        Ok(executed)
    }

    /// Configurations that a node has taken over ECDS since its start, and those that it has refused.
    pub(crate) fn configs(&self, node: &str) -> TestResult<[u64; 2]> {
        let stats = self.ask(node, "GET", ADMIN, "/stats?filter=extension_config_discovery")?;
        let count = |names: [&str; 2]| {
            let lines = stats.lines().filter(|line| names.iter().any(|name| line.contains(name)));
            lines.filter_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok()).sum()
        };
        Ok([[".config_reload: "; 2], [".update_rejected: ", ".update_failure: "]].map(count))
    }

    /// Clusters for which a breaker of a node opened since its start; `None` where it has no breakers.
    pub(crate) fn opened(&self, node: &str) -> TestResult<Option<BTreeSet<String>>> {
        let stats = self.ask(node, "GET", ADMIN, "/stats?filter=holdfast_")?;
        let ours = stats.contains("holdfast_");
        Ok(ours.then(|| stats.lines().filter_map(opened).collect()))
    }

    /// What a node has said for so long.
    pub(crate) fn log(&self, node: &str, since: Duration) -> TestResult<String> {
        docker(&["logs", "--since", &format!("{}s", since.as_secs()), &self.container(node)?])
    }

    /// The image of the services, which has their customers too.
    pub(crate) fn customers(&self) -> TestResult<String> {
        docker(&["inspect", "--format", "{{.Config.Image}}", &self.container("rest-eu")?])
    }

    pub(crate) fn network(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    fn asked(&self, service: &str) -> TestResult<u64> {
        self.ledger(service)?["asked"].as_u64().context("a ledger without `asked`")
    }

    fn ledger(&self, service: &str) -> TestResult<Value> {
        client::get(self.switch(service)?, "/ledger", &[])?.json()
    }

    fn suffer(&self, service: &str, word: &str) -> TestResult {
        let reply = Call::post(self.switch(service)?, "/fault", word.as_bytes()).method("PUT".parse()?).send()?;
        ensure!(reply.status == 200, "{service} {word}: {}", reply.text());
        Ok(())
    }

    fn switch(&self, service: &str) -> TestResult<u16> {
        self.switches.get(service).copied().with_context(|| format!("nobody said where {service} is"))
    }

    fn order(&self, words: &[&str], service: &str) -> TestResult {
        docker(&[words, &[&self.container(service)?]].concat()).map(drop)
    }

    /// The id of a service's container, running or not.
    fn container(&self, service: &str) -> TestResult<String> {
        let of = |name: &str, value: &str| format!("label=com.docker.compose.{name}={value}");
        let (project, service) = (of("project", &self.project), of("service", service));
        let ids = docker(&["ps", "--all", "--quiet", "--filter", &project, "--filter", &service])?;
        ids.lines().next().map(str::to_owned).with_context(|| format!("{} has no {service}", self.project))
    }

    fn redis(&self, service: &str, words: &[&str]) -> TestResult {
        let said = docker(&[&["exec", &self.container(service)?, "redis-cli"], words].concat())?;
        ensure!(said == "OK" || said.starts_with("OK "), "{service}: {}: {said}", words.join(" "));
        Ok(())
    }

    fn revive(&self, service: &str) -> TestResult {
        let container = self.container(service)?;
        match docker(&["inspect", "--format", "{{.State.Status}}", &container])?.as_str() {
            // It may stand still.
            "running" => self.order(&["kill", "--signal", "CONT"], service),
            "exited" => self.order(&["start"], service),
            other => bail!("{service} is {other}"),
        }?;
        if STORES.contains(&service) {
            let ready = || anyhow::Ok(docker(&["exec", &container, "redis-cli", "ping"])? == "PONG");
            eventually("Redis answers", WELL, ready)?;
        }
        Ok(())
    }

    fn rejoin(&self, node: &str) -> TestResult {
        let format = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
        let joined = docker(&["inspect", "--format", format, &self.container(node)?])?;
        let missing = |name: &&str| !joined.split_whitespace().any(|there| there == self.network(name));
        NETWORKS
            .into_iter()
            .filter(missing)
            .try_for_each(|network| self.order(&["network", "connect", &self.network(network)], node))
    }

    /// Asks as the compose file's own probe does, which comes too seldom here.
    fn wait_for(&self, node: &str) -> TestResult {
        let well = || anyhow::Ok(self.ask(node, "GET", 10_000, "/healthz")?.starts_with("HTTP/1.1 200 "));
        eventually(&format!("{node} is well"), WELL, well)
    }

    /// A request from within a node's container: its image has no curl.
    fn ask(&self, node: &str, method: &str, port: u16, path: &str) -> TestResult<String> {
        let request = format!("{method} {path} HTTP/1.1\\r\\nhost: {node}\\r\\nconnection: close\\r\\n\\r\\n");
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{request}' >&3; cat <&3");
        docker(&["exec", &self.container(node)?, "bash", "-c", &script])
    }

    /// As an operator does it who is going to stop it.
    fn drain(&self, node: &str) -> TestResult {
        let said = self.ask(node, "POST", ADMIN, "/healthcheck/fail")?;
        ensure!(said.starts_with("HTTP/1.1 200 "), "{node}: {said}");
        Ok(())
    }

    /// By Envoy's runtime, as an operator does it.
    fn shift(&self, node: &str, percent: u8) -> TestResult {
        let stable = 100_u8.saturating_sub(percent);
        let path = format!("/runtime_modify?shop.rest.rest-canary={percent}&shop.rest.rest-eu={stable}");
        let said = self.ask(node, "POST", ADMIN, &path)?;
        ensure!(said.starts_with("HTTP/1.1 200 "), "{node} {path}: {said}");
        Ok(())
    }

    /// As an operator does it: a new file, then a rename.
    fn push(&self, node: &str, config: Config) -> TestResult {
        let install = self.container("install")?;
        let image = docker(&["inspect", "--format", "{{.Config.Image}}", &install])?;
        let script = format!(
            "cp /nodes/{node}/holdfast_suite.wasm /nodes/{node}/canary.wasm; cat > /nodes/{node}/.part && chmod 644 /nodes/{node}/.part && mv /nodes/{node}/.part /nodes/{node}/holdfast.yaml"
        );
        let run = ["run", "--rm", "--interactive", "--network", "none", "--volumes-from", &install, &image];
        docker_with(&text(config), &[&run[..], &["sh", "-ec", &script]].concat()).map(drop)
    }
}

/// The key of a breaker that has opened, from a line such as `…transitions_total;chain=downstream;instance=default;key=rest-eu;to=open: 1`.
fn opened(line: &str) -> Option<String> {
    let (name, times) = line.split_once(": ")?;
    let label = |wanted: &str| name.split(';').find_map(|label| label.strip_prefix(wanted));
    let counts = name.contains("holdfast_circuit_breaker_transitions_total") && label("to=") == Some("open");
    (counts && times.trim() != "0").then(|| label("key=").unwrap_or_default().to_owned())
}

/// What is pushed.
fn text(config: Config) -> String {
    match config {
        Config::Shipped => SHIPPED.to_owned(),
        Config::UnknownField => SHIPPED.replace("\"metrics\": {}", "\"metrics\": {\"sulk\": true}"),
        Config::CutShort => SHIPPED.chars().take(SHIPPED.chars().count() / 2).collect(),
        Config::Canary => {
            let module =
                SHIPPED.replace("holdfast_suite.wasm", "canary.wasm").replace("vm_id: holdfast", "vm_id: canary");
            module.replace("\"failure_ratio\": 0.5", "\"failure_ratio\": 0.4")
        }
        Config::BadModule => SHIPPED.replace("holdfast_suite.wasm", "envoy.yaml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_that_opened_is_known_by_its_line() {
        let line = |to: &str, times: u8| {
            format!(
                "wasmcustom.holdfast_circuit_breaker_transitions_total;chain=downstream;instance=default;key=rest-eu;to={to}: {times}\r"
            )
        };
        assert_eq!(opened(&line("open", 2)).as_deref(), Some("rest-eu"));
        for other in [line("open", 0), line("half_open", 1), "cluster.rest-eu.upstream_rq_total: 7".into()] {
            assert_eq!(opened(&other), None, "{other}");
        }
    }
}
