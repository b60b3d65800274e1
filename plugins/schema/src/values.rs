//! Durations, ratios and whole numbers, each with its bounds and in every spelling that [`sdk_shim::config::Reader`] takes.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// Milliseconds.
pub const SECOND: u64 = 1_000;
/// Milliseconds.
pub const MINUTE: u64 = 60 * SECOND;
/// Milliseconds.
pub const HOUR: u64 = 60 * MINUTE;
/// Parts per million in one.
pub const ONE: u64 = 1_000_000;

/// Numbers that doubles, and so Lua and protobuf, hold exactly.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", SECOND), ("m", MINUTE), ("h", HOUR)];

/// A duration of `LEAST` to `MOST` milliseconds, as a text with a unit or as whole milliseconds.
#[derive(Debug, Default)]
pub struct Time<const LEAST: u64, const MOST: u64>;

/// A whole number from `LEAST` to `MOST`.
#[derive(Debug, Default)]
pub struct Whole<const LEAST: u64, const MOST: u64>;

/// A number from `LEAST` to `MOST` parts per million, or as a text with a point: Envoy's YAML reader makes texts of decimals.
#[derive(Debug, Default)]
pub struct Decimal<const LEAST: u64, const MOST: u64>;

/// A share from 0 to 1.
pub type Ratio = Decimal<0, ONE>;
/// A share above 0.
pub type Share = Decimal<1, ONE>;

/// Says what a type is; each is written where it is used.
macro_rules! bounded {
    ($name:ident, $schema:expr) => {
        impl<const LEAST: u64, const MOST: u64> JsonSchema for $name<LEAST, MOST> {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                format!("{}_from_{LEAST}_to_{MOST}", stringify!($name)).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema(LEAST, MOST)
            }
        }
    };
}

bounded!(Time, time);
bounded!(Whole, whole);
bounded!(Decimal, decimal);

fn time(least: u64, most: u64) -> Schema {
    let of_unit = |(unit, scale): (&str, u64)| {
        let (least, most) = (least.div_ceil(scale), most / scale);
        (least <= most).then(|| format!("0*(?:{}){unit}", digits(least, most)))
    };
    let units: Vec<String> = UNITS.into_iter().filter_map(of_unit).collect();
    let pattern = format!("^(?:{})$", units.join("|"));
    json_schema!({"type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": pattern})
}

fn whole(least: u64, most: u64) -> Schema {
    json_schema!({"type": "integer", "minimum": least, "maximum": most})
}

/// Bounds are 0, the smallest part or whole numbers.
fn decimal(least: u64, most: u64) -> Schema {
    let above_zero = if least == 0 { "" } else { "(?!0+[.]0+$)" };
    let below = digits(least / ONE, most / ONE - 1);
    let pattern =
        format!("^(?=[0-9]{{1,6}}[.]){above_zero}0*(?:(?:{below})[.][0-9]{{1,6}}|{}[.]0{{1,6}})$", most / ONE);
    json_schema!({"type": ["number", "string"], "minimum": number(least), "maximum": number(most), "pattern": pattern})
}

/// `1` and not `1.0`, which is how people write it.
#[expect(clippy::cast_precision_loss, reason = "a few millions")]
fn number(ppm: u64) -> serde_json::Value {
    if ppm.is_multiple_of(ONE) { (ppm / ONE).into() } else { (ppm as f64 / ONE as f64).into() }
}

/// A regular expression for the numbers from `least` to `most` without zeros in front.
///
/// ```
/// assert_eq!(config_schema::values::digits(7, 123), "[7-9]|[1-9][0-9]|1[0-1][0-9]|12[0-3]");
/// ```
pub fn digits(least: u64, most: u64) -> String {
    let (mut blocks, mut start) = (Vec::new(), least);
    while start <= most {
        // The widest block of numbers that begin alike and end in anything.
        let mut span = 1;
        while start > 0 && start.is_multiple_of(span * 10) && start + span * 10 - 1 <= most {
            span *= 10;
        }
        let digit = start / span % 10;
        let end = (digit + (most - start + 1) / span - 1).min(9);
        blocks.push(block(start / span / 10, (digit, end), span.ilog10()));
        start += (end - digit + 1) * span;
    }
    blocks.join("|")
}

/// Numbers that begin with `head`, go on with one of these digits, and end in so many of any.
fn block(head: u64, (first, end): (u64, u64), any: u32) -> String {
    let head = if head == 0 { String::new() } else { head.to_string() };
    let digit = if first == end { first.to_string() } else { format!("[{first}-{end}]") };
    let tail = match any {
        0 => String::new(),
        1 => "[0-9]".to_owned(),
        n => format!("[0-9]{{{n}}}"),
    };
    format!("{head}{digit}{tail}")
}
