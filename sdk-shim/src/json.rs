//! JSON as it was written: configurations, bodies, and the lines and answers that we write.
//!
//! `serde_json` reads numbers as doubles, keeps the last of two fields with one name, and is 30 to 50 KB of a module: its maps, two ways to read a
//! double and two to print one (docs/adr/0009). Here a number stays the text that it was, so that nothing is rounded; a field that is there twice is an error, for two
//! readers may take two values from it; and fields are sorted as RFC 8785 has them, so that what is written is canonical but for the numbers.
//!
//! ```
//! use sdk_shim::json::{Value, read};
//! let value = read(br#" {"b": [1.50, "\u0041"], "a": null} "#).unwrap();
//! assert_eq!(value.to_string(), r#"{"a":null,"b":[1.50,"A"]}"#);
//! assert_eq!(read(br#"{"a": 1, "a": 2}"#).unwrap_err(), "the field \"a\" is there twice at line 1 column 17");
//! ```

mod decimal;
mod object;
mod read;
mod write;

pub use decimal::Decimal;
pub use object::Object;
pub use read::{MAX_DEPTH, MAX_VALUES, read, read_with};
pub use write::Fields;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A text, without quotes and escapes.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// Fields by name.
    Object(Object),
}

// === impl Value ===

impl Value {
    /// Whether it is `null`.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// `true` or `false`.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// A list.
    pub const fn as_array(&self) -> Option<&Vec<Self>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// A number, nearly ([`Decimal::to_f64`]).
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(text) => Some(Decimal::of(text).to_f64()),
            _ => None,
        }
    }

    /// What a JSON Pointer (RFC 6901) points at.
    pub fn pointer_mut(&mut self, pointer: &str) -> Option<&mut Self> {
        pointer.split('/').skip(1).try_fold(self, |value, token| match value {
            Self::Object(fields) => fields.get_mut(&unescaped(token)),
            Self::Array(items) => items.get_mut(index(token)?),
            _ => None,
        })
    }
}

/// A part of a JSON Pointer as a field's name.
pub fn unescaped(token: &str) -> String {
    let mut parts = token.split('~');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        name.push(if part.starts_with('1') { '/' } else { '~' });
        name.push_str(part.get(1..).unwrap_or_default());
    }
    name
}

/// A part of a JSON Pointer as an array's index.
fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (token == "0" || !token.starts_with('0'))).then(|| token.parse().ok())?
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}
