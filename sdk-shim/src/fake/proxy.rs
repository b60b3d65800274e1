//! A proxy process: what all its workers share.

use super::metrics::Table;
use super::store::Store;
use super::trap::Trap;
use super::vm::FakeHost;
use crate::flavor::{Capabilities, ENVOY, ENVOY_BEFORE_1_39_1, Flavor, WASMX};
use crate::host::Shared;
use crate::random::SplitMix64;
use crate::time::ManualClock;
use core::fmt;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Where every fake clock starts: 2023-11-14, so that a difference taken from zero is seen to be wrong.
const START_MILLIS: u64 = 1_700_000_000_000;

/// A proxy process: shared data, metrics, environment, clock and routes, shared by the workers that it starts.
#[derive(Clone)]
pub struct FakeProxy(pub(super) Rc<Process>);

pub(super) struct Process {
    pub(super) capabilities: &'static Capabilities,
    pub(super) clock: ManualClock,
    pub(super) store: RefCell<Store>,
    pub(super) metrics: RefCell<Table>,
    pub(super) env: RefCell<BTreeMap<String, String>>,
    pub(super) properties: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(super) stop_iteration: Cell<bool>,
    pub(super) injected: Injected,
    workers: Cell<u64>,
}

/// What a test makes go wrong.
#[derive(Default)]
pub(super) struct Injected {
    pub(super) store_down: Cell<bool>,
    pub(super) no_shared_memory: Cell<bool>,
    pub(super) mismatches: Cell<u32>,
    pub(super) on_next_get: RefCell<Option<Box<dyn FnOnce()>>>,
    pub(super) on_next_set: RefCell<Option<Box<dyn FnOnce()>>>,
    pub(super) unknown_upstreams: RefCell<BTreeSet<String>>,
}

// === impl FakeProxy ===

impl FakeProxy {
    /// An Envoy.
    pub fn envoy() -> Self {
        Self::envoy_of(&ENVOY, [1, 40, 0])
    }

    /// An Envoy that can't hold back answers.
    pub fn envoy_before_1_39_1() -> Self {
        Self::envoy_of(&ENVOY_BEFORE_1_39_1, [1, 39, 0])
    }

    fn envoy_of(capabilities: &'static Capabilities, version: [u64; 3]) -> Self {
        let proxy = Self::new(capabilities);
        for (part, number) in ["major_number", "minor_number", "patch"].into_iter().zip(version) {
            proxy.set_bytes(&format!("xds.node.user_agent_build_version.version.{part}"), &number.to_le_bytes());
        }
        proxy.set("xds.node.id", "node-1");
        proxy.set("plugin_root_id", "");
        proxy
    }

    /// A Kong 3.9 with `WasmX`; the module's file is called `holdfast_suite.wasm`.
    pub fn wasmx() -> Self {
        let proxy = Self::new(&WASMX);
        proxy.set("plugin_name", "holdfast_suite");
        proxy.set("kong.version", "3.9.1");
        proxy.set("request.protocol", "HTTP/1.1");
        proxy
    }

    /// What the module's file is called, without `.wasm`.
    pub(super) fn file(&self) -> String {
        let properties = self.0.properties.borrow();
        properties.get("plugin_name").map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default()
    }

