//! What state is kept per.
//!
//! A key is a list of parts, such as `["route"]` or `["route", "header:x-tenant"]`. Values become labels of metrics and names
//! of cells, so they are cut and cleaned: only `A-Z a-z 0-9 _ . -` survive, and a value that was changed carries 8 hex digits of
//! its SHA-256, so that two values never become one. Parts are joined by `--`, which a clean value can't hold.
//!
//! `route` works without thinking: an unnamed route, or one named `default` as Istio does, is `<virtual host>--<cluster>`.

use crate::config::Reader;
use crate::host::{Host, Map};
use crate::path::without_query;
use sha2::{Digest, Sha256};

/// The key of everything beyond the registry's bound.
pub const OTHER: &str = "_other";
/// What stands where a part has no value.
pub const NONE: &str = "_none";
/// Longest value of one part, in bytes, before it is cut.
const MAX_VALUE: usize = 48;
/// Longest key, in bytes, before it is cut; leaves room for a metric's name on `WasmX`.
pub const MAX_KEY: usize = 100;

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The virtual host's name.
    VirtualHost,
    /// The route's name, or virtual host and cluster.
    Route,
    /// The cluster's (Envoy) or service's (Kong) name.
    Cluster,
    /// The request's method.
    Method,
    /// A request header's value: client-chosen.
    Header(String),
    /// The path's first segments: client-chosen.
    Path(usize),
    /// The address of the upstream host (upstream chain only).
    UpstreamHost,
}

impl Part {
    /// Reads `route`, `header:x-tenant`, `path:2`, ...; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "virtual_host" => Some(Self::VirtualHost),
            "route" => Some(Self::Route),
            "cluster" => Some(Self::Cluster),
            "method" => Some(Self::Method),
            "upstream_host" => Some(Self::UpstreamHost),
            _ => Self::parse_with_argument(text),
        }
    }

    fn parse_with_argument(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("header", name) if is_header_name(name) => Some(Self::Header(name.to_owned())),
            // One spelling each: what `parse` takes, `+3` and `03`, no schema would.
            ("path", n) => match *n.as_bytes() {
                [digit @ b'1'..=b'8'] => Some(Self::Path(usize::from(digit - b'0'))),
                _ => None,
            },
            _ => None,
        }
    }

    /// As the configuration spells it.
    pub fn name(&self) -> String {
        match self {
            Self::VirtualHost => "virtual_host".into(),
            Self::Route => "route".into(),
            Self::Cluster => "cluster".into(),
            Self::Method => "method".into(),
            Self::UpstreamHost => "upstream_host".into(),
            Self::Header(name) => format!("header:{name}"),
            Self::Path(n) => format!("path:{n}"),
        }
    }

    /// Whether a client chooses the value.
    pub const fn is_client_chosen(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Path(_) | Self::Method)
    }
}

/// A header's name as the configuration may spell it: lower case, no pseudo-header.
pub fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
}

/// A validated, non-empty list of parts, and the values that client-chosen parts may take.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeySpec {
    parts: Vec<Part>,
    /// (part, allowed values); parts without an entry may take any value, within the registry's quota.
    allow: Vec<(Part, Vec<String>)>,
}

/// A key before it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What distinguishes it, as raw bytes, for a VM's own map.
    pub raw: Vec<u8>,
}

impl KeySpec {
    /// Per route.
    pub fn route() -> Self {
        Self { parts: vec![Part::Route], allow: Vec::new() }
    }

