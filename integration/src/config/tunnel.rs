//! The tunnel through which a filter speaks to a store: stock Envoy, no sidecar.
//!
//! A filter can send HTTP calls only. So it posts the store's own language (RESP, or memcached's text) to a cluster whose only endpoint is an
//! *internal listener* of the same Envoy. That one takes the POST for a CONNECT and sends its body as raw TCP to the store; all that the
//! store answers until the connection's end is the body of the reply. Each call is a connection to the store.
//!
//! ```no_run
//! use integration::config::{bootstrap, cluster, listener, route, tunnel};
//!
//! let edge = listener("edge", &[], &[route("all", "orders")]);
//! let config = bootstrap(&[edge], &[cluster("orders", &[8001])]);
//! let one_redis = tunnel::to_server(config.clone(), "redis_tunnel", "store", 6379);
//! let redis_cluster = tunnel::to_cluster(config, "redis_tunnel", "store", &[7001, 7002, 7003]);
//! ```
//!
//! Webdis needs no tunnel: [`to_webdis`] adds a plain HTTP/1 cluster.

use serde_json::{Value, json};

use super::cluster::cluster;
use super::listener::{hcm_mut, listener, route};
use super::{patch, without_limits};

/// The header that names a node of a Redis Cluster: `127.0.0.1:7001`.
pub const NODE_HEADER: &str = "x-redis-node";

const EXTENSION: &str = "envoy.bootstrap.internal_listener";
const EXTENSION_TYPE: &str = "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener";

/// Adds to a [`bootstrap`](super::bootstrap) the internal listener `name`, and the cluster `store` that leads through it to one server (Redis or
/// memcached) on 127.0.0.1. The server's own cluster is called `<store>_server`.
pub fn to_server(bootstrap: Value, name: &str, store: &str, port: u16) -> Value {
    let server = format!("{store}_server");
    let tunnel = internal(name, &[tunnelled(route("server", &server))]);
    let server = without_limits(cluster(&server, &[port]));
    add(bootstrap, tunnel, vec![entrance(store, name), raw(server)])
}

/// The same for a Redis Cluster: a call goes to the node that [`NODE_HEADER`] names (cluster `<store>_node`), and without that header to any of
/// the `seeds` (cluster `<store>_server`).
pub fn to_cluster(bootstrap: Value, name: &str, store: &str, seeds: &[u16]) -> Value {
    let (server, node) = (format!("{store}_server"), format!("{store}_node"));
    let named = json!({"match": {"headers": [{"name": NODE_HEADER, "present_match": true}]}});
    let to_node = patch(tunnelled(route("node", &node)), named);
    let tunnel = internal(name, &[to_node, tunnelled(route("seed", &server))]);
    let clusters =
        vec![entrance(store, name), raw(without_limits(cluster(&server, seeds))), original_destination(&node)];
    add(bootstrap, tunnel, clusters)
}

/// Adds the cluster `store` for a Webdis on 127.0.0.1: HTTP/1 on connections that are kept.
pub fn to_webdis(mut bootstrap: Value, store: &str, port: u16) -> Value {
    append(&mut bootstrap["static_resources"]["clusters"], [without_limits(cluster(store, &[port]))]);
    bootstrap
}

/// A listener without a port: nothing outside this process reaches it.
fn internal(name: &str, routes: &[Value]) -> Value {
    let mut tunnel = patch(listener(name, &[], routes), json!({"address": null, "internal_listener": {}}));
    let hcm = hcm_mut(&mut tunnel);
    *hcm = patch(hcm.take(), json!({"codec_type": "HTTP1", "upgrade_configs": null}));
    tunnel
}

/// A POST on this route becomes a TCP connection.
fn tunnelled(route: Value) -> Value {
    let connect = json!([{"upgrade_type": "CONNECT", "connect_config": {"allow_post": true}}]);
    patch(route, json!({"route": {"upgrade_configs": connect, "timeout": "0s"}}))
}

/// What a filter dispatches to.
fn entrance(store: &str, listener: &str) -> Value {
    let internal = json!({"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": listener}}}});
    let assignment = json!({"load_assignment": {"endpoints": [{"lb_endpoints": [internal]}]}});
    without_limits(patch(cluster(store, &[]), assignment))
}

/// A cluster that no HTTP is spoken to.
fn raw(cluster: Value) -> Value {
    patch(cluster, json!({"typed_extension_protocol_options": null}))
}

fn original_destination(name: &str) -> Value {
    let change = json!({
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "original_dst_lb_config": {"use_http_header": true, "http_header_name": NODE_HEADER},
        "load_assignment": null,
    });
    raw(without_limits(patch(cluster(name, &[]), change)))
}

fn add(bootstrap: Value, tunnel: Value, clusters: Vec<Value>) -> Value {
    let extensions = json!([{"name": EXTENSION, "typed_config": {"@type": EXTENSION_TYPE}}]);
    let mut bootstrap = patch(bootstrap, json!({"bootstrap_extensions": extensions}));
    let resources = &mut bootstrap["static_resources"];
    append(&mut resources["listeners"], [tunnel]);
    append(&mut resources["clusters"], clusters);
    bootstrap
}

fn append(list: &mut Value, more: impl IntoIterator<Item = Value>) {
    let before = list.take();
    let before = before.as_array().cloned().unwrap_or_default();
    *list = before.into_iter().chain(more).collect();
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap;
    use super::*;

    #[test]
    fn a_tunnel_has_no_address_and_its_clusters_speak_no_http() {
        let config = to_cluster(bootstrap(&[], &[]), "tunnel", "store", &[1]);
        let [listeners, clusters] = ["listeners", "clusters"].map(|kind| &config["static_resources"][kind]);
        assert_eq!((&listeners[0]["address"], &listeners[0]["internal_listener"]), (&Value::Null, &json!({})));
        let names: Vec<_> = (0..3).map(|n| clusters[n]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["store", "store_server", "store_node"]);
        assert_eq!(clusters[1]["typed_extension_protocol_options"], Value::Null);
    }
}
