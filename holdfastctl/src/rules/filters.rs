//! Chains of filters, and the place of each plugin in them.

use crate::check::Context;
use crate::codes;
use crate::document::Node;
use crate::entry::{Entry, Form};
use crate::file::File;
use crate::find::contains;
use crate::finding::Finding;
use sdk_shim::common::Chain;
use std::net::IpAddr;
use suite::parts::Part;

/// A list of filters.
pub(super) struct Filters<'a> {
    /// What has them: a connection manager, a cluster's protocol options, a chain of Kong's.
    pub(super) owner: &'a Node,
    /// The plugins among them, in their order.
    pub(super) entries: Vec<&'a Entry<'a>>,
    /// Which chain this is.
    pub(super) chain: Chain,
}

/// Every list of filters in every file.
pub(super) fn all<'a>(context: &'a Context<'a>) -> Vec<Filters<'a>> {
    let mut found = Vec::new();
    for document in context.files.iter().flat_map(|file: &File| &file.documents) {
        document.walk(&mut |owner| {
            if let Some(list) = owner.either(["http_filters", "httpFilters"]) {
                let entries = list.items().iter().filter_map(|item| of_item(context, item)).collect();
                // A connection manager has routes, or says how it counts; a cluster's options have neither.
                let names = ["stat_prefix", "statPrefix", "route_config", "routeConfig", "rds"];
                let is_listener = names.iter().any(|name| owner.get(name).is_some());
                let chain = if is_listener { Chain::Downstream } else { Chain::Upstream };
                found.push(Filters { owner, entries, chain });
            }
            if let Some(list) = owner.get("filters").filter(|_| context.entries.iter().any(|entry| entry.kong)) {
                let entries = list.items().iter().filter_map(|item| of_item(context, item)).collect();
                found.push(Filters { owner, entries, chain: Chain::Downstream });
            }
        });
    }
    found.retain(|filters| !filters.entries.is_empty());
    found
}

/// The plugin of one filter: it is in it, or is discovered by its name.
fn of_item<'a>(context: &'a Context<'a>, item: &'a Node) -> Option<&'a Entry<'a>> {
    let own = context.entries.iter().find(|entry| entry.form != Form::Bare && is_filter(item, entry));
    let discovered = item.either(["config_discovery", "configDiscovery"]).and(item.get("name")).and_then(Node::text);
    own.or_else(|| discovered.and_then(|name| resource(context, name)))
}

/// The plugin of an answer of ECDS.
fn resource<'a>(context: &'a Context<'a>, name: &str) -> Option<&'a Entry<'a>> {
    let is_named = |node: &Node| {
        let kind = node.get("@type").and_then(Node::text);
        kind.is_some_and(|kind| kind.ends_with(".TypedExtensionConfig"))
            && node.get("name").and_then(Node::text) == Some(name)
    };
    let documents = context.files.iter().flat_map(|file| &file.documents);
    let resources: Vec<&Node> = documents.flat_map(|document| document.all(is_named)).collect();
    context.entries.iter().find(|entry| resources.iter().any(|resource| contains(resource, entry.node)))
}

/// Whether it is this filter, and not one of a list within it.
fn is_filter(item: &Node, entry: &Entry<'_>) -> bool {
    contains(item, entry.node) && item.all(|node| node.either(["http_filters", "httpFilters"]).is_some()).is_empty()
}

/// The place of a plugin among those that requests, or attempts, meet.
pub(super) fn rank(part: Part, chain: Chain) -> usize {
    Part::in_order(chain).iter().position(|other| *other == part).unwrap_or_default()
}

/// One of `parts` that is met behind `other`, and should be before it.
pub(super) fn misplaced(parts: &[Part], other: Part, chain: Chain) -> Option<Part> {
    parts.iter().copied().find(|part| rank(*part, chain) < rank(other, chain))
}

/// In which order requests, or attempts, meet the plugins.
pub(super) fn order(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for filters in all(context) {
        let mut highest: Option<Part> = None;
        for entry in &filters.entries {
            // Within one entry (the suite) they are in order by themselves.
            let parts = entry.parts();
            if let Some((part, other)) =
                highest.and_then(|other| Some((misplaced(&parts, other, filters.chain)?, other)))
            {
                let found = format!("{} behind {}", part.plugin(), other.plugin());
                let advice = format!("{} before {}", part.plugin(), other.plugin());
                findings.push(Finding::new(&codes::ORDER, entry.file, &entry.name.span, found, advice));
            }
            highest = parts.into_iter().chain(highest).max_by_key(|part| rank(*part, filters.chain));
        }
    }
}

