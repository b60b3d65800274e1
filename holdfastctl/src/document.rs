//! YAML, and JSON with it, whose every value knows where it stands.

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Mark};
use sdk_shim::json::Value;
use std::collections::HashMap;
use std::ops::Range;

/// Deepest nesting, and most values of a file: aliases must not make a bomb of a small file.
const MAX_DEPTH: usize = 200;
const MAX_NODES: usize = 1_000_000;

/// Where something stands in its file, in characters.
pub(crate) type Span = Range<usize>;

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A text or, if nothing is around it, whatever it looks like.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Why a file can't be read, and where.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) at: usize,
    pub(crate) why: String,
}

/// The documents of a file.
pub(crate) fn read(text: &str) -> Result<Vec<Node>, Unreadable> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, mark) =
            event.map_err(|error| Unreadable { at: error.marker().index(), why: error.info().to_owned() })?;
        builder.take(event, mark)?;
    }
    Ok(builder.documents)
}

/// A list or a map that isn't at its end yet.
struct Open {
    start: usize,
    anchor: usize,
    is_map: bool,
    items: Vec<Node>,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

// === impl Builder ===

impl Builder {
    fn take(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Unreadable> {
        let span = mark.start.index()..mark.end.index();
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                self.add(Node { span, kind: Kind::Scalar { text: text.into_owned(), plain } }, anchor)
            }
            Event::Alias(anchor) => {
                // What is said of it stands where it was written.
                let node = self.anchors.get(&anchor).cloned();
                self.add(node.unwrap_or(Node { span, kind: Kind::List(Vec::new()) }), 0)
            }
            Event::SequenceStart(anchor, _) => self.begin(span, anchor, false),
            Event::MappingStart(anchor, _) => self.begin(span, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, span: Span, anchor: usize, is_map: bool) -> Result<(), Unreadable> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Unreadable { at: span.start, why: format!("more than {MAX_DEPTH} levels") });
        }
        self.open.push(Open { start: span.start, anchor, is_map, items: Vec::new() });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Unreadable> {
        let Some(Open { start, anchor, is_map, items }) = self.open.pop() else { return Ok(()) };
        // The end of a block is told where the next thing begins.
        let end = items.last().map_or(span.end, |last| if span.is_empty() { last.span.end } else { span.end });
        let kind = if is_map { Kind::Map(pairs(items)) } else { Kind::List(items) };
        self.add(Node { span: start..end.max(start), kind }, anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Unreadable> {
        self.nodes += node.size();
        if self.nodes > MAX_NODES {
            return Err(Unreadable { at: node.span.start, why: format!("more than {MAX_NODES} values") });
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.documents.push(node),
        }
        Ok(())
    }
}

fn pairs(items: Vec<Node>) -> Vec<(Node, Node)> {
    let mut pairs = Vec::new();
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}

// === impl Node ===

impl Node {
    /// The field of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.field(name).map(|(_, value)| value)
    }

    /// A field's name and value.
    pub(crate) fn field(&self, name: &str) -> Option<(&Self, &Self)> {
        self.fields().iter().find(|(key, _)| key.text() == Some(name)).map(|(key, value)| (key, value))
    }

    /// Field by field into the depth; `/` between the names.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |node, name| node.get(name))
    }

    /// The field of one of these names: protobuf's JSON takes `snake_case` and `lowerCamelCase`.
    pub(crate) fn either(&self, names: [&str; 2]) -> Option<&Self> {
        names.into_iter().find_map(|name| self.get(name))
    }

    pub(crate) fn fields(&self) -> &[(Self, Self)] {
        match &self.kind {
            Kind::Map(fields) => fields,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// What stands here, if it is neither a list nor a map.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        self.text() == Some("true")
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.kind, Kind::Map(_))
    }

