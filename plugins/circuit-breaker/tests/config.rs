//! Which configurations are accepted, and that the others are refused with every fault at once.
#![allow(missing_docs)]

use circuit_breaker::config::read;
use circuit_breaker::policy::{HalfOpen, Measure, Policy, Window};
use core::time::Duration;
use proptest::prelude::*;
use sdk_shim::common::{Chain, Secret};
use sdk_shim::overrides::Mode;
use sdk_shim::ratio::Ratio;
use serde_json::{Value, json};

fn accepted(config: &str) -> Policy {
    read(config.as_bytes()).unwrap_or_else(|faults| panic!("{config}: {faults}"))
}

/// The paths of all faults, in order.
fn refused(config: &str) -> Vec<String> {
    let faults = read(config.as_bytes()).expect_err(config);
    faults.iter().map(|fault| fault.path.clone()).collect()
}

fn ppm(ppm: u32) -> Ratio {
    Ratio::from_ppm(ppm).unwrap()
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// --- accepted ---

#[test]
fn nothing_at_all_is_a_configuration() {
    let defaults = accepted("{}");
    assert_eq!(accepted(""), defaults);
    assert_eq!(accepted(" \n"), defaults);
    assert_eq!(defaults.window, Window::Time(secs(10)));
    assert_eq!((defaults.minimum_calls, defaults.failure_ratio), (20, Some(ppm(500_000))));
    assert_eq!((defaults.slow_call, defaults.slow_ratio), (secs(3), Some(Ratio::ONE)));
    assert_eq!((defaults.consecutive_failures, defaults.measure, defaults.throttle_k), (0, Measure::Headers, None));
    assert_eq!((defaults.open.base, defaults.open.max, defaults.open.factor_ppm), (secs(5), secs(60), 2_000_000));
    assert_eq!(defaults.half_open, HalfOpen { permits: 1, successes: 1, timeout: secs(60) });
    assert_eq!((defaults.ramp, defaults.open.jitter), (secs(10), ppm(200_000)));
    assert_eq!((defaults.common.max_keys, defaults.common.state_refresh), (1_000, millis(10)));
    assert_eq!((defaults.on_open.reply.status, &defaults.on_open.reroute), (503, &None));
}

#[test]
fn every_field_can_be_written() {
    let policy = accepted(
        r#"{"chain": "upstream", "instance": "eu.1", "mode": "dry_run", "enforce_ratio": 0.25, "key": ["route", "header:x-tenant"],
            "key_allow": {"header:x-tenant": ["a", "b"]}, "max_keys": 50, "state_refresh": "1s", "headers_stop_iteration": true,
            "allow_degraded": true, "mark_rejections": false, "insecure_literal": true, "debug_token": {"literal": "t"},
            "window": {"calls": 200}, "minimum_calls": 200, "failure_ratio": null, "slow_call": 250, "slow_ratio": 0.000001,
            "slow_is_failure": true, "consecutive_failures": 7, "measure": "completion",
            "failure_on": {"status": [500, "502-504", "4xx", "429"], "grpc_status": [1, 16]},
            "open": {"base": "10ms", "factor": 1, "max": "1h", "jitter": 1}, "half_open": {"permits": 100, "successes": 1000, "timeout": "100ms"},
            "recovery": {"ramp": "linear", "over": 0}, "throttle": {"k": 1.5},
            "on_open": {"reply": {"status": 429, "headers": {"retry-after": "9"}, "body": "no"}}}"#,
    );
    assert_eq!((policy.common.chain, policy.common.mode), (Chain::Upstream, Mode::DryRun));
    assert_eq!((policy.common.instance.as_str(), policy.common.enforce_ratio), ("eu.1", ppm(250_000)));
    assert_eq!(policy.common.debug_token, Some(Secret::Literal("t".into())));
    assert_eq!((policy.failure_ratio, policy.slow_ratio, policy.slow_call), (None, Some(ppm(1)), millis(250)));
    assert_eq!(policy.failure_on.status, [500..=500, 502..=504, 400..=499, 429..=429]);
    assert_eq!((policy.failure_on.grpc, policy.failure_on.grpc_explicit), (1 << 1 | 1 << 16, true));
    assert_eq!((policy.ramp, policy.throttle_k), (Duration::ZERO, Some(1_500_000)));
    assert_eq!(policy.on_open.reply.headers, [("retry-after".to_owned(), "9".to_owned())]);
}