/// What the plugin is told of its place.
pub(super) fn chain(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for Filters { entries, chain, .. } in all(context) {
        for entry in entries {
            let said = entry.says_upstream();
            if said == (chain == Chain::Upstream) {
                continue;
            }
            let config = entry.config.node.as_ref();
            let span = config.and_then(|config| config.get("chain")).map_or(&entry.name.span, |said| &said.span);
            let name = |upstream| if upstream { "upstream" } else { "downstream" };
            let advice = format!("\"chain\": \"{}\"", name(!said));
            findings.push(Finding::new(&codes::CHAIN, entry.file, span, format!("chain {}", name(said)), advice));
        }
    }
}

/// The two entries of a retry budget, which share what they count by their VM's id.
pub(super) fn shared(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let chains = all(context);
    let budgets = |chain| {
        let of_chain = chains.iter().filter(move |filters| filters.chain == chain);
        of_chain.flat_map(|filters| &filters.entries).filter(|entry| entry.part(Part::RetryBudget).is_some())
    };
    let ids: Vec<&str> = budgets(Chain::Downstream).map(|entry| vm_id(entry)).collect();
    for entry in budgets(Chain::Upstream).filter(|entry| !ids.is_empty() && !ids.contains(&vm_id(entry))) {
        let found = format!("vm_id {:?}", vm_id(entry));
        let span = vm_id_of(entry).map_or(&entry.name.span, |id| &id.span);
        let advice = format!("vm_id {:?}, as in the listener", ids.first().copied().unwrap_or_default());
        findings.push(Finding::new(&codes::APART, entry.file, span, found, advice));
    }
}

fn vm_id<'a>(entry: &Entry<'a>) -> &'a str {
    vm_id_of(entry).and_then(Node::text).unwrap_or_default()
}

fn vm_id_of<'a>(entry: &Entry<'a>) -> Option<&'a Node> {
    entry.node.either(["vm_config", "vmConfig"])?.either(["vm_id", "vmId"])
}

/// Room for the bodies that a plugin reads.
pub(super) fn buffer(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let names = ["per_connection_buffer_limit_bytes", "perConnectionBufferLimitBytes"];
    let chains = all(context);
    for (number, file) in context.files.iter().enumerate() {
        for listener in file.documents.iter().flat_map(|document| document.all(|node| node.either(names).is_some())) {
            let Some(limit) = listener.either(names) else { continue };
            let Some(bytes) = limit.text().and_then(|bytes| bytes.parse::<usize>().ok()) else { continue };
            let inside = chains.iter().filter(|filters| contains(listener, filters.owner));
            let policies = inside.flat_map(|filters| &filters.entries).filter_map(|entry| entry.idempotency());
            if let Some(most) = policies.map(|policy| policy.max_body).max().filter(|most| *most >= bytes) {
                let advice = format!("more than max_body, {most}");
                findings.push(Finding::new(&codes::BUFFER, number, &limit.span, bytes.to_string(), advice));
            }
        }
    }
}

/// Where the operator's listener is.
pub(super) fn exposed(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let control = || context.entries.iter().filter(|entry| entry.module.name == "control");
    for (number, file) in context.files.iter().enumerate() {
        let chains = [["filter_chains", "filterChains"], ["default_filter_chain", "defaultFilterChain"]];
        let is_listener = |node: &Node| chains.into_iter().any(|names| node.either(names).is_some());
        let listeners = file.documents.iter().flat_map(|document| document.all(is_listener));
        for listener in listeners.filter(|listener| control().any(|entry| contains(listener, entry.node))) {
            let more = listener.either(["additional_addresses", "additionalAddresses"]).map_or(&[][..], Node::items);
            for one in core::iter::once(listener).chain(more) {
                let socket = one.get("address").and_then(|address| address.either(["socket_address", "socketAddress"]));
                let Some(address) = socket.and_then(|socket| socket.get("address")) else { continue };
                let host = address.text().unwrap_or_default();
                if !host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback()) {
                    findings.push(Finding::new(&codes::EXPOSED, number, &address.span, host, "127.0.0.1"));
                }
            }
        }
    }
}
