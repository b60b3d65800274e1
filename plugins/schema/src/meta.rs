//! What Kong reads beside a module, `<module>.meta.json`: how a filter may be configured, and what of a metric's name is a label.

use crate::circuit_breaker::CircuitBreaker;
use crate::control::Control;
use crate::dialect::schema_of;
use crate::idempotency::Idempotency;
use crate::metrics::Metrics;
use crate::protocol_health::ProtocolHealth;
use crate::retry_budget::RetryBudget;
use crate::suite::Suite;
use sdk_shim::labels::rules::label_patterns;
use serde_json::{Value, json};

/// The modules that have a configuration, and its schema.
pub fn modules() -> Vec<(&'static str, Value)> {
    vec![
        ("circuit_breaker", schema_of::<CircuitBreaker>()),
        ("retry_budget", schema_of::<RetryBudget>()),
        ("idempotency", schema_of::<Idempotency>()),
        ("protocol_health", schema_of::<ProtocolHealth>()),
        ("metrics", schema_of::<Metrics>()),
        ("holdfast_suite", schema_of::<Suite>()),
        ("control", schema_of::<Control>()),
    ]
}

/// The file's text.
pub fn meta_json(config_schema: &Value) -> String {
    let patterns: Vec<Value> =
        label_patterns().iter().map(|rule| json!({"label": rule.label, "pattern": rule.pattern})).collect();
    let meta = json!({"config_schema": config_schema, "metrics": {"label_patterns": patterns}});
    format!("{meta:#}\n")
}
