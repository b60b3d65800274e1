//! How long a request may take: one rule for everybody's way of saying it.
//!
//! | header | who writes it | its form |
//! |---|---|---|
//! | `grpc-timeout` | gRPC clients | one to eight digits and a unit, `250m` (of gRPC and gRPC-Web requests only) |
//! | `x-request-timeout`, `request-timeout` | other clients | `250ms`, `10s`, `2m`, `1h`, or whole milliseconds |
//! | `x-envoy-upstream-rq-timeout-ms` | earlier filters, Envoys in front that are trusted | whole milliseconds; 0 is none, as for Envoy |
//!
//! The least of them counts, or the default where there is none, never less than `min` and never more than `max`. Streams that live long by design
//! (SSE, WebSocket) have no default, since the proxy would cut them. What has no time left when it comes is answered at once: nobody waits for the answer.

use crate::grpc_timeout;
use crate::protocol::Protocol;
use core::time::Duration;
use sdk_shim::config::duration;
use sdk_shim::json::Value;

/// gRPC's header.
pub const GRPC: &str = "grpc-timeout";
/// What the router obeys.
pub const ROUTER: &str = "x-envoy-upstream-rq-timeout-ms";
/// What the router tells each attempt of the time that is left.
pub const LEFT: &str = "x-envoy-expected-rq-timeout-ms";
/// What clients without a protocol's own form say.
pub const OTHERS: [&str; 2] = ["x-request-timeout", "request-timeout"];

/// What requests of one protocol get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Where the request says nothing.
    pub default: Option<Duration>,
    /// At most.
    pub max: Option<Duration>,
    /// At least: what a healthy service needs, so that nobody's haste looks like its fault.
    pub min: Duration,
}

/// What is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Of REST.
    pub rest: Limits,
    /// Of gRPC and gRPC-Web.
    pub grpc: Limits,
    /// Of GraphQL.
    pub graphql: Limits,
    /// What can't be read is refused, not ignored.
    pub strict: bool,
}

/// What a request says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// [`GRPC`].
    pub grpc: Option<Vec<u8>>,
    /// [`OTHERS`], in their order.
    pub others: [Option<Vec<u8>>; 2],
    /// [`ROUTER`].
    pub router: Option<Vec<u8>>,
}

// === impl Given ===

impl Given {
    /// Whether it says how long it waits.
    pub fn says_anything(&self) -> bool {
        self.grpc.is_some() || self.others.iter().any(Option::is_some)
    }
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// No limit but the route's own.
    None,
    /// So long, and no longer.
    Within(Duration),
    /// There is no time left.
    Expired,
    /// This header can't be read.
    Malformed(&'static str),
}

/// What was decided, and the first header that was ignored because it can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What becomes of it.
    pub deadline: Deadline,
    /// Ignored.
    pub ignored: Option<&'static str>,
}

/// The rule.
pub fn decide(deadlines: &Deadlines, protocol: Protocol, is_stream: bool, given: &Given) -> Decided {
    let limits = deadlines.of(protocol);
    let grpc = if deadlines.is_grpc(protocol) { given.grpc.as_deref() } else { None };
    let [first, second] = &given.others;
    let said = [
        (GRPC, grpc, grpc_timeout::parse as fn(&[u8]) -> Option<Duration>),
        (OTHERS[0], first.as_deref(), other),
        (OTHERS[1], second.as_deref(), other),
        (ROUTER, given.router.as_deref(), router),
    ];
    let (mut least, mut ignored) = (None::<Duration>, None);
    for (name, value, parse) in said {
        let Some(value) = value else { continue };
        match parse(value) {
            Some(time) => least = Some(least.map_or(time, |least| least.min(time))),
            None => ignored = ignored.or(Some(name)),
        }
    }
    let deadline = match (ignored, least) {
        (Some(name), _) if deadlines.strict => Deadline::Malformed(name),
        (_, Some(time)) if time.is_zero() => Deadline::Expired,
        (_, time) => limits.apply(time, is_stream),
    };
    Decided { deadline, ignored }
}

