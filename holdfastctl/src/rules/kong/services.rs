//! A service, its routes, and all that requests to it pass.

use crate::check::Context;
use crate::codes;
use crate::document::Node;
use crate::entry::{Entry, Form};
use crate::find::contains;
use crate::finding::Finding;
use crate::rules::filters::{misplaced, rank};
use idempotency::policy::Policy;
use sdk_shim::common::Chain;
use std::time::Duration;
use suite::parts::Part;

/// Kong's own, each for connecting, sending and reading.
const TIMEOUT: u64 = 60_000;
/// Kong's own: tries after the first.
const RETRIES: u64 = 5;

/// Each service of each file.
pub(crate) fn services(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (number, file) in context.files.iter().enumerate() {
        for document in &file.documents {
            for node in document.get("services").map(Node::items).unwrap_or_default() {
                let service = Service::new(document, node);
                let kongs = context.entries.iter().filter(|entry| entry.kong && entry.file == number);
                let passed: Vec<Passed<'_>> =
                    kongs.filter_map(|entry| Some(Passed { entry, level: service.level(entry.node)? })).collect();
                for (entry, policy) in passed.iter().filter_map(|it| Some((it.entry, it.entry.idempotency()?))) {
                    lease(number, node, &policy, findings);
                    retries(number, node, entry, &policy, findings);
                }
                bypass(number, &service, &passed, findings);
                order(&passed, findings);
                twice(&passed, findings);
            }
        }
    }
}

struct Service<'a> {
    document: &'a Node,
    node: &'a Node,
    /// Its own, and those that name it.
    routes: Vec<&'a Node>,
}

/// Where something is attached to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// To all of it. Met first.
    Service,
    /// To the route of this number.
    Route(usize),
}

/// A plugin that requests to a service meet.
struct Passed<'a> {
    entry: &'a Entry<'a>,
    level: Level,
}

// === impl Service ===

impl<'a> Service<'a> {
    fn new(document: &'a Node, node: &'a Node) -> Self {
        let own = node.get("routes").map(Node::items).unwrap_or_default().iter();
        let others = document.get("routes").map(Node::items).unwrap_or_default().iter();
        let routes = own.chain(others.filter(|route| names(route, "service", node))).collect();
        Self { document, node, routes }
    }

    /// Where a plugin or a filter is attached; none if it isn't this service's.
    fn level(&self, plugin: &Node) -> Option<Level> {
        if let Some(route) = self.routes.iter().position(|route| contains(route, plugin)) {
            return Some(Level::Route(route));
        }
        if contains(self.node, plugin) {
            return Some(Level::Service);
        }
        let lists = ["filter_chains", "plugins"].into_iter().filter_map(|list| self.document.get(list));
        let owner = lists.flat_map(Node::items).find(|owner| contains(owner, plugin))?;
        if let Some(route) = self.routes.iter().position(|route| names(owner, "route", route)) {
            return Some(Level::Route(route));
        }
        let is_global = ["service", "route", "consumer"].iter().all(|field| owner.get(field).is_none());
        (is_global || names(owner, "service", self.node)).then_some(Level::Service)
    }
}

/// Whether this field names that one, by its name or its id.
fn names(node: &Node, field: &str, owner: &Node) -> bool {
    let Some(named) = node.get(field) else { return false };
    let word = named.text().or_else(|| named.get("name").or_else(|| named.get("id"))?.text());
    let own = ["name", "id"].into_iter().filter_map(|field| owner.get(field)?.text());
    word.is_some_and(|word| own.into_iter().any(|own| own == word))
}

/// A request that outlives its key's lease: its connection may be tried again and again before the last try begins.
fn lease(number: usize, service: &Node, policy: &Policy, findings: &mut Vec<Finding>) {
    let millis = |name: &str| service.get(name).and_then(|time| time.text()?.parse().ok()).unwrap_or(TIMEOUT);
    let connecting = millis("connect_timeout").saturating_mul(tries(service) + 1);
    let longest = connecting.saturating_add(millis("write_timeout")).saturating_add(millis("read_timeout"));
    let longest = Duration::from_millis(longest);
    if longest < policy.lease {
        return;
    }
    let times = ["read_timeout", "write_timeout", "connect_timeout", "name"];
    let said = times.iter().find_map(|name| service.get(name)).unwrap_or(service);
    let found = format!("requests that may take {longest:?}, and a lease of {:?}", policy.lease);
    let advice = "connect_timeout for each try, write_timeout and read_timeout: shorter together than the lease";
    findings.push(Finding::new(&codes::LEASE, number, &said.span, found, advice));
}

