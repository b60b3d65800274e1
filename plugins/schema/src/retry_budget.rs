//! The retry budget's settings.

use crate::common::{AnswerSet, Chain, Common, Mode, Secret};
use crate::texts::HeaderName;
use crate::values::{HOUR, MINUTE, Ratio, SECOND, Time, Whole};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Keeps retries below a share of the requests, over all workers of a node.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, transform = aliases_stand_alone)]
pub struct RetryBudget {
    /// The settings of every plugin; each tick looks after every key.
    #[schemars(flatten)]
    pub common: Common<Mode, Chain, 1_000>,
    /// Retries per request.
    #[schemars(extend("default" = 0.2))]
    pub ratio: Ratio,
    /// Retries per second that are always left.
    #[schemars(extend("default" = 1))]
    pub min_retries_per_second: Whole<0, 10_000>,
    /// How long a request counts.
    #[schemars(extend("default" = "10s"))]
    pub ttl: Time<SECOND, HOUR>,
    /// The Gateway API's name for `ratio`, of a hundred. Not beside `ratio`, `min_retries_per_second` and `ttl`.
    #[schemars(extend("default" = 20))]
    pub percent: Whole<0, 100>,
    /// The Gateway API's name for `ttl`.
    #[schemars(extend("default" = "10s"))]
    pub interval: Time<SECOND, HOUR>,
    /// The Gateway API's name for `min_retries_per_second`.
    #[schemars(rename = "minRetryRate", extend("default" = null))]
    pub min_retry_rate: Option<MinRetryRate>,
    /// Which answers may be retried.
    #[schemars(extend("default" = null))]
    pub retry_on: Option<AnswerSet>,
    /// The longest wait that a service may ask for.
    #[schemars(extend("default" = "10s"))]
    pub max_pushback: Time<0, { 5 * MINUTE }>,
    /// Whether requests may be retried that aren't safe (RFC 9110, 9.2.1).
    #[schemars(extend("default" = "never"))]
    pub retry_unsafe: RetryUnsafe,
    /// A budget for the retries of clients, in the downstream chain.
    #[schemars(extend("default" = null))]
    pub client_retries: Option<ClientRetries>,
}

/// The Gateway API's names aren't mixed with our own.
fn aliases_stand_alone(schema: &mut Schema) {
    let own: BTreeMap<_, Value> =
        ["ratio", "min_retries_per_second", "ttl"].map(|name| (name, json!({"not": {}}))).into();
    let rules: BTreeMap<_, Value> =
        ["percent", "interval", "minRetryRate"].map(|name| (name, json!({"properties": own}))).into();
    schema.insert("dependencies".to_owned(), json!(rules));
}

/// So many retries in so long are always left.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct MinRetryRate {
    /// So many.
    #[schemars(extend("default" = 10))]
    pub count: Whole<0, 1_000_000>,
    /// In so long.
    #[schemars(extend("default" = "1s"))]
    pub interval: Time<SECOND, HOUR>,
}

/// Whether unsafe requests may be retried.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum RetryUnsafe {
    /// They aren't.
    #[default]
    Never,
    /// Those with an idempotency key are.
    Keyed,
    /// All of them are.
    Always,
}

/// A budget for requests that say that they are retries.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct ClientRetries {
    /// Retries per request.
    #[schemars(extend("default" = 0.1))]
    pub ratio: Ratio,
    /// Retries per second that are always left.
    #[schemars(extend("default" = 1))]
    pub min_retries_per_second: Whole<0, 10_000>,
    /// How long a request counts.
    #[schemars(extend("default" = "10s"))]
    pub ttl: Time<SECOND, HOUR>,
    /// By which a request may say that it is a retry.
    #[schemars(
        length(min = 1, max = 8),
        extend("default" = ["x-retry-attempt", "x-envoy-attempt-count", "grpc-previous-rpc-attempts"])
    )]
    pub headers: Vec<HeaderName>,
    /// Who needn't keep to the budget.
    #[schemars(extend("default" = null))]
    pub trusted_proof: Option<Proof>,
}

/// A header that has a secret in it.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Proof {
    /// The header.
    pub header: HeaderName,
    /// The secret.
    pub token: Secret,
}