/// What the router is told: whole milliseconds, at least one, since nothing means no limit to it.
pub fn for_router(time: Duration) -> String {
    millis(time).max(1).to_string()
}

/// The time that is left, in the form in which the request said it: with a unit where it had one.
pub fn like(said: &[u8], time: Duration) -> String {
    let unit = if said.trim_ascii().iter().all(u8::is_ascii_digit) { "" } else { "ms" };
    // Nothing would mean that there is no time left.
    format!("{}{unit}", millis(time).max(1))
}

/// Whole milliseconds, as the router tells them; `None` for anything else.
pub fn left(value: &[u8]) -> Option<Duration> {
    let digits = !value.is_empty() && value.len() <= 15 && value.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok().map(Duration::from_millis)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Zero switches the router's limit off; here it says nothing.
fn router(value: &[u8]) -> Option<Duration> {
    left(value).map(|time| if time.is_zero() { Duration::MAX } else { time })
}

fn other(value: &[u8]) -> Option<Duration> {
    let text = core::str::from_utf8(value).ok()?.trim();
    left(text.as_bytes()).or_else(|| duration(&Value::from(text)))
}

// === impl Limits ===

impl Limits {
    fn apply(self, said: Option<Duration>, is_stream: bool) -> Deadline {
        // No number of milliseconds that a router could count.
        let said = said.filter(|time| *time < Duration::MAX).map(|time| time.max(self.min));
        match (said.or(self.default.filter(|_| !is_stream)), self.max) {
            (None, _) => Deadline::None,
            (Some(time), max) => Deadline::Within(max.map_or(time, |max| max.min(time))),
        }
    }
}

// === impl Deadlines ===

impl Deadlines {
    const fn of(&self, protocol: Protocol) -> Limits {
        match protocol {
            Protocol::Rest => self.rest,
            Protocol::Grpc | Protocol::GrpcWeb => self.grpc,
            Protocol::GraphQl => self.graphql,
        }
    }

    #[allow(clippy::unused_self, reason = "reads as what it is")]
    const fn is_grpc(&self, protocol: Protocol) -> bool {
        matches!(protocol, Protocol::Grpc | Protocol::GrpcWeb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn deadlines() -> Deadlines {
        let rest = Limits { default: Some(ms(15_000)), max: Some(ms(60_000)), min: ms(20) };
        let grpc = Limits { default: None, max: Some(ms(30_000)), ..rest };
        Deadlines { rest, grpc, graphql: rest, strict: false }
    }

    fn given(grpc: &str, first: &str, second: &str, router: &str) -> Given {
        let some = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
        Given { grpc: some(grpc), others: [some(first), some(second)], router: some(router) }
    }

    fn decided(protocol: Protocol, given: &Given) -> Deadline {
        decide(&deadlines(), protocol, false, given).deadline
    }

    #[test]
    fn the_least_counts_or_the_default_and_never_more_than_max() {
        use Protocol::{GraphQl, Grpc, GrpcWeb, Rest};
        for (protocol, said, expected) in [
            (Rest, given("", "", "", ""), Deadline::Within(ms(15_000))),
            (Rest, given("", "250ms", "", ""), Deadline::Within(ms(250))),
            (Rest, given("", "250", "", ""), Deadline::Within(ms(250))),
            (Rest, given("", "", "2s", ""), Deadline::Within(ms(2_000))),
            (Rest, given("", "5s", "2s", "1000"), Deadline::Within(ms(1_000))),
            (Rest, given("", "5m", "", ""), Deadline::Within(ms(60_000))),
            (Rest, given("1m", "", "", ""), Deadline::Within(ms(15_000))),
            (Rest, given("", "", "", "0"), Deadline::Within(ms(15_000))),
            (Rest, given("", "0", "", ""), Deadline::Expired),
            (GraphQl, given("", "0s", "9s", ""), Deadline::Expired),
            (Grpc, given("", "", "", ""), Deadline::None),
            (Grpc, given("100m", "", "", ""), Deadline::Within(ms(100))),
            (Grpc, given("100m", "50ms", "", "70"), Deadline::Within(ms(50))),
            (Grpc, given("1n", "", "", ""), Deadline::Within(ms(20))),
            (Rest, given("", "2ms", "", ""), Deadline::Within(ms(20))),
            (Grpc, given("1H", "", "", ""), Deadline::Within(ms(30_000))),
            (Grpc, given("99999999H", "", "", ""), Deadline::Within(ms(30_000))),
            (Grpc, given("0n", "", "", ""), Deadline::Expired),
            (GrpcWeb, given("100m", "", "", ""), Deadline::Within(ms(100))),
        ] {
            assert_eq!(decided(protocol, &said), expected, "{protocol:?} {said:?}");
        }
    }

    #[test]
    fn what_cant_be_read_is_ignored_and_told_or_refused() {
        let bad = given("soon", "", "", "");
        let ignored = decide(&deadlines(), Protocol::Grpc, false, &bad);
        assert_eq!(ignored, Decided { deadline: Deadline::None, ignored: Some(GRPC) });
        let strict = Deadlines { strict: true, ..deadlines() };
        assert_eq!(decide(&strict, Protocol::Grpc, false, &bad).deadline, Deadline::Malformed(GRPC));
        for text in ["-1", "1.5s", "1d", "\u{ff}", "99999999999999999999"] {
            assert_eq!(decided(Protocol::Rest, &given("", text, "", "")), Deadline::Within(ms(15_000)), "{text}");
        }
    }

    #[test]
    fn streams_have_no_default() {
        let stream = |said: &Given| decide(&deadlines(), Protocol::Rest, true, said).deadline;
        assert_eq!(stream(&given("", "", "", "")), Deadline::None);
        assert_eq!(stream(&given("", "5s", "", "")), Deadline::Within(ms(5_000)), "as it says itself");
        assert_eq!(stream(&given("", "0", "", "")), Deadline::Expired);
    }

    #[test]
    fn time_is_told_in_the_form_in_which_it_came() {
        assert_eq!((like(b"10s", ms(250)), like(b"10000", ms(250))), ("250ms".to_owned(), "250".to_owned()));
        assert_eq!((for_router(Duration::ZERO), for_router(Duration::from_micros(1_900))), ("1".into(), "1".into()));
        assert_eq!(
            (left(b"250"), left(b""), left(b"-1"), left(b"9999999999999999")),
            (Some(ms(250)), None, None, None)
        );
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_he_asked_for_nor_more_than_max_nor_less_than_min(
            grpc in proptest::option::of("[0-9]{1,8}[HMSmun]"),
            first in proptest::option::of("[0-9]{1,9}(ms|s|m|h)?"),
            router in proptest::option::of("[0-9]{1,9}"),
        ) {
            let text = |value: &Option<String>| value.clone().map(String::into_bytes);
            let said = Given { grpc: text(&grpc), others: [text(&first), None], router: text(&router) };
            match decided(Protocol::Grpc, &said) {
                Deadline::Within(time) => {
                    prop_assert!((ms(20)..=ms(30_000)).contains(&time));
                    if let Some(asked) = said.grpc.as_deref().and_then(grpc_timeout::parse) {
                        prop_assert!(time <= asked.max(ms(20)));
                    }
                }
                Deadline::Expired => {
                    let zero = |text: &Option<String>| text.as_deref().is_some_and(|text| text.starts_with('0'));
                    prop_assert!(zero(&grpc) || zero(&first));
                }
                Deadline::None => prop_assert!(grpc.is_none() && first.is_none()),
                Deadline::Malformed(_) => prop_assert!(false, "nothing is strict here"),
            }
        }
    }
}
