//! Envoy bootstraps as JSON values.
//!
//! Envoy reads JSON as YAML, so a configuration is a `serde_json::Value`: each function here returns a complete piece
//! with plain defaults, and [`patch`] changes whatever a test cares about. No type hides a field of Envoy's.
//!
//! ```
//! use integration::config::{bootstrap, cluster, direct, listener, patch, route, when_header};
//! use serde_json::json;
//!
//! let fallback = when_header(route("fallback", "second"), "x-fallback", "1");
//! let primary = patch(route("primary", "first"), json!({"route": {"timeout": "0.3s"}}));
//! let config = bootstrap(
//!     &[listener("edge", &[], &[direct("up", "/up", 200, "up"), fallback, primary])],
//!     &[cluster("first", &[8001]), cluster("second", &[8002])],
//! );
//! assert_eq!(config["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"], 0);
//! ```

mod cluster;
mod listener;
mod retry;
pub mod suite;
pub mod tunnel;
pub mod wasm;
pub mod xds;

pub use cluster::{cluster, eds_cluster, http2, load_assignment, upstream_filters};
pub use listener::{
    access_log, direct, hcm_mut, header_mutation, listener, route, route_at, unnamed, virtual_host_mut, when_header,
    with_retries, with_timeout,
};
pub use retry::{with_back_off, with_hedging, with_per_try_timeout, with_reset_header, without_limits};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::TestResult;
use xds::XdsFile;

/// A bootstrap with static listeners and clusters. Admin is added by [`Envoy`](crate::Envoy).
pub fn bootstrap(listeners: &[Value], clusters: &[Value]) -> Value {
    json!({
        "node": {"id": "node-1", "cluster": "test"},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    })
}

/// Takes listeners from a file as well (LDS), so that a test can update them: write `listener(..)` values into it with
/// `"@type"` = [`xds::LISTENER`] (see [`xds::typed`]).
pub fn with_lds(bootstrap: Value, listeners: &XdsFile) -> Value {
    patch(bootstrap, json!({"dynamic_resources": {"lds_config": listeners.source()}}))
}

/// Merges `change` into `value`: objects field by field, anything else (arrays too) is replaced; `null` removes (RFC 7396).
pub fn patch(value: Value, change: Value) -> Value {
    match (value, change) {
        (Value::Object(mut fields), Value::Object(changes)) => {
            for (name, change) in changes {
                let before = fields.remove(&name).unwrap_or(Value::Null);
                if !change.is_null() {
                    fields.insert(name, patch(before, change));
                }
            }
            Value::Object(fields)
        }
        (_, Value::Object(changes)) => patch(json!({}), Value::Object(changes)),
        (_, change) => change,
    }
}

/// Reads a YAML (or JSON) configuration, such as a shipped file, so that a test can change its ports and paths.
///
/// # Errors
/// When the text is not YAML.
pub fn from_yaml(text: &str) -> TestResult<Value> {
    serde_yaml_ng::from_str(text).context("not a YAML document")
}

/// Lets the kernel choose the port of every static listener: a shipped file names fixed ones, which may be taken.
pub fn on_free_ports(mut bootstrap: Value) -> Value {
    let listeners = bootstrap.pointer_mut("/static_resources/listeners").and_then(Value::as_array_mut);
    for listener in listeners.into_iter().flatten() {
        if let Some(socket) = listener.pointer_mut("/address/socket_address") {
            socket["address"] = json!("127.0.0.1");
            socket["port_value"] = json!(0);
        }
    }
    bootstrap
}

pub(crate) fn socket_address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_merges_objects_and_removes_nulls() {
        let patched = patch(json!({"a": {"b": 1, "c": 2}, "d": [1, 2]}), json!({"a": {"b": null, "e": 3}, "d": [3]}));
        assert_eq!(patched, json!({"a": {"c": 2, "e": 3}, "d": [3]}));
    }

    #[test]
    fn yaml_becomes_a_value_with_free_ports() {
        let text =
            "static_resources: {listeners: [{name: a, address: {socket_address: {address: 0.0.0.0, port_value: 80}}}]}";
        let value = on_free_ports(from_yaml(text).unwrap());
        assert_eq!(value["static_resources"]["listeners"][0]["address"], socket_address(0));
    }
}
