//! The same stories with all plugins in one module.
//!
//! With `HOLDFAST_FORM=suite` an entry that a story writes for a plugin's own module becomes one for the suite that runs this plugin, and entries that stand
//! side by side become one. What a story expects stays the same: the suite does what the separate modules do, or the story fails.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// The suite's module, without `.wasm`.
pub const MODULE: &str = "holdfast_suite";
/// The plugins in the order of a listener's chain, as module files are named.
const DOWNSTREAM: [&str; 5] = ["protocol_health", "metrics", "idempotency", "circuit_breaker", "retry_budget"];
/// The same for a cluster's.
const UPSTREAM: [&str; 4] = ["metrics", "circuit_breaker", "retry_budget", "protocol_health"];
/// The module, and the one that does what a header says.
const MODULES: [(&str, &str); 2] = [("", "holdfast_suite.wasm"), ("_hooks", "holdfast_suite_hooks.wasm")];
const CONFIGURATION: &str = "/typed_config/config/configuration/value";
const CODE: &str = "/typed_config/config/vm_config/code/local/filename";

/// Whether stories are told with the suite.
pub fn is_meant() -> bool {
    std::env::var("HOLDFAST_FORM").is_ok_and(|form| form == "suite")
}

/// A plugin's configuration as its module wants it.
pub fn configuration(plugin: &str, own: &Value) -> Value {
    if is_meant() { json!({plugin: own}) } else { own.clone() }
}

/// A log with each plugin's faults as its own module tells them: `$.window` where the suite says `$.circuit_breaker.window`.
pub(crate) fn own_words(log: String) -> String {
    if !is_meant() {
        return log;
    }
    DOWNSTREAM.iter().fold(log, |log, plugin| log.replace(&format!("$.{plugin}"), "$"))
}

/// The suite's module and configuration in the place of a plugin's, where that is meant.
pub(super) fn of(module: &Path, configuration: &str) -> (PathBuf, String) {
    let stem = module.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let known = MODULES.iter().find_map(|(ending, suite)| {
        let plugin = stem.strip_suffix(ending).filter(|plugin| DOWNSTREAM.contains(plugin))?;
        Some((plugin, module.with_file_name(suite)))
    });
    match known {
        Some((plugin, suite)) if is_meant() => (suite, wrapped(plugin, configuration)),
        _ => (module.to_owned(), configuration.to_owned()),
    }
}

/// What is no JSON stays none, and a field that is there twice stays there twice.
fn wrapped(plugin: &str, configuration: &str) -> String {
    let text = if configuration.trim().is_empty() { "{}" } else { configuration };
    let mut own = match serde_json::from_str(text) {
        Err(_) | Ok(Value::Null) => return text.to_owned(),
        Ok(Value::Object(own)) if own.contains_key("chain") => own,
        Ok(_) => return format!(r#"{{"{plugin}": {text}}}"#),
    };
    let chain = own.remove("chain");
    let mut whole = json!({plugin: own});
    if let Some(chain) = chain {
        whole["chain"] = chain;
    }
    whole.to_string()
}

/// A row of filters, with the suite's entries that stand side by side in the suite's own order made one.
pub(super) fn merged(filters: &[Value]) -> Vec<Value> {
    let mut row: Vec<Value> = Vec::new();
    for filter in filters {
        match row.last_mut().and_then(|last| one_of(last, filter)) {
            Some(both) => *row.last_mut().expect("it was just there") = both,
            None => row.push(filter.clone()),
        }
    }
    row
}

fn one_of(first: &Value, second: &Value) -> Option<Value> {
    let (a, b) = (parts(first)?, parts(second)?);
    let order: &[&str] = if a.get("chain") == Some(&json!("upstream")) { &UPSTREAM } else { &DOWNSTREAM };
    let place = |part: &String| order.iter().position(|known| known == part);
    let (last, next) = (a.keys().filter_map(place).max()?, b.keys().filter_map(place).min()?);
    if a.get("chain") != b.get("chain") || next <= last || rest_of(first) != rest_of(second) {
        return None;
    }
    let mut both = first.clone();
    let whole: Map<String, Value> = a.into_iter().chain(b).collect();
    *both.pointer_mut(CONFIGURATION)? = json!(Value::Object(whole).to_string());
    Some(both)
}

/// What the entry configures, if it is the suite's.
fn parts(filter: &Value) -> Option<Map<String, Value>> {
    let module = filter.pointer(CODE)?.as_str()?;
    if !MODULES.iter().any(|(_, suite)| module.ends_with(suite)) {
        return None;
    }
    serde_json::from_str(filter.pointer(CONFIGURATION)?.as_str()?).ok()
}

/// All of an entry but its names and its configuration.
fn rest_of(filter: &Value) -> Value {
    let mut rest = filter.pointer("/typed_config/config").cloned().unwrap_or_default();
    for own in ["name", "root_id", "configuration"] {
        rest[own] = Value::Null;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, configuration: &Value) -> Value {
        json!({"name": name, "typed_config": {"config": {
            "name": name, "root_id": name, "configuration": {"value": configuration.to_string()},
            "vm_config": {"vm_id": "holdfast", "code": {"local": {"filename": "/m/holdfast_suite.wasm"}}},
        }}})
    }

    #[test]
    fn a_plugins_configuration_becomes_a_part() {
        assert_eq!(
            wrapped("retry_budget", r#"{"chain": "upstream", "ttl": "1s"}"#),
            r#"{"chain":"upstream","retry_budget":{"ttl":"1s"}}"#
        );
        assert_eq!(wrapped("retry_budget", r#"{"ttl": 1, "ttl": 2}"#), r#"{"retry_budget": {"ttl": 1, "ttl": 2}}"#);
        assert_eq!(
            (wrapped("retry_budget", "{"), wrapped("retry_budget", " ")),
            ("{".into(), r#"{"retry_budget": {}}"#.into())
        );
    }

    #[test]
    fn neighbours_become_one_where_their_order_is_the_suites() {
        let (health, breaker) = (json!({"protocol_health": {}}), json!({"circuit_breaker": {"max_keys": 1}}));
        let row = merged(&[entry("a", &health), entry("b", &breaker), json!({"name": "other"}), entry("c", &breaker)]);
        assert_eq!(row.len(), 3);
        assert_eq!(parts(&row[0]).unwrap().keys().collect::<Vec<_>>(), ["circuit_breaker", "protocol_health"]);
        assert_eq!(merged(&[entry("b", &breaker), entry("a", &health)]).len(), 2, "the other way round");
        assert_eq!(merged(&[entry("b", &breaker), entry("c", &breaker)]).len(), 2, "the same twice");
    }
}
