//! Where everything is, for people and for tests.

use anyhow::{Context as _, Result};

use super::project::Project;

/// The gateways, and the port of their listener and of their admin page.
const GATEWAYS: [&str; 2] = ["edge-a", "edge-b"];
const EDGE: u16 = 10_000;
const ADMIN: u16 = 9901;
/// The services, and the port of their switch.
const SERVICES: [&str; 8] =
    ["rest-eu", "grpc-eu", "graphql-eu", "rest-us", "grpc-us", "graphql-us", "rest-canary", "rest-shadow"];
const SWITCH: u16 = 9000;
const PROMETHEUS: u16 = 9090;

/// What to open, and what to type.
pub(super) fn table(project: &Project<'_>) -> Result<String> {
    let mut lines = Vec::new();
    for node in GATEWAYS {
        let (edge, admin) = (project.published(node, EDGE)?, project.published(node, ADMIN)?);
        lines.push(format!("{node:<12}http://{edge}    admin http://{admin}"));
    }
    for service in SERVICES {
        let switch = project.published(service, SWITCH)?;
        lines.push(format!("{service:<12}http://{switch}/ledger    http://{switch}/fault"));
    }
    lines.push(format!("{:<12}http://{}", "prometheus", project.published("prometheus", PROMETHEUS)?));
    let (edge, switch) = (project.published(GATEWAYS[0], EDGE)?, project.published(SERVICES[0], SWITCH)?);
    let other = project.published(GATEWAYS[1], EDGE)?;
    Ok(format!(
        "{}\n
a payment    curl -i -H 'idempotency-key: \"k-1\"' -H 'x-user-id: user-1' -d '{{}}' http://{edge}/payments
its repeat   curl -i -H 'idempotency-key: \"k-1\"' -H 'x-user-id: user-1' -d '{{}}' http://{other}/payments
let eu fail  curl -X PUT -d 503 http://{switch}/fault    (none, 503:50, hang, reset, slow, slow:300, sick)
all down     cargo xtask compose down",
        lines.join("\n")
    ))
}

/// What a test must know: `edge-a=10000 …`, all on 127.0.0.1.
pub(super) fn words(project: &Project<'_>) -> Result<String> {
    let edges = GATEWAYS.map(|node| (node, EDGE));
    let switches = SERVICES.map(|service| (service, SWITCH));
    let all = edges.into_iter().chain(switches).chain([("prometheus", PROMETHEUS)]);
    let word = |(service, port)| {
        let place = project.published(service, port)?;
        let (_, number) = place.rsplit_once(':').with_context(|| format!("{place} has no port"))?;
        Ok(format!("{service}={number}"))
    };
    Ok(all.map(word).collect::<Result<Vec<_>>>()?.join(" "))
}
