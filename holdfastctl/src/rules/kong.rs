//! What is around a filter in Kong: plugins, services, and `kong.conf`.

use crate::check::Context;
use crate::codes;
use crate::document::Node;
use crate::entry::{Entry, Form};
use crate::find::contains;
use crate::finding::Finding;
use std::time::Duration;
use suite::parts::Part;

/// Kong's own, each for connecting, sending and reading.
const TIMEOUT: u64 = 60_000;
/// Kong's own: tries after the first.
const RETRIES: u64 = 5;
/// Kong's own, in bytes.
const BODY_BUFFER: usize = 8 << 10;

/// Declarative files.
pub(super) fn plugins(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for entry in context.entries.iter().filter(|entry| matches!(entry.form, Form::KongPlugin | Form::KongFilter)) {
        if let Some(name) = entry.name.text().filter(|name| name.contains('-')) {
            let advice = entry.module.name.to_owned();
            findings.push(Finding::new(&codes::HYPHEN, entry.file, &entry.name.span, name, advice));
        }
    }
    let headers: Vec<String> = context.entries.iter().filter_map(|entry| Some(entry.idempotency()?.header)).collect();
    for (number, file) in context.files.iter().enumerate() {
        for document in &file.documents {
            document.walk(&mut |node| transformer(number, node, &headers, findings));
            document.walk(&mut |node| bypass(context, number, node, findings));
            scope(context, number, document, findings);
            document.walk(&mut |node| service(context, number, document, node, findings));
        }
    }
}

/// A plugin that writes headers by expressions.
fn transformer(number: usize, node: &Node, headers: &[String], findings: &mut Vec<Finding>) {
    let is_one = node.get("name").and_then(Node::text).is_some_and(|name| name.starts_with("request-transformer"));
    let Some(config) = node.get("config").filter(|_| is_one) else { return };
    config.walk(&mut |value| {
        let Some(text) = value.text() else { return };
        if let Some(name) = minus(text) {
            let advice = format!("$(headers[\"{name}\"])");
            findings.push(Finding::new(&codes::TRANSFORMER, number, &value.span, text, advice));
        }
        let (header, expression) = text.split_once(':').unwrap_or((text, ""));
        let known = headers.iter().any(|known| known.eq_ignore_ascii_case(header.trim()));
        let asks = ["x-idempotency-key", "idempotency-key"].contains(&header.trim().to_lowercase().as_str());
        if (known || asks) && expression.contains("request-id") {
            let advice = "a key that the client sends again with a repeat";
            findings.push(Finding::new(&codes::PER_HOP_KEY, number, &value.span, text, advice));
        }
    });
}

/// A plugin beside ours before which, or without which, nothing of a request is seen.
fn bypass(context: &Context<'_>, number: usize, owner: &Node, findings: &mut Vec<Finding>) {
    let guards =
        |entry: &Entry<'_>| entry.part(Part::Idempotency).or_else(|| entry.part(Part::CircuitBreaker)).is_some();
    if !context.entries.iter().any(|entry| entry.kong && guards(entry) && contains(owner, entry.node)) {
        return;
    }
    for plugin in owner.get("plugins").map(Node::items).unwrap_or_default() {
        let Some(name) = plugin.get("name") else { continue };
        let works = name.text().is_some_and(|name| ["aws-lambda", "azure-functions"].contains(&name));
        let buffers = plugin.all(|node| node.text().is_some_and(|text| text.contains("enable_buffering")));
        let spans = buffers.iter().map(|node| &node.span).chain(works.then_some(&name.span));
        for span in spans.take(1) {
            let advice = "no such plugin on this route, service or Kong";
            findings.push(Finding::new(&codes::BYPASSED, number, span, name.text().unwrap_or_default(), advice));
        }
    }
}

/// Filters among the global plugins that name neither a service nor a route, or that name a consumer.
fn scope(context: &Context<'_>, number: usize, document: &Node, findings: &mut Vec<Finding>) {
    let plugins = document.get("plugins").map(Node::items).unwrap_or_default();
    for entry in context.entries.iter().filter(|entry| entry.form == Form::KongPlugin) {
        let global = plugins.iter().any(|plugin| std::ptr::eq(plugin, entry.node))
            && entry.node.get("service").is_none()
            && entry.node.get("route").is_none();
        if entry.file == number && (global || entry.node.get("consumer").is_some()) {
            let found = if global { "a global plugin" } else { "a plugin of a consumer" };
            let advice = "a plugin of a service or of a route";
            findings.push(Finding::new(&codes::SCOPE, number, &entry.name.span, found, advice));
        }
    }
}

/// `headers.x-request-id` within `$(…)`: the name that is meant.
fn minus(text: &str) -> Option<&str> {
    let expressions = text.split("$(").skip(1).filter_map(|rest| rest.split(')').next());
    let names = expressions.filter_map(|expression| expression.split("headers.").nth(1));
    let names = names.map(|name| name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next());
    names.flatten().find(|name| name.contains('-'))
}