    /// Reads the fields `key` and `key_allow`.
    pub fn read(read: &mut Reader<'_>) -> Self {
        let allowed = r#""virtual_host", "route", "cluster", "method", "upstream_host", "header:<lower-case name>" or "path:<1..8>""#;
        let parts = read.list("key", vec![Part::Route], allowed, |item| item.as_str().and_then(Part::parse));
        if parts.is_empty() || parts.len() > 4 {
            read.fault("key", format!("{} usable parts", parts.len()), "1 to 4 parts");
        }
        let allow = read.object("key_allow", |read| read_allow(read, &parts)).unwrap_or_default();
        Self { parts, allow }
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// As text, for hashes and logs.
    pub fn describe(&self) -> String {
        self.parts.iter().map(Part::name).collect::<Vec<_>>().join(",")
    }

    /// Whether a client chooses any part without an allow-list, so that the registry's quota applies.
    pub fn is_client_chosen(&self) -> bool {
        self.parts.iter().any(|part| part.is_client_chosen() && self.allowed(part).is_none())
    }

    fn allowed(&self, part: &Part) -> Option<&[String]> {
        self.allow.iter().find(|(known, _)| known == part).map(|(_, values)| values.as_slice())
    }

    /// Reads the key of the current request: one host call per part (three for an unnamed route).
    pub fn capture<H: Host>(&self, host: &H) -> Key {
        // The common key, one named route, is its own raw form.
        if let [Part::Route] = self.parts.as_slice() {
            return Key { raw: value_of(host, &Part::Route) };
        }
        let mut raw = Vec::new();
        for part in &self.parts {
            let mut value = value_of(host, part);
            value.truncate(1_024);
            raw.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
            raw.extend_from_slice(&value);
        }
        Key { raw }
    }

    /// The clean name of a captured key; `None` where a value is not on its allow-list.
    pub fn name(&self, key: &Key) -> Option<String> {
        let mut values = Vec::with_capacity(self.parts.len());
        for (part, value) in self.parts.iter().zip(self.values(key)) {
            let clean = clean_part(part, value);
            if self.allowed(part).is_some_and(|allowed| !allowed.iter().any(|known| known.as_bytes() == value)) {
                return None;
            }
            values.push(clean);
        }
        Some(cut(values.join("--"), MAX_KEY))
    }

    /// The name of the key that stands in for `key` where clients have used up their quota: their parts become `_other`.
    pub fn name_without_clients(&self, key: &Key) -> String {
        let values = self.parts.iter().zip(self.values(key));
        let kept = values
            .map(|(part, value)| if part.is_client_chosen() { OTHER.to_owned() } else { clean_part(part, value) });
        cut(kept.collect::<Vec<_>>().join("--"), MAX_KEY)
    }

    fn values<'a>(&self, key: &'a Key) -> Vec<&'a [u8]> {
        if self.parts.len() == 1 && self.parts.first() == Some(&Part::Route) {
            return vec![&key.raw];
        }
        let (mut rest, mut values) = (key.raw.as_slice(), Vec::new());
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let Some((value, tail)) = tail.split_at_checked(usize::from(u16::from_le_bytes(*length))) else { break };
            values.push(value);
            rest = tail;
        }
        values
    }
}

fn read_allow(read: &mut Reader<'_>, parts: &[Part]) -> Vec<(Part, Vec<String>)> {
    let mut allow = Vec::new();
    for name in read.names() {
        let part = Part::parse(name).filter(|part| part.is_client_chosen() && parts.contains(part));
        let values = read.strings_of(name, "a text", |text| !text.is_empty() && text.len() <= 256);
        match part {
            Some(part) => allow.push((part, values)),
            None => read.fault(
                name,
                "no client-chosen part of `key`",
                "\"header:<name>\", \"path:<n>\" or \"method\", as in `key`",
            ),
        }
    }
    allow
}

/// The separator between virtual host and cluster of an unnamed route, in raw form; no name holds it.
const UNNAMED: u8 = 0;

fn value_of<H: Host>(host: &H, part: &Part) -> Vec<u8> {
    let found = match part {
        Part::Route => return route(host),
        Part::VirtualHost => property(host, host.capabilities().virtual_host),
        Part::Cluster => property(host, host.capabilities().cluster),
        Part::Method => host.header(Map::RequestHeaders, ":method"),
        Part::Header(name) => host.header(Map::RequestHeaders, name),
        Part::Path(n) => host.header(Map::RequestHeaders, ":path").map(|path| first_segments(&path, *n)),
        Part::UpstreamHost => host.property(&["upstream", "address"]),
    };
    found.unwrap_or_default()
}

fn property<H: Host>(host: &H, path: &[&str]) -> Option<Vec<u8>> {
    if path.is_empty() { None } else { host.property(path) }
}

fn route<H: Host>(host: &H) -> Vec<u8> {
    let caps = host.capabilities();
    match property(host, caps.route) {
        Some(name) if !name.is_empty() && name != b"default" => name,
        _ => {
            let mut raw = property(host, caps.virtual_host).unwrap_or_default();
            raw.push(UNNAMED);
            raw.extend(property(host, caps.cluster).unwrap_or_default());
            raw
        }
    }
}

fn first_segments(path: &[u8], n: usize) -> Vec<u8> {
    let path = without_query(path);
    let segments = path.split(|b| *b == b'/').filter(|segment| !segment.is_empty()).take(n);
    segments.flat_map(|segment| [b"/", segment].concat()).collect()
}

