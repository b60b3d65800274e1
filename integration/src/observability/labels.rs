//! The labels by which the rules and the dashboard speak of a series, in ONE place.
//!
//! The first group is what Holdfast's own names carry as a suffix (`;label=value`), by the table of `sdk-shim/src/labels.rs`, of which hosts' rules are made too.
//! The second is what Prometheus adds to whatever it scrapes, the third what Envoy's own metrics carry.

use sdk_shim::labels::Label;

/// `downstream` or `upstream`.
pub const CHAIN: &str = Label::Chain.tag();
/// The configured `instance`; Prometheus has one of its own.
pub const INSTANCE: &str = Label::Instance.tag();
/// What state is kept per: the route, unless configured otherwise.
pub const KEY: &str = Label::Key.tag();
/// `rest`, `grpc`, `grpc_web`, `graphql`, `sse`, `websocket`.
pub const PROTOCOL: &str = Label::Protocol.tag();
/// How a call ended.
pub const OUTCOME: &str = Label::Outcome.tag();
/// Why.
pub const CAUSE: &str = Label::Cause.tag();
/// The phase that a breaker changed to.
pub const TO: &str = Label::To.tag();
/// How a probe ended.
pub const RESULT: &str = Label::Result.tag();
/// How a store of idempotency speaks.
pub const STORE: &str = Label::Store.tag();
/// The route's name.
pub const ROUTE: &str = Label::Route.tag();
/// Whose answer or configuration it is.
pub const PLUGIN: &str = Label::Plugin.tag();
/// Hash of a configuration.
pub const CONFIG: &str = Label::Config.tag();
/// Version of a module.
pub const VERSION: &str = Label::Version.tag();
/// The commit that it was built from.
pub const GIT: &str = Label::Git.tag();
/// What a host can do.
pub const CAPABILITY: &str = Label::Capability.tag();

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
