//! Value to text: without white space, and with no more escapes than there must be (RFC 8785, 3.2.2.2).

use super::Value;
use core::fmt;

impl Value {
    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(text) => out.push_str(text),
            Self::String(text) => quote(text, out),
            Self::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    comma(n, out);
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (n, (name, value)) in fields.iter().enumerate() {
                    comma(n, out);
                    field(name, value, out);
                }
                out.push('}');
            }
        }
    }
}

/// An object's text, with its fields in the order in which they are added.
#[derive(Clone, Debug, Default)]
pub struct Fields(String);

impl Fields {
    /// One more; each name is for the caller to use once.
    pub fn add(&mut self, name: &str, value: &Value) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        field(name, value, &mut self.0);
    }

    /// The object, of one field at least.
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn field(name: &str, value: &Value, out: &mut String) {
    quote(name, out);
    out.push(':');
    value.write(out);
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

fn comma(n: usize, out: &mut String) {
    if n > 0 {
        out.push(',');
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20)) {
        let (plain, tail) = rest.split_at_checked(at).unwrap_or_default();
        out.push_str(plain);
        let mut chars = tail.chars();
        chars.next().into_iter().for_each(|special| escape(special, out));
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn escape(special: char, out: &mut String) {
    out.push('\\');
    let short = match special {
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{c}' => 'f',
        '\r' => 'r',
        '"' | '\\' => special,
        _ => {
            out.push_str(if special < '\u{10}' { "u000" } else { "u001" });
            char::from_digit(u32::from(special) & 15, 16).unwrap_or_default()
        }
    };
    out.push(short);
}
