//! Reads an expression just well enough to hold its names against the table.

/// A selector: a metric's name, and the labels that it is chosen by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Empty where the braces stand alone.
    pub name: String,
    /// Labels within its braces.
    pub labels: Vec<String>,
}

/// Each selector of one of our or Envoy's metrics (or of a recorded series), in their order.
pub fn selectors(expr: &str) -> Vec<Selector> {
    let mut found: Vec<Selector> = Vec::new();
    let mut rest = expr;
    while let Some(start) = rest.find(|char: char| char.is_ascii_alphabetic() || char == '_' || char == '{') {
        rest = &rest[start..];
        let end = rest.find(|char: char| !(char.is_ascii_alphanumeric() || "_:".contains(char))).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let braces = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let ours = ["holdfast", "envoy_"].iter().any(|prefix| name.starts_with(prefix)) && !is_label(name);
        if ours || (name.is_empty() && braces.is_some()) {
            let labels = braces.map_or(Vec::new(), |(inside, _)| matchers(inside));
            found.push(Selector { name: name.to_owned(), labels });
        }
        rest = braces.map_or(if end == 0 { &after[1..] } else { after }, |(_, after)| after);
    }
    found
}

/// The labels after each `by` and `on`.
pub fn grouped(expr: &str) -> Vec<String> {
    let lists = ["by (", "on ("].iter().flat_map(|word| expr.split(word).skip(1));
    let lists = lists.filter_map(|list| list.split_once(')'));
    lists.flat_map(|(list, _)| list.split(',').map(|label| label.trim().to_owned())).collect()
}

fn is_label(name: &str) -> bool {
    use super::labels::{CLUSTER, INSTANCE, LISTENER};
    [INSTANCE, CLUSTER, LISTENER].contains(&name)
}

fn matchers(inside: &str) -> Vec<String> {
    // Values are quoted, and every second part is one.
    let names = inside.split('"').step_by(2).filter_map(|part| part.trim_start_matches(',').split(['=', '!']).next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_found_with_their_labels() {
        let expr = "sum by (holdfast_instance) (rate(holdfast_a_total{key=~\"x,y\",cause!=\"b\"}[5m])) or {__name__=~\"z\"} / envoy_b";
        let found = selectors(expr);
        let names: Vec<&str> = found.iter().map(|selector| selector.name.as_str()).collect();
        assert_eq!(names, ["holdfast_a_total", "", "envoy_b"]);
        assert_eq!(found[0].labels, ["key", "cause"]);
        assert_eq!(grouped(expr), ["holdfast_instance"]);
    }
}