#[test]
fn a_way_around_can_be_limited() {
    let only_if = r#"{"header": "x-region", "in": ["eu", ""]}"#;
    let policy = accepted(&format!(
        r#"{{"on_open": {{"reroute": {{"header": "x-go", "value": "west", "only_if": {only_if}}}}}}}"#
    ));
    let reroute = policy.on_open.reroute.unwrap();
    assert_eq!((reroute.header.as_str(), reroute.value.as_str()), ("x-go", "west"));
    assert_eq!(reroute.only_if, Some(("x-region".to_owned(), vec!["eu".to_owned(), String::new()])));
    let defaults = accepted(r#"{"on_open": {"reroute": {}}}"#).on_open.reroute.unwrap();
    assert_eq!(
        (defaults.header.as_str(), defaults.value.as_str(), defaults.only_if),
        ("x-holdfast-fallback", "1", None)
    );
}

#[test]
fn the_form_found_in_the_wild_is_accepted_verbatim() {
    let policy = accepted(r#"{"timeout": 3000, "threshold": 0.5, "min_half_open_requests": 5, "window_size": 10000}"#);
    let expected = Policy {
        slow_call: secs(3),
        slow_is_failure: true,
        failure_ratio: Some(ppm(500_000)),
        half_open: HalfOpen { permits: 5, successes: 5, timeout: secs(60) },
        window: Window::Time(secs(10)),
        ..accepted("{}")
    };
    assert_eq!(policy, expected);
    assert_eq!(accepted(r#"{"threshold": 0.5}"#).half_open.permits, 1);
}

/// A protobuf `Struct`, which Envoy makes JSON of, knows only doubles.
#[test]
fn whole_numbers_may_be_doubles() {
    assert_eq!(
        accepted(r#"{"minimum_calls": 20.0, "slow_call": 3000.0}"#),
        accepted(r#"{"minimum_calls": 20, "slow_call": 3000}"#)
    );
    assert_eq!(accepted(r#"{"failure_on": {"status": [503.0]}}"#), accepted(r#"{"failure_on": {"status": [503]}}"#));
    assert_eq!(accepted(r#"{"failure_ratio": 1}"#), accepted(r#"{"failure_ratio": 1.0}"#));
    // Envoy's YAML reader makes texts of decimals in a `Struct`.
    assert_eq!(accepted(r#"{"failure_ratio": "0.25"}"#), accepted(r#"{"failure_ratio": 0.25}"#));
}

#[test]
fn a_duration_has_one_unit_or_is_in_milliseconds() {
    let slow_call = |text: &str| accepted(&format!(r#"{{"slow_call": {text}}}"#)).slow_call;
    assert_eq!(
        [slow_call("\"250ms\""), slow_call("\"2m\""), slow_call("\"1h\"")],
        [millis(250), secs(120), secs(3_600)]
    );
    assert_eq!([slow_call("7"), slow_call("\"007s\"")], [millis(7), secs(7)]);
}

#[test]
fn statuses_are_read_in_each_of_their_forms() {
    let matches = |form: &str, status| {
        let failure_on = accepted(&format!(r#"{{"failure_on": {{"status": [{form}]}}}}"#)).failure_on;
        failure_on.holds(status, None)
    };
    for form in ["503", "\"503\"", "\"5xx\"", "\"500-504\"", "\"503-503\"", "200, \"503\""] {
        assert!(matches(form, 503) && !matches(form, 499), "{form}");
    }
    assert!(!matches("", 503));
}

#[test]
fn a_grpc_status_counts_where_http_says_200() {
    let failure_on = accepted("{}").failure_on;
    for code in 0..=17 {
        assert_eq!(failure_on.holds(200, Some(code)), [2, 4, 8, 13, 14, 15].contains(&code), "{code}");
    }
    assert!(failure_on.holds(503, Some(0)));
    assert!(!failure_on.holds(200, Some(u32::MAX)));
    assert!(!accepted(r#"{"failure_on": {"grpc_status": []}}"#).failure_on.holds(200, Some(14)));
}

// --- refused ---

/// Each with the paths of its faults.
#[rustfmt::skip]
const REFUSED: &[(&str, &[&str])] = &[
    ("[]", &["$"]), ("null", &["$"]), ("1", &["$"]), ("{", &["$"]), ("{}x", &["$"]), ("\u{FEFF}{}", &["$"]),
    (r#"{"colour": 1}"#, &["$.colour"]), (r#"{"x y": 1}"#, &[r#"$["x y"]"#]), (r#"{"": 1}"#, &[r#"$[""]"#]),
    (r#"{"window": 10}"#, &["$.window"]), (r#"{"window": {}}"#, &["$.window"]),
    (r#"{"window": {"time": "10s", "calls": 100}}"#, &["$.window"]), (r#"{"window": {"time": "99ms"}}"#, &["$.window.time"]),
    (r#"{"window": {"time": "61m"}}"#, &["$.window.time"]), (r#"{"window": {"calls": 0}}"#, &["$.window.calls"]),
    (r#"{"window": {"calls": 1000001}}"#, &["$.window.calls"]), (r#"{"window": {"calls": 10}, "minimum_calls": 11}"#, &["$.minimum_calls"]),
    (r#"{"minimum_calls": 0}"#, &["$.minimum_calls"]), (r#"{"minimum_calls": 1.5}"#, &["$.minimum_calls"]),
    (r#"{"minimum_calls": -1}"#, &["$.minimum_calls"]), (r#"{"minimum_calls": "20"}"#, &["$.minimum_calls"]),
    (r#"{"minimum_calls": null}"#, &["$.minimum_calls"]), (r#"{"minimum_calls": 1e300}"#, &["$.minimum_calls"]),
    (r#"{"failure_ratio": 0}"#, &["$.failure_ratio"]), (r#"{"failure_ratio": 1.000001}"#, &["$.failure_ratio"]),
    (r#"{"failure_ratio": 0.1234567}"#, &["$.failure_ratio"]), (r#"{"failure_ratio": -0.5}"#, &["$.failure_ratio"]),
    (r#"{"failure_ratio": "1"}"#, &["$.failure_ratio"]), (r#"{"failure_ratio": 0.0000001}"#, &["$.failure_ratio"]),
    (r#"{"slow_ratio": 50}"#, &["$.slow_ratio"]), (r#"{"slow_call": 0}"#, &["$.slow_call"]),
    (r#"{"slow_call": "3 s"}"#, &["$.slow_call"]), (r#"{"slow_call": "3"}"#, &["$.slow_call"]),
    (r#"{"slow_call": "1.5s"}"#, &["$.slow_call"]), (r#"{"slow_call": "3S"}"#, &["$.slow_call"]), (r#"{"slow_call": "3s "}"#, &["$.slow_call"]),
    (r#"{"slow_call": "3us"}"#, &["$.slow_call"]), (r#"{"slow_call": "99999999999999999999h"}"#, &["$.slow_call"]),
    (r#"{"slow_is_failure": "yes"}"#, &["$.slow_is_failure"]), (r#"{"consecutive_failures": -3}"#, &["$.consecutive_failures"]),
    (r#"{"measure": "Headers"}"#, &["$.measure"]),
    (r#"{"failure_on": {"status": 500}}"#, &["$.failure_on.status"]),
    (r#"{"failure_on": {"status": [600, "6xx", "0xx", "99", "504-500", "5XX", "5xxx", "500-", "+50", null]}}"#,
     &["$.failure_on.status[0]", "$.failure_on.status[1]", "$.failure_on.status[2]", "$.failure_on.status[3]", "$.failure_on.status[4]",
       "$.failure_on.status[5]", "$.failure_on.status[6]", "$.failure_on.status[7]", "$.failure_on.status[8]", "$.failure_on.status[9]"]),
    (r#"{"failure_on": {"grpc_status": [0, 14, 17, "14"]}}"#,
     &["$.failure_on.grpc_status[0]", "$.failure_on.grpc_status[2]", "$.failure_on.grpc_status[3]"]),
    (r#"{"open": {"base": "9ms"}}"#, &["$.open.base"]), (r#"{"open": {"base": "2m"}}"#, &["$.open"]),
    (r#"{"open": {"factor": 0.5}}"#, &["$.open.factor"]), (r#"{"open": {"factor": 101}}"#, &["$.open.factor"]),
    (r#"{"open": {"jitter": 1.1, "max": "2h", "more": 1}}"#, &["$.open.max", "$.open.jitter", "$.open.more"]),
    (r#"{"half_open": {"permits": 0, "successes": 0, "timeout": 1}}"#, &["$.half_open.permits", "$.half_open.successes", "$.half_open.timeout"]),
    (r#"{"half_open": {"permits": 101}}"#, &["$.half_open.permits"]), (r#"{"recovery": {"ramp": "step"}}"#, &["$.recovery.ramp"]),
    (r#"{"recovery": {"over": "2h"}}"#, &["$.recovery.over"]), (r#"{"throttle": {"k": 0.9}}"#, &["$.throttle.k"]),
    (r#"{"throttle": 2}"#, &["$.throttle"]), (r#"{"on_open": {"reply": {"status": 200}}}"#, &["$.on_open.reply.status"]),
    (r#"{"on_open": {"reply": {"headers": {"content-length": "1"}}}}"#, &["$.on_open.reply.headers[\"content-length\"]"]),
    (r#"{"on_open": {"reply": {"headers": {"x-holdfast-a": "1"}}}}"#, &["$.on_open.reply.headers[\"x-holdfast-a\"]"]),
    (r#"{"on_open": {"reply": {"headers": {":status": "1"}}}}"#, &["$.on_open.reply.headers[\":status\"]"]),
    (r#"{"on_open": {"reply": {"headers": {"x-a": "a\r\nb", "x-b": 1}}}}"#, &["$.on_open.reply.headers[\"x-a\"]", "$.on_open.reply.headers[\"x-b\"]"]),
    (r#"{"on_open": {"reply": {"body": 5}}}"#, &["$.on_open.reply.body"]),
    (r#"{"on_open": {"reroute": {"header": "X-Up", "value": ""}}}"#, &["$.on_open.reroute.header", "$.on_open.reroute.value"]),
    (r#"{"on_open": {"reroute": {"only_if": {"header": "x-region"}}}}"#, &["$.on_open.reroute.only_if"]),
    (r#"{"chain": "upstream", "on_open": {"reroute": {}}}"#, &["$.on_open"]),
    (r#"{"chain": "sideways", "mode": "off", "instance": "a--b"}"#, &["$.chain", "$.instance", "$.mode"]),
    (r#"{"instance": ""}"#, &["$.instance"]), (r#"{"instance": "-a"}"#, &["$.instance"]), (r#"{"enforce_ratio": 2}"#, &["$.enforce_ratio"]),
    (r#"{"key": []}"#, &["$.key"]), (r#"{"key": ["cookie:a"]}"#, &["$.key[0]", "$.key"]),
    (r#"{"key": ["route", "route", "route", "route", "route"]}"#, &["$.key"]),
    (r#"{"key": ["upstream_host"]}"#, &["$.key", "$.mode"]), (r#"{"chain": "upstream", "key": ["upstream_host"]}"#, &["$.mode"]),
    (r#"{"key_allow": {"header:x-a": ["1"]}}"#, &["$.key_allow[\"header:x-a\"]"]), (r#"{"max_keys": 0}"#, &["$.max_keys"]),
    (r#"{"max_keys": 10001}"#, &["$.max_keys"]), (r#"{"state_refresh": "2s"}"#, &["$.state_refresh"]),
    (r#"{"debug_token": {"literal": "t"}}"#, &["$.debug_token.literal"]), (r#"{"debug_token": {}}"#, &["$.debug_token"]),
    (r#"{"debug_token": "t"}"#, &["$.debug_token"]),
    (r#"{"timeout": 3000, "failure_ratio": 0.5}"#, &["$.failure_ratio"]), (r#"{"threshold": 0.5, "mode": "dry_run"}"#, &["$.mode"]),
    (r#"{"timeout": 0, "threshold": 5, "min_half_open_requests": 0, "window_size": 1}"#,
     &["$.timeout", "$.threshold", "$.min_half_open_requests", "$.window_size"]),
];

#[test]
fn what_is_wrong_is_refused_where_it_is_wrong() {
    for (config, expected) in REFUSED {
        assert_eq!(refused(config), *expected, "{config}");
    }
}

#[test]
fn all_faults_are_told_at_once_with_what_stands_there_and_what_may() {
    let config = r#"{"failure_ratio": 1.5, "slow_call": "fast", "open": {"jitter": 2}, "half_open": {"permits": 0}, "colour": "red"}"#;
    let told: Vec<_> = read(config.as_bytes()).unwrap_err().iter().map(ToString::to_string).collect();
    let expected = [
        "$.failure_ratio: found 1.5, allowed: a number from 0.000001 to 1 with at most 6 decimals, or null for never",
        "$.slow_call: found \"fast\", allowed: a duration from 1ms to 3600000ms, such as \"250ms\", \"10s\", \"2m\", \"1h\" or whole milliseconds",
        "$.open.jitter: found 2, allowed: a number from 0 to 1 with at most 6 decimals",
        "$.half_open.permits: found 0, allowed: a whole number from 1 to 100",
    ];
    assert_eq!(told[..4], expected);
    assert!(told[4].starts_with("$.colour: found an unknown field, allowed: one of insecure_literal, "), "{}", told[4]);
    assert_eq!(told.len(), 5);
}

#[test]
fn a_fault_stays_one_short_line() {
    let config = json!({"mode": "x".repeat(10_000), "line\nbreak": "a\nb"}).to_string();
    let told = read(config.as_bytes()).unwrap_err().to_string();
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.lines().all(|line| line.len() < 2_000));
}

// --- whatever comes ---

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["10s", "5xx", "500-504", "route", "header:x-a", "upstream", "dry_run", "linear"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
        let object =
            prop::collection::vec((name(), inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect()));
        prop_oneof![list, object]
    })
}

#[rustfmt::skip]
fn name() -> impl Strategy<Value = String> {
    let known = [
        "window", "time", "calls", "minimum_calls", "failure_ratio", "slow_call", "slow_ratio", "measure", "failure_on", "status", "grpc_status",
        "open", "base", "factor", "max", "jitter", "half_open", "permits", "timeout", "recovery", "ramp", "over", "throttle", "k", "on_open",
        "reply", "headers", "body", "reroute", "header", "value", "only_if", "in", "chain", "mode", "key", "key_allow", "max_keys",
        "debug_token", "env", "literal", "threshold", "window_size",
    ];
    prop_oneof![4 => prop::sample::select(known.map(str::to_owned).to_vec()), 1 => "[ -~]{0,8}"]
}

fn any_config() -> impl Strategy<Value = Value> {
    prop::collection::vec((name(), any_json()), 0..8).prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_a_policy_or_faults_that_say_where(config in prop_oneof![any_config(), any_json()]) {
        if let Err(faults) = read(config.to_string().as_bytes()) {
            prop_assert!(!faults.is_empty());
            for fault in &faults {
                prop_assert!(fault.path.starts_with('$') && !fault.found.is_empty() && !fault.allowed.is_empty(), "{fault}");
            }
        }
    }

    #[test]
    fn any_bytes_are_no_more_than_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }
}

#[test]
fn a_small_window_of_calls_is_its_own_minimum() {
    let minimum = |json: &str| read(json.as_bytes()).unwrap().minimum_calls;
    assert_eq!(minimum(r#"{"window": {"calls": 10}}"#), 10);
    assert_eq!(minimum(r#"{"window": {"calls": 500}}"#), 20);
}