    /// This value and all in it.
    pub(crate) fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        self.items().iter().for_each(|item| item.walk(visit));
        self.fields().iter().for_each(|(_, value)| value.walk(visit));
    }

    /// All that fulfil this.
    pub(crate) fn all<'a>(&'a self, is: impl Fn(&'a Self) -> bool) -> Vec<&'a Self> {
        let mut found = Vec::new();
        self.walk(&mut |node| {
            if is(node) {
                found.push(node);
            }
        });
        found
    }

    fn size(&self) -> usize {
        let mut nodes = 0;
        self.walk(&mut |_| nodes += 1);
        nodes
    }

    /// As JSON. A number stays the text that it was.
    pub(crate) fn json(&self) -> String {
        self.written("[]")
    }

    /// As it is when it has been through Lua, which has one kind of table: an empty list has become an empty object.
    pub(crate) fn json_of_lua(&self) -> String {
        self.written("{}")
    }

    fn written(&self, empty_list: &str) -> String {
        match &self.kind {
            Kind::Scalar { text, plain: false } => Value::from(text.as_str()).to_string(),
            Kind::Scalar { text, plain: true } => plain_json(text),
            Kind::List(items) if items.is_empty() => empty_list.to_owned(),
            Kind::List(items) => {
                format!("[{}]", items.iter().map(|item| item.written(empty_list)).collect::<Vec<_>>().join(","))
            }
            Kind::Map(fields) => {
                let field = |(key, value): &(Self, Self)| {
                    format!("{}:{}", Value::from(key.text().unwrap_or_default()), value.written(empty_list))
                };
                format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// What YAML's core schema takes a plain text for.
fn plain_json(text: &str) -> String {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => "null".to_owned(),
        "true" | "True" | "TRUE" => "true".to_owned(),
        "false" | "False" | "FALSE" => "false".to_owned(),
        number if is_json_number(number) => number.to_owned(),
        other => Value::from(other).to_string(),
    }
}

fn is_json_number(text: &str) -> bool {
    matches!(sdk_shim::json::read(text.as_bytes()), Ok(Value::Number(_)))
}

/// Where the characters of a scalar's text stand in its file: by those that aren't blank, in order, because blanks are folded and indented and quotes
/// and escapes are in between.
pub(crate) fn places(text: &str, source: &[char], span: &Span) -> Vec<usize> {
    let mut at = span.start;
    let mut places = Vec::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_whitespace() {
            at = (at..span.end).find(|at| source.get(*at) == Some(&c)).unwrap_or(at);
        }
        places.push(at);
        if !c.is_whitespace() {
            at += 1;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        read(text).expect("YAML").remove(0)
    }

    fn slice<'a>(text: &'a str, node: &Node) -> &'a str {
        &text[node.span.clone()]
    }

    #[test]
    fn values_know_where_they_stand() {
        let text = "a: {b: [1, 'two']}\nc:\n- d: x y\n  e: |\n    line\n";
        let node = one(text);
        assert_eq!(slice(text, &node.at("a/b").expect("a field").items()[1]), "'two'");
        assert_eq!(slice(text, node.get("c").expect("a field").items()[0].get("d").expect("a field")), "x y");
    }

    #[test]
    fn yaml_becomes_the_json_that_a_filter_is_given() {
        let node = one("{a: 1.50, b: '1', c: yes, d: true, e: ~, f: [], g: {}, h: 0x10, 'i j': \"\\n\"}");
        assert_eq!(
            node.json(),
            r#"{"a":1.50,"b":"1","c":"yes","d":true,"e":null,"f":[],"g":{},"h":"0x10","i j":"\n"}"#
        );
    }

    #[test]
    fn an_alias_is_what_it_stands_for_and_no_bomb() {
        let node = one("a: &x {b: 1}\nc: *x\n");
        assert_eq!(node.get("c").map(Node::json).as_deref(), Some(r#"{"b":1}"#));
        let level = |n: u32| format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 10].join(", "));
        let bomb = format!("l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n{}", (1..9).map(level).collect::<String>());
        assert!(read(&bomb).expect_err("a bomb").why.contains("values"));
        assert!(read(&"[".repeat(1000)).is_err());
    }

    #[test]
    fn the_text_of_a_scalar_is_found_in_its_file_whatever_its_style() {
        for text in [
            "k: '{\"a\": \"it''s\", \"mark\": 1}'",
            "k: \"{\\\"a\\\": 1,\\n \\\"mark\\\": 1}\"",
            "k: |\n  {\n    \"a\": 1,\n    \"mark\": 1\n  }\n",
            "k: >-\n  {\"a\":\n  1,\n  \"mark\": 1}\n",
        ] {
            let node = one(text);
            let value = node.get("k").expect("a field");
            let scalar = value.text().expect("a text");
            let source: Vec<char> = text.chars().collect();
            let place = places(scalar, &source, &value.span)[scalar.find("mark").expect("the mark")];
            assert_eq!(text[place..].get(..4), Some("mark"), "{text}");
        }
    }
}
