//! Listeners, routes and stock filters.

use std::time::Duration;

use serde_json::{Value, json};

use super::{patch, socket_address, suite};

const HCM: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const HEADER_MUTATION: &str = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
const STDOUT_LOG: &str = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";

/// An HTTP listener on a port that the kernel chooses (ask [`Envoy::port`](crate::Envoy::port)). The router is added
/// behind `filters`; one virtual host `all` serves every domain; HTTP/1, h2c and WebSocket upgrades are accepted.
/// `name` is the stat prefix too: `http.<name>.downstream_rq_2xx`.
pub fn listener(name: &str, filters: &[Value], routes: &[Value]) -> Value {
    let last = json!({"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}});
    let filters = [suite::merged(filters).as_slice(), &[last]].concat();
    let hcm = json!({
        "@type": HCM,
        "stat_prefix": name,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": filters,
    });
    json!({
        "name": name,
        "address": socket_address(0),
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": hcm}]}],
    })
}

/// The HTTP connection manager inside a [`listener`].
///
/// # Panics
/// When `listener` was not made by [`listener`] (or has another shape).
pub fn hcm_mut(listener: &mut Value) -> &mut Value {
    listener.pointer_mut("/filter_chains/0/filters/0/typed_config").expect("a listener with one filter chain")
}

/// The first virtual host inside a [`listener`], for example to set `include_request_attempt_count`.
///
/// # Panics
/// When `listener` has no static routes.
pub fn virtual_host_mut(listener: &mut Value) -> &mut Value {
    hcm_mut(listener).pointer_mut("/route_config/virtual_hosts/0").expect("a listener with static routes")
}

/// A named route for every path. Routes are tried in order, so put it last.
pub fn route(name: &str, cluster: &str) -> Value {
    route_at(name, "/", cluster)
}

/// A named route for the paths that begin with `prefix`.
pub fn route_at(name: &str, prefix: &str, cluster: &str) -> Value {
    json!({"name": name, "match": {"prefix": prefix}, "route": {"cluster": cluster}})
}

/// A route that Envoy answers by itself, for example to measure a filter without an upstream.
pub fn direct(name: &str, prefix: &str, status: u16, body: &str) -> Value {
    json!({
        "name": name,
        "match": {"prefix": prefix},
        "direct_response": {"status": status, "body": {"inline_string": body}},
    })
}

/// The same route without its name, as most people write routes.
pub fn unnamed(route: Value) -> Value {
    patch(route, json!({"name": null}))
}

/// The same route, only for requests whose header has exactly this value.
pub fn when_header(route: Value, header: &str, value: &str) -> Value {
    let wanted = json!([{"name": header, "string_match": {"exact": value}}]);
    patch(route, json!({"match": {"headers": wanted}}))
}

/// The same route with up to `retries` retries on Envoy's conditions (`"5xx,reset"`), without a noticeable back-off.
pub fn with_retries(route: Value, retry_on: &str, retries: u32) -> Value {
    let policy = json!({
        "retry_on": retry_on,
        "num_retries": retries,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.005s"},
    });
    patch(route, json!({"route": {"retry_policy": policy}}))
}

/// The same route with a timeout for the whole request; zero switches it off (streams need that).
pub fn with_timeout(route: Value, timeout: Duration) -> Value {
    patch(route, json!({"route": {"timeout": seconds(timeout)}}))
}

/// Envoy's own filter that sets a response header: a filter to push around that needs no wasm.
pub fn header_mutation(header: &str, value: &str) -> Value {
    let append = json!({"header": {"key": header, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
    json!({
        "name": "header-mutation",
        "typed_config": {"@type": HEADER_MUTATION, "mutations": {"response_mutations": [{"append": append}]}},
    })
}

/// An access log for `hcm["access_log"]`: one line per request into Envoy's log file ([`Envoy::log`](crate::Envoy::log)).
pub fn access_log(format: &str) -> Value {
    let line = format!("{format}\n");
    json!([{
        "name": "envoy.access_loggers.stdout",
        "typed_config": {"@type": STDOUT_LOG, "log_format": {"text_format_source": {"inline_string": line}}},
    }])
}

pub(super) fn seconds(duration: Duration) -> String {
    format!("{}.{:09}s", duration.as_secs(), duration.subsec_nanos())
}
