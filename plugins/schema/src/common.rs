//! The settings that every plugin has; see [`sdk_shim::common`].

use crate::texts::{ClientPart, Instance, KeyPart, KeyValue, SecretText};
use crate::values::{Ratio, SECOND, Time, Whole};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Where a plugin's entry may be.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Chain {
    /// The listener's chain: once per request.
    #[default]
    Downstream,
    /// The cluster's chain: once per attempt. Envoy only.
    Upstream,
}

/// Where a plugin's entry may be that works on requests.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum OnlyDownstream {
    /// The listener's chain: once per request.
    #[default]
    Downstream,
}

/// What to do with decisions.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Mode {
    /// Carry them out.
    #[default]
    Enforce,
    /// Decide and count, and let everything pass.
    DryRun,
    /// Nothing at all.
    Disabled,
}

/// What a breaker does with its decisions.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum BreakerMode {
    /// Carry them out.
    #[default]
    Enforce,
    /// Decide and count, and let everything pass.
    DryRun,
    /// Nothing at all.
    Disabled,
    /// Refuse everything.
    ForceOpen,
    /// Refuse nothing.
    ForceClosed,
}

/// The settings that every plugin has.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default)]
pub struct Common<M: Default = Mode, C: Default = Chain, const KEYS: u64 = 10_000> {
    /// Which filter chain the entry sits in.
    #[schemars(extend("default" = "downstream"))]
    pub chain: C,
    /// Entries of the same chain and instance share metrics and state.
    #[schemars(extend("default" = "default"))]
    pub instance: Instance,
    /// What to do with decisions.
    #[schemars(extend("default" = "enforce"))]
    pub mode: M,
    /// The share of refusals that are enforced; the rest is counted as in a dry run.
    #[schemars(extend("default" = 1))]
    pub enforce_ratio: Ratio,
    /// What state is kept per.
    #[schemars(length(min = 1, max = 4), extend("default" = ["route"]))]
    pub key: Vec<KeyPart>,
    /// Values that a client-chosen part of the key may take.
    #[schemars(extend("default" = null))]
    pub key_allow: Option<BTreeMap<ClientPart, Vec<KeyValue>>>,
    /// Keys per instance; who comes later is counted as one.
    #[schemars(extend("default" = 1_000))]
    pub max_keys: Whole<1, KEYS>,
    /// How old a worker's copy of the shared state may become.
    #[schemars(extend("default" = "10ms"))]
    pub state_refresh: Time<0, SECOND>,
    /// Envoy's entry has `allow_on_headers_stop_iteration: true`.
    #[schemars(extend("default" = false))]
    pub headers_stop_iteration: bool,
    /// Accept a policy whose host lacks a capability.
    #[schemars(extend("default" = false))]
    pub allow_degraded: bool,
    /// Our own answers carry `x-envoy-ratelimited: true`, so that an Envoy in front doesn't retry them.
    #[schemars(extend("default" = true))]
    pub mark_rejections: bool,
    /// Allows secrets in the configuration itself.
    #[schemars(extend("default" = false))]
    pub insecure_literal: bool,
    /// A request with `x-holdfast-debug: <token>` gets each plugin's decision in response headers.
    #[schemars(extend("default" = null))]
    pub debug_token: Option<Secret>,
}

/// A secret, or where it is found: exactly one of the two.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Secret {
    /// The variable of the proxy's environment that has it.
    pub env: SecretText,
    /// The secret itself; `insecure_literal` must allow it.
    pub literal: SecretText,
}

/// Words that name outcomes, as a plugin's own list.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum AnswerOutcome {
    /// A part of it failed.
    Partial,
    /// The caller's own fault.
    CallerFault,
    /// The service has too much to do.
    Overload,
    /// It took too long.
    Timeout,
    /// The service's fault.
    ServerFault,
    /// Nobody was reached.
    Unreachable,
    /// Nobody knows.
    Unknown,
}

/// A status from `LEAST` to 599, a class or a range of them.
#[derive(Debug, Default)]
pub struct Status<const LEAST: u64>;

impl<const LEAST: u64> JsonSchema for Status<LEAST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("StatusFrom{LEAST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let class = format!("[{}-5]", LEAST / 100);
        let pattern = format!("^{class}(?:xx|[0-9]{{2}}(?:-{class}[0-9]{{2}})?)$");
        json_schema!({"type": ["integer", "string"], "minimum": LEAST, "maximum": 599, "pattern": pattern})
    }
}

/// A set of answers of a service.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct AnswerSet {
    /// HTTP statuses such as 503, "5xx" or "500-504".
    #[schemars(extend("default" = ["5xx"]))]
    pub status: Vec<Status<100>>,
    /// gRPC statuses.
    pub grpc_status: Vec<Whole<1, 16>>,
    /// What protocol-health says of answers whose status says too little.
    #[schemars(extend("default" = ["overload", "timeout", "server_fault", "unreachable"]))]
    pub outcome: Vec<AnswerOutcome>,
}
