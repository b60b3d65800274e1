//! One worker's VM: what it was asked, and the streams that are under way in it.

use super::callouts::{CalloutAnswer, Sent};
use super::message::{Half, Headers};
use super::proxy::FakeProxy;
use super::record::{HostCall, LogLine};
use super::stream::{Chain, FilterState, Phase, Stream};
use super::trap::Trap;
use crate::flavor::Flavor;
use crate::host::{Callout, CalloutId, ContextId, Direction, Map};
use crate::late::Late;
use core::fmt;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// One worker's VM, as [`crate::host::Host`]. Cheap to clone; all clones are the same VM.
#[derive(Clone)]
pub struct FakeHost(pub(super) Rc<Vm>);

pub(super) struct Vm {
    pub(super) proxy: FakeProxy,
    /// Its `vm_id`: whose shared data it sees.
    pub(super) scope: String,
    pub(super) seed: u64,
    pub(super) state: RefCell<State>,
    /// Which metrics there may be.
    pub(super) late: Late,
}

/// The callback under way.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) context: ContextId,
    pub(super) effective: ContextId,
    pub(super) phase: Phase,
    /// What a callout's callback may read.
    pub(super) answer: Option<Rc<CalloutAnswer>>,
    /// Other contexts woken so far (T13).
    pub(super) woken: usize,
    /// Callouts started so far.
    pub(super) dispatched: usize,
}

pub(super) struct State {
    pub(super) current: Current,
    /// Whose callback it is: the plugin's own root.
    pub(super) root: ContextId,
    /// The roots that tick.
    pub(super) timers: BTreeMap<ContextId, Duration>,
    pub(super) roots: BTreeSet<ContextId>,
    pub(super) streams: BTreeMap<ContextId, Stream>,
    pub(super) callouts: Vec<Sent>,
    pub(super) deferred: VecDeque<Deferred>,
    pub(super) calls: Vec<HostCall>,
    pub(super) logs: Vec<LogLine>,
    traps: Vec<Trap>,
    contexts: u32,
}

/// What a callback set off, and the host does once it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deferred {
    Resumed(ContextId, Direction),
    Replied(ContextId),
}

// === impl FakeHost ===

impl FakeHost {
    /// The only worker of a new Envoy.
    pub fn envoy() -> Self {
        FakeProxy::envoy().worker()
    }

    /// The only worker of a new Kong with `WasmX`.
    pub fn wasmx() -> Self {
        FakeProxy::wasmx().worker()
    }

    pub(super) fn new(proxy: FakeProxy, vm_id: &str, seed: u64) -> Self {
        let state = RefCell::new(State::new());
        Self(Rc::new(Vm { proxy, scope: vm_id.to_owned(), seed, state, late: Late::new() }))
    }

    /// The process around it: the place of clock, metrics, shared data and injected faults.
    pub fn proxy(&self) -> &FakeProxy {
        &self.0.proxy
    }

    /// Sets a property of every stream of the process; see [`FakeProxy::set`].
    pub fn set(&self, path: &str, value: &str) {
        self.proxy().set(path, value);
    }

    /// Every host call since the start or [`Self::clear_calls`], in order.
    ///
    /// `capabilities` and `context` are no host calls: a plugin's own memory knows them.
    pub fn calls(&self) -> Vec<HostCall> {
        self.0.state.borrow().calls.clone()
    }

    /// The same, one line each: `header(ResponseHeaders :status)`.
    pub fn call_lines(&self) -> Vec<String> {
        self.calls().iter().map(ToString::to_string).collect()
    }

    /// Forgets the host calls so far.
    pub fn clear_calls(&self) {
        self.0.state.borrow_mut().calls.clear();
    }

    /// What was logged, by the plugin and by the host itself.
    pub fn logs(&self) -> Vec<LogLine> {
        self.0.state.borrow().logs.clone()
    }

    /// What this VM would have died of.
    pub fn traps(&self) -> Vec<Trap> {
        self.0.state.borrow().traps.clone()
    }

    /// Callouts whose context still waits for them, oldest first.
    pub fn pending_callouts(&self) -> Vec<(CalloutId, Callout)> {
        let state = self.0.state.borrow();
        state.callouts.iter().filter(|sent| sent.is_pending(&state)).map(Sent::shown).collect()
    }

    /// Every callout ever started, also those whose answer nobody will read.
    pub fn sent_callouts(&self) -> Vec<(CalloutId, Callout)> {
        self.0.state.borrow().callouts.iter().map(Sent::shown).collect()
    }

    /// Paused streams that no callout under way, their own or a root's, can wake.
    pub fn hung(&self) -> Vec<ContextId> {
        let state = self.0.state.borrow();
        let pending: Vec<_> =
            state.callouts.iter().filter(|sent| sent.is_pending(&state)).map(|sent| sent.owner).collect();
        if pending.iter().any(|owner| state.roots.contains(owner)) {
            return Vec::new();
        }
        let waits = |(id, stream): &(&ContextId, &Stream)| stream.is_paused() && !pending.contains(id);
        state.streams.iter().filter(waits).map(|(id, _)| *id).collect()
    }

    /// Stands in the request headers of a new stream, so that a building block can be tested without a plugin.
    pub fn pretend_request(&self, headers: impl Into<Headers>) -> &Self {
        let id = self.open(Chain::Downstream, headers.into(), false, BTreeMap::new(), FilterState::default());
        self.enter(id, Phase::RequestHeaders, None);
        self.meet();
        self
    }

    /// Whether ticks may do anything yet.
    pub(super) fn may_tick(&self) -> bool {
        self.proxy().0.capabilities.metrics_at_once || self.0.late.is_known()
    }

