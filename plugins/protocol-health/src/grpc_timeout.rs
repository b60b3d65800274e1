//! `grpc-timeout`: one to eight digits and a unit (gRPC over HTTP/2, "Timeout").

use core::time::Duration;

/// Most digits, by the specification.
const DIGITS: usize = 8;

/// What a client says that it waits. `None` where it isn't the specification's form: white space, signs and a ninth digit aren't.
///
/// ```
/// use core::time::Duration;
/// use protocol_health::grpc_timeout::parse;
///
/// assert_eq!(parse(b"250m"), Some(Duration::from_millis(250)));
/// assert_eq!(parse(b"250"), None);
/// ```
pub fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0, |amount, digit| amount * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3_600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The same to be sent on: the finest unit in which it has at most eight digits, rounded down, so that nobody is told of more time than there
/// is. What is longer than eight digits of hours is said as that.
///
/// ```
/// use core::time::Duration;
/// use protocol_health::grpc_timeout::write;
///
/// assert_eq!(write(Duration::from_millis(1_500)), "1500000u");
/// assert_eq!(write(Duration::ZERO), "0n");
/// ```
pub fn write(timeout: Duration) -> String {
    const MOST: u128 = 99_999_999;
    const UNITS: [(u128, char); 6] = [
        (1, 'n'),
        (1_000, 'u'),
        (1_000_000, 'm'),
        (1_000_000_000, 'S'),
        (60_000_000_000, 'M'),
        (3_600_000_000_000, 'H'),
    ];
    let nanos = timeout.as_nanos();
    let fits = |(size, _): &&(u128, char)| nanos / size <= MOST;
    let (size, unit) = UNITS.iter().find(fits).copied().unwrap_or(UNITS[5]);
    format!("{}{unit}", (nanos / size).min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_unit_is_what_the_specification_says() {
        let seconds = |value: &str| parse(value.as_bytes()).map(|timeout| timeout.as_secs_f64());
        assert_eq!(seconds("1H"), Some(3_600.0));
        assert_eq!(seconds("2M"), Some(120.0));
        assert_eq!(seconds("3S"), Some(3.0));
        assert_eq!(seconds("99999999n"), Some(0.099_999_999));
        assert_eq!((seconds("4m"), seconds("5u"), seconds("0S")), (Some(0.004), Some(0.000_005), Some(0.0)));
        assert_eq!(parse(b"99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
    }

    #[test]
    fn anything_else_is_no_timeout() {
        for value in ["", "S", "1", "1s", "1 S", " 1S", "-1S", "+1S", "1.5S", "123456789m", "1SS", "\u{663}S"] {
            assert_eq!(parse(value.as_bytes()), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_sent_on_is_never_more_and_hardly_less(seconds in 0..400_000_000_000_u64, nanos in 0..1_000_000_000_u32) {
            let timeout = Duration::new(seconds, nanos);
            let text = write(timeout);
            let read = parse(text.as_bytes()).unwrap();
            prop_assert!(read <= timeout);
            let lost = timeout.saturating_sub(read).as_secs_f64();
            prop_assert!(seconds > 359_999_996_400 || lost <= timeout.as_secs_f64() / 1e6, "{} lost of {:?}: {}", lost, timeout, text);
        }

        #[test]
        fn no_bytes_are_too_odd(value in prop_oneof![prop::collection::vec(any::<u8>(), 0..12), "[0-9]{0,10}[HMSmunx]?".prop_map(String::into_bytes)]) {
            let digits = core::str::from_utf8(&value).ok().and_then(|text| text.strip_suffix(['H', 'M', 'S', 'm', 'u', 'n']));
            let well = digits.is_some_and(|digits| digits.len() <= 8 && !digits.starts_with('+') && digits.parse::<u32>().is_ok());
            prop_assert_eq!(parse(&value).is_some(), well);
        }
    }
}
