//! The control: the same Envoy configuration without Holdfast.

use anyhow::{Context as _, ensure};
use serde_yaml_ng::Value;

use crate::TestResult;

/// What our entries are called in `integration/compose/envoy/envoy.yaml`.
const OURS: &str = "holdfast";

/// The bootstrap without every filter of ours, in the listener and in the clusters. Nothing else is changed.
///
/// # Errors
/// When it isn't YAML, or has no filter of ours: then it wouldn't be a control.
pub fn without_holdfast(bootstrap: &str) -> TestResult<String> {
    let mut value: Value = serde_yaml_ng::from_str(bootstrap).context("the bootstrap is no YAML")?;
    let removed = strip(&mut value);
    ensure!(removed > 0, "the bootstrap has no filter {OURS:?}");
    Ok(serde_yaml_ng::to_string(&value)?)
}

/// Removes them below this value; how many there were.
fn strip(value: &mut Value) -> usize {
    match value {
        Value::Mapping(fields) => {
            let here = fields.get_mut("http_filters").map_or(0, without_ours);
            here + fields.values_mut().map(strip).sum::<usize>()
        }
        Value::Sequence(items) => items.iter_mut().map(strip).sum(),
        _ => 0,
    }
}

fn without_ours(filters: &mut Value) -> usize {
    let Value::Sequence(filters) = filters else { return 0 };
    let before = filters.len();
    filters.retain(|filter| filter.get("name").and_then(Value::as_str) != Some(OURS));
    before - filters.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../compose/envoy/envoy.yaml");

    #[test]
    fn the_control_has_the_same_routes_and_none_of_our_filters() {
        let plain = without_holdfast(SHIPPED).unwrap();
        assert!(SHIPPED.contains("filters.http.wasm") && !plain.contains("filters.http.wasm"));
        let count = |text: &str, what: &str| {
            let value: Value = serde_yaml_ng::from_str(text).unwrap();
            serde_yaml_ng::to_string(&value).unwrap().matches(what).count()
        };
        for what in
            ["retry_policy", "weighted_clusters", "cluster_name", "http.router", "upstream_codec", "hash_policy"]
        {
            assert_eq!(count(&plain, what), count(SHIPPED, what), "{what}");
        }
    }

    #[test]
    fn what_has_no_filter_of_ours_is_no_control() {
        assert!(without_holdfast("static_resources: {}").is_err());
    }
}
