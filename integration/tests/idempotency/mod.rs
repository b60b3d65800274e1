//! What the idempotency stories share.
//!
//! | to find | look in |
//! |---|---|
//! | the proxies, the service, the store: [`Plan`] and [`Site`] | here |
//! | one proxy that can be killed, restarted, and given another configuration | [`gateway`] |
//! | the stores, each as the plugin's configuration names it | [`store`] |
//! | payments, repeated at random times | [`load`] |
//! | what must be true afterwards | [`judge`] |
//! | one proxy with any route and filters before any service | [`edge`] |
//! | a service that answers what a story wrote | [`scripted`] |
//! | a storm during which something goes wrong | [`faulty`] |
//!
//! A story in its shortest form:
//!
//! ```ignore
//! let site = Plan::new(Kind::Redis).start()?;          // two proxies, one ledger, one Redis
//! let answers = site.storm(2_000, 10)?;                // every key ten times
//! judge::exactly_once(&site.ledger, &load::keys(2_000))?;
//! judge::replays(&site.edges(), &site.ledger, &load::keys(2_000))?.assert_nearly_all()?;
//! ```
#![allow(dead_code, unused_imports, reason = "each story uses its part")]
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

#[path = "../budget/mod.rs"]
mod budget;
pub(crate) mod edge;
pub(crate) mod faulty;
pub(crate) mod gateway;
pub(crate) mod judge;
pub(crate) mod load;
pub(crate) mod scripted;
pub(crate) mod store;

pub(crate) use gateway::Gateway;
pub(crate) use load::{Answered, Load};
pub(crate) use store::{Kind, Store};

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use integration::{Ledger, TestResult, Wasm, config};
use serde_json::{Value, json};

/// Deadline of whatever should happen at once: long, because only a failure waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// Deadline of a storm, and of whatever else keeps both processors busy.
pub(crate) const LONG: Duration = Duration::from_secs(180);

/// The secrets that the plugin finds in its environment: the one in use, and the one that a rotation brings.
pub(crate) const SECRETS: [(&str, &str); 2] = [
    ("HOLDFAST_SECRET", "the first secret of the stories"),
    ("HOLDFAST_SECRET_NEXT", "the next secret of the stories"),
];

/// A site to be: two proxies with the plugin before one service, which they may try four times; `memory` is one proxy's own.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a part that is there or not")]
pub(crate) struct Plan {
    kind: Kind,
    nodes: usize,
    change: Value,
    filter: bool,
    breaker: bool,
    budget: bool,
    wire: bool,
    shown: bool,
    vm_id: &'static str,
}

/// Proxies, the service behind them, and the store that they share.
pub(crate) struct Site {
    pub(crate) ledger: Ledger,
    pub(crate) store: Store,
    pub(crate) gateways: Vec<Gateway>,
    plan: Plan,
}

/// Held by a story that keeps all processors busy: two of them at a time would measure each other.
pub(crate) fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two proxies that share a store, and nothing changed.
pub(crate) fn two_gateways(kind: Kind) -> TestResult<Site> {
    Plan::new(kind).start()
}

// === impl Plan ===

impl Plan {
    pub(crate) fn new(kind: Kind) -> Self {
        let nodes = if kind == Kind::Memory { 1 } else { 2 };
        let [filter, breaker, budget, wire] = [true, false, false, false];
        Self { kind, nodes, change: json!({}), filter, breaker, budget, wire, shown: true, vm_id: "idempotency" }
    }

    /// So many proxies.
    #[must_use]
    pub(crate) fn nodes(self, nodes: usize) -> Self {
        Self { nodes, ..self }
    }

    /// Changes the plugin's configuration, as [`config::patch`] does.
    #[must_use]
    pub(crate) fn with(self, change: Value) -> Self {
        Self { change: config::patch(self.change, change), ..self }
    }

    /// With a retry budget in both chains, the listener's entry behind the plugin.
    #[must_use]
    pub(crate) fn with_budget(self) -> Self {
        Self { budget: true, ..self }
    }

    /// With a circuit breaker in the listener, behind the plugin.
    #[must_use]
    pub(crate) fn with_breaker(self) -> Self {
        Self { breaker: true, ..self }
    }

