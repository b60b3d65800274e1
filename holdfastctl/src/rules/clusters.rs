//! Clusters of Envoy's: the way to a store, and who is taken out.

use crate::check::Context;
use crate::codes;
use crate::document::Node;
use crate::finding::Finding;
use idempotency::policy::{Kind, Store};
use suite::parts::Part;

/// Every cluster in these files, with the number of its file.
fn clusters<'a>(context: &Context<'a>) -> Vec<(usize, &'a Node)> {
    let mut found = Vec::new();
    for (number, file) in context.files.iter().enumerate() {
        for document in &file.documents {
            let is_cluster = |node: &Node| {
                let of_type =
                    node.get("@type").and_then(Node::text).is_some_and(|name| name.ends_with("cluster.v3.Cluster"));
                of_type
                    || node.either(["load_assignment", "loadAssignment"]).is_some()
                    || node.either(["eds_cluster_config", "edsClusterConfig"]).is_some()
            };
            found.extend(document.all(is_cluster).into_iter().map(|cluster| (number, cluster)));
        }
    }
    found
}

/// Whether other clusters come by xDS.
fn discovers(context: &Context<'_>) -> bool {
    let names = ["cds_config", "cdsConfig"];
    let has = |node: &Node| !node.all(|node| node.either(names).is_some()).is_empty();
    context.files.iter().flat_map(|file| &file.documents).any(has)
}

/// The way to Redis and memcached.
pub(super) fn store(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let clusters = clusters(context);
    if clusters.is_empty() {
        return;
    }
    for entry in context.entries.iter().filter(|entry| !entry.kong) {
        let Some(policy) = entry.idempotency() else { continue };
        let Store::Remote(remote) = &policy.store else { continue };
        let span = entry.place(Part::Idempotency, "store/cluster");
        for name in policy.clusters() {
            let named =
                clusters.iter().find(|(_, cluster)| cluster.get("name").and_then(Node::text) == Some(name.as_str()));
            let finding = match named {
                None if discovers(context) => continue,
                None => Finding::new(&codes::NO_CLUSTER, entry.file, &span, &name, "a cluster of these files"),
                Some((_, cluster)) if remote.kind != Kind::Webdis && leads_to_tcp(cluster) => {
                    let advice = "a cluster whose endpoint is an envoy_internal_address";
                    Finding::new(&codes::NO_TUNNEL, entry.file, &span, &name, advice)
                }
                Some(_) => continue,
            };
            findings.push(finding);
        }
    }
}

/// It has endpoints, and none is a listener within Envoy.
fn leads_to_tcp(cluster: &Node) -> bool {
    let has = |names: [&str; 2]| !cluster.all(|node| node.either(names).is_some()).is_empty();
    has(["socket_address", "socketAddress"]) && !has(["envoy_internal_address", "envoyInternalAddress"])
}

/// Outlier detection's bound, against what there is to take out.
pub(super) fn ejection(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (number, cluster) in clusters(context) {
        let Some((name, outliers)) = cluster.field("outlier_detection").or_else(|| cluster.field("outlierDetection"))
        else {
            continue;
        };
        let said = outliers.either(["max_ejection_percent", "maxEjectionPercent"]);
        // Envoy's own, where it isn't said.
        let percent = said.and_then(|said| said.text()?.parse::<usize>().ok()).unwrap_or(10).min(100);
        let span = said.map_or(&name.span, |said| &said.span);
        let regions = regions(cluster);
        let hosts: usize = regions.iter().sum();
        let one_at_least = outliers.either(["always_eject_one_host", "alwaysEjectOneHost"]).is_some_and(Node::is_true);
        let most = (hosts * percent / 100).max(usize::from(one_at_least));
        let largest = regions.iter().max().copied().unwrap_or_default();
        let found = format!("{percent} % of {hosts} hosts");
        let finding = match hosts {
            _ if percent == 100 => Some((&codes::ALL_EJECTED, "50 % at most".to_owned())),
            // Not said here, or found out while it runs.
            0 => None,
            _ if names_hosts(cluster) => None,
            _ if most == 0 => Some((&codes::NEVER_EJECTED, format!("{} % at least", 100_usize.div_ceil(hosts)))),
            _ if regions.len() > 1 && most < largest => {
                Some((&codes::REGION_STAYS, format!("{} % at least", (largest * 100).div_ceil(hosts))))
            }
            _ => None,
        };
        findings.extend(finding.map(|(code, advice)| Finding::new(code, number, span, found, advice)));
    }
}

/// Whether a name stands for more hosts than are written.
fn names_hosts(cluster: &Node) -> bool {
    cluster.get("type").and_then(Node::text).is_some_and(|kind| kind != "STATIC")
}

/// How many hosts each region of a cluster has.
fn regions(cluster: &Node) -> Vec<usize> {
    let assignment = cluster.either(["load_assignment", "loadAssignment"]);
    let localities = assignment.and_then(|assignment| assignment.get("endpoints")).map(Node::items).unwrap_or_default();
    let hosts =
        |locality: &Node| locality.either(["lb_endpoints", "lbEndpoints"]).map_or(0, |hosts| hosts.items().len());
    localities.iter().map(hosts).filter(|hosts| *hosts > 0).collect()
}
