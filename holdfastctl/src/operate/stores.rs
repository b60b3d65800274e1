//! What the stores of idempotency do: counters in Envoy's admin. A store's health is each worker's own, so no control entry could show it.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Asks for these alone.
pub(crate) const STATS: &str = "/stats?format=json&filter=holdfast_idempotency_store_";
const PREFIX: &str = "holdfast_idempotency_store_";

/// Each store of each instance, of an answer to [`STATS`].
pub(crate) fn stores(stats: &Value) -> Value {
    let mut found: BTreeMap<[&str; 3], Map<String, Value>> = BTreeMap::new();
    for stat in stats["stats"].as_array().map_or(&[][..], Vec::as_slice) {
        // A histogram has no value of its own.
        let (Some(name), Some(value)) = (stat["name"].as_str(), stat["value"].as_u64()) else { continue };
        // What stands before the name is where Envoy keeps it.
        let Some((_, own)) = name.split_once(PREFIX) else { continue };
        let mut labels = own.split(';');
        let what = labels.next().unwrap_or_default();
        let of = |label: &str| {
            own.split(';').find_map(|part| part.strip_prefix(label)?.strip_prefix('=')).unwrap_or_default()
        };
        let fields = found.entry([of("chain"), of("instance"), of("store")]).or_default();
        if what == "failures_total" {
            let causes = fields.entry("failures").or_insert_with(|| json!({}));
            causes[of("cause")] = value.into();
        } else {
            fields.insert(what.trim_end_matches("_total").to_owned(), value.into());
        }
    }
    let one = |([chain, instance, store], fields): ([&str; 3], Map<String, Value>)| {
        let mut value = json!({"chain": chain, "instance": instance, "store": store});
        for (name, field) in fields {
            value[name] = field;
        }
        value
    };
    found.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_what_its_counters_say() {
        let stat = |what: &str, value: u64| {
            let name = format!("wasmcustom.holdfast_idempotency_store_{what}");
            json!({"name": name, "value": value})
        };
        let labels = ";chain=downstream;instance=default;store=redis";
        let stats = json!({"stats": [
            stat(&format!("calls_total{labels}"), 120),
            stat(&format!("failures_total{labels};cause=timeout"), 2),
            stat(&format!("failures_total{labels};cause=refused"), 1),
            stat(&format!("errands_total{labels}"), 9),
            {"name": format!("wasmcustom.holdfast_idempotency_store_commands{labels}"), "histograms": {}},
            {"name": "wasmcustom.holdfast_metrics_x", "value": 1},
        ]});
        let expected = json!([{"chain": "downstream", "instance": "default", "store": "redis", "calls": 120, "errands": 9,
            "failures": {"timeout": 2, "refused": 1}}]);
        assert_eq!(stores(&stats), expected);
        assert_eq!(stores(&json!({"stats": []})), json!([]));
    }
}
