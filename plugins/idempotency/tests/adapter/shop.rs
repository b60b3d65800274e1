//! A proxy, and a store that it calls.

use crate::stores::{FakeMemcached, FakeRedis, Store};
use crate::support::{Ask, Call, Plugin, SECOND, envoy, post, receipt, worker};
use core::time::Duration;
use sdk_shim::fake::{Ended, FakeProxy};

pub(crate) const REDIS: &str =
    r#""store": {"kind": "redis", "cluster": "store"}, "secret": [{"env": "KEY"}], "headers_stop_iteration": true"#;
/// With many connections, so that only the number of requests counts.
pub(crate) const WIDE: &str = r#""store": {"kind": "redis", "cluster": "store", "max_new_connections": 10000},
    "secret": [{"env": "KEY"}], "headers_stop_iteration": true"#;
pub(crate) const MEMCACHED: &str = r#""store": {"kind": "memcached", "cluster": "store", "accept_eviction": true},
    "secret": [{"env": "KEY"}], "headers_stop_iteration": true"#;

/// Between two ticks of a plugin whose store is called.
pub(crate) const TICK: Duration = Duration::from_millis(3);

/// A proxy with some workers, and the store behind it.
pub(crate) struct Shop<S> {
    pub(crate) proxy: FakeProxy,
    pub(crate) workers: Vec<Plugin>,
    pub(crate) store: S,
}

pub(crate) type Redis = Shop<FakeRedis>;

impl Redis {
    pub(crate) fn redis(workers: usize, more: &str) -> Self {
        Self::of_redis(workers, REDIS, more)
    }

    /// With settings of the store's own.
    pub(crate) fn of_redis(workers: usize, base: &str, more: &str) -> Self {
        let proxy = envoy();
        let workers = (0..workers).map(|_| worker(&proxy, base, more)).collect();
        Self { store: FakeRedis::new(&proxy), proxy, workers }
    }

    /// A store with many connections that was asked before.
    pub(crate) fn wide(workers: usize, more: &str) -> Self {
        Self::of_redis(workers, WIDE, more).warm()
    }

    /// The store has been asked before: what it is like is known, and what is to be asked once was.
    pub(crate) fn warm(mut self) -> Self {
        let mut call = self.send(&post("first of all"));
        call.respond(&[(":status", "429")], true);
        self.settle(&call);
        call.finish();
        self.rest(SECOND);
        self.store.did.clear();
        self.store.lose_everything();
        self
    }
}

impl Shop<FakeMemcached> {
    pub(crate) fn memcached(workers: usize, more: &str) -> Self {
        let proxy = envoy();
        let workers = (0..workers).map(|_| worker(&proxy, MEMCACHED, more)).collect();
        Self { store: FakeMemcached::new(&proxy), proxy, workers }
    }
}

impl<S: Store> Shop<S> {
    /// The first worker.
    pub(crate) fn one(&self) -> &Plugin {
        &self.workers[0]
    }

    /// The store answers whatever is under way, until nothing is.
    pub(crate) fn serve(&mut self) {
        for plugin in &self.workers {
            for _ in 0..1_000 {
                let Some((id, callout)) = plugin.host().pending_callouts().into_iter().next() else { break };
                plugin.answer(id, self.store.headers(&callout), &self.store.answer(&callout));
            }
            assert!(plugin.host().pending_callouts().is_empty(), "it asks again and again");
        }
    }

    /// The store doesn't answer what is under way.
    pub(crate) fn silence(&self) {
        for plugin in &self.workers {
            for (id, _) in plugin.host().pending_callouts() {
                plugin.answer_nothing(id);
            }
        }
    }

    /// All workers tick.
    pub(crate) fn tick(&self) {
        self.proxy.advance(TICK);
        self.workers.iter().for_each(Plugin::tick);
    }

    /// They tick, and the store answers.
    pub(crate) fn turn(&mut self) {
        self.tick();
        self.serve();
    }

    /// Time passes with a store that answers.
    pub(crate) fn rest(&mut self, time: Duration) {
        let turns = time.as_millis().div_ceil(TICK.as_millis());
        (0..turns).for_each(|_| self.turn());
    }

    /// Time passes with a store that doesn't.
    pub(crate) fn wait(&self, time: Duration) {
        let turns = time.as_millis().div_ceil(TICK.as_millis());
        (0..turns).for_each(|_| self.tick());
    }

    /// The store answers until this request goes on; it may have to wait for a connection.
    pub(crate) fn settle(&mut self, call: &Call) {
        self.serve();
        (0..100).for_each(|_| {
            if call.paused() {
                self.turn();
            }
        });
        assert!(!call.paused(), "it waits and waits");
    }

    /// A request comes, and the store answers.
    pub(crate) fn send(&mut self, ask: &Ask) -> Call {
        let call = ask.send(self.one());
        self.settle(&call);
        call
    }

    /// The service answers with a receipt, which is stored.
    pub(crate) fn receipt(&mut self, mut call: Call) -> Ended {
        receipt(&mut call);
        self.settle(&call);
        call.finish()
    }

    /// It goes to the service, which answers with a receipt that is stored.
    pub(crate) fn pay(&mut self, ask: &Ask) -> Ended {
        let call = self.send(ask);
        self.receipt(call)
    }

    /// Nothing is left to be done: nobody waits, no errand is to be run.
    pub(crate) fn is_quiet(&mut self) {
        self.rest(SECOND);
        for plugin in &self.workers {
            assert!(plugin.hung().is_empty(), "{:?} wait for ever", plugin.hung());
        }
        let label = self.store.label();
        let (waiting, errands) =
            (of_store(&self.proxy, label, "store_waiting"), of_store(&self.proxy, label, "store_errands"));
        assert_eq!((waiting, errands), (0, 0), "waiting, errands");
    }
}

/// A metric of the store.
pub(crate) fn of_store(proxy: &FakeProxy, store: &str, what: &str) -> u64 {
    proxy.metric(&format!("holdfast_idempotency_{what};chain=downstream;instance=default;store={store}"))
}
