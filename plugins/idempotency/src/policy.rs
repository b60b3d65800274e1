//! What is configured: validated once, `Eq`, without floats. [`crate::config`] makes it.

mod host;

use crate::canonical;
use crate::fingerprint::Selection;
use crate::header::Syntax;
use core::ops::RangeInclusive;
use core::time::Duration;
use sdk_shim::common::{Common, Secret};
use sdk_shim::key::digest;
use sdk_shim::path::is_below;

/// The draft's header, which has a syntax of its own.
pub const HEADER: &str = "idempotency-key";

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In the proxy's own shared data: one node.
    Memory {
        /// Records that there may be at one time.
        slots: u32,
        /// Bytes that their answers may take together.
        max_bytes: u64,
        /// The proxy may evict a record, and that is accepted: its request could run a second time.
        accept_eviction: bool,
    },
    /// In a store that nodes share.
    Remote(Remote),
}

/// Which language a shared store speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Redis' own, through a tunnel of the proxy.
    Redis,
    /// memcached's own, through a tunnel of the proxy.
    Memcached,
    /// Redis behind Webdis, plain HTTP.
    Webdis,
}

/// A store that nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its language.
    pub kind: Kind,
    /// What the proxy calls it: a cluster's name, or `host:port` on a proxy without named clusters.
    pub cluster: String,
    /// How long one call may take.
    pub timeout: Duration,
    /// It is a Redis Cluster: follow it to the node that has a key.
    pub cluster_mode: bool,
    /// New connections per second, over all workers of the proxy.
    pub max_new_connections: u32,
    /// It may evict a record, and that is accepted: its request could run a second time.
    pub accept_eviction: bool,
    /// Who each connection to Redis is, and which of its databases is used.
    pub login: Login,
}

/// How each connection to Redis begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// Empty for Redis' default user.
    pub username: String,
    /// `None`: nobody asks.
    pub password: Option<Secret>,
    /// Its number; 0 is where each connection begins.
    pub database: u32,
}

/// Which one of several stores has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// What of a request says so.
    pub by: HomeBy,
    /// Values, each once, and what the proxy calls the store of each, in place of [`Remote::cluster`]. Few, and a map is 6 KB of a module.
    pub map: Vec<(String, String)>,
}

/// What of a request says where its key is at home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HomeBy {
    /// The value of the tenant header; there is exactly one.
    Tenant,
    /// The value of this header.
    Header(String),
}

/// A set of HTTP statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusSet(Vec<RangeInclusive<u16>>);

/// All of it.
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The settings of every plugin.
    pub common: Common,
    /// Where records are kept.
    pub store: Store,
    /// Under which names and fingerprints are made, the one that writes first; none where the store is memory, which makes one of its own.
    pub secrets: Vec<Secret>,
    /// Requests of these methods,
    pub methods: Vec<String>,
    /// below these paths, have keys. [`Policy::covers`] says how they are compared.
    pub paths: Vec<String>,
    /// The header that has the key; [`Policy::syntax`] says how it is written.
    pub header: String,
    /// A request without a key is refused.
    pub required: bool,
    /// A key that isn't quoted is refused.
    pub strict: bool,
    /// A request without a key gets its fingerprint for one, and is remembered for so long; `None`: it passes.
    pub derive: Option<Duration>,
    /// How long a key is remembered.
    pub ttl: Duration,
    /// How long a request may take before nobody knows what came of it.
    pub lease: Duration,
    /// Headers that say whose a request is; a key counts for its tenant alone.
    pub tenant: Vec<String>,
    /// What of a request must be the same when its key comes again.
    pub selection: Selection,
    /// The service does the same once for two requests with one key, so the proxy may retry.
    pub service_is_idempotent: bool,
    /// How long to wait for the one that is under way; zero: answer at once that there is one.
    pub wait: Duration,
    /// Run a request again of which nobody knows what came of it.
    pub reexecute: bool,
    /// Let requests pass, unprotected, while the store gives no answer.
    pub fail_open: bool,
    /// Let requests pass, unprotected, whose body is longer than [`Policy::max_body`].
    pub pass_too_large: bool,
    /// Longest body that is held, in bytes: of a request for its fingerprint, of an answer to be stored.
    pub max_body: usize,
    /// Answers by which the service says that it did nothing: they free the key.
    pub release_on: StatusSet,
    /// Store answers' bodies; otherwise only status and digest.
    pub store_body: bool,
    /// Requests of one tenant that may be under way at one time on this node; 0 for any number.
    pub per_tenant_in_flight: u32,
    /// Headers of an answer that are stored and replayed.
    pub replay_headers: Vec<String>,
    /// Part of every name; keeps other users of the same store apart.
    pub namespace: String,
    /// The client may have its answer before the store does.
    pub accept_reply_before_store: bool,
    /// How a mirrored request's host ends: it claims nothing. `None`: there are none.
    pub mirror: Option<String>,
    /// Several regions, each with a store of its own.
    pub home: Option<Home>,
}

// === impl Home ===

impl Home {
    /// What the proxy calls the store of this value.
    pub fn of(&self, value: &[u8]) -> Option<&String> {
        self.map.iter().find(|(known, _)| known.as_bytes() == value).map(|(_, cluster)| cluster)
    }
}

// === impl Kind ===

impl Kind {
    /// As configurations and labels spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Memcached => "memcached",
            Self::Webdis => "webdis",
        }
    }
}

// === impl StatusSet ===

impl StatusSet {
    /// Whether a status is in it.
    pub fn holds(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl FromIterator<RangeInclusive<u16>> for StatusSet {
    fn from_iter<T: IntoIterator<Item = RangeInclusive<u16>>>(ranges: T) -> Self {
        Self(ranges.into_iter().collect())
    }
}

// === impl Policy ===

impl Policy {
    /// A hash that all cells are named by, besides `chain` and `instance`. Records kept in memory are found by it, and forgetting them runs requests
    /// again, so it holds no setting of that store: where a record is, is in a cell of its own ([`crate::store::memory`]). What else
    /// matters is in each record (its fingerprint's version, its end) or in its name (namespace, tenant).
    pub fn meaning(&self) -> String {
        let store = match &self.store {
            Store::Memory { .. } => "memory".to_owned(),
            Store::Remote(remote) => format!("{} {}", remote.kind.as_str(), remote.cluster),
        };
        digest(store.as_bytes())
    }

    /// Whether requests of this method and path (without the query) have keys. A configured path covers itself and what is below it, by whole
    /// segments: `/pay` covers `/pay` and `/pay/1`, not `/payments`; `/pay/` covers `/pay/1`, not `/pay`.
    pub fn covers(&self, method: &[u8], path: &[u8]) -> bool {
        self.methods.iter().any(|known| known.as_bytes() == method) && self.paths.iter().any(|top| is_below(path, top))
    }

    /// What the proxy calls the stores that it may have to ask; none where the store is memory.
    pub fn clusters(&self) -> Vec<String> {
        let Store::Remote(remote) = &self.store else { return Vec::new() };
        let homes = self.home.iter().flat_map(|home| &home.map);
        let mut clusters: Vec<_> = homes.map(|(_, cluster)| cluster.clone()).collect();
        if clusters.is_empty() {
            clusters.push(remote.cluster.clone());
        }
        canonical::set(clusters)
    }

    /// How the key's header is written. Any header but the draft's has the bare key.
    pub fn syntax(&self) -> Syntax {
        if self.header == HEADER { Syntax::Structured { strict: self.strict } } else { Syntax::Plain }
    }
}
