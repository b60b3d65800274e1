//! The compose file under a project's name: what belongs to it, and how it comes and goes.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::state::{Container, Health};
use crate::command::Cmd;
use crate::context::Context;
use crate::docker::Engine;
use crate::images::Source;
use crate::progress::Progress;
use crate::text;

/// Of what `up` starts.
pub(super) const NAME: &str = "holdfast";
/// Images may have to be pulled.
const UP_LIMIT: Duration = Duration::from_secs(10 * 60);
/// From the last container's start until all are well.
const READY_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(250);
/// Of a sick container's log.
const TAIL: &str = "20";
/// Every published port. Empty, they are chosen by Docker.
const PORT_VARIABLES: [&str; 18] = [
    "HOLDFAST_EDGE_A_PORT",
    "HOLDFAST_EDGE_A_ADMIN_PORT",
    "HOLDFAST_EDGE_B_PORT",
    "HOLDFAST_EDGE_B_ADMIN_PORT",
    "HOLDFAST_KONG_A_PORT",
    "HOLDFAST_KONG_A_STATUS_PORT",
    "HOLDFAST_KONG_B_PORT",
    "HOLDFAST_KONG_B_STATUS_PORT",
    "HOLDFAST_REST_EU_PORT",
    "HOLDFAST_GRPC_EU_PORT",
    "HOLDFAST_GRAPHQL_EU_PORT",
    "HOLDFAST_REST_US_PORT",
    "HOLDFAST_GRPC_US_PORT",
    "HOLDFAST_GRAPHQL_US_PORT",
    "HOLDFAST_REST_CANARY_PORT",
    "HOLDFAST_REST_SHADOW_PORT",
    "HOLDFAST_PROMETHEUS_PORT",
    "HOLDFAST_GRAFANA_PORT",
];

/// Who chooses the published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    /// The environment, or the compose file.
    AsConfigured,
    /// Docker, so that nothing collides.
    Any,
}

/// The containers, networks and volumes of one name.
pub(super) struct Project<'a> {
    context: &'a Context,
    engine: Engine,
    name: &'static str,
    settings: Vec<(&'static str, String)>,
}

// === impl Project ===

impl<'a> Project<'a> {
    pub(super) fn new(context: &'a Context, engine: Engine, name: &'static str, source: Source, ports: Ports) -> Self {
        let mut settings = source.variables();
        if ports == Ports::Any {
            settings.extend(PORT_VARIABLES.map(|name| (name, String::new())));
        }
        Self { context, engine, name, settings }
    }

