//! What Envoy's error means, and where in the file it is meant. Envoy names no lines; but mostly it names the field's path, or what it stumbled over.

use crate::document::{Node, Span};

/// The reason alone, in one line.
pub(super) fn why(text: &str) -> String {
    let text = text.split_once("error initializing configuration ").map_or(text, |(_, rest)| rest);
    let text = text.split_once("': ").map_or(text, |(_, rest)| rest);
    // Before it stands all of the configuration.
    let text = text.rsplit_once("Proto constraint validation failed ").map_or(text, |(_, rest)| rest);
    let text = between(text, "Unable to parse JSON as proto (", "): {").unwrap_or(text);
    let text = between(text, " reason ", ") has unknown fields").unwrap_or(text);
    // Some of Envoy's errors have blanks by chance, so that nobody compares them.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// Where that is: by the path that it names, or by a word in quotes that stands in one place only; else where the file begins.
pub(super) fn place(root: &Node, why: &str) -> Span {
    let (around, span) = follow(root, &path(why).unwrap_or_default());
    quoted(why).into_iter().find_map(|word| alone(around, word)).unwrap_or(span)
}

/// `@ static_resources.listeners[0].name: message …`, or one error within another: `StaticResourcesValidationError.Listeners[0]: …`.
fn path(why: &str) -> Option<String> {
    if let Some((_, rest)) = why.split_once("@ ") {
        return rest.split([':', ' ']).next().map(str::to_owned);
    }
    let steps = why.split("caused by ").filter_map(|one| one.split_once("ValidationError."));
    let fields: Vec<String> = steps.filter_map(|(_, field)| field.split(':').next()).map(snake).collect();
    (!fields.is_empty()).then(|| fields.join("."))
}

fn snake(camel: &str) -> String {
    let mut text = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// As far as it goes: what is there, and where it stands.
fn follow<'a>(root: &'a Node, path: &str) -> (&'a Node, Span) {
    let (mut node, mut span) = (root, beginning(root));
    for step in path.split(['.', '[']).filter(|step| !step.is_empty() && *step != "<any>") {
        let next = match step.strip_suffix(']').map(str::parse) {
            Some(Ok(index)) => node.items().get::<usize>(index).map(|item| (item, beginning(item))),
            // The key of a map stands in brackets too.
            _ => field(node, step.trim_end_matches(']').trim_matches('"')),
        };
        let Some(found) = next else { break };
        (node, span) = found;
    }
    (node, span)
}

fn field<'a>(node: &'a Node, name: &str) -> Option<(&'a Node, Span)> {
    let (key, value) = node.field(name).or_else(|| node.field(&camel(name)))?;
    let span = if value.text().is_some() { value.span.clone() } else { key.span.clone() };
    Some((value, span))
}

fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let (head, tail) = word.split_at_checked(1).unwrap_or((word, ""));
        text + &head.to_ascii_uppercase() + tail
    })
}

/// What stands in quotes.
fn quoted(why: &str) -> Vec<&str> {
    why.split('\'').skip(1).step_by(2).filter(|word| !word.is_empty()).collect()
}

/// Where a word stands as a name or as a value, if it does so once.
fn alone(around: &Node, word: &str) -> Option<Span> {
    let mut found: Vec<Span> = Vec::new();
    around.walk(&mut |node| {
        found.extend(node.fields().iter().filter(|(key, _)| key.text() == Some(word)).map(|(key, _)| key.span.clone()));
        if node.text() == Some(word) {
            found.push(node.span.clone());
        }
    });
    found.dedup();
    match <[Span; 1]>::try_from(found) {
        Ok([one]) => Some(one),
        Err(_) => None,
    }
}

/// Of something that fills many lines, the first word.
fn beginning(node: &Node) -> Span {
    node.fields().first().map_or_else(|| node.span.clone(), |(key, _)| key.span.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::read;

    const FILE: &str = "
static_resources:
  listeners:
  - name: edge
    address: {socketAddress: {port_value: 1000000}}
    filter_chains: [{filters: [{typed_config: {stat_prefixx: edge, route: {cluster: servise}}}]}]
  clusters:
  - {name: service, type: STRICT_DSN, connect_timeout: soon}
";

    fn marked(text: &str) -> (String, &'static str) {
        let root = read(FILE).expect("YAML").remove(0);
        let why = why(text);
        let span = place(&root, &why);
        (why, FILE.get(span).unwrap_or_default())
    }

    /// As Envoy 1.36 and 1.40 say it.
    #[test]
    fn an_error_is_told_in_a_line_and_at_its_place() {
        let cases = [
            (
                "error initializing configuration '/tmp/a.yaml': route: unknown cluster 'servise'\n",
                "route: unknown cluster 'servise'",
                "servise",
            ),
            (
                "error initializing configuration 'a.yaml': Protobuf message (type envoy.config.bootstrap.v3.Bootstrap reason INVALID_ARGUMENT: invalid JSON in envoy.config.bootstrap.v3.Bootstrap  @ static_resources.listeners[0].filter_chains[0].filters[0].typed_config.<any>: message X, near   1:236 (offset 235): no such field:  'stat_prefixx') has unknown fields",
                "INVALID_ARGUMENT: invalid JSON in envoy.config.bootstrap.v3.Bootstrap @ static_resources.listeners[0].filter_chains[0].filters[0].typed_config.<any>: message X, near 1:236 (offset 235): no such field: 'stat_prefixx'",
                "stat_prefixx",
            ),
            (
                "error initializing configuration 'a.yaml': Unable to parse JSON as proto (INVALID_ARGUMENT: invalid JSON in X @ static_resources.clusters[0].connect_timeout: message google.protobuf.Duration, near 1:1187 (offset 1186): duration must start with an integer): {\"static_resources\": {}}",
                "INVALID_ARGUMENT: invalid JSON in X @ static_resources.clusters[0].connect_timeout: message google.protobuf.Duration, near 1:1187 (offset 1186): duration must start with an integer",
                "soon",
            ),
            (
                "error initializing configuration 'a.yaml': Protobuf message (type X reason INVALID_ARGUMENT: unknown enum value: 'STRICT_DSN') has unknown fields",
                "INVALID_ARGUMENT: unknown enum value: 'STRICT_DSN'",
                "STRICT_DSN",
            ),
            (
                "error initializing configuration 'a.yaml': static_resources {\n  listeners {\n  }\n}\n: Proto constraint validation failed (BootstrapValidationError.StaticResources: embedded message failed validation | caused by StaticResourcesValidationError.Listeners[0]: embedded message failed validation | caused by ListenerValidationError.Address: embedded message failed validation | caused by AddressValidationError.SocketAddress: embedded message failed validation | caused by SocketAddressValidationError.PortValue: value must be less than or equal to 65535)",
                "(BootstrapValidationError.StaticResources: embedded message failed validation | caused by StaticResourcesValidationError.Listeners[0]: embedded message failed validation | caused by ListenerValidationError.Address: embedded message failed validation | caused by AddressValidationError.SocketAddress: embedded message failed validation | caused by SocketAddressValidationError.PortValue: value must be less than or equal to 65535)",
                "1000000",
            ),
            ("something else\n", "something else", "static_resources"),
        ];
        for (text, reason, mark) in cases {
            assert_eq!(marked(text), (reason.to_owned(), mark));
        }
    }
}
