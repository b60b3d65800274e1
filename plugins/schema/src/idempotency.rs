//! The settings of idempotency.

use crate::common::{Common, Mode, OnlyDownstream, Secret, Status};
use crate::dialect::only;
use crate::texts::{
    Cluster, HeaderName, HomeValue, HostSuffix, InnerPointer, LastingHeader, Method, Namespace, Parameter, Pointer,
    RequestPath, TenantHeader, Username,
};
use crate::values::{HOUR, MINUTE, SECOND, Time, Whole};
use schemars::{JsonSchema, Schema};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// 30 days, in milliseconds.
const LONGEST_TTL: u64 = 30 * 24 * HOUR;

/// Runs a request with a key at most once, and gives its repeats the same answer.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, extend("required" = ["store"]))]
pub struct Idempotency {
    /// The settings of every plugin.
    #[schemars(flatten)]
    pub common: Common<Mode, OnlyDownstream>,
    /// Where records are kept.
    pub store: Store,
    /// Under which names and fingerprints are made, the one that writes first. Needed with every store but `memory`.
    #[schemars(length(min = 1, max = 4))]
    pub secret: Vec<Secret>,
    /// Requests of these methods have keys,
    #[schemars(length(min = 1, max = 64), extend("default" = ["POST", "PATCH"]))]
    pub methods: BTreeSet<Method>,
    /// below these paths.
    #[schemars(length(min = 1, max = 64), extend("default" = ["/"]))]
    pub paths: BTreeSet<RequestPath>,
    /// The header that has the key.
    #[schemars(extend("default" = "idempotency-key"))]
    pub header: HeaderName,
    /// A request without a key is refused.
    #[schemars(extend("default" = false))]
    pub required: bool,
    /// A key that isn't quoted is refused.
    #[schemars(extend("default" = false))]
    pub strict: bool,
    /// A request without a key gets its fingerprint for one.
    #[schemars(extend("default" = null))]
    pub derive: Option<Derive>,
    /// How long a key is remembered; longer than the lease.
    #[schemars(extend("default" = "24h"))]
    pub ttl: Time<SECOND, LONGEST_TTL>,
    /// How long a request may take before nobody knows what came of it.
    #[schemars(extend("default" = "30s"))]
    pub lease: Time<SECOND, HOUR>,
    /// Headers that say whose a request is; a key counts for its tenant alone.
    #[schemars(length(max = 64), extend("default" = []))]
    pub tenant: BTreeSet<TenantHeader>,
    /// What of a request must be the same when its key comes again.
    #[schemars(extend("default" = null))]
    pub fingerprint: Option<Fingerprint>,
    /// The service does the same once for two requests with one key, so the proxy may retry.
    #[schemars(extend("default" = false))]
    pub service_is_idempotent: bool,
    /// What a repeat does while the first one is under way.
    #[schemars(extend("default" = "reject"))]
    pub on_in_flight: OnInFlight,
    /// How long it waits; needed where it does.
    #[schemars(extend("default" = "0s"))]
    pub wait: Time<0, { 30 * SECOND }>,
    /// What a repeat does when nobody knows what came of the first one.
    #[schemars(extend("default" = "reject"))]
    pub on_uncertain: OnUncertain,
    /// What a request does while the store gives no answer.
    #[schemars(extend("default" = "closed"))]
    pub on_store_error: OnStoreError,
    /// What a request does whose body is longer than `max_body`.
    #[schemars(extend("default" = "reject"))]
    pub too_large: TooLarge,
    /// Longest body that is held, in bytes.
    #[schemars(extend("default" = 262_144))]
    pub max_body: Whole<0, { 15 << 20 }>,
    /// Answers by which the service says that it did nothing: they free the key.
    #[schemars(length(max = 64), extend("default" = [401, 403, 408, 409, 425, 429]))]
    pub release_on: Vec<Status<400>>,
    /// Store answers' bodies; otherwise only status and digest.
    #[schemars(extend("default" = true))]
    pub store_body: bool,
    /// Requests of one tenant that may be under way at one time on this node; 0 for any number.
    #[schemars(extend("default" = 0))]
    pub per_tenant_in_flight: Whole<0, 1_000>,
    /// Headers of an answer that are stored and replayed.
    #[schemars(
        length(max = 64),
        extend("default" = ["content-type", "content-language", "content-encoding", "location", "etag"])
    )]
    pub replay_headers: BTreeSet<LastingHeader>,
    /// Part of every name; keeps other users of the same store apart.
    #[schemars(extend("default" = ""))]
    pub namespace: Namespace,
    /// The client may have its answer before the store does. Needed in Kong, and refused elsewhere.
    #[schemars(extend("default" = false))]
    pub accept_reply_before_store: bool,
    /// Mirrored requests claim nothing.
    #[schemars(extend("default" = null))]
    pub mirror: Option<Mirror>,
    /// Several regions, each with a store of its own.
    #[schemars(extend("default" = null))]
    pub home: Option<Home>,
}

