//! Single values: durations, whole numbers, decimals, and how a fault shows them.

use crate::json::Value;
use core::time::Duration;

/// A value as a fault shows it: at most 60 characters, so that a log line stays one.
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(57).chain("...".chars()).collect() }
}

/// `250ms`, `10s`, `2m`, `1h` or whole milliseconds.
pub fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::String(text) => {
            let split = text.find(|c: char| !c.is_ascii_digit())?;
            let (digits, unit) = text.split_at_checked(split)?;
            let scale = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return None,
            };
            digits.parse::<u64>().ok()?.checked_mul(scale).map(Duration::from_millis)
        }
        _ => whole(value).map(Duration::from_millis),
    }
}

/// A whole, non-negative number below 2^53, whether written `20` or `20.0`.
pub fn whole(value: &Value) -> Option<u64> {
    let limit = 1u64 << 53;
    // Exact: integral doubles below 2^53 convert without loss.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0 && *n <= limit as f64).map(|n| n as u64)
}

/// `"0.5"`: Envoy's YAML reader makes texts of all decimals inside a protobuf Struct.
fn decimal_text(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty();
    if !digits(whole) || !digits(decimals) || decimals.len() > 6 || whole.len() > 6 {
        return None;
    }
    format!("{whole}{decimals:0<6}").parse().ok()
}

/// A number in parts per million; `None` below zero, above a million, or with more than 6 decimals.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn millionths(value: &Value) -> Option<u64> {
    if let Some(text) = value.as_str() {
        return decimal_text(text);
    }
    let number = value.as_f64().filter(|n| (0.0..=1e6).contains(n))?;
    let scaled = (number * 1e6).round();
    // A double of 6 decimals is off by far less than this; a 7th decimal is off by at least 0.1.
    ((number * 1e6 - scaled).abs() < 1e-3).then_some(scaled as u64)
}

/// A number with so many decimals, without zeros at its end.
pub(super) fn decimal(scaled: u64, places: usize) -> String {
    let digits = format!("{scaled:0width$}", width = places + 1);
    let (whole, decimals) = digits.split_at_checked(digits.len() - places).unwrap_or_default();
    match decimals.trim_end_matches('0') {
        "" => whole.to_owned(),
        decimals => format!("{whole}.{decimals}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;

    fn value(json: &str) -> Value {
        read(json.as_bytes()).unwrap()
    }

    #[test]
    fn durations_have_one_form() {
        assert_eq!(duration(&value(r#""250ms""#)), Some(Duration::from_millis(250)));
        assert_eq!(duration(&value(r#""2m""#)), Some(Duration::from_secs(120)));
        for millis in ["3000", "3000.0", "3e3", "30000e-1"] {
            assert_eq!(duration(&value(millis)), Some(Duration::from_secs(3)), "{millis}");
        }
        for bad in ["10", "s", "1.5s", " 1s", "-1s", "", "99999999999999999999s"] {
            assert_eq!(duration(&Value::from(bad)), None, "{bad}");
        }
        for bad in ["-1", "1.5", "1e400", "null"] {
            assert_eq!(duration(&value(bad)), None, "{bad}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(millionths(&value("0.6")), Some(600_000));
        assert_eq!(millionths(&value("0.30000000000000004")), Some(300_000), "what programs write for 0.1 + 0.2");
        assert_eq!(millionths(&value("0.000001")), Some(1));
        assert_eq!(millionths(&value("0.0000001")), None);
        assert_eq!(millionths(&value("-0.1")), None);
        assert_eq!(millionths(&Value::from("1.25")), Some(1_250_000));
        for bad in ["1", ".5", "1.", "-0.5", "0.0000001", "0.5 ", ""] {
            assert_eq!(millionths(&Value::from(bad)), None, "{bad}");
        }
        assert_eq!(decimal(1_500_000, 6), "1.5");
        assert_eq!(decimal(0, 6), "0");
        assert_eq!(decimal(20, 0), "20");
    }
}
