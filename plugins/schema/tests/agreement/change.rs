//! Changes to a configuration: at each place what could be there instead, or nothing.

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What is done at one place, a JSON Pointer.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    place: String,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    Put(Value),
    Remove,
    Rename(String),
}

// === impl Change ===

impl Change {
    /// Does nothing where an earlier one has taken the place away.
    pub(crate) fn apply(&self, mut config: Value) -> Value {
        if let Act::Put(value) = &self.act {
            if let Some(there) = config.pointer_mut(&self.place) {
                *there = value.clone();
            }
            return config;
        }
        let (parent, name) = self.place.rsplit_once('/').unwrap_or_default();
        let Some(Value::Object(fields)) = config.pointer_mut(parent) else { return config };
        let Some(taken) = fields.remove(&unescaped(name)) else { return config };
        if let Act::Rename(to) = &self.act {
            fields.insert(to.clone(), taken);
        }
        config
    }
}

/// Everywhere in a value.
pub(crate) fn places(value: &Value) -> Vec<String> {
    let below =
        |name: &str, value| places(value).into_iter().map(|place| format!("/{name}{place}")).collect::<Vec<_>>();
    let inner: Vec<String> = match value {
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| below(&escaped(name), value)).collect(),
        Value::Array(items) => items.iter().enumerate().flat_map(|(n, value)| below(&n.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    [vec![String::new()], inner].concat()
}

/// A place without numbers of items.
pub(crate) fn in_general(place: &str) -> String {
    place.split('/').map(|part| if part.parse::<usize>().is_ok() { "*" } else { part }).collect::<Vec<_>>().join("/")
}

/// Every field that a schema names, as [`in_general`] says it.
pub(crate) fn fields(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(format!("/{name}"));
        found.extend(fields(inner).into_iter().map(|field| format!("/{name}{field}")));
    }
    found.extend(fields_of_items(schema));
    for alternative in alternatives(schema) {
        found.extend(fields(alternative));
    }
    found
}

fn fields_of_items(schema: &Value) -> Vec<String> {
    let items = schema.get("items").map(fields).unwrap_or_default();
    items.into_iter().map(|field| format!("/*{field}")).collect()
}

fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf", "allOf"].into_iter().flat_map(|word| schema[word].as_array().into_iter().flatten())
}

/// All that schemas say of a place.
fn said<'a>(schema: &'a Value, place: &str) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = alternatives(schema).flat_map(|inner| said(inner, place)).collect();
    let Some(rest) = place.strip_prefix('/') else {
        found.push(schema);
        return found;
    };
    let (name, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let own = schema["properties"].get(unescaped(name)).into_iter().chain(schema.get("items"));
    let free = schema["patternProperties"].as_object().into_iter().flatten().map(|(_, inner)| inner);
    let free = free.chain(schema.get("additionalProperties").filter(|inner| inner.is_object()));
    found.extend(own.chain(free).flat_map(|inner| said(inner, rest)));
    found
}

/// Every change to one place of a configuration.
pub(crate) fn changes<'a>(config: &'a Value, schema: &'a Value) -> impl Iterator<Item = Change> {
    places(config).into_iter().flat_map(move |place| {
        let there = config.pointer(&place).expect("a place of its own");
        let mut values: Vec<Value> = anything();
        for schema in said(schema, &place) {
            values.extend(around_bounds(schema, there));
        }
        values.extend(variants(there));
        let mut known = BTreeSet::new();
        values.retain(|value| known.insert(value.to_string()));
        let put = values.into_iter().map(Act::Put);
        let rename = ["Unknown", "x-new", "host", "x-holdfast-a", ""].map(|name| Act::Rename(name.to_owned()));
        let acts: Vec<Act> = put.chain([Act::Remove]).chain(rename).collect();
        acts.into_iter().map(move |act| Change { place: place.clone(), act })
    })
}

