//! What stands beside a plugin's configuration, in its own entry.

use crate::check::Context;
use crate::codes;
use crate::document::Node;
use crate::entry::{Entry, Form};
use crate::finding::Finding;
use std::time::Duration;
use suite::parts::Part;

/// Envoy's flag, and whether the plugin counts on it.
pub(super) fn flag(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for entry in context.entries.iter().filter(|entry| !entry.kong) {
        let counts_on_it = counts_on_flag(entry);
        let flag = entry.node.either(["allow_on_headers_stop_iteration", "allowOnHeadersStopIteration"]);
        let allowed = flag.is_some_and(Node::is_true);
        match (entry.form, counts_on_it) {
            (Form::Envoy, Some(said)) if !allowed => findings.push(Finding::new(
                &codes::FLAG_MISSING,
                entry.file,
                &said.span,
                "headers_stop_iteration: true",
                "`allow_on_headers_stop_iteration: true` beside `vm_config`",
            )),
            (Form::Envoy, None) => findings.extend(flag.filter(|_| allowed).map(|flag| {
                let advice = "\"headers_stop_iteration\": true in the plugin's configuration, or no flag";
                Finding::new(&codes::FLAG_UNUSED, entry.file, &flag.span, "the flag alone", advice)
            })),
            (Form::WasmPlugin | Form::ExtensionPolicy, Some(said)) => findings.push(Finding::new(
                &codes::FLAG_IMPOSSIBLE,
                entry.file,
                &said.span,
                "headers_stop_iteration: true",
                "an EnvoyFilter or an EnvoyPatchPolicy for this plugin",
            )),
            _ => {}
        }
    }
}

fn counts_on_flag<'a>(entry: &'a Entry<'_>) -> Option<&'a Node> {
    let root = entry.config.node.as_ref()?;
    let parts = Part::ALL.into_iter().filter_map(|part| root.get(part.as_str()));
    let said = std::iter::once(root).chain(parts).filter_map(|fields| fields.get("headers_stop_iteration"));
    said.into_iter().find(|said| said.is_true())
}

/// Idempotency that lets requests pass when it can't look at them.
pub(super) fn fails_open(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for entry in context.entries.iter().filter(|entry| entry.part(Part::Idempotency).is_some()) {
        let policies = [["failure_policy", "failurePolicy"], ["failStrategy", "failStrategy"]];
        let named = policies.into_iter().filter_map(|names| entry.node.either(names));
        let named = named.filter(|policy| policy.text() == Some("FAIL_OPEN"));
        let flags = [["fail_open", "failOpen"]].into_iter().filter_map(|names| entry.node.either(names));
        for said in named.chain(flags.filter(|flag| flag.is_true())) {
            let advice = "FAIL_RELOAD, or FAIL_CLOSE where there is no other";
            let found = said.text().unwrap_or_default();
            findings.push(Finding::new(&codes::FAIL_OPEN, entry.file, &said.span, found, advice));
        }
    }
}

/// Secrets that whoever sees the file sees.
pub(super) fn literals(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for entry in &context.entries {
        let Some(root) = &entry.config.node else { continue };
        root.walk(&mut |node| {
            if let Some((name, _)) = node.field("literal") {
                let advice = "{\"env\": \"NAME\"}";
                findings.push(Finding::new(&codes::LITERAL, entry.file, &name.span, "a secret as it is", advice));
            }
        });
    }
}

/// Of the VM after one that failed.
pub(super) fn reload(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for entry in &context.entries {
        let reload = entry.node.either(["reload_config", "reloadConfig"]).and_then(|reload| reload.get("backoff"));
        let Some(interval) = reload.and_then(|backoff| backoff.either(["base_interval", "baseInterval"])) else {
            continue;
        };
        if seconds(interval).is_some_and(|interval| interval < Duration::from_millis(2)) {
            let found = interval.text().unwrap_or_default();
            findings.push(Finding::new(&codes::RELOAD, entry.file, &interval.span, found, "2 ms at least: 0.02s"));
        }
    }
}

/// A duration as protobuf's JSON has it: `15s`, `0.25s`.
pub(super) fn seconds(node: &Node) -> Option<Duration> {
    Duration::try_from_secs_f64(node.text()?.strip_suffix('s')?.parse().ok()?).ok()
}
