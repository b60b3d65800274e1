//! A Docker engine: the machine's, or, where none answers, one of our own.
//!
//! Our own keeps everything below `target/docker/`: images, sockets, its id, its log. It is stopped by that id, and the machine's
//! packet filter is then as it was before.

mod firewall;
mod own;

use anyhow::{Context as _, Result};

use crate::apt;
use crate::command::Cmd;
use crate::context::Context;
use crate::discover::on_path;
use crate::progress::note;

/// What Debian has of it all.
const PACKAGES: [&str; 3] = ["docker.io", "docker-compose", "iptables"];

/// An engine that answers.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    /// Where ours listens; `None` for the machine's, which the client finds as it always does.
    ours: Option<String>,
    /// Whether it was started for this.
    started: bool,
}

// === impl Engine ===

impl Engine {
    /// One that runs already: ours before the machine's, because what we started before is there.
    pub(crate) fn running(context: &Context) -> Option<Self> {
        let ours = own::pid(context).map(|_| own::host(context)).filter(|host| answers(Some(host)));
        if ours.is_some() {
            return Some(Self { ours, started: false });
        }
        answers(None).then_some(Self { ours: None, started: false })
    }

    /// One that runs, or ours again where it was killed: its containers outlive it, and only an engine ends them.
    pub(crate) fn running_or_killed(context: &Context) -> Result<Option<Self>> {
        let running = Self::running(context);
        if running.is_some() || !own::was_killed(context) {
            return Ok(running);
        }
        own::start(context).context("our Docker engine was killed and can't be started again")?;
        Ok(Some(Self { ours: Some(own::host(context)), started: true }))
    }

    /// One that runs, or one of our own.
    pub(crate) fn find_or_start(context: &Context) -> Result<Self> {
        if let Some(running) = Self::running(context) {
            return Ok(running);
        }
        if ["dockerd", "docker", "iptables"].iter().any(|program| on_path(program).is_none()) {
            apt::install(context, &PACKAGES, "a Docker engine")?;
            // The package's own may run now.
            if let Some(running) = Self::running(context) {
                return Ok(running);
            }
        }
        own::start(context).context("no Docker engine answers, and none of our own can be started")?;
        Ok(Self { ours: Some(own::host(context)), started: true })
    }

    /// Whether it was started by this very command.
    pub(crate) fn was_started(&self) -> bool {
        self.started
    }

    /// `docker`, speaking to it.
    pub(crate) fn docker(&self, context: &Context, label: &str) -> Cmd {
        self.speaking(context.cmd("docker", label))
    }

    /// Compose, the plugin or the program of its own, speaking to it.
    pub(crate) fn compose(&self, context: &Context, label: &str) -> Result<Cmd> {
        if Cmd::new("docker", "compose").args(["compose", "version"]).capture().is_some() {
            return Ok(self.docker(context, label).arg("compose"));
        }
        if on_path("docker-compose").is_none() {
            apt::install(context, &["docker-compose"], "docker compose")?;
        }
        Ok(self.speaking(context.cmd("docker-compose", label)))
    }

    /// Stops it if it is ours and nothing is left in it.
    pub(crate) fn stop_if_idle(&self, context: &Context) -> Result<()> {
        if self.ours.is_none() {
            return Ok(());
        }
        let containers = self.docker(context, "containers").args(["ps", "--all", "--quiet"]).capture();
        if containers.as_deref() == Some("") {
            return own::stop(context);
        }
        note("our Docker engine goes on: there are other containers in it");
        Ok(())
    }

    /// A program that speaks to it by Docker's client.
    pub(crate) fn speaking(&self, command: Cmd) -> Cmd {
        match &self.ours {
            Some(host) => command.env("DOCKER_HOST", host),
            None => command,
        }
    }
}

/// Whether an engine of ours is there, so that whoever started it can make sure that it isn't.
pub(crate) fn ours_runs(context: &Context) -> bool {
    own::pid(context).is_some()
}

fn answers(host: Option<&str>) -> bool {
    let command = Cmd::new("docker", "docker version").args(["version", "--format", "{{.Server.Version}}"]);
    let command = if let Some(host) = host { command.env("DOCKER_HOST", host) } else { command };
    command.capture().is_some()
}
