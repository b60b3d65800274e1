//! The settings of the suite: those of its plugins, each below its name.

use crate::circuit_breaker::CircuitBreaker;
use crate::common::{BreakerMode, Common};
use crate::idempotency::Idempotency;
use crate::metrics::Metrics;
use crate::protocol_health::ProtocolHealth;
use crate::retry_budget::RetryBudget;
use schemars::{JsonSchema, Schema};
use serde_json::json;

/// All plugins in one. Who isn't named doesn't run. What stands beside the plugins is for each that doesn't say otherwise.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, transform = one_at_least)]
pub struct Suite {
    /// The settings of every plugin.
    #[schemars(flatten)]
    pub common: Common<BreakerMode>,
    /// Protocol health.
    pub protocol_health: Option<ProtocolHealth>,
    /// Metrics.
    pub metrics: Option<Metrics>,
    /// Idempotency.
    pub idempotency: Option<Idempotency>,
    /// The circuit breaker.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The retry budget.
    pub retry_budget: Option<RetryBudget>,
}

fn one_at_least(schema: &mut Schema) {
    let names = ["protocol_health", "metrics", "idempotency", "circuit_breaker", "retry_budget"];
    let given = names.map(|name| json!({"required": [name], "properties": {name: {"type": "object"}}}));
    schema.insert("anyOf".to_owned(), json!(given));
}