fn tries(service: &Node) -> u64 {
    service.get("retries").and_then(|retries| retries.text()?.parse().ok()).unwrap_or(RETRIES)
}

/// Methods that nginx sends again.
fn retries(number: usize, service: &Node, entry: &Entry<'_>, policy: &Policy, findings: &mut Vec<Finding>) {
    let other = policy.methods.iter().find(|method| !["POST", "PATCH"].contains(&method.as_str()));
    if let Some(method) = other.filter(|_| tries(service) > 0) {
        let own = || entry.place(Part::Idempotency, "methods");
        let span = service.get("retries").map_or_else(own, |retries| retries.span.clone());
        let found = format!("{} retries, and keys for {method}", tries(service));
        findings.push(Finding::new(&codes::KONG_RETRIES, number, &span, found, "retries: 0"));
    }
}

/// A plugin before which, or without which, nothing of a request is seen.
fn bypass(number: usize, service: &Service<'_>, passed: &[Passed<'_>], findings: &mut Vec<Finding>) {
    let guards: Vec<Level> = passed
        .iter()
        .filter(|it| [Part::Idempotency, Part::CircuitBreaker].iter().any(|part| it.entry.part(*part).is_some()))
        .map(|it| it.level)
        .collect();
    let all = service.document.all(|node| node.get("name").is_some());
    for (plugin, level) in all.into_iter().filter_map(|plugin| Some((plugin, service.level(plugin)?))) {
        // Those of one route are none of another's.
        let meets = |guard: &Level| *guard == level || [*guard, level].contains(&Level::Service);
        let Some(name) = plugin.get("name").filter(|_| guards.iter().any(meets)) else { continue };
        let works = name.text().is_some_and(|name| ["aws-lambda", "azure-functions"].contains(&name));
        let config = plugin.get("config");
        let buffers =
            config.map(|config| config.all(|node| node.text().is_some_and(|text| text.contains("enable_buffering"))));
        let place = buffers.unwrap_or_default().into_iter().next().or_else(|| works.then_some(name));
        if let Some(place) = place {
            let advice = "no such plugin on this route, service or Kong";
            findings.push(Finding::new(&codes::BYPASSED, number, &place.span, name.text().unwrap_or_default(), advice));
        }
    }
}

/// A service's chain runs before its route's.
fn order(passed: &[Passed<'_>], findings: &mut Vec<Finding>) {
    let filters = || passed.iter().filter(|it| it.entry.form == Form::KongFilter);
    let first = filters().filter(|it| it.level == Level::Service).flat_map(|it| it.entry.parts());
    let Some(highest) = first.max_by_key(|part| rank(*part, Chain::Downstream)) else { return };
    for Passed { entry, .. } in filters().filter(|it| it.level != Level::Service) {
        if let Some(part) = misplaced(&entry.parts(), highest, Chain::Downstream) {
            let found = format!("{} on a route, behind {} on its service", part.plugin(), highest.plugin());
            let advice = format!("{} before {}: both in one chain", part.plugin(), highest.plugin());
            findings.push(Finding::new(&codes::ORDER, entry.file, &entry.name.span, found, advice));
        }
    }
}

/// A key that is claimed by the service's filter is in flight for the route's.
fn twice(passed: &[Passed<'_>], findings: &mut Vec<Finding>) {
    let claims = || passed.iter().filter(|it| it.entry.part(Part::Idempotency).is_some());
    if claims().any(|it| it.level == Level::Service) {
        for Passed { entry, .. } in claims().filter(|it| it.level != Level::Service) {
            let advice = "idempotency on the service or on the route";
            let found = "idempotency on the route and on its service";
            findings.push(Finding::new(&codes::TWICE, entry.file, &entry.name.span, found, advice));
        }
    }
}
