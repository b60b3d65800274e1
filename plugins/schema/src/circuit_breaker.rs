//! The circuit breaker's settings.

use crate::common::{AnswerSet, BreakerMode, Common};
use crate::texts::{FilledValue, HeaderName, HeaderValue, ReplyHeader, RerouteHeader};
use crate::values::{Decimal, HOUR, ONE, Ratio, Share, Time, Whole};
use schemars::{JsonSchema, Schema};
use serde_json::json;
use std::collections::BTreeMap;

/// Ends calls to a service that fails or is slow before they cost anything, and lets it recover.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, transform = legacy_stands_alone)]
pub struct CircuitBreaker {
    /// The settings of every plugin.
    #[schemars(flatten)]
    pub common: Common<BreakerMode>,
    /// The form found in the wild.
    #[schemars(flatten)]
    pub legacy: Legacy,
    /// How far back calls are looked at.
    #[schemars(extend("default" = {"time": "10s"}))]
    pub window: Option<Window>,
    /// Calls in the window below which no ratio trips; 20, or as many as the window has calls.
    pub minimum_calls: Whole<1, 1_000_000>,
    /// Failures per call from which it opens; null for never.
    #[schemars(extend("default" = 0.5))]
    pub failure_ratio: Option<Share>,
    /// Latency from which a call is slow.
    #[schemars(extend("default" = "3s"))]
    pub slow_call: Time<1, HOUR>,
    /// Slow calls per call from which it opens; null for never.
    #[schemars(extend("default" = 1))]
    pub slow_ratio: Option<Share>,
    /// A slow call is a failure as well.
    #[schemars(extend("default" = false))]
    pub slow_is_failure: bool,
    /// Failures in a row from which it opens; 0 for never.
    #[schemars(extend("default" = 0))]
    pub consecutive_failures: Whole<0, 1_000_000>,
    /// Until when a call's latency is taken.
    #[schemars(extend("default" = "headers"))]
    pub measure: Measure,
    /// Which answers of the service are failures.
    #[schemars(extend("default" = null))]
    pub failure_on: Option<AnswerSet>,
    /// How long it stays open.
    #[schemars(extend("default" = null))]
    pub open: Option<Open>,
    /// How it probes.
    #[schemars(extend("default" = null))]
    pub half_open: Option<HalfOpen>,
    /// How traffic comes back.
    #[schemars(extend("default" = null))]
    pub recovery: Option<Recovery>,
    /// Client-side throttling: refuses a share of the calls while the service answers fewer than it is asked.
    #[schemars(extend("default" = null))]
    pub throttle: Option<Throttle>,
    /// What a refused request gets.
    #[schemars(extend("default" = null))]
    pub on_open: Option<OnOpen>,
}

/// Four numbers, in milliseconds, alone.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default)]
pub struct Legacy {
    /// Legacy form, without any setting but its four: latency from which a call is slow, and a failure.
    #[schemars(extend("default" = 3_000))]
    pub timeout: Time<1, HOUR>,
    /// Legacy form: failures per call from which it opens; null for never.
    #[schemars(extend("default" = 0.5))]
    pub threshold: Option<Share>,
    /// Legacy form: probes under way at one time, and successes that it takes.
    #[schemars(extend("default" = 1))]
    pub min_half_open_requests: Whole<1, 100>,
    /// Legacy form: how far back calls are looked at.
    #[schemars(extend("default" = 10_000))]
    pub window_size: Time<100, HOUR>,
}

/// One of the legacy form's fields is there: then there are no others.
fn legacy_stands_alone(schema: &mut Schema) {
    let names = ["timeout", "threshold", "min_half_open_requests", "window_size"];
    let alone = json!({"properties": names.map(|name| (name, json!({}))).into_iter().collect::<BTreeMap<_, _>>(), "additionalProperties": false});
    let rules = names.map(|name| (name, alone.clone())).into_iter().collect::<BTreeMap<_, _>>();
    schema.insert("dependencies".to_owned(), json!(rules));
}

/// How far back calls are looked at: exactly one of the two.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Window {
    /// The last while.
    pub time: Time<100, HOUR>,
    /// The last calls.
    pub calls: Whole<1, 1_000_000>,
}

/// Until when a call's latency is taken.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Measure {
    /// Until its response headers.
    #[default]
    Headers,
    /// Until its end.
    Completion,
}

/// How long it stays open: `base * factor^(n-1)`, at most `max`, for the n-th time in a row; then jittered.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Open {
    /// The first time.
    #[schemars(extend("default" = "5s"))]
    pub base: Time<10, HOUR>,
    /// How it grows.
    #[schemars(extend("default" = 2))]
    pub factor: Decimal<ONE, { 100 * ONE }>,
    /// The most, before jitter.
    #[schemars(extend("default" = "60s"))]
    pub max: Time<10, HOUR>,
    /// Spread to either side, so that nodes that opened together don't probe together.
    #[schemars(extend("default" = 0.2))]
    pub jitter: Ratio,
}

/// How an open breaker finds out whether the service is back.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct HalfOpen {
    /// Probes under way at one time.
    #[schemars(extend("default" = 1))]
    pub permits: Whole<1, 100>,
    /// Successful probes that it takes.
    #[schemars(extend("default" = 1))]
    pub successes: Whole<1, 1_000>,
    /// After which a probe that hasn't ended has failed.
    #[schemars(extend("default" = "60s"))]
    pub timeout: Time<100, HOUR>,
}

/// How traffic comes back.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Recovery {
    /// Its shape.
    #[schemars(extend("default" = "linear"))]
    pub ramp: Ramp,
    /// How long it takes; 0 for none.
    #[schemars(extend("default" = "10s"))]
    pub over: Time<0, HOUR>,
}

/// The shape of the way back.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Ramp {
    /// A straight line.
    #[default]
    Linear,
}

/// Client-side throttling.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Throttle {
    /// Calls that may be made per call that was accepted.
    #[schemars(extend("default" = 2))]
    pub k: Decimal<ONE, { 100 * ONE }>,
}

/// What a refused request gets.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct OnOpen {
    /// This answer,
    pub reply: Option<Reply>,
    /// unless it may go this way. Envoy only.
    #[schemars(extend("default" = null))]
    pub reroute: Option<Reroute>,
}

/// An answer in the service's place.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Reply {
    /// HTTP status.
    #[schemars(extend("default" = 503))]
    pub status: Whole<400, 599>,
    /// Further headers.
    pub headers: Option<BTreeMap<ReplyHeader, HeaderValue>>,
    /// The body; null for problem+json (RFC 9457).
    #[schemars(length(max = 16_384), extend("default" = null))]
    pub body: Option<String>,
}

/// A way around the service.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Reroute {
    /// The request header on which a route of the proxy matches.
    #[schemars(extend("default" = "x-holdfast-fallback"))]
    pub header: RerouteHeader,
    /// Its value.
    #[schemars(extend("default" = "1"))]
    pub value: FilledValue,
    /// Data residency: who may be moved.
    #[schemars(extend("default" = null))]
    pub only_if: Option<OnlyIf>,
}

/// Only requests whose header has one of these values may be moved.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OnlyIf {
    /// The header.
    pub header: HeaderName,
    /// Its values.
    #[schemars(length(min = 1))]
    pub r#in: Vec<String>,
}
