//! From a fault's JSON path to its place in the file.

use crate::document::{Node, Span};

/// The place of `path` (`$.a["b c"][0]`) in a configuration: of the field's value, and where there is none, of the innermost thing around it.
/// The field's name itself is meant where `name` is true, as by a field that nobody knows.
pub(crate) fn locate(root: &Node, path: &str, name: bool) -> Span {
    let (mut node, mut span) = (root, root.span.clone());
    for step in steps(path) {
        let next = match &step {
            Step::Field(field) => node.field(field),
            Step::Item(index) => node.items().get(*index).map(|item| (item, item)),
        };
        let Some((key, value)) = next else { return head(node, span) };
        node = value;
        span = if name { key.span.clone() } else { value.span.clone() };
    }
    head(node, span)
}

/// Of a map or a list that fills many lines, its beginning is enough.
fn head(node: &Node, span: Span) -> Span {
    match (node.fields().first(), node.items().first()) {
        (Some((key, _)), _) if span == node.span => span.start..key.span.end,
        (_, Some(item)) if span == node.span => span.start..item.span.start.max(span.start + 1),
        _ => span,
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    Item(usize),
}

/// `$.a["b c"][0]` in steps. What isn't a path ends it.
fn steps(path: &str) -> Vec<Step> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while let Some((step, after)) = step(rest) {
        steps.push(step);
        rest = after;
    }
    steps
}

fn step(path: &str) -> Option<(Step, &str)> {
    if let Some(after) = path.strip_prefix('.') {
        let end = after.find(['.', '[']).unwrap_or(after.len());
        return Some((Step::Field(after.get(..end)?.to_owned()), after.get(end..)?));
    }
    let inside = path.strip_prefix('[')?;
    let end = end_of_bracket(inside)?;
    let (token, after) = (inside.get(..end)?, inside.get(end + 1..)?);
    match sdk_shim::json::read(token.as_bytes()).ok()? {
        sdk_shim::json::Value::String(name) => Some((Step::Field(name), after)),
        _ => Some((Step::Item(token.parse().ok()?), after)),
    }
}

/// Where the bracket closes: a name in quotes may have one too.
fn end_of_bracket(inside: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in inside.char_indices() {
        match c {
            ']' if !quoted => return Some(at),
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::read;

    #[test]
    fn a_path_is_taken_step_by_step() {
        let field = |name: &str| Step::Field(name.to_owned());
        assert_eq!(steps("$"), []);
        assert_eq!(steps("$.a.b[2].c"), [field("a"), field("b"), Step::Item(2), field("c")]);
        assert_eq!(steps(r#"$["x ] \" y"][0]"#), [field("x ] \" y"), Step::Item(0)]);
    }

    #[test]
    fn a_path_leads_to_its_place_or_as_near_as_there_is_something() {
        let text = "a: {b: [1, two]}\nc: 3\n";
        let node = read(text).expect("YAML").remove(0);
        let at = |path: &str, name| text.get(locate(&node, path, name)).unwrap_or_default().to_owned();
        assert_eq!(at("$.a.b[1]", false), "two");
        assert_eq!(at("$.c", true), "c");
        assert_eq!(at("$.a.missing", false), "{b");
        assert_eq!(at("$.nowhere.at.all", false), "a");
    }
}