    /// What comes of defining a metric, where that isn't one.
    pub(super) fn refuses_metrics(&self) -> Option<Trap> {
        if self.flavor() == Flavor::Envoy {
            return None;
        }
        let properties = self.0.properties.borrow();
        let version =
            String::from_utf8_lossy(properties.get("kong.version").map_or(b"3.5", Vec::as_slice)).into_owned();
        let minor = version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0_u32);
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if version.starts_with("3.") && minor < 8 {
            Some(Trap::NoMetrics)
        } else {
            (!self.file().chars().all(word)).then_some(Trap::MetricsPage)
        }
    }

    fn new(capabilities: &'static Capabilities) -> Self {
        Self(Rc::new(Process {
            capabilities,
            clock: ManualClock::at_millis(START_MILLIS),
            store: RefCell::new(Store::new(capabilities.flavor)),
            metrics: RefCell::new(Table::new(capabilities.flavor)),
            env: RefCell::default(),
            properties: RefCell::default(),
            stop_iteration: Cell::new(false),
            injected: Injected::default(),
            workers: Cell::new(0),
        }))
    }

    /// One more worker: a VM of its own, with a seed of its own, of the `vm_id` "".
    pub fn worker(&self) -> FakeHost {
        self.worker_in("")
    }

    /// One more worker of another `vm_id`: on Envoy it sees other shared data, but the same metrics.
    pub fn worker_in(&self, vm_id: &str) -> FakeHost {
        self.0.workers.set(self.0.workers.get() + 1);
        FakeHost::new(self.clone(), vm_id, SplitMix64::new(self.0.workers.get()).draw())
    }

    /// The clock that all workers read.
    pub fn clock(&self) -> &ManualClock {
        &self.0.clock
    }

    /// Lets time pass. Timers don't fire by themselves: a test ticks the workers it wants to.
    pub fn advance(&self, by: Duration) {
        self.0.clock.advance(by);
    }

    /// Sets a property of every stream, by its dotted path: `set("xds.route_name", "checkout")`.
    pub fn set(&self, path: &str, value: &str) {
        self.set_bytes(path, value.as_bytes());
    }

    /// The same as bytes; an Envoy number is eight bytes, little endian.
    pub fn set_bytes(&self, path: &str, value: &[u8]) {
        self.0.properties.borrow_mut().insert(path.to_owned(), value.to_vec());
    }

    /// Sets a variable that the configuration lets through.
    pub fn set_env(&self, name: &str, value: &str) {
        self.0.env.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// Envoy's `allow_on_headers_stop_iteration`: a pause in headers holds the headers only (T2). Off at first.
    pub fn stop_iteration(&self, on: bool) {
        self.0.stop_iteration.set(on);
    }

    /// A counter or gauge; 0 where nobody defined it.
    pub fn metric(&self, name: &str) -> u64 {
        self.metrics().get(name).copied().unwrap_or(0)
    }

    /// All counters and gauges.
    pub fn metrics(&self) -> BTreeMap<String, u64> {
        self.0.metrics.borrow().totals()
    }

    /// What a histogram got, in order.
    pub fn histogram(&self, name: &str) -> Vec<u64> {
        self.0.metrics.borrow().samples(name)
    }

    /// Envoy's `/reset_counters`.
    pub fn reset_counters(&self) {
        self.0.metrics.borrow_mut().reset_counters();
    }

    /// Shared data of the `vm_id` "", past every injected fault.
    pub fn shared(&self, name: &str) -> Shared {
        self.shared_in("", name)
    }

    /// Shared data of another `vm_id`.
    pub fn shared_in(&self, vm_id: &str, name: &str) -> Shared {
        self.0.store.borrow().get(vm_id, name)
    }

    /// Writes shared data of the `vm_id` "" whatever is there, as an operator's tool does.
    ///
    /// # Panics
    /// Never: the number just read is always current.
    pub fn put_shared(&self, name: &str, value: &[u8]) {
        let version = self.shared(name).version.unwrap_or(0);
        self.0.store.borrow_mut().set("", name, value, version).expect("nobody wrote in between");
    }

    /// Forgets shared data of the `vm_id` "", as `WasmX` does when memory is short.
    pub fn evict_shared(&self, name: &str) {
        self.0.store.borrow_mut().evict("", name);
    }

    /// Forgets shared data, whichever it is: the `n`th, counted around.
    pub fn evict_nth(&self, n: usize) {
        self.0.store.borrow_mut().evict_nth(n);
    }

    /// Makes every read and write of shared data fail with the host's internal failure (status 10), until told otherwise.
    pub fn fail_shared(&self, down: bool) {
        self.0.injected.store_down.set(down);
    }

    /// Takes shared data away, as a Kong without `nginx_wasm_shm_kv` has none: using it traps.
    pub fn without_shared_memory(&self) {
        self.0.injected.no_shared_memory.set(true);
    }

    /// Makes the next `count` writes lose against somebody else.
    pub fn mismatch_next(&self, count: u32) {
        self.0.injected.mismatches.set(count);
    }

    /// Runs `other` just before the next write of shared data takes effect: another worker, between a read and its write.
    pub fn on_next_set(&self, other: Box<dyn FnOnce()>) {
        *self.0.injected.on_next_set.borrow_mut() = Some(other);
    }

    /// Runs `other` just before the next read of shared data: another worker, between two reads.
    pub fn on_next_get(&self, other: Box<dyn FnOnce()>) {
        *self.0.injected.on_next_get.borrow_mut() = Some(other);
    }

    /// Makes callouts to this upstream fail at once, as Envoy does for a cluster it does not know.
    pub fn forget_upstream(&self, name: &str) {
        self.0.injected.unknown_upstreams.borrow_mut().insert(name.to_owned());
    }

    pub(super) fn flavor(&self) -> Flavor {
        self.0.capabilities.flavor
    }
}

impl fmt::Debug for FakeProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeProxy")
            .field("flavor", &self.flavor())
            .field("metrics", &self.metrics())
            .finish_non_exhaustive()
    }
}