    /// All modules name the same VM, and so share what the proxy keeps for it; otherwise the plugin has one of its own.
    #[must_use]
    pub(crate) fn in_one_vm(self) -> Self {
        Self { vm_id: "holdfast", ..self }
    }

    /// With a wire to the store that can be cut ([`Store::wire`]).
    #[must_use]
    pub(crate) fn with_wire(self) -> Self {
        Self { wire: true, ..self }
    }

    /// Without the plugin: the control. Its proxies let clients speak to the store, on `/store`.
    #[must_use]
    pub(crate) fn without_plugin(self) -> Self {
        Self { filter: false, ..self }
    }

    /// The secrets are not in the plugin's entry: the proxy's own environment must have them.
    #[must_use]
    pub(crate) fn without_secrets(self) -> Self {
        Self { shown: false, ..self }
    }

    /// Starts everything.
    pub(crate) fn start(self) -> TestResult<Site> {
        let ledger = Ledger::start()?;
        let store = Store::start(self.kind, self.wire)?;
        let start = |_| Gateway::start(self.parts(&store)?, ledger.port(), &store);
        let gateways = (0..self.nodes).map(start).collect::<TestResult<_>>()?;
        Ok(Site { ledger, store, gateways, plan: self })
    }

    /// The plugin's entry as this plan has it.
    pub(crate) fn plugin(&self, store: &Store) -> TestResult<Wasm> {
        Ok(self.plugin_of(Wasm::module("idempotency")?, store))
    }

    /// The same with another module, such as the one of the next version.
    pub(crate) fn plugin_of(&self, module: Wasm, store: &Store) -> Wasm {
        let secret = if self.kind == Kind::Memory { Value::Null } else { json!([{"env": SECRETS[0].0}]) };
        let basic = json!({"headers_stop_iteration": true, "store": store.settings(), "secret": secret});
        let settings = [basic, self.change.clone()].into_iter().fold(json!({}), config::patch);
        let entry = module.name("idempotency").vm_id(self.vm_id).stop_iteration(true).config(&settings);
        self.knowing(entry)
    }

    /// With the secrets in its environment. Envoy 1.36 gives a VM that several entries share the environment of the first one alone, so each has it.
    fn knowing(&self, entry: Wasm) -> Wasm {
        let shown = if self.shown { &SECRETS[..] } else { &[] };
        shown.iter().fold(entry, |entry, (name, value)| entry.env(name, value))
    }

    fn parts(&self, store: &Store) -> TestResult<gateway::Parts> {
        let plugin = self.filter.then(|| self.plugin(store)?.dynamic()).transpose()?;
        let budget = if self.budget { Some(budget::plenty(json!({}))?) } else { None };
        let budget = budget.map(|entries| budget::Entries {
            downstream: self.knowing(entries.downstream),
            upstream: self.knowing(entries.upstream),
        });
        let breaker = self
            .breaker
            .then(|| Ok::<_, anyhow::Error>(self.knowing(Wasm::module("circuit_breaker")?.name("breaker"))));
        Ok(gateway::Parts { plugin, breaker: breaker.transpose()?, budget })
    }
}

// === impl Site ===

impl Site {
    /// The ports that clients know.
    pub(crate) fn edges(&self) -> Vec<u16> {
        self.gateways.iter().map(Gateway::edge).collect()
    }

    /// Every key so often, at random times, over all proxies; returns when all are over.
    pub(crate) fn storm(&self, keys: usize, duplicates: usize) -> TestResult<Vec<Answered>> {
        Load::new(keys, duplicates).run(&self.edges())
    }

    /// Pushes the plugin's configuration with another change to one proxy, under traffic.
    pub(crate) fn push(&self, gateway: usize, change: Value) -> TestResult {
        self.push_module(gateway, Wasm::module("idempotency")?, change)
    }

    /// The same with another module, such as the one of the next version.
    pub(crate) fn push_module(&self, gateway: usize, module: Wasm, change: Value) -> TestResult {
        let plan = self.plan.clone().with(change);
        self.gateways[gateway].push(&plan.plugin_of(module, &self.store))
    }

    /// No request was lost to a broken filter, and no proxy has died.
    pub(crate) fn assert_no_trap(&self) {
        self.gateways.iter().for_each(Gateway::assert_no_trap);
    }
}
