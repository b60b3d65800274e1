//! Configuration: a JSON value becomes a policy, or EVERY fault in it is told at once.
//!
//! `serde` stops at the first fault, so an operator with three typing errors needs three deployments to find them. A
//! [`Reader`] walks an object field by field, notes what is wrong with each (JSON path, what was found, what is allowed)
//! and lets the walk go on. Unknown fields are faults; nothing is clamped and nothing is dropped.
//!
//! ```
//! use sdk_shim::config::{Bounds, Reader, parse};
//! use std::time::Duration;
//! let value = parse(br#"{"window": "10x", "colour": 1}"#).unwrap();
//! let faults = Reader::root(&value, |read| {
//!     read.duration("window", Duration::from_secs(10), Bounds::new(Duration::from_secs(1), Duration::from_secs(60)))
//! }).unwrap_err();
//! assert_eq!(faults.len(), 2);
//! assert!(faults.to_string().contains(r#"$.window: found "10x""#));
//! ```

mod reader;
mod values;
mod wire;

pub use reader::{Bounds, Reader, path_of};
pub use values::{duration, shown, whole};

use crate::json::{Object, Value, read};
use core::fmt;

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where: a JSON path that starts at `$`.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}, allowed: {}", self.path, self.found, self.allowed)
    }
}

/// Everything wrong with a configuration, in the order of reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// A list of one.
    pub fn one(path: &str, found: impl Into<String>, allowed: impl Into<String>) -> Self {
        let mut faults = Self::default();
        faults.push(path, found, allowed);
        faults
    }

    /// Notes one more.
    pub fn push(&mut self, path: &str, found: impl Into<String>, allowed: impl Into<String>) {
        self.0.push(Fault { path: path.to_owned(), found: found.into(), allowed: allowed.into() });
    }

    /// Takes over others.
    pub fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> core::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = core::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl core::error::Error for Faults {}

/// Reads JSON text, or a protobuf Struct as Envoy hands it over; an empty text is `{}`, as for an absent configuration.
pub fn parse(bytes: &[u8]) -> Result<Value, Faults> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Object::default()));
    }
    let no_json = |error: String| Faults::one("$", format!("no clean JSON ({error})"), "a JSON object");
    read(bytes).or_else(|error| wire::decode(bytes).ok_or_else(|| no_json(error)))
}

/// Reads a whole configuration with `read`; what `check` finds wrong with the result is told together with everything else.
pub fn read_and<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> T,
    check: impl FnOnce(&T) -> Faults,
) -> Result<T, Faults> {
    let value = parse(bytes)?;
    Reader::root(&value, |reader| {
        let policy = read(reader);
        reader.adopt(check(&policy));
        policy
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_with_its_path() {
        let value = parse(br#"{"a": {"b": -1, "x y": 0}, "c": [1, "two", 3], "d": 7}"#).unwrap();
        let faults = Reader::root(&value, |read| {
            read.object("a", |read| read.integer("b", 0, Bounds::new(0, 9)));
            read.list("c", vec![], "a whole number", whole);
        })
        .unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "$.a.b: found -1, allowed: a whole number from 0 to 9",
                "$.a[\"x y\"]: found an unknown field, allowed: one of b",
                "$.c[1]: found \"two\", allowed: a whole number",
                "$.d: found an unknown field, allowed: one of a, c",
            ]
        );
    }

    #[test]
    fn a_root_that_is_no_object_is_a_fault() {
        assert!(parse(b" ").is_ok());
        assert!(parse(b"{").is_err());
        assert!(Reader::root(&Value::Array(vec![]), |_| ()).is_err());
    }
}
