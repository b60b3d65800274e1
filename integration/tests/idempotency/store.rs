//! The stores.

use anyhow::{Context as _, bail};
use integration::TestResult;
use integration::config::tunnel;
use integration::store::{Memcached, Redis, RedisCluster, Relay, Webdis};
use serde_json::{Value, json};

/// Threads of Webdis: as many as machines that run tests have processors.
const WEBDIS_THREADS: u16 = 2;
/// Bytes that a Redis may have which evicts.
const EVICTING: u64 = 64 << 20;

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Redis,
    /// It keeps what it acknowledged, whatever happens to its process.
    DurableRedis,
    /// It forgets the least used keys when its memory is full.
    EvictingRedis,
    RedisCluster,
    Memcached,
    Webdis,
}

/// A store that runs.
pub(crate) struct Store {
    server: Server,
    wire: Option<Relay>,
}

enum Server {
    Memory,
    Redis(Redis),
    Cluster(RedisCluster),
    Memcached(Memcached),
    Webdis { webdis: Webdis, redis: Redis },
}

// === impl Store ===

impl Store {
    /// Starts one, behind a wire of its own if asked for.
    pub(crate) fn start(kind: Kind, wired: bool) -> TestResult<Self> {
        let server = Server::start(kind)?;
        let wire = match server.port() {
            Some(port) if wired => Some(Relay::to(port)?),
            None if wired => bail!("{kind:?} has no single wire"),
            _ => None,
        };
        Ok(Self { server, wire })
    }

    /// The wire that was asked for.
    pub(crate) fn wire(&self) -> TestResult<&Relay> {
        self.wire.as_ref().context("a store without a wire")
    }

    /// The Redis that there is one of: the store itself, or the one behind Webdis.
    pub(crate) fn redis(&self) -> TestResult<&Redis> {
        match &self.server {
            Server::Redis(redis) | Server::Webdis { redis, .. } => Ok(redis),
            _ => bail!("no single Redis"),
        }
    }

    pub(crate) fn cluster(&self) -> TestResult<&RedisCluster> {
        let Server::Cluster(cluster) = &self.server else { bail!("no Redis Cluster") };
        Ok(cluster)
    }

    pub(crate) fn memcached(&self) -> TestResult<&Memcached> {
        let Server::Memcached(memcached) = &self.server else { bail!("no memcached") };
        Ok(memcached)
    }

    pub(crate) fn webdis(&self) -> TestResult<&Webdis> {
        let Server::Webdis { webdis, .. } = &self.server else { bail!("no Webdis") };
        Ok(webdis)
    }

    /// Whether nothing has to be reached.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.server, Server::Memory)
    }

    /// What the plugin's configuration says of it.
    pub(crate) fn settings(&self) -> Value {
        match &self.server {
            // Four times what the largest storm brings: with twice as many, one key in one of a hundred storms finds its set full.
            Server::Memory => json!({"kind": "memory", "slots": 8_192}),
            Server::Redis(_) => json!({"kind": "redis", "cluster": "store"}),
            Server::Cluster(_) => json!({"kind": "redis", "cluster": "store", "cluster_mode": true}),
            Server::Memcached(_) => json!({"kind": "memcached", "cluster": "store", "accept_eviction": true}),
            Server::Webdis { .. } => json!({"kind": "webdis", "cluster": "store"}),
        }
    }

    /// A proxy's bootstrap with its way to the store: the cluster `store`.
    pub(crate) fn tunnel(&self, bootstrap: Value) -> Value {
        let port = self.wire.as_ref().map(Relay::port).or(self.server.port());
        match (&self.server, port) {
            (Server::Cluster(cluster), _) => tunnel::to_cluster(bootstrap, "redis_tunnel", "store", &cluster.ports()),
            (Server::Webdis { .. }, Some(port)) => tunnel::to_webdis(bootstrap, "store", port),
            (_, Some(port)) => tunnel::to_server(bootstrap, "redis_tunnel", "store", port),
            (_, None) => bootstrap,
        }
    }
}

// === impl Server ===

impl Server {
    fn start(kind: Kind) -> TestResult<Self> {
        Ok(match kind {
            Kind::Memory => Self::Memory,
            Kind::Redis => Self::Redis(Redis::start()?),
            Kind::DurableRedis => Self::Redis(Redis::options().durable().start()?),
            Kind::EvictingRedis => Self::Redis(Redis::options().evicting("allkeys-lru", EVICTING).start()?),
            Kind::RedisCluster => Self::Cluster(RedisCluster::start()?),
            Kind::Memcached => Self::Memcached(Memcached::start()?),
            Kind::Webdis => {
                let redis = Redis::start()?;
                Self::Webdis { webdis: Webdis::start(redis.port(), WEBDIS_THREADS)?, redis }
            }
        })
    }

    /// Where a proxy connects, if that is one place.
    fn port(&self) -> Option<u16> {
        match self {
            Self::Memory | Self::Cluster(_) => None,
            Self::Redis(redis) => Some(redis.port()),
            Self::Memcached(memcached) => Some(memcached.port()),
            Self::Webdis { webdis, .. } => Some(webdis.port()),
        }
    }
}
