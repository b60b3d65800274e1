//! Our filters among Kong's plugins, and plugins that write headers.

use crate::check::Context;
use crate::codes;
use crate::document::Node;
use crate::entry::Form;
use crate::finding::Finding;

/// Declarative files.
pub(crate) fn plugins(context: &Context<'_>, findings: &mut Vec<Finding>) {
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
            scope(context, number, document, findings);
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

/// A name with a hyphen behind a dot, within `$(…)`: to Lua it is a difference.
fn minus(text: &str) -> Option<&str> {
    let expressions = text.split("$(").skip(1).filter_map(|rest| rest.split(')').next());
    let tables = ["headers.", "query_params.", "uri_captures."];
    let names = expressions.flat_map(|expression| tables.into_iter().flat_map(|table| expression.split(table).skip(1)));
    let names = names.map(|name| name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next());
    names.flatten().find(|name| name.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::minus;

    #[test]
    fn a_hyphen_behind_a_dot_is_a_minus() {
        for (text, name) in [
            ("a: $(headers.x-request-id)", Some("x-request-id")),
            ("a: $(headers.user or headers.x-request-id)", Some("x-request-id")),
            ("a: $(query_params.request-id)", Some("request-id")),
            ("a: $(uri_captures.a-b)", Some("a-b")),
            ("a: $(headers[\"x-request-id\"])", None),
            ("a: $(headers.user)", None),
            ("headers.x-request-id", None),
        ] {
            assert_eq!(minus(text), name, "{text}");
        }
    }
}
