//! What a schema calls a default is what the parser takes where nothing is said.

use config_schema::meta::modules;
use sdk_shim::config::Faults;
use serde_json::{Map, Value, json};

type Policy = fn(&[u8]) -> Result<String, Faults>;

/// A policy as text.
macro_rules! policy {
    ($plugin:ident) => {
        |bytes| $plugin::config::read(bytes).map(|policy| format!("{policy:?}"))
    };
}

/// How each plugin is read, and the least that it must be told.
fn plugins() -> [(&'static str, Policy, Value); 5] {
    let memory = json!({"store": {"kind": "memory"}});
    [
        ("circuit_breaker", policy!(circuit_breaker), json!({})),
        ("retry_budget", policy!(retry_budget), json!({})),
        ("idempotency", policy!(idempotency), memory),
        ("protocol_health", policy!(protocol_health), json!({})),
        ("metrics", policy!(metrics), json!({})),
    ]
}

/// The legacy form has defaults of its own.
const LEGACY: [&str; 4] = ["timeout", "threshold", "min_half_open_requests", "window_size"];

fn with(config: &Value, field: &str, value: &Value) -> Value {
    let mut config = config.clone();
    config[field] = value.clone();
    config
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema["properties"].as_object().cloned().unwrap_or_default()
}

/// Without what only says which fields were there.
fn meaning(policy: &str) -> String {
    match policy.split_once("steering_fields: [") {
        Some((head, rest)) => format!("{head}{}", rest.split_once(']').map_or("", |(_, rest)| rest)),
        None => policy.to_owned(),
    }
}

/// Compares in the chain in which the field may stand. Returns whether there is one.
fn is_default(read: Policy, without: &Value, with_it: &Value, what: &str) -> bool {
    for chain in ["downstream", "upstream"] {
        let [without, with_it] = [without, with_it].map(|config| with(config, "chain", &chain.into()));
        let [without, with_it] = [without, with_it].map(|config| read(config.to_string().as_bytes()));
        if let (Ok(without), Ok(with_it)) = (without, with_it) {
            assert_eq!(meaning(&with_it), meaning(&without), "{what}");
            return true;
        }
    }
    false
}

#[test]
fn a_default_that_is_written_out_changes_nothing() {
    for (name, read, least) in plugins() {
        let schema = modules().into_iter().find(|(module, _)| *module == name).expect("a module").1;
        let mut compared = 0;
        for (field, inner) in properties(&schema).iter().filter(|(field, _)| !LEGACY.contains(&field.as_str())) {
            if let Some(default) = inner.get("default").filter(|_| field != "chain") {
                let what = format!("{name}: {field}");
                assert!(is_default(read, &least, &with(&least, field, default), &what), "{what} can't be {default}");
                compared += 1;
            }
            let object = least.get(field).cloned().unwrap_or_else(|| json!({}));
            for (nested, inner) in properties(inner) {
                let Some(default) = inner.get("default") else { continue };
                let without = with(&least, field, &object);
                let with_it = with(&least, field, &with(&object, &nested, default));
                // Where an empty object says nothing, or the default is another kind's, there is nothing to compare.
                compared += usize::from(is_default(read, &without, &with_it, &format!("{name}: {field}.{nested}")));
            }
        }
        assert!(compared >= 15, "{name}: {compared} defaults");
    }
}
