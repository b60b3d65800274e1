//! The Envoy under test, with a listener per store, and what stands behind it.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use integration::config::{bootstrap, cluster, listener, patch, route, tunnel, without_limits};
use integration::store::{Redis, Webdis};
use integration::{Call, Envoy, Wasm};
use serde_json::{Value, json};

use super::{plugin, service};
use crate::cpu;

/// Threads of Webdis.
const WEBDIS_THREADS: u16 = 2;

/// Lines of the proxy's log that a failure shows.
const TAIL: usize = 10;

/// Where a listener's keys are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nowhere: no filter.
    Bare,
    /// In the proxy itself.
    Memory,
    /// In Redis through the tunnel, with at most so many new connections per second.
    Tunnel(u32),
    /// In the same Redis through Webdis.
    Webdis,
}

/// All that runs.
#[derive(Debug)]
pub(crate) struct Site {
    envoy: Envoy,
    redis: Redis,
    webdis: Webdis,
    pub(crate) stands: Vec<Stand>,
}

/// A way and the port where it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand {
    pub(crate) way: Way,
    pub(crate) port: u16,
}

/// CPU time of the proxy, and of what stores its keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) envoy: Duration,
    pub(crate) store: Duration,
}

// === impl Way ===

impl Way {
    /// As the tables name it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Bare => "no filter".into(),
            Self::Memory => "memory".into(),
            Self::Tunnel(most) => format!("Redis through the tunnel, {most} connections/s"),
            Self::Webdis => "Redis through Webdis".into(),
        }
    }

    fn id(self) -> String {
        match self {
            Self::Bare => "bare".into(),
            Self::Memory => "memory".into(),
            Self::Tunnel(most) => format!("tunnel{most}"),
            Self::Webdis => "webdis".into(),
        }
    }

    /// Memory has room for all keys of a few seconds, and forgets them then; Redis keeps them for a day, or until the bench empties it. A store has
    /// time enough to answer on a machine that is busy: the question is how fast it is, not when it is given up.
    fn filter(self) -> Result<Option<Value>> {
        let short = json!({"ttl": "2s", "lease": "1s", "max_body": 65_536});
        let remote = json!({"timeout": "2s"});
        let (store, change) = match self {
            Self::Bare => return Ok(None),
            Self::Memory => (json!({"kind": "memory", "slots": 1 << 17, "max_bytes": 256 << 20}), short),
            Self::Tunnel(most) => {
                (patch(remote, json!({"kind": "redis", "cluster": "store", "max_new_connections": most})), json!({}))
            }
            Self::Webdis => (patch(remote, json!({"kind": "webdis", "cluster": "webdis"})), json!({})),
        };
        Ok(Some(plugin(Wasm::module("idempotency")?, &self.id(), &store, &change).filter()))
    }
}

// === impl Site ===

impl Site {
    /// Starts the stores, the service, and one Envoy for all ways; each way must have shown that it replays.
    pub(crate) fn start(ways: &[Way], workers: u32) -> Result<Self> {
        let redis = Redis::start()?;
        let webdis = Webdis::start(redis.port(), WEBDIS_THREADS)?;
        let listeners = ways.iter().map(|way| {
            let filters: Vec<Value> = way.filter()?.into_iter().collect();
            Ok(listener(&way.id(), &filters, &[route("pay", "service")]))
        });
        let service = without_limits(cluster("service", &[service::start()?]));
        let config = bootstrap(&listeners.collect::<Result<Vec<_>>>()?, &[service]);
        let config = tunnel::to_server(config, "redis_tunnel", "store", redis.port());
        let config = tunnel::to_webdis(config, "webdis", webdis.port());
        let options = Envoy::options().concurrency(workers).log_level("warning").deadline(Duration::from_secs(60));
        let envoy = options.start(&config).context("starting Envoy")?;
        let stands = ways.iter().map(|way| Ok(Stand { way: *way, port: envoy.port(&way.id())? }));
        let stands = stands.collect::<Result<Vec<_>>>()?;
        stands.iter().try_for_each(Stand::check)?;
        Ok(Self { envoy, redis, webdis, stands })
    }

    /// A failure with what the proxy last said of it.
    pub(crate) fn explained<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let log = self.envoy.log();
            let lines: Vec<&str> = log.lines().collect();
            anyhow!("{error:#}\nthe proxy's log ends:\n{}", lines[lines.len().saturating_sub(TAIL)..].join("\n"))
        })
    }

    /// CPU time up to now.
    pub(crate) fn spent(&self) -> Result<Spent> {
        let store = [self.redis.pid(), self.webdis.pid()].into_iter().filter_map(cpu::of).sum();
        Ok(Spent { envoy: cpu::time(&self.envoy)?, store })
    }

    /// Connections to Redis that the tunnel opened up to now.
    pub(crate) fn connections(&self) -> Result<u64> {
        self.envoy.stat("cluster.store_server.upstream_cx_total")
    }

    /// Redis forgets all keys, so that each visit finds it as the one before did.
    pub(crate) fn clear(&self) -> Result<()> {
        self.redis.ask(&["FLUSHALL"]).map(drop)
    }
}

// === impl Stand ===

impl Stand {
    /// A filter that does nothing is cheap: this one must answer a repeat by itself.
    fn check(&self) -> Result<()> {
        let call = Call::post(self.port, "/pay", b"{}").header("idempotency-key", "\"check\"");
        let call = call.header("content-type", "application/json");
        let (first, again) = (call.send()?, call.send()?);
        let replays = again.header("idempotency-replayed") == Some("true");
        ensure!(
            (first.status, again.status) == (201, 201),
            "{}: {} and {}",
            self.way.name(),
            first.status,
            again.status
        );
        ensure!(replays == (self.way != Way::Bare), "{}: a repeat isn't replayed", self.way.name());
        Ok(())
    }
}
