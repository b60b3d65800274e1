//! How long a service asks to be left alone: `retry-after` (RFC 9110, 10.2.3) and `grpc-retry-pushback-ms` (gRPC proposal A6).

use crate::decide::Pushback;
use core::time::Duration;
use sdk_shim::time::Instant;
use std::time::UNIX_EPOCH;

/// Reads both headers; gRPC's own wins. A `retry-after` that nobody can read says nothing; an unreadable pushback means "never" (A6).
pub fn of(retry_after: Option<&[u8]>, grpc_pushback: Option<&[u8]>, now: Instant) -> Pushback {
    match (grpc_pushback, retry_after) {
        (Some(millis), _) => of_grpc(millis),
        (None, Some(value)) => of_retry_after(value, now),
        (None, None) => Pushback::None,
    }
}

fn of_grpc(value: &[u8]) -> Pushback {
    let millis = text(value).and_then(|text| text.parse::<u32>().ok());
    millis.map_or(Pushback::Never, |millis| Pushback::Wait(Duration::from_millis(u64::from(millis))))
}

/// Whole seconds, or a date in one of HTTP's three forms.
fn of_retry_after(value: &[u8], now: Instant) -> Pushback {
    let Some(text) = text(value) else { return Pushback::None };
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Pushback::Wait(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok().and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let left = date.map(|date| date.saturating_sub(Duration::from_nanos(now.as_nanos())));
    left.map_or(Pushback::None, Pushback::Wait)
}

fn text(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value.trim_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-25 12:00:00 UTC.
    const NOON: Instant = Instant::from_millis(1_795_608_000_000);

    fn seconds(n: u64) -> Pushback {
        Pushback::Wait(Duration::from_secs(n))
    }

    #[test]
    fn a_service_may_say_it_in_seconds_or_by_the_clock() {
        assert_eq!(of(Some(b" 120 "), None, NOON), seconds(120));
        for date in ["Wed, 25 Nov 2026 12:00:30 GMT", "Wednesday, 25-Nov-26 12:00:30 GMT", "Wed Nov 25 12:00:30 2026"] {
            assert_eq!(of(Some(date.as_bytes()), None, NOON), seconds(30), "{date}");
        }
        assert_eq!(of(Some(b"Wed, 25 Nov 2026 11:00:00 GMT"), None, NOON), seconds(0), "that is over");
        assert_eq!(of(Some(b"99999999999999999999999"), None, NOON), seconds(u64::MAX));
    }

    #[test]
    fn what_nobody_can_read_says_nothing_but_in_grpc_never() {
        for nonsense in [&b"soon"[..], b"", b"-1", b"1.5", b"\xFF", b"Wed, 99 Nov 2026 12:00:30 GMT"] {
            assert_eq!(of(Some(nonsense), None, NOON), Pushback::None, "{nonsense:?}");
            assert_eq!(of(Some(b"1"), Some(nonsense), NOON), Pushback::Never, "{nonsense:?}");
        }
        assert_eq!(of(Some(b"9"), Some(b"1500"), NOON), Pushback::Wait(Duration::from_millis(1_500)));
        assert_eq!(of(None, None, NOON), Pushback::None);
    }
}