    /// A request's first callback.
    pub(super) fn meet(&self) {
        if !self.proxy().0.capabilities.metrics_at_once {
            self.0.late.learn(self);
        }
    }

    /// Goes on to the response headers of the stream of [`Self::pretend_request`].
    ///
    /// # Panics
    /// Where there is no such stream.
    pub fn pretend_response(&self, headers: impl Into<Headers>) -> &Self {
        let id = self.0.state.borrow().current.context;
        self.with(id, |stream| {
            stream.request.release();
            stream.response = Half::new(headers.into(), false);
            stream.properties.insert("response.code_details".to_owned(), b"via_upstream".to_vec());
        });
        self.enter(id, Phase::ResponseHeaders, None);
        self
    }

    /// Whether headers of the effective stream are here now. Asked for those that are gone, a host answers with a status, which the port doesn't tell.
    pub fn shows(&self, map: Map) -> bool {
        let state = self.0.state.borrow();
        state.streams.get(&state.current.effective).is_some_and(|stream| stream.map(self.flavor(), map).is_some())
    }

    pub(super) fn flavor(&self) -> Flavor {
        self.proxy().flavor()
    }

    pub(super) fn new_root(&self) -> ContextId {
        let mut state = self.0.state.borrow_mut();
        let id = state.next_context();
        state.roots.insert(id);
        id
    }

    /// Opens a stream whose request headers have arrived.
    pub(super) fn open(
        &self,
        chain: Chain,
        headers: Headers,
        end: bool,
        properties: BTreeMap<String, Vec<u8>>,
        shared: FilterState,
    ) -> ContextId {
        assert!(chain == Chain::Downstream || self.flavor() == Flavor::Envoy, "WasmX has no upstream chain");
        let headers = if self.flavor() == Flavor::WasmX { own_host_name(headers) } else { headers };
        let mut state = self.0.state.borrow_mut();
        let id = state.next_context();
        state.streams.insert(id, Stream::new(chain, Half::new(headers, end), properties, shared));
        id
    }

    /// Says whose callbacks follow.
    pub(super) fn of_root(&self, root: ContextId) -> &Self {
        self.0.state.borrow_mut().root = root;
        self
    }

    pub(super) fn set_timer(&self, root: ContextId, period: Option<Duration>) {
        let timers = &mut self.0.state.borrow_mut().timers;
        match period {
            Some(period) => timers.insert(root, period),
            None => timers.remove(&root),
        };
    }

    /// A root is gone: no timer, and nobody hears its callouts.
    pub(super) fn forget_root(&self, root: ContextId) {
        self.set_timer(root, None);
        self.0.state.borrow_mut().roots.remove(&root);
    }

    /// Begins a callback; the answer ends it in [`Self::leave`].
    pub(super) fn enter(&self, context: ContextId, phase: Phase, answer: Option<Rc<CalloutAnswer>>) -> Current {
        let mut state = self.0.state.borrow_mut();
        if let Some(stream) = state.streams.get_mut(&context).filter(|_| phase.moves_stream()) {
            stream.phase = phase;
        }
        let next = Current { context, effective: context, phase, answer, woken: 0, dispatched: 0 };
        core::mem::replace(&mut state.current, next)
    }

    /// Ends a callback; gives what it did.
    pub(super) fn leave(&self, before: Current) -> Current {
        core::mem::replace(&mut self.0.state.borrow_mut().current, before)
    }

    /// Changes a stream that must be there.
    pub(super) fn with<R>(&self, id: ContextId, change: impl FnOnce(&mut Stream) -> R) -> R {
        let mut state = self.0.state.borrow_mut();
        change(state.streams.get_mut(&id).unwrap_or_else(|| panic!("stream {} is over", id.0)))
    }

    /// Dies as the real host would.
    pub(super) fn trap(&self, trap: Trap) -> ! {
        self.0.state.borrow_mut().traps.push(trap);
        panic!("{trap}")
    }

    pub(super) fn host_log(&self, level: log::Level, line: &str) {
        self.0.state.borrow_mut().logs.push(LogLine { level, line: line.to_owned() });
    }

    pub(super) fn next_deferred(&self) -> Option<Deferred> {
        let state = &mut *self.0.state.borrow_mut();
        let known = |next: &Deferred| match next {
            Deferred::Resumed(id, _) | Deferred::Replied(id) => state.streams.contains_key(id),
        };
        core::iter::from_fn(|| state.deferred.pop_front()).find(known)
    }
}

impl fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHost").field("flavor", &self.flavor()).field("vm_id", &self.0.scope).finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    fn new() -> Self {
        let nobody = ContextId(0);
        let current =
            Current { context: nobody, effective: nobody, phase: Phase::Idle, answer: None, woken: 0, dispatched: 0 };
        Self {
            current,
            root: nobody,
            timers: BTreeMap::new(),
            roots: BTreeSet::new(),
            streams: BTreeMap::new(),
            callouts: Vec::new(),
            deferred: VecDeque::new(),
            calls: Vec::new(),
            logs: Vec::new(),
            traps: Vec::new(),
            contexts: 0,
        }
    }

    fn next_context(&mut self) -> ContextId {
        self.contexts += 1;
        ContextId(self.contexts)
    }

    pub(super) fn knows(&self, id: ContextId) -> bool {
        self.roots.contains(&id) || self.streams.contains_key(&id)
    }
}

/// On `WasmX` `:authority` is the server's own name, and `host` is what the client asked for.
fn own_host_name(mut headers: Headers) -> Headers {
    if let (Some(asked), None) = (headers.get(":authority").map(<[u8]>::to_vec), headers.get("host")) {
        headers.set("host", &asked);
    }
    headers.set(":authority", b"localhost");
    headers
}