/// Where records are kept: in the proxy (`slots`, `max_bytes`), or in a store that nodes share (all others).
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, transform = of_a_kind, extend("required" = ["kind"]))]
pub struct Store {
    /// Which one.
    pub kind: StoreKind,
    /// It may evict a record, and that is accepted: its request could run a second time.
    #[schemars(extend("default" = false))]
    pub accept_eviction: bool,
    /// Records that there may be at one time.
    #[schemars(extend("default" = 4_096))]
    pub slots: Whole<1, { 1 << 20 }>,
    /// Bytes that their answers may take together: at least 256 for each slot.
    #[schemars(extend("default" = 67_108_864))]
    pub max_bytes: Whole<1_024, { 4 << 30 }>,
    /// What the proxy calls the store: a cluster's name, or `host:port` in Kong.
    pub cluster: Cluster,
    /// How long one call may take.
    #[schemars(extend("default" = "250ms"))]
    pub timeout: Time<10, { 10 * SECOND }>,
    /// It is a Redis Cluster.
    #[schemars(extend("default" = false))]
    pub cluster_mode: bool,
    /// New connections per second, over all workers of the proxy.
    #[schemars(extend("default" = 200))]
    pub max_new_connections: Whole<1, 10_000>,
    /// Redis' user.
    pub username: Username,
    /// Its password.
    #[schemars(extend("default" = null))]
    pub password: Option<Secret>,
    /// The number of the database.
    #[schemars(extend("default" = 0))]
    pub database: Whole<0, 65_535>,
}

/// Which store.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum StoreKind {
    /// The proxy's own shared data: one node.
    #[default]
    Memory,
    /// Redis, through a tunnel of Envoy.
    Redis,
    /// memcached, through a tunnel of Envoy. It evicts, so `accept_eviction` must be true.
    Memcached,
    /// Redis behind Webdis.
    Webdis,
}

/// Each kind has fields of its own.
fn of_a_kind(schema: &mut Schema) {
    let login = ["username", "password", "database"];
    let remote = [&["cluster", "timeout", "cluster_mode", "max_new_connections"], &login[..]].concat();
    let memory = only("kind", "memory", &remote);
    let mut redis = only("kind", "redis", &["slots", "max_bytes"]);
    redis["required"] = json!(["kind", "cluster"]);
    let [mut memcached, mut webdis] =
        ["memcached", "webdis"].map(|kind| only("kind", kind, &[&["slots", "max_bytes"], &login[..]].concat()));
    for other in [&mut memcached, &mut webdis] {
        other["required"] = json!(["kind", "cluster"]);
        other["properties"]["cluster_mode"] = json!({"enum": [false]});
    }
    memcached["required"] = json!(["kind", "cluster", "accept_eviction"]);
    memcached["properties"]["accept_eviction"] = json!({"enum": [true]});
    schema.insert("anyOf".to_owned(), json!([memory, redis, memcached, webdis]));
    schema.insert("dependencies".to_owned(), json!({"username": ["password"]}));
}

/// How long a fingerprint is remembered.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Derive {
    /// So long; longer than the lease.
    #[schemars(extend("default" = "60s"))]
    pub ttl: Time<SECOND, MINUTE>,
}

/// What of a request must be the same when its key comes again.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Fingerprint {
    /// Values of a JSON body; `""` is the whole.
    #[schemars(length(max = 64), extend("default" = [""]))]
    pub json: BTreeSet<Pointer>,
    /// Values that don't count.
    #[schemars(length(max = 64), extend("default" = []))]
    pub exclude: BTreeSet<InnerPointer>,
    /// Headers.
    #[schemars(length(max = 64), extend("default" = []))]
    pub headers: BTreeSet<LastingHeader>,
    /// Parameters of the query.
    #[schemars(length(max = 64), extend("default" = []))]
    pub query: BTreeSet<Parameter>,
}

/// What a repeat does while the first one is under way.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum OnInFlight {
    /// It is refused.
    #[default]
    Reject,
    /// It waits, as long as `wait` says. Envoy only.
    Wait,
}

/// What a repeat does when nobody knows what came of the first one.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum OnUncertain {
    /// It is refused.
    #[default]
    Reject,
    /// It runs again.
    Reexecute,
}

/// What a request does while the store gives no answer.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum OnStoreError {
    /// It is refused.
    #[default]
    Closed,
    /// It passes, unprotected.
    Open,
}

/// What a request does whose body is too long.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum TooLarge {
    /// It is refused.
    #[default]
    Reject,
    /// It passes, unprotected.
    Pass,
}

/// How mirrored requests are known.
#[derive(Debug, Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Mirror {
    /// How their host ends.
    #[schemars(length(min = 2), extend("default" = "-shadow"))]
    pub host_suffix: HostSuffix,
}

/// Which one of several stores has a key.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Home {
    /// What of a request says so.
    pub by: HomeBy,
    /// Values, and what the proxy calls the store of each.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 64))]
    pub map: BTreeMap<HomeValue, Cluster>,
}

/// What of a request says where its key is at home.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
pub enum HomeBy {
    /// The value of the only tenant header.
    Tenant(TenantWord),
    /// The value of this header.
    Header {
        /// The header.
        header: HeaderName,
    },
}

/// The tenant header.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum TenantWord {
    /// The only one of `tenant`.
    Tenant,
}
