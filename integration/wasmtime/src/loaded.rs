//! A plugin that is a module.

use core::time::Duration;
use proxy_wasm_host::abi::v0_2_1::types::Action;
use proxy_wasm_host::abi::v0_2_1::{
    CallScope, CalloutId, ContextId, ContextState, Guest, GuestError, HttpCallResponse, PluginConfig, StreamKind,
};
use sdk_shim::config::Faults;
use sdk_shim::entry::{Answer, Flow, Plugin};
use sdk_shim::fake::FakeHost;
use sdk_shim::host::{Body, Host as _, Map, Reply};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::callback::{Callback, Names};
use crate::lent::Lent;
use crate::modules::{Module, guest};

type Scope<'a> = CallScope<'a, Lent>;

/// The module in a VM of its own.
pub struct Loaded<M> {
    vm: Rc<Vm>,
    root: ContextId,
    period: Option<Duration>,
    module: PhantomData<M>,
}

/// A request, or an attempt. It is deleted with it.
pub struct Call {
    vm: Rc<Vm>,
    root: ContextId,
    /// Once it has been called back.
    stream: Option<(ContextId, FakeHost)>,
}

struct Vm {
    file: &'static str,
    guest: RefCell<Guest>,
    names: Rc<RefCell<Names>>,
}

// === impl Vm ===

impl Vm {
    /// Calls the module back; gives what it said, and what it answered itself.
    fn enter<R>(
        &self,
        host: &FakeHost,
        deciding: Option<ContextId>,
        call: impl FnOnce(&mut Scope<'_>) -> Result<R, GuestError>,
    ) -> (R, Option<Reply>) {
        let mut guest = self.guest.borrow_mut();
        let callback = Callback::new(host, &self.names, deciding);
        let (result, reply) = callback.during(|| guest.with(Lent::default(), call).0);
        (result.unwrap_or_else(|error| self.dies(host, &error)), reply)
    }

    /// A trap poisons the VM; what the module logged before says more than the trap.
    fn dies(&self, host: &FakeHost, error: &GuestError) -> ! {
        let last = host.logs().pop().map_or_else(String::new, |line| format!("; its last words: {}", line.line));
        panic!("{}: {error}{last}", self.file)
    }

    /// What was asked of the root's timer is done.
    fn settle(&self, host: &FakeHost, root: ContextId) {
        let period = self.guest.borrow_mut().take_changes().tick_periods.remove(&root);
        if let Some(period) = period {
            host.tick_every(period);
        }
    }

    /// A callout's answer as the crate wants it, and what the module calls the callout.
    fn answered(&self, host: &FakeHost, answer: Answer) -> (CalloutId, HttpCallResponse<'static>) {
        let callout = self.names.borrow_mut().callouts.remove(&answer.id);
        let callout = callout.expect("only what was sent is answered");
        if answer.headers == 0 {
            return (callout, HttpCallResponse::failed());
        }
        let own = |(name, value): (Vec<u8>, Vec<u8>)| (name.into(), value.into());
        let all = |map| host.headers(map).into_iter().map(own).collect();
        let body = host.body(Body::Callout, usize::MAX).unwrap_or_default();
        let response = HttpCallResponse::received(all(Map::CalloutHeaders)).with_body(body);
        (callout, response.with_trailers(all(Map::CalloutTrailers)))
    }
}

// === impl Call ===

impl Call {
    /// Its context, made at its first callback.
    fn context(&mut self, host: &FakeHost) -> ContextId {
        if let Some((context, _)) = &self.stream {
            return *context;
        }
        let (context, _) = self.vm.enter(host, None, |scope| {
            let context = scope.on_context_create(Some(self.root))?;
            scope.expect_stream_kind(context, StreamKind::Http)?;
            Ok(context)
        });
        self.vm.names.borrow_mut().contexts.insert(context, host.context());
        self.stream = Some((context, host.clone()));
        context
    }

    /// A callback that decides how the stream goes on.
    fn flow(
        &mut self,
        host: &FakeHost,
        call: impl FnOnce(&mut Scope<'_>, ContextId) -> Result<Action, GuestError>,
    ) -> Flow {
        let context = self.context(host);
        let (action, reply) = self.vm.enter(host, Some(context), |scope| call(scope, context));
        self.vm.settle(host, self.root);
        match (reply, action) {
            (Some(reply), _) => Flow::Reply(Box::new(reply)),
            (None, Action::Pause) => Flow::Pause,
            (None, Action::Continue) => Flow::Continue,
        }
    }

    /// Once: the crate wants it before the log, whatever the host's order is.
    fn done(&mut self, host: &FakeHost) -> ContextId {
        let context = self.context(host);
        if self.vm.guest.borrow().context_state(context) == Some(ContextState::Active) {
            self.vm.enter(host, None, |scope| scope.on_done(context));
            self.vm.settle(host, self.root);
        }
        context
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some((context, host)) = self.stream.take().filter(|_| !std::thread::panicking()) else { return };
        if self.vm.guest.borrow().context_state(context) == Some(ContextState::Done) {
            self.vm.enter(&host, None, |scope| scope.on_delete(context));
            self.vm.names.borrow_mut().contexts.remove(&context);
        }
    }
}

// === impl Loaded ===

impl<M: Module> Plugin<FakeHost> for Loaded<M> {
    type Call = Call;

    const NAME: &'static str = M::NAME;

    /// The module does.
    const SHOWS_ITSELF: bool = true;

