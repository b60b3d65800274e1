//! Routes of Envoy's, and what they mean for the plugins before them.

use super::entries::seconds;
use super::filters::{Filters, all};
use crate::check::Context;
use crate::codes;
use crate::document::Node;
use crate::file::File;
use crate::finding::Finding;
use idempotency::policy::Policy;
use sdk_shim::common::Chain;
use std::time::Duration;
use suite::parts::Part;

/// Envoy's own, where a route has none.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Every route that leads to a service.
fn routes(node: &Node) -> Vec<&Node> {
    node.all(|node| node.get("match").is_some() && node.get("route").is_some_and(Node::is_map))
}

fn files<'a>(context: &Context<'a>) -> impl Iterator<Item = (usize, &'a File)> {
    context.files.iter().enumerate()
}

/// Retry policies that take a refusal of ours for a failure.
pub(super) fn retried(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (number, file) in files(context) {
        for policy in file.documents.iter().flat_map(|document| document.all(|node| retry_on(node).is_some())) {
            let Some(said) = retry_on(policy) else { continue };
            if said.text().is_some_and(|text| text.split(',').any(|one| one.trim() == "envoy-ratelimited")) {
                let found = said.text().unwrap_or_default();
                findings.push(Finding::new(&codes::RETRIED, number, &said.span, found, "no envoy-ratelimited"));
            }
        }
    }
}

fn retry_on(node: &Node) -> Option<&Node> {
    node.either(["retry_on", "retryOn"])
}

/// Clusters that choose a host by a hash that nobody makes.
pub(super) fn hash(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let documents = || context.files.iter().flat_map(|file| &file.documents);
    let hashing: Vec<&str> = documents()
        .flat_map(|document| document.all(wants_hash))
        .filter_map(|cluster| cluster.get("name")?.text())
        .collect();
    for (number, file) in files(context) {
        for route in file.documents.iter().flat_map(routes).filter_map(|route| route.get("route")) {
            if route.either(["hash_policy", "hashPolicy"]).is_some_and(|policy| !policy.items().is_empty()) {
                continue;
            }
            for cluster in
                targets(route).into_iter().filter(|name| name.text().is_some_and(|name| hashing.contains(&name)))
            {
                let found = format!("no hash_policy on the way to {}", cluster.text().unwrap_or_default());
                let advice = "hash_policy with what tells users apart";
                findings.push(Finding::new(&codes::NO_HASH, number, &cluster.span, found, advice));
            }
        }
    }
}

fn wants_hash(node: &Node) -> bool {
    let policy = node.either(["lb_policy", "lbPolicy"]).and_then(Node::text);
    policy.is_some_and(|policy| ["MAGLEV", "RING_HASH"].contains(&policy))
}

/// The clusters of a route, one or weighted.
fn targets(route: &Node) -> Vec<&Node> {
    let weighted =
        route.either(["weighted_clusters", "weightedClusters"]).and_then(|weighted| weighted.get("clusters"));
    let names = weighted.map(Node::items).unwrap_or_default().iter().filter_map(|cluster| cluster.get("name"));
    route.get("cluster").into_iter().chain(names).collect()
}

/// Routes that let a request run longer than its key is claimed for.
pub(super) fn lease(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for Filters { owner, entries, .. } in all(context).iter().filter(|filters| filters.chain == Chain::Downstream) {
        for (entry, policy) in entries.iter().filter_map(|entry| Some((entry, entry.idempotency()?))) {
            for route in routes(owner).into_iter().filter(|route| is_covered(&policy, route)) {
                let said = route.at("route/timeout");
                let longest = said.and_then(seconds).unwrap_or(TIMEOUT);
                if !longest.is_zero() && longest < policy.lease {
                    continue;
                }
                let runs = if longest.is_zero() { "for ever".to_owned() } else { format!("{longest:?}") };
                let found = format!("requests that may run {runs}, and a lease of {:?}", policy.lease);
                let own = || (entry.file, entry.place(Part::Idempotency, "lease"));
                let (file, span) = said.map_or_else(own, |said| (file_of(context, said), said.span.clone()));
                let advice = "a lease that is longer than the route's timeout";
                findings.push(Finding::new(&codes::LEASE, file, &span, found, advice));
            }
        }
    }
}

fn file_of(context: &Context<'_>, node: &Node) -> usize {
    let has = |file: &File| file.documents.iter().any(|document| crate::find::contains(document, node));
    context.files.iter().position(has).unwrap_or_default()
}

/// Whether requests with a key may come here: its path and the plugin's are each a beginning of the other. What isn't plain may.
fn is_covered(policy: &Policy, route: &Node) -> bool {
    let path =
        route.get("match").and_then(|found| found.get("prefix").or_else(|| found.get("path"))).and_then(Node::text);
    path.is_none_or(|path| policy.paths.iter().any(|own| path.starts_with(own.as_str()) || own.starts_with(path)))
}
