//! The Envoy under test: one process, one worker, one listener per configuration.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use integration::config::{bootstrap, cluster, direct, listener, route, route_at, unnamed, upstream_filters};
use integration::{Envoy, client};
use serde_json::Value;

use crate::subject::{Role, Subject};

/// Failed calls that must open a breaker whose `minimum_calls` is 20.
const FAILURES: u32 = 40;

/// A running Envoy and what it runs.
#[derive(Debug)]
pub(crate) struct Bed<'a> {
    pub(crate) envoy: Envoy,
    pub(crate) stands: Vec<Stand<'a>>,
}

/// A configuration and the port where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) port: u16,
}

// === impl Bed ===

impl<'a> Bed<'a> {
    /// Every listener answers by itself, except for `/fail`.
    pub(crate) fn direct(subjects: &'a [Subject], service: u16) -> Result<Self> {
        Self::start(subjects, |_| direct("all", "/", 200, "ok\n"), service, 1)
    }

    /// The same for one configuration, with two workers: for its memory.
    pub(crate) fn alone(subject: &'a Subject, service: u16) -> Result<Self> {
        Self::start(std::slice::from_ref(subject), |_| direct("all", "/", 200, "ok\n"), service, 2)
    }

    /// Every listener asks the service.
    pub(crate) fn proxied(subjects: &'a [Subject], service: u16) -> Result<Self> {
        Self::start(subjects, |n| route("all", &cluster_of(subjects, n)), service, 1)
    }

    fn start(subjects: &'a [Subject], all: impl Fn(usize) -> Value, service: u16, workers: u32) -> Result<Self> {
        let listener_of = |(n, subject): (usize, &Subject)| {
            let all = if subject.route_is_named { all(n) } else { unnamed(all(n)) };
            listener(&id(n), &subject.filters, &[route_at("fail", "/fail", "service"), all])
        };
        let listeners: Vec<Value> = subjects.iter().enumerate().map(listener_of).collect();
        let own = subjects.iter().enumerate().filter(|(_, subject)| !subject.upstream.is_empty());
        let own =
            own.map(|(n, subject)| upstream_filters(cluster(&cluster_of(subjects, n), &[service]), &subject.upstream));
        let clusters: Vec<Value> = own.chain([cluster("service", &[service])]).collect();
        let envoy = envoy(&bootstrap(&listeners, &clusters), workers)?;
        let ports = envoy.ports()?;
        let stand_of = |(n, subject): (usize, &'a Subject)| {
            let port = ports.iter().find(|(name, _)| *name == id(n)).map(|(_, port)| *port);
            port.map(|port| Stand { subject, port }).with_context(|| format!("no listener for {}", subject.name))
        };
        let stands = subjects.iter().enumerate().map(stand_of).collect::<Result<_>>()?;
        Ok(Self { envoy, stands })
    }

    /// A filter that does nothing is cheap, so the breakers must first show that they open. They do it on a route of their
    /// own, whose state the measured route doesn't share (and behind a real service: local replies never count).
    pub(crate) fn check_breakers(&self) -> Result<()> {
        for stand in self.stands.iter().filter(|stand| matches!(stand.subject.role, Role::Breaker | Role::Lua)) {
            let statuses = (0..FAILURES).map(|_| client::get(stand.port, "/fail", &[]).map(|answer| answer.status));
            let last = statuses.collect::<Result<Vec<_>>>()?.pop();
            ensure!(last == Some(503), "{}: still {last:?} after {FAILURES} failures", stand.subject.name);
        }
        Ok(())
    }
}

/// A subject with filters in the upstream chain has a cluster of its own.
fn cluster_of(subjects: &[Subject], n: usize) -> String {
    if subjects[n].upstream.is_empty() { "service".into() } else { format!("service{n}") }
}

/// A second Envoy that answers for the service, and its port.
pub(crate) fn service() -> Result<(Envoy, u16)> {
    let routes = [direct("fail", "/fail", 500, "no\n"), direct("all", "/", 200, "ok\n")];
    let envoy = envoy(&bootstrap(&[listener("service", &[], &routes)], &[]), 1)?;
    let port = envoy.port("service")?;
    Ok((envoy, port))
}

fn envoy(config: &Value, workers: u32) -> Result<Envoy> {
    let options = Envoy::options().concurrency(workers).log_level("error").deadline(Duration::from_secs(60));
    options.start(config).context("starting Envoy")
}

fn id(n: usize) -> String {
    format!("subject{n}")
}
