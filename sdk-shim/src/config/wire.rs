//! `google.protobuf.Struct` as it stands on the wire, made a JSON value.
//!
//! Envoy's documentation says that a Struct configuration reaches a plugin as JSON. Envoy 1.36.4 and 1.40.0 hand over the
//! message's own bytes instead. A Struct with any field holds the byte 0x12, which JSON text can't, so the two never mix.

use super::values::decimal;
use crate::json::{Object, Value};

/// Deepest nesting; no configuration of ours comes near, and a hostile one must not exhaust the stack.
const MAX_DEPTH: u32 = 32;
/// As many decimal digits as any double holds.
const DIGITS: usize = 15;

/// Reads the bytes of a Struct; `None` for anything else.
pub(super) fn decode(bytes: &[u8]) -> Option<Value> {
    object(bytes, MAX_DEPTH)
}

/// `Struct { map<string, Value> fields = 1 }`, an entry being `{ string key = 1; Value value = 2 }`.
fn object(mut bytes: &[u8], depth: u32) -> Option<Value> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (1, Wire::Bytes(mut entry)) = field(&mut bytes)? else { return None };
        let (mut name, mut held) = (String::new(), Value::Null);
        while !entry.is_empty() {
            match field(&mut entry)? {
                (1, Wire::Bytes(bytes)) => name = text(bytes)?,
                (2, Wire::Bytes(bytes)) => held = value(bytes, depth.checked_sub(1)?)?,
                _ => return None,
            }
        }
        fields.push((name, held));
    }
    Object::new(fields).ok().map(Value::Object)
}

/// `Value { oneof { null = 1; double = 2; string = 3; bool = 4; Struct = 5; ListValue = 6 } }`; the last one counts.
fn value(mut bytes: &[u8], depth: u32) -> Option<Value> {
    let mut last = Value::Null;
    while !bytes.is_empty() {
        last = match field(&mut bytes)? {
            (1, Wire::Number(_)) => Value::Null,
            (2, Wire::Number(bits)) => number(f64::from_bits(bits)),
            (3, Wire::Bytes(bytes)) => Value::String(text(bytes)?),
            (4, Wire::Number(bit)) => Value::Bool(bit != 0),
            (5, Wire::Bytes(bytes)) => object(bytes, depth)?,
            (6, Wire::Bytes(bytes)) => list(bytes, depth)?,
            _ => return None,
        };
    }
    Some(last)
}

/// `ListValue { repeated Value values = 1 }`.
fn list(mut bytes: &[u8], depth: u32) -> Option<Value> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let (1, Wire::Bytes(item)) = field(&mut bytes)? else { return None };
        items.push(value(item, depth.checked_sub(1)?)?);
    }
    Some(Value::Array(items))
}

/// Numbers look as they were written: 20, not 20.0, and 0.3, not 0.299999999999999989; of more than [`DIGITS`] digits, that many are sure. JSON has
/// nothing for infinities and no-numbers.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "see the bounds"
)]
fn number(double: f64) -> Value {
    if !double.is_finite() {
        return Value::Null;
    }
    let size = double.abs();
    let places = DIGITS.saturating_sub((size as u64).to_string().len());
    let scaled = (size * 10_u64.pow(places as u32) as f64).round() as u64;
    let sign = if double < 0.0 { "-" } else { "" };
    Value::Number(format!("{sign}{}", decimal(scaled, places)))
}

fn text(bytes: &[u8]) -> Option<String> {
    core::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// A field's content, in the wire types that a Struct uses.
enum Wire<'a> {
    /// A varint, or the bits of a double.
    Number(u64),
    Bytes(&'a [u8]),
}

/// Takes one field off the front.
#[inline(never)] // five callers, and a module has a size to keep
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let tag = varint(bytes)?;
    let wire = match tag & 7 {
        0 => Wire::Number(varint(bytes)?),
        1 => Wire::Number(u64::from_le_bytes(*take(bytes, 8)?.first_chunk()?)),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Wire::Bytes(take(bytes, length)?)
        }
        _ => return None,
    };
    Some((tag >> 3, wire))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

#[inline(never)]
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_is_the_json_that_was_meant() {
        // {"a": 20, "b": [null, true, "x", 0.5], "c": {}} as protoc encodes it.
        let bytes = [
            &b"\x0a\x0e\x0a\x01a\x12\x09\x11\0\0\0\0\0\0\x34\x40"[..],
            b"\x0a\x1f\x0a\x01b\x12\x1a\x32\x18\x0a\x02\x08\0\x0a\x02\x20\x01\x0a\x03\x1a\x01x\x0a\x09\x11\0\0\0\0\0\0\xe0\x3f",
            b"\x0a\x07\x0a\x01c\x12\x02\x2a\0",
        ];
        let meant = r#"{"a":20,"b":[null,true,"x",0.5],"c":{}}"#;
        assert_eq!(decode(&bytes.concat()).map(|value| value.to_string()).as_deref(), Some(meant));
    }

    #[test]
    fn a_double_is_the_number_that_was_written() {
        for (double, text) in [
            (0.0, "0"),
            (-20.0, "-20"),
            (0.6, "0.6"),
            (0.1 + 0.2, "0.3"),
            (-2.675, "-2.675"),
            (123_456.7, "123456.7"),
            (1e-6, "0.000001"),
            (9_007_199_254_740_992.0, "9007199254740992"),
        ] {
            assert_eq!(number(double).to_string(), text);
        }
        assert_eq!([number(f64::NAN), number(f64::NEG_INFINITY)], [Value::Null, Value::Null]);
        assert_eq!(number(3.000_000_000_1).to_string(), "3.0000000001", "and is no whole number where it wasn't");
    }

    #[test]
    fn what_is_broken_is_none() {
        for bad in [
            &b"{"[..],
            b"\n{",
            b"\x0a",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x0a\x03\x0a\x01\xff",
            b"\x12\0",
        ] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