    fn configure(host: &FakeHost, bytes: &[u8]) -> Result<Self, Faults> {
        let vm = Rc::new(Vm { file: M::FILE, guest: RefCell::new(guest::<M>()), names: Rc::default() });
        let root_id = host.property(&["plugin_root_id"]).unwrap_or_default();
        let plugin = PluginConfig::new()
            .with_name(M::FILE.trim_end_matches(".wasm"))
            .with_root_id(root_id)
            .with_configuration(bytes);
        let before = host.logs().len();
        let ((root, accepted), _) = vm.enter(host, None, |scope| {
            let root = scope.on_context_create(None)?;
            let accepted = scope.on_vm_start(root)? && scope.on_configure(root, plugin)?;
            Ok((root, accepted))
        });
        if !accepted {
            return Err(told(&host.logs()[before..]));
        }
        vm.names.borrow_mut().contexts.insert(root, host.context());
        let period = vm.guest.borrow_mut().take_changes().tick_periods.remove(&root).flatten();
        Ok(Self { vm, root, period, module: PhantomData })
    }

    fn tick_period(&self) -> Option<Duration> {
        self.period
    }

    fn on_tick(&self, host: &FakeHost) {
        self.in_root(host, |scope| scope.on_tick(self.root));
    }

    fn on_retire(&self, host: &FakeHost) -> bool {
        self.in_root(host, |scope| scope.on_done(self.root))
    }

    fn call(&self) -> Call {
        Call { vm: Rc::clone(&self.vm), root: self.root, stream: None }
    }

    fn on_request_headers(&self, call: &mut Call, host: &FakeHost, end: bool) -> Flow {
        let count = count(host, Map::RequestHeaders);
        call.flow(host, |scope, context| scope.on_request_headers(context, count, end))
    }

    fn on_request_body(&self, call: &mut Call, host: &FakeHost, size: usize, end: bool) -> Flow {
        call.flow(host, |scope, context| scope.on_request_body(context, whole(size), end))
    }

    fn on_request_trailers(&self, call: &mut Call, host: &FakeHost) -> Flow {
        call.flow(host, |scope, context| scope.on_request_trailers(context, 0))
    }

    fn on_response_headers(&self, call: &mut Call, host: &FakeHost, end: bool) -> Flow {
        let count = count(host, Map::ResponseHeaders);
        call.flow(host, |scope, context| scope.on_response_headers(context, count, end))
    }

    fn on_response_body(&self, call: &mut Call, host: &FakeHost, size: usize, end: bool) -> Flow {
        let end = end && tells_end(host, size);
        call.flow(host, |scope, context| scope.on_response_body(context, whole(size), end))
    }

    fn on_response_trailers(&self, call: &mut Call, host: &FakeHost) -> Flow {
        let count = count(host, Map::ResponseTrailers);
        call.flow(host, |scope, context| scope.on_response_trailers(context, count))
    }

    fn on_answer(&self, call: &mut Call, host: &FakeHost, answer: Answer) {
        let context = call.context(host);
        let (callout, response) = self.vm.answered(host, answer);
        self.in_root(host, |scope| scope.on_http_call_response(context, callout, response));
    }

    fn on_root_answer(&self, host: &FakeHost, answer: Answer) {
        let (callout, response) = self.vm.answered(host, answer);
        self.in_root(host, |scope| scope.on_http_call_response(self.root, callout, response));
    }

    fn on_done(&self, call: &mut Call, host: &FakeHost) {
        call.done(host);
    }

    fn on_log(&self, call: &mut Call, host: &FakeHost) {
        let context = call.done(host);
        self.vm.enter(host, None, |scope| scope.on_log(context));
        self.vm.settle(host, self.root);
    }
}

impl<M: Module> Loaded<M> {
    /// A stream that the module knows before anything comes of it, as hosts that have a chain's contexts made at once do it.
    pub fn opened(&self, host: &FakeHost) -> Call {
        let mut call = Call { vm: Rc::clone(&self.vm), root: self.root, stream: None };
        call.context(host);
        call
    }

    /// Calls the root back; where it has finished in it what it had begun, the host is told.
    fn in_root<R>(&self, host: &FakeHost, call: impl FnOnce(&mut Scope<'_>) -> Result<R, GuestError>) -> R {
        let was_pending = self.is(ContextState::Pending);
        let (result, _) = self.vm.enter(host, None, call);
        self.vm.settle(host, self.root);
        if was_pending && self.is(ContextState::Done) {
            host.retire();
        }
        result
    }

    fn is(&self, state: ContextState) -> bool {
        self.vm.guest.borrow().context_state(self.root) == Some(state)
    }
}

/// What the module said of a configuration that it refused.
fn told(lines: &[sdk_shim::fake::LogLine]) -> Faults {
    let mut faults = Faults::default();
    for line in lines {
        faults.push("$", line.line.as_str(), "what the module says");
    }
    faults
}

/// Whether the host itself says so of a part of so many bytes: else the module's entry has to find it out, as the fake host did for a plugin without one.
fn tells_end(host: &FakeHost, size: usize) -> bool {
    let length = host.header(Map::ResponseHeaders, "content-length");
    let length = length.and_then(|length| String::from_utf8(length).ok()?.parse::<usize>().ok());
    host.capabilities().tells_end || length.is_none_or(|length| length == 0 || length == size)
}

fn count(host: &FakeHost, map: Map) -> u32 {
    whole(host.headers(map).len())
}

fn whole(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
