//! The labels by which the rules and the dashboard speak of a series, in ONE place.
//!
//! The first group is what Holdfast's own names carry as a suffix (`;label=value`); `sdk_shim::labels::Label` is to take its place, and nothing else has to
//! change then. The second is what Prometheus adds to whatever it scrapes, the third what Envoy's own metrics carry.

/// `downstream` or `upstream`.
pub const CHAIN: &str = "chain";
/// The configured `instance`; Prometheus has one of its own.
pub const INSTANCE: &str = "holdfast_instance";
/// What state is kept per: the route, unless configured otherwise.
pub const KEY: &str = "key";
/// `rest`, `grpc`, `grpc_web`, `graphql`, `sse`, `websocket`.
pub const PROTOCOL: &str = "protocol";
/// How a call ended.
pub const OUTCOME: &str = "outcome";
/// Why.
pub const CAUSE: &str = "cause";
/// The phase that a breaker changed to.
pub const TO: &str = "to";
/// How a probe ended.
pub const RESULT: &str = "result";
/// How a store of idempotency speaks.
pub const STORE: &str = "store";
/// The route's name.
pub const ROUTE: &str = "route";
/// Whose answer or configuration it is.
pub const PLUGIN: &str = "plugin";
/// Hash of a configuration.
pub const CONFIG: &str = "config";
/// Version of a module.
pub const VERSION: &str = "version";
/// The commit that it was built from.
pub const GIT: &str = "git";
/// What a host can do.
pub const CAPABILITY: &str = "capability";

/// Each label of a name's suffix, with the word that stands in the name.
pub const SUFFIX: [(&str, &str); 15] = [
    (CHAIN, "chain"),
    (INSTANCE, "instance"),
    (KEY, "key"),
    (PROTOCOL, "protocol"),
    (OUTCOME, "outcome"),
    (CAUSE, "cause"),
    (TO, "to"),
    (RESULT, "result"),
    (STORE, "store"),
    (ROUTE, "route"),
    (PLUGIN, "plugin"),
    (CONFIG, "config"),
    (VERSION, "version"),
    (GIT, "git"),
    (CAPABILITY, "capability"),
];

/// The scrape job.
pub const JOB: &str = "job";
/// The address that was scraped: a node.
pub const NODE: &str = "instance";
/// Where the node is: a label of the target, set by whoever runs Prometheus.
pub const REGION: &str = "region";
/// A histogram's bucket.
pub const LE: &str = "le";

/// An upstream cluster of Envoy.
pub const CLUSTER: &str = "envoy_cluster_name";
/// A listener of Envoy.
pub const LISTENER: &str = "envoy_listener_address";

/// What any series may carry.
pub const OF_ANY: [&str; 4] = [JOB, NODE, REGION, "__name__"];
