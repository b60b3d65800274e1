//! The canonical form of a JSON body (RFC 8785, JCS), so that a retry whose fields come in another order is the same request.
//!
//! Some texts have no canonical form that all services agree on, or one that another payment has too. They are **not JSON to us**, and count as
//! bytes, which is stricter and never wrong:
//!
//! - a field that an object has twice: one service takes the first, another the last;
//! - `NaN`, `Infinity` and lone surrogates (`"\ud800"`), which are no JSON;
//! - numbers that a double doesn't tell from their neighbours: JCS rounds to doubles, so that `9007199254740993` would be `9007199254740992`, and
//!   `1e-400` nothing. A number must have the digits of its own canonical form. Those have them that `JavaScript`, Python or `serde_json` write
//!   from a double, and all of at most 15 digits above 1e-307. So no two numbers are ever alike, and `1.0`, `1e0` and `1` are one;
//! - numbers beyond a double's range (`1e400`);
//! - nesting beyond 127 levels, which is where [`json`] stops;
//! - anything that isn't UTF-8, or isn't JSON.
//!
//! `serde_json_canonicalizer` is the well-kept library, and the tests' reference model. It isn't in the module: it writes each nested value once
//! per level into buffers of their own, which took 6 times as long, and it is 97 KB of module together with `serde_json`. Here [`json`] sorts fields
//! and writes strings as JCS wants it, and what is hard, ECMAScript's numbers, is left to `ryu-js`.

use crate::encoding::Encoding;
use core::fmt;
use sdk_shim::json::{self, Decimal, Value, unescaped};

/// A whole number of this many digits is canonical: any double tells it apart.
const SURE: usize = 15;

/// Which values of a body count, as JSON Pointers (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointers {
    chosen: Vec<String>,
    excluded: Vec<String>,
}

/// A text that is no JSON Pointer, or none that can be used there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPointer(pub String);

// === impl Pointers ===

impl Default for Pointers {
    /// The whole body.
    fn default() -> Self {
        Self { chosen: vec![String::new()], excluded: Vec::new() }
    }
}

impl Pointers {
    /// The values at `chosen` (`""` is the whole body), without those at `excluded`, whose order doesn't matter. With nothing chosen, nothing
    /// of a JSON body counts. The whole can't be excluded.
    pub fn new(chosen: Vec<String>, excluded: Vec<String>) -> Result<Self, BadPointer> {
        let bad = chosen.iter().find(|text| !is_pointer(text));
        match bad.or_else(|| excluded.iter().find(|text| text.is_empty() || !is_pointer(text))) {
            Some(bad) => Err(BadPointer(bad.clone())),
            None => Ok(Self { chosen: set(chosen), excluded: set(excluded) }),
        }
    }

    /// Adds what is chosen to what tells one selection from another.
    pub fn describe(&self, encoding: &mut Encoding) {
        encoding.list(&self.chosen).list(&self.excluded);
    }

    /// Adds the values that count, each in canonical form; one that isn't there is something else than `null`.
    pub fn encode(&self, mut body: Value, encoding: &mut Encoding) {
        for pointer in &self.excluded {
            exclude(&mut body, pointer);
        }
        for pointer in &self.chosen {
            match body.pointer_mut(pointer) {
                Some(value) => encoding.list(&[canonical(value)]),
                None => encoding.list::<&[u8]>(&[]),
            };
        }
    }
}

/// In an order of their own, each once.
pub(crate) fn set(list: Vec<String>) -> Vec<String> {
    let mut set: Vec<String> = Vec::with_capacity(list.len());
    for text in list {
        if let Err(at) = set.binary_search(&text) {
            set.insert(at, text);
        }
    }
    set
}

fn is_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/')) && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// A field goes; an array's item becomes `null`, so that the others keep their places.
fn exclude(body: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(fields)) = body.pointer_mut(parent) {
        fields.remove(&unescaped(name));
    } else if let Some(item) = body.pointer_mut(pointer) {
        *item = Value::Null;
    }
}

impl fmt::Display for BadPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no JSON Pointer that can be used here", self.0)
    }
}

impl core::error::Error for BadPointer {}

/// Whether a content type says JSON: `application/json`, or any `+json`.
pub fn is_json(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let tail = kind.len().checked_sub(b"+json".len()).and_then(|at| kind.get(at..));
    kind.eq_ignore_ascii_case(b"application/json") || tail.is_some_and(|tail| tail.eq_ignore_ascii_case(b"+json"))
}

/// Reads a body; `None` for what is not JSON to us. Its numbers are in canonical form.
pub fn read(body: &[u8]) -> Option<Value> {
    json::read_with(body, &number).ok()
}

/// The canonical form of what was read (RFC 8785, 3.2).
pub fn canonical(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A number as ECMAScript writes the double that has the same digits; `None` where there is none.
fn number(text: &str) -> Option<String> {
    if text.len() <= SURE && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    let decimal = Decimal::of(text);
    if decimal.mantissa == 0 {
        return Some("0".to_owned());
    }
    // The right one is near, and is the one that is written with these digits.
    let nearest = decimal.to_f64().to_bits();
    let near = (0..=2 * Decimal::OFF).map(|n| match n % 2 {
        0 => nearest.wrapping_add(n / 2),
        _ => nearest.wrapping_sub(n / 2 + 1),
    });
    near.map(f64::from_bits).filter(|double| double.is_finite()).find_map(|double| {
        let mut buffer = ryu_js::Buffer::new();
        let written = buffer.format_finite(double);
        (Decimal::of(written) == decimal).then(|| written.to_owned())
    })
}
