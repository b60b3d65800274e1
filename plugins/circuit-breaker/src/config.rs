//! JSON to [`Policy`], or every fault at once.
//!
//! Defaults and where they come from: `window` 10 s, `minimum_calls` 20 and `failure_ratio` 0.5 are Hystrix's and dream11's for
//! Kong; `open` grows to 60 s as Linkerd's breaker does; one probe at a time is Hystrix's, Polly's and Linkerd's; the ramp
//! of 10 s is Traefik's. The gRPC statuses are those that OpenTelemetry calls server errors, and `UNAVAILABLE`.

use crate::policy::{HalfOpen, Measure, OnOpen, OpenTime, Policy, ReplySpec, Reroute, Window};
use core::num::NonZeroU64;
use core::time::Duration;
use sdk_shim::answers::AnswerSet;
use sdk_shim::common::Common;
use sdk_shim::config::{Bounds, Faults, Reader};
use sdk_shim::json::{Object, Value};
use sdk_shim::key::is_header_name;
use sdk_shim::ratio::{PPM, Ratio};

const HOUR: Duration = Duration::from_secs(3_600);
const LEGACY: [&str; 4] = ["timeout", "threshold", "min_half_open_requests", "window_size"];
/// `UNKNOWN`, `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`.
const GRPC_FAILURES: [u64; 6] = [2, 4, 8, 13, 14, 15];

const HALF: Ratio = match Ratio::from_ppm(PPM / 2) {
    Some(half) => half,
    None => Ratio::ONE,
};
const FIFTH: Ratio = match Ratio::from_ppm(PPM / 5) {
    Some(fifth) => fifth,
    None => Ratio::ONE,
};

/// Reads a configuration.
///
/// ```
/// let policy = circuit_breaker::config::read(br#"{"failure_ratio": 0.25}"#).unwrap();
/// assert_eq!(policy.minimum_calls, 20);
/// let faults = circuit_breaker::config::read(br#"{"failure_ratio": 2, "window": {"time": "x"}}"#).unwrap_err();
/// assert_eq!(faults.len(), 2);
/// ```
pub fn read(bytes: &[u8]) -> Result<Policy, Faults> {
    read_and(bytes, |_| Faults::default())
}

/// Reads a configuration; what `check` finds wrong with it is told together with everything else.
pub fn read_and(bytes: &[u8], check: impl FnOnce(&Policy) -> Faults) -> Result<Policy, Faults> {
    let either =
        |read: &mut Reader<'_>| if LEGACY.iter().any(|name| read.has(name)) { legacy(read) } else { full(read) };
    sdk_shim::config::read_and(bytes, either, check)
}