fn clean_part(part: &Part, value: &[u8]) -> String {
    if *part == Part::Route && value.contains(&UNNAMED) {
        let halves: Vec<String> = value.split(|b| *b == UNNAMED).map(|half| clean(half, MAX_VALUE)).collect();
        return halves.join("--");
    }
    clean(value, MAX_VALUE)
}

/// A value in the characters that a label may have; one that had to be changed or cut ends in `-` and 8 hex digits of its hash.
pub fn clean(value: &[u8], max: usize) -> String {
    if value.is_empty() {
        return NONE.to_owned();
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let text: String = value.iter().take(max).map(|b| if legal(*b) { char::from(*b) } else { '_' }).collect();
    // `--` joins parts, `_` begins our own words, and a `-` at either end would blur into the join.
    let changed = value.len() > max || !value.iter().all(|b| legal(*b)) || ambiguous(&text);
    if changed { format!("{}-{}", apart(&text), digest(value)) } else { text }
}

/// Whether a text holds the `--` that joins the parts of a key.
pub fn has_separator(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| pair == b"--")
}

fn ambiguous(text: &str) -> bool {
    has_separator(text) || ends_in_digest(text) || text.starts_with(['-', '_']) || text.ends_with('-')
}

/// Whether a text ends as a changed one does, in `-` and 8 hex digits.
fn ends_in_digest(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((_, tail)) = bytes.len().checked_sub(9).and_then(|at| bytes.split_at_checked(at)) else { return false };
    tail.first() == Some(&b'-') && tail.iter().skip(1).all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// Without what would be ambiguous: each `-` after a `-` becomes `_`, none at either end.
fn apart(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim_matches(['-', '_']).chars() {
        out.push(if c == '-' && out.ends_with('-') { '_' } else { c });
    }
    out
}

fn cut(text: String, max: usize) -> String {
    if text.len() <= max {
        return text;
    }
    let head: String = text.chars().take(max - 9).collect();
    format!("{head}-{}", digest(text.as_bytes()))
}

/// Whether a key stands in for values that are not keys themselves. No clean value is or begins with [`OTHER`]'s `_`, so such
/// a part is always ours.
pub fn is_stand_in(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.windows(OTHER.len()).enumerate().any(|(at, part)| {
        let (before, after) = (bytes.get(..at).unwrap_or_default(), bytes.get(at + OTHER.len()..).unwrap_or_default());
        part == OTHER.as_bytes()
            && (before.is_empty() || before.ends_with(b"--"))
            && (after.is_empty() || after.starts_with(b"--"))
    })
}

/// The first 8 hex digits of the SHA-256.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let first = hash.first_chunk::<4>().map_or(0, |first| u32::from_be_bytes(*first));
    format!("{first:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_read_or_refused() {
        assert_eq!(Part::parse("header:x-tenant"), Some(Part::Header("x-tenant".into())));
        assert_eq!(Part::parse("path:2"), Some(Part::Path(2)));
        for bad in [
            "",
            "Route",
            "header:",
            "header:X-A",
            "header::path",
            "path:0",
            "path:9",
            "path:03",
            "path:+3",
            "path:x",
            "cookie:a",
        ] {
            assert_eq!(Part::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_unnamed_route_is_no_named_one() {
        let spec = KeySpec::route();
        let unnamed = spec.name(&Key { raw: b"shop\0orders".to_vec() });
        assert_eq!(unnamed.as_deref(), Some("shop--orders"));
        let named = spec.name(&Key { raw: b"shop--orders".to_vec() });
        assert_ne!(unnamed, named);
    }

    #[test]
    fn segments_stop_at_the_query() {
        assert_eq!(first_segments(b"/a/b/c?x=/d", 2), b"/a/b");
        assert_eq!(first_segments(b"//a", 2), b"/a");
        assert_eq!(first_segments(b"*", 1), b"/*");
    }

    proptest! {
        #[test]
        fn clean_values_are_labels_and_stay_apart(a in prop::collection::vec(any::<u8>(), 0..80), b in prop::collection::vec(any::<u8>(), 0..80)) {
            let (x, y) = (clean(&a, MAX_VALUE), clean(&b, MAX_VALUE));
            prop_assert!(x.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c)));
            prop_assert!(x.len() <= MAX_VALUE + 9 && !x.contains("--"), "{x}");
            prop_assert_eq!(a == b, x == y);
        }
    }
}
