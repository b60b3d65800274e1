//! Clusters and their endpoints.

use serde_json::{Value, json};

use super::xds::XdsFile;
use super::{patch, socket_address, suite};

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const OPTIONS_TYPE: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const CODEC_TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec";

/// An HTTP/1 cluster of upstreams on 127.0.0.1, round robin, connect timeout 0.5 s.
pub fn cluster(name: &str, ports: &[u16]) -> Value {
    let own = json!({"type": "STATIC", "load_assignment": load_assignment(name, ports)});
    patch(base(name), own)
}

/// A cluster whose endpoints come from a file (EDS): write [`load_assignment`] into it with `"@type"` =
/// [`xds::ENDPOINTS`](super::xds::ENDPOINTS).
pub fn eds_cluster(name: &str, endpoints: &XdsFile) -> Value {
    patch(base(name), json!({"type": "EDS", "eds_cluster_config": {"eds_config": endpoints.source()}}))
}

/// The endpoints of a cluster.
pub fn load_assignment(cluster: &str, ports: &[u16]) -> Value {
    let endpoints: Vec<Value> =
        ports.iter().map(|port| json!({"endpoint": {"address": socket_address(*port)}})).collect();
    json!({"cluster_name": cluster, "endpoints": [{"lb_endpoints": endpoints}]})
}

/// The same cluster over HTTP/2 without TLS: what gRPC upstreams need.
pub fn http2(cluster: Value) -> Value {
    let explicit = json!({"explicit_http_config": {"http_protocol_options": null, "http2_protocol_options": {}}});
    with_options(cluster, &explicit)
}

/// The same cluster with filters that run once per attempt; Envoy's codec is added behind them.
pub fn upstream_filters(cluster: Value, filters: &[Value]) -> Value {
    let codec = json!({"name": "envoy.filters.http.upstream_codec", "typed_config": {"@type": CODEC_TYPE}});
    let filters = [suite::merged(filters).as_slice(), &[codec]].concat();
    with_options(cluster, &json!({"http_filters": filters}))
}

fn base(name: &str) -> Value {
    json!({
        "name": name,
        "connect_timeout": "0.5s",
        "typed_extension_protocol_options": {
            OPTIONS: {"@type": OPTIONS_TYPE, "explicit_http_config": {"http_protocol_options": {}}},
        },
    })
}

fn with_options(cluster: Value, options: &Value) -> Value {
    patch(cluster, json!({"typed_extension_protocol_options": {OPTIONS: options}}))
}