/// Whether these fields are of the form that stands alone.
pub fn is_legacy(fields: &Object) -> bool {
    LEGACY.iter().any(|name| fields.get(name).is_some())
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The form found in the wild: four numbers, in milliseconds, alone.
fn legacy(read: &mut Reader<'_>) -> Policy {
    let slow_call = read.duration("timeout", millis(3_000), Bounds::new(millis(1), HOUR));
    let failure_ratio = read.ratio_or_never("threshold", Some(HALF));
    let permits = permits(read.integer("min_half_open_requests", 1, Bounds::new(1, 100)));
    let window = read.duration("window_size", millis(10_000), Bounds::new(millis(100), HOUR));
    let defaults = Reader::defaults(full);
    Policy {
        slow_call,
        slow_is_failure: true,
        failure_ratio,
        half_open: HalfOpen { permits, successes: permits, ..defaults.half_open },
        window: Window::Time(window),
        ..defaults
    }
}

fn permits(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(1)
}

fn full(read: &mut Reader<'_>) -> Policy {
    let common = Common::read(read);
    let window = read.object("window", window).unwrap_or(Window::Time(millis(10_000)));
    let policy = Policy {
        window,
        minimum_calls: read.integer("minimum_calls", default_minimum(window), Bounds::new(1, 1_000_000)),
        failure_ratio: read.ratio_or_never("failure_ratio", Some(HALF)),
        slow_call: read.duration("slow_call", millis(3_000), Bounds::new(millis(1), HOUR)),
        slow_ratio: read.ratio_or_never("slow_ratio", Some(Ratio::ONE)),
        slow_is_failure: read.bool("slow_is_failure", false),
        consecutive_failures: read.integer("consecutive_failures", 0, Bounds::new(0, 1_000_000)),
        measure: read.word(
            "measure",
            Measure::Headers,
            &[("headers", Measure::Headers), ("completion", Measure::Completion)],
        ),
        failure_on: read
            .object("failure_on", |read| AnswerSet::read(read, &GRPC_FAILURES))
            .unwrap_or_else(|| AnswerSet::server_errors(&GRPC_FAILURES)),
        open: read.object("open", open_time).unwrap_or(DEFAULT_OPEN),
        half_open: read.object("half_open", half_open).unwrap_or(DEFAULT_HALF_OPEN),
        ramp: read.object("recovery", recovery).unwrap_or(DEFAULT_RAMP),
        throttle_k: read.object("throttle", throttle_k),
        on_open: read.object("on_open", on_open).unwrap_or_else(default_on_open),
        common,
    };
    check_across(read, &policy);
    policy
}

/// 20, but never more calls than the window holds.
fn default_minimum(window: Window) -> u64 {
    match window {
        Window::Calls(calls) => calls.get().min(20),
        Window::Time(_) => 20,
    }
}

/// Rules over more than one field.
fn check_across(read: &mut Reader<'_>, policy: &Policy) {
    if let Window::Calls(calls) = policy.window
        && policy.minimum_calls > calls.get()
    {
        let allowed = format!("at most the {calls} calls of the window");
        read.fault("minimum_calls", policy.minimum_calls.to_string(), allowed);
    }
    if policy.open.max < policy.open.base {
        read.fault(
            "open",
            format!("a max of {}ms below a base of {}ms", policy.open.max.as_millis(), policy.open.base.as_millis()),
            "max of at least base",
        );
    }
    if policy.common.chain == sdk_shim::common::Chain::Upstream && policy.on_open.reroute.is_some() {
        read.fault("on_open", "\"reroute\" in the upstream chain", "\"reply\": the route is chosen by then");
    }
}

fn window(read: &mut Reader<'_>) -> Window {
    let (has_time, has_calls) = (read.has("time"), read.has("calls"));
    let time = read.duration("time", millis(10_000), Bounds::new(millis(100), HOUR));
    let calls = read.integer("calls", 100, Bounds::new(1, 1_000_000));
    if has_time == has_calls {
        read.fault("", "not exactly one of time, calls", "{\"time\": \"10s\"} or {\"calls\": 100}");
    }
    match NonZeroU64::new(calls) {
        Some(calls) if has_calls => Window::Calls(calls),
        _ => Window::Time(time),
    }
}

const DEFAULT_OPEN: OpenTime =
    OpenTime { base: Duration::from_secs(5), factor_ppm: 2 * PPM as u64, max: Duration::from_secs(60), jitter: FIFTH };

fn open_time(read: &mut Reader<'_>) -> OpenTime {
    let bounds = Bounds::new(millis(10), HOUR);
    OpenTime {
        base: read.duration("base", DEFAULT_OPEN.base, bounds),
        factor_ppm: read.ppm("factor", DEFAULT_OPEN.factor_ppm, Bounds::new(u64::from(PPM), 100 * u64::from(PPM))),
        max: read.duration("max", DEFAULT_OPEN.max, bounds),
        jitter: read.ratio("jitter", DEFAULT_OPEN.jitter, Ratio::ZERO),
    }
}

const DEFAULT_HALF_OPEN: HalfOpen = HalfOpen { permits: 1, successes: 1, timeout: Duration::from_secs(60) };

fn half_open(read: &mut Reader<'_>) -> HalfOpen {
    HalfOpen {
        permits: permits(read.integer("permits", 1, Bounds::new(1, 100))),
        successes: permits(read.integer("successes", 1, Bounds::new(1, 1_000))),
        timeout: read.duration("timeout", DEFAULT_HALF_OPEN.timeout, Bounds::new(millis(100), HOUR)),
    }
}

const DEFAULT_RAMP: Duration = Duration::from_secs(10);

fn recovery(read: &mut Reader<'_>) -> Duration {
    read.word("ramp", (), &[("linear", ())]);
    read.duration("over", DEFAULT_RAMP, Bounds::new(Duration::ZERO, HOUR))
}

fn throttle_k(read: &mut Reader<'_>) -> u64 {
    let ppm = u64::from(PPM);
    read.ppm("k", 2 * ppm, Bounds::new(ppm, 100 * ppm))
}

fn default_on_open() -> OnOpen {
    OnOpen { reply: ReplySpec { status: 503, headers: Vec::new(), body: None }, reroute: None }
}

fn on_open(read: &mut Reader<'_>) -> OnOpen {
    let reply = read.object("reply", reply).unwrap_or_else(|| default_on_open().reply);
    OnOpen { reply, reroute: read.object("reroute", reroute) }
}

fn reply(read: &mut Reader<'_>) -> ReplySpec {
    let status = read.integer("status", 503, Bounds::new(400, 599));
    let headers = read.object("headers", reply_headers).unwrap_or_default();
    let body = read.raw("body").filter(|body| !body.is_null());
    let text = body.and_then(Value::as_str).filter(|text| text.len() <= 16_384).map(str::to_owned);
    if body.is_some() && text.is_none() {
        read.fault("body", "no text, or too long a one", "null or a text of at most 16384 bytes");
    }
    ReplySpec { status: u16::try_from(status).unwrap_or(503), headers, body: text }
}

/// Headers that frame the answer or are ours can't be configured.
fn reply_headers(read: &mut Reader<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for name in read.names() {
        let value = read.text_of(name, "a text of at most 1024 printable characters", is_header_value);
        let reserved = frames(name) || name.starts_with("x-holdfast-");
        if !is_header_name(name) || reserved {
            read.fault(name, "a reserved or malformed name", "a lower-case header name that doesn't frame the answer");
        }
        headers.push((name.to_owned(), value));
    }
    headers
}

fn is_header_value(text: &str) -> bool {
    text.len() <= 1_024 && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

fn reroute(read: &mut Reader<'_>) -> Reroute {
    let allowed =
        "a lower-case header name of at most 64 characters that neither frames the request nor is Envoy's or ours";
    Reroute {
        header: read.text("header", "x-holdfast-fallback", allowed, is_reroute_header),
        value: read
            .text("value", "1", "1 to 1024 printable characters", |text| !text.is_empty() && is_header_value(text)),
        only_if: read.object("only_if", only_if),
    }
}

fn is_reroute_header(name: &str) -> bool {
    let ours = name.starts_with("x-holdfast-") && name != "x-holdfast-fallback";
    is_header_name(name) && !frames(name) && !ours && !name.starts_with("x-envoy-")
}

/// Headers that frame a message.
fn frames(name: &str) -> bool {
    matches!(name, "content-length" | "transfer-encoding" | "connection" | "host" | "te" | "upgrade")
}

fn only_if(read: &mut Reader<'_>) -> (String, Vec<String>) {
    if !read.has("header") || !read.has("in") {
        read.fault("", "header or in is missing", "{\"header\": \"...\", \"in\": [\"...\"]}");
    }
    let header =
        read.text("header", "x-region-policy", "a lower-case header name of at most 64 characters", is_header_name);
    let values = read.list("in", Vec::new(), "a text", |item| item.as_str().map(str::to_owned));
    if values.is_empty() && read.has("in") {
        read.fault("in", "no value", "at least one value, or no only_if at all");
    }
    (header, values)
}