/// A service, its routes, and the keys that are claimed before it.
fn service(context: &Context<'_>, number: usize, document: &Node, node: &Node, findings: &mut Vec<Finding>) {
    let is_service = node.get("name").is_some() && (node.get("url").is_some() || node.get("host").is_some());
    let entries = context.entries.iter().filter(|entry| is_service && entry.kong && is_before(document, node, entry));
    for (entry, policy) in entries.filter_map(|entry| Some((entry, entry.idempotency()?))) {
        let times = ["connect_timeout", "write_timeout", "read_timeout"];
        let millis = |name: &str| node.get(name).and_then(|time| time.text()?.parse().ok()).unwrap_or(TIMEOUT);
        let longest = Duration::from_millis(times.iter().map(|name| millis(name)).sum());
        if longest >= policy.lease {
            let said = times.iter().rev().find_map(|name| node.get(name)).or_else(|| node.get("name")).unwrap_or(node);
            let found = format!("requests that may take {longest:?}, and a lease of {:?}", policy.lease);
            let advice = "timeouts that are shorter together than the lease";
            findings.push(Finding::new(&codes::LEASE, number, &said.span, found, advice));
        }
        let retries = node.get("retries");
        let tries = retries.and_then(|retries| retries.text()?.parse().ok()).unwrap_or(RETRIES);
        let other = policy.methods.iter().find(|method| !["POST", "PATCH"].contains(&method.as_str()));
        if let Some(method) = other.filter(|_| tries > 0) {
            let span =
                retries.map_or_else(|| entry.place(Part::Idempotency, "methods"), |retries| retries.span.clone());
            let found = format!("{tries} retries, and keys for {method}");
            findings.push(Finding::new(&codes::KONG_RETRIES, number, &span, found, "retries: 0"));
        }
    }
}

/// Whether requests to a service pass a filter: it is on the service or on a route of its own, or a chain names one of them.
fn is_before(document: &Node, service: &Node, entry: &Entry<'_>) -> bool {
    let name_of = |node: &Node| node.get("name").and_then(Node::text).map(str::to_owned);
    let routes = service.get("routes").map(Node::items).unwrap_or_default();
    let owners: Vec<String> = routes.iter().chain([service]).filter_map(name_of).collect();
    let names = |node: &Node| {
        let named = ["service", "route"].into_iter().filter_map(|field| node.get(field));
        let named = named.filter_map(|owner| owner.text().or_else(|| owner.get("name")?.text()));
        named.into_iter().any(|name| owners.iter().any(|owner| owner == name))
    };
    let chains = ["filter_chains", "plugins"].into_iter().filter_map(|list| document.get(list)).flat_map(Node::items);
    contains(service, entry.node) || chains.into_iter().any(|chain| names(chain) && contains(chain, entry.node))
}

/// `kong.conf`.
pub(super) fn settings(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut files = context.files.iter().enumerate();
    let Some((number, file)) = files.find(|(_, file)| file.has_settings) else { return };
    let kongs = || context.entries.iter().filter(|entry| entry.kong);
    if kongs().next().is_some() && file.setting("nginx_wasm_shm_kv").is_none() {
        let advice = "nginx_wasm_shm_kv = 64m";
        findings.push(Finding::new(&codes::NO_SHARED, number, &(0..0), "no nginx_wasm_shm_kv", advice));
    }
    if let Some((value, span)) = file.setting("wasm").filter(|(value, _)| kongs().next().is_some() && value != "on") {
        findings.push(Finding::new(&codes::WASM_OFF, number, &span, format!("wasm = {value}"), "wasm = on"));
    }
    for name in
        ["nginx_proxy_proxy_next_upstream", "nginx_http_proxy_next_upstream", "nginx_upstream_proxy_next_upstream"]
    {
        let said = file.setting(name).filter(|(value, _)| value.contains("non_idempotent"));
        if let Some((value, span)) = said.filter(|_| kongs().any(|entry| entry.part(Part::Idempotency).is_some())) {
            findings.push(Finding::new(&codes::RESENT, number, &span, value, "no non_idempotent"));
        }
    }
    let Some(most) = kongs().filter_map(Entry::idempotency).map(|policy| policy.max_body).max() else { return };
    {
        let name = "nginx_http_client_body_buffer_size";
        let said = file.setting(name);
        let room = said.as_ref().map_or(BODY_BUFFER, |(value, _)| bytes(value));
        if room < most {
            let found = said.as_ref().map_or_else(|| format!("no {name}"), |(value, _)| format!("{name} = {value}"));
            let span = said.map_or(0..0, |(_, span)| span);
            let advice = format!("max_body at least, {most} bytes");
            findings.push(Finding::new(&codes::BODY_BUFFER, number, &span, found, advice));
        }
    }
}

/// `128k`, or `4 32k`: so many of that size.
fn bytes(value: &str) -> usize {
    let size = |word: &str| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match word.get(digits.len()..).unwrap_or_default() {
            "k" | "K" => 1 << 10,
            "m" | "M" => 1 << 20,
            _ => 1,
        };
        digits.parse::<usize>().unwrap_or_default().saturating_mul(unit)
    };
    value.split_whitespace().map(size).fold(1, usize::saturating_mul)
}