    /// Another variable of the compose file.
    pub(super) fn setting(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether anything has its name.
    pub(super) fn is_there(&self) -> bool {
        !self.left().is_empty()
    }

    /// Starts everything, and waits until all of it is well.
    pub(super) fn up(&self) -> Result<()> {
        let up = self.compose("docker-compose up")?.args(["up", "--detach", "--remove-orphans"]).limit(UP_LIMIT).run();
        // One that is sick lets the others wait, and compose only names it.
        up.or_else(|error| self.explained(error)).map(drop)?;
        self.wait()
    }

    /// Takes away all that has its name.
    pub(super) fn down(&self) -> Result<()> {
        self.remove_one_offs()?;
        let options = ["down", "--volumes", "--remove-orphans", "--timeout", "5"];
        self.compose("docker-compose down")?.args(options).run()?;
        let left = self.left();
        ensure!(left.is_empty(), "these are left: {}", left.join(", "));
        Ok(())
    }

    /// Where a container's port is published: `127.0.0.1:10000`.
    pub(super) fn published(&self, service: &str, port: u16) -> Result<String> {
        let compose = self.compose("docker-compose port")?.args(["port", service, &port.to_string()]);
        compose.capture().filter(|place| !place.is_empty()).with_context(|| format!("{service} has no port {port}"))
    }

    /// What the containers say, into a log of ours.
    pub(super) fn keep_logs(&self) -> Result<()> {
        self.compose("docker-compose logs")?.args(["logs", "--no-color", "--timestamps"]).run().map(drop)
    }

    /// Compose with this file and name.
    pub(super) fn compose(&self, label: &str) -> Result<Cmd> {
        let file = self.context.root().join("integration/compose/docker-compose.yml");
        let compose =
            self.engine.compose(self.context, label)?.arg("--file").arg(file).args(["--project-name", self.name]);
        Ok(self.settings.iter().fold(compose, |compose, (name, value)| compose.env(name, value)))
    }

    /// What was started beside the services, such as the customers of an experiment that was interrupted: compose takes them for orphans only where
    /// they aren't one-offs, and its networks can't go before they do.
    fn remove_one_offs(&self) -> Result<()> {
        let one_offs = self.ids(&["ps", "--all", "--filter", "label=com.docker.compose.oneoff=True"]);
        if one_offs.is_empty() {
            return Ok(());
        }
        let remove = ["rm", "--force", "--volumes"];
        self.engine
            .docker(self.context, "docker rm what was left beside it")
            .args(remove)
            .args(one_offs)
            .run()
            .map(drop)
    }

    /// Ids of all that has its name.
    fn left(&self) -> Vec<String> {
        let all = [["ps", "--all"].as_slice(), &["network", "ls"], &["volume", "ls"]];
        all.into_iter().flat_map(|list| self.ids(list)).collect()
    }

    fn ids(&self, list: &[&str]) -> Vec<String> {
        let docker =
            self.engine.docker(self.context, "docker ls").args(list).args(["--quiet", "--filter", &self.label()]);
        docker.capture().unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn label(&self) -> String {
        label(self.name)
    }

    fn containers(&self) -> Result<Vec<Container>> {
        let format = "{{.Label \"com.docker.compose.service\"}}\t{{.Status}}";
        let docker = self.engine.docker(self.context, "docker ps");
        let listed = docker.args(["ps", "--all", "--filter", &self.label(), "--format", format]).capture();
        Ok(listed.context("the Docker engine doesn't answer any more")?.lines().filter_map(Container::read).collect())
    }

    fn wait(&self) -> Result<()> {
        let mut progress = Progress::start("wait until all is well");
        loop {
            let containers = self.containers()?;
            let coming = named(&containers, Health::Coming);
            let sick = named(&containers, Health::Sick);
            if coming.is_empty() && sick.is_empty() && !containers.is_empty() {
                progress.done();
                return Ok(());
            }
            if !sick.is_empty() || progress.elapsed() > READY_LIMIT {
                progress.failed(false);
                return self.explain(&containers);
            }
            progress.beat(|| format!("not yet: {}", coming.join(", ")));
            sleep(POLL);
        }
    }

    /// A start that failed, with what those that aren't well say.
    fn explained(&self, error: anyhow::Error) -> Result<String> {
        match self.containers().and_then(|containers| self.explain(&containers)) {
            Ok(()) => Err(error),
            // Compose's own words come last.
            Err(sick) => Err(error.context(text::chain(&sick))),
        }
    }

    /// What is wrong with those that aren't well, in their own words.
    fn explain(&self, containers: &[Container]) -> Result<()> {
        let unwell: Vec<&Container> =
            containers.iter().filter(|container| container.health() != Health::Well).collect();
        if unwell.is_empty() {
            return Ok(());
        }
        let told: Vec<String> = unwell.into_iter().map(|container| self.tell(container)).collect();
        bail!(
            "not well:\n{}\n  `cargo xtask compose logs` has more, `cargo xtask compose down` takes it down",
            told.join("\n")
        )
    }

    fn tell(&self, container: &Container) -> String {
        let said = self
            .compose("docker-compose logs")
            .ok()
            .and_then(|compose| compose.args(["logs", "--no-color", "--tail", TAIL, &container.service]).capture());
        format!("  {}: {}\n{}", container.service, container.status, text::indent(&said.unwrap_or_default()))
    }
}

/// What the containers that are there were made of.
pub(super) fn source(context: &Context, engine: &Engine, name: &str) -> Source {
    let docker =
        engine.docker(context, "docker ps").args(["ps", "--all", "--format", "{{.Image}}", "--filter", &label(name)]);
    let images = docker.capture().unwrap_or_default();
    if images.lines().any(Source::is_local) { Source::Local } else { Source::Public }
}

fn label(name: &str) -> String {
    format!("label=com.docker.compose.project={name}")
}

fn named(containers: &[Container], health: Health) -> Vec<&str> {
    let those = containers.iter().filter(|container| container.health() == health);
    those.map(|container| container.service.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::images::NOT_HERE;

    const FILE: &str = include_str!("../../../integration/compose/docker-compose.yml");

    #[test]
    fn every_published_port_is_a_variable_on_the_loopback() {
        let published = FILE.lines().flat_map(|line| line.split('"')).filter(|word| word.contains("_PORT"));
        let names = published.map(|word| word.strip_prefix("127.0.0.1:${").and_then(|rest| rest.split('-').next()));
        let names: Vec<&str> = names.map(|name| name.expect("on 127.0.0.1, by a variable")).collect();
        assert_eq!(names, PORT_VARIABLES);
    }

    #[test]
    fn every_image_is_a_variable_that_is_known() {
        let variables =
            |line: &str| line.trim().strip_prefix("image: ${").map(|rest| rest.split(':').next().unwrap().to_owned());
        let named: std::collections::BTreeSet<String> = FILE.lines().filter_map(variables).collect();
        let made = Source::Local.variables().into_iter().map(|(name, _)| name);
        let known = made.chain(NOT_HERE.map(|absent| absent.variable)).map(str::to_owned).collect();
        assert_eq!(named, known);
        // What needs an image that can't be made here is in a profile of its own.
        for absent in NOT_HERE {
            let (_, after) = FILE.split_once(&format!("image: ${{{}:-", absent.variable)).expect("an image");
            let profile = after.lines().nth(1).expect("a line").trim();
            assert_eq!(profile, format!("profiles: [{}]", absent.profile));
        }
        assert_eq!(FILE.matches("image:").count(), FILE.matches("image: ${").count());
    }
}