/// Of every type, and texts that are good somewhere.
fn anything() -> Vec<Value> {
    let texts = [
        "",
        "x",
        "X",
        "a b",
        "\u{e9}",
        "line\nend",
        "0",
        "10",
        "0.5",
        "1.0",
        "0.0",
        "1.5",
        "100.0",
        "100.5",
        "0.0000001",
        "0.000001",
        "0000001.0",
        "5.",
        ".5",
        "-1",
        "10ms",
        "1s",
        "1.5s",
        " 1s",
        "1S",
        "0s",
        "000s",
        "1h",
        "2h",
        "61m",
        "99999999999999999999s",
        "5xx",
        "1xx",
        "4xx",
        "6xx",
        "0xx",
        "5XX",
        "500-504",
        "504-500",
        "399-400",
        "503",
        "099",
        "600",
        "50",
        "5000",
        "route",
        "default",
        "method",
        "upstream_host",
        "header:x-a",
        "header:X-A",
        "header:",
        "path:0",
        "path:1",
        "path:8",
        "path:9",
        "path:03",
        "path:+3",
        "cookie:a",
        "downstream",
        "upstream",
        "enforce",
        "dry_run",
        "force_open",
        "tenant",
        "host",
        "te",
        "connection",
        "x-envoy-a",
        "x-holdfast-a",
        "x-holdfast-fallback",
        "content-type",
        "x_a.b-c",
        ":authority",
        "-a",
        "a-",
        "a--b",
        "_a",
        "a-0123abcd",
        "a.b:80",
        "set-cookie",
        "date",
        "x-request-id",
        "proxy-a",
        "x-b3-a",
        "traceparent",
        "content-length",
        "/",
        "/a",
        "a/b",
        "/a?b",
        "/a#b",
        "/a b",
        "//",
        "/a~0/~1",
        "/a~",
        "/p.S/M",
        "/p.S/*",
        "/p.S/M/x",
        "/p.S/",
        "GET",
        "PUT",
        "CONNECT",
        "M-SEARCH",
        "put",
        "a=b",
        "a&b",
        ".suffix",
        "-suffix",
        "-Suffix",
        "x/y",
    ];
    let numbers = [
        -1.0, 0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 17.0, 99.0, 100.0, 399.0, 400.0, 599.0, 600.0, 1e3, 1e6, 1e9, 1e15, 1e-6,
        1e-7,
    ];
    let others =
        json!([null, true, false, [], {}, [null], [[]], [{}], ["x", "x"], {"x": 1}, {"": ""}, {"env": "NAME"}]);
    let others = others.as_array().cloned().unwrap_or_default();
    texts.map(Value::from).into_iter().chain(numbers.map(Value::from)).chain(others).collect()
}

/// At each bound that a schema has for this place, one less and one more, in every spelling.
fn around_bounds(schema: &Value, there: &Value) -> Vec<Value> {
    let mut values: Vec<Value> = schema["enum"].as_array().into_iter().flatten().cloned().collect();
    for bound in ["minimum", "maximum"].into_iter().filter_map(|word| schema[word].as_f64()) {
        values.extend([bound, bound - 1.0, bound + 1.0, bound - 1e-6, bound + 1e-6, bound + 0.5].map(Value::from));
        values.extend(spelled(bound));
    }
    for bound in ["minLength", "maxLength"].into_iter().filter_map(|word| schema[word].as_u64()) {
        let lengths = [bound.saturating_sub(1), bound, bound + 1];
        values.extend(there.as_str().into_iter().flat_map(|text| lengths.map(|length| padded(text, length))));
    }
    for bound in ["minItems", "maxItems"].into_iter().filter_map(|word| schema[word].as_u64()) {
        let lengths = [bound.saturating_sub(1), bound, bound + 1];
        values.extend(there.as_array().into_iter().flat_map(|items| lengths.map(|length| repeated(items, length))));
    }
    values
}

/// As durations in each unit, and as decimals.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds are small")]
fn spelled(bound: f64) -> Vec<Value> {
    let mut texts = Vec::new();
    for (unit, scale) in [("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 3.6e6)] {
        let whole = (bound / scale) as u64;
        texts.extend([whole, whole + 1, whole.saturating_sub(1)].map(|n| format!("{n}{unit}")));
        texts.push(format!("00{whole}{unit}"));
    }
    let decimals = [bound, bound + 1e-6, bound - 1e-6, bound + 1.0].into_iter().filter(|n| *n >= 0.0);
    texts.extend(decimals.map(|n| format!("{n:.6}")));
    texts.into_iter().map(Value::from).collect()
}

fn padded(text: &str, length: u64) -> Value {
    let length = usize::try_from(length).expect("short");
    text.chars().chain(std::iter::repeat('a')).take(length).collect::<String>().into()
}

/// Texts are made different, since some lists hold each only once.
fn repeated(items: &[Value], length: u64) -> Value {
    let Some(first) = items.first() else { return json!([]) };
    let item = |n: u64| match first {
        Value::String(text) if n > 0 && text.starts_with(['/', 'x']) => Value::from(format!("{text}{n}")),
        _ => items.get(usize::try_from(n).expect("few")).unwrap_or(first).clone(),
    };
    (0..length).map(item).collect()
}

/// The same in another spelling, or a little beside.
fn variants(there: &Value) -> Vec<Value> {
    match there {
        Value::String(text) => [text.to_uppercase(), format!("{text}a"), format!(" {text}"), format!("{text}\u{e9}")]
            .map(Value::from)
            .to_vec(),
        Value::Array(items) => {
            let twice = items.iter().chain(items).cloned().collect();
            vec![twice, items.iter().skip(1).cloned().collect(), Value::Array([&items[..], &[Value::Null]].concat())]
        }
        Value::Object(fields) => {
            let mut more = fields.clone();
            more.insert("colour".to_owned(), json!(1));
            let nulls: Map<String, Value> = fields.keys().map(|name| (name.clone(), Value::Null)).collect();
            vec![Value::Object(more), Value::Object(nulls)]
        }
        _ => Vec::new(),
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}
