//! Runs a plugin as a proxy does: one callback at a time, each followed by what it set off.

use super::callouts::CalloutAnswer;
use super::flight::InFlight;
use super::message::{At, Half, Headers, Stage};
use super::opening::Opening;
use super::stream::{Chain, Phase};
use super::vm::{Current, Deferred, FakeHost};
use crate::config::Faults;
use crate::entry::{Flow, Plugin};
use crate::flavor::Flavor;
use crate::host::{ContextId, Direction, Host as _, Reply};
use crate::identity;
use crate::remaining::Remaining;
use core::fmt;
use core::time::Duration;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A plugin that runs in one worker's VM. Cheap to clone; all clones are the same plugin.
pub struct Worker<P: Plugin<FakeHost>>(Rc<Inner<P>>);

struct Inner<P: Plugin<FakeHost>> {
    host: FakeHost,
    /// As it was configured.
    first: P,
    /// Its configuration, as long as there has been no request, where the host is known only then.
    unmet: RefCell<Option<String>>,
    /// As it was configured again by the first request.
    settled: OnceCell<P>,
    root: ContextId,
    calls: RefCell<BTreeMap<ContextId, Rc<RefCell<P::Call>>>>,
}

// === impl Worker ===

impl<P: Plugin<FakeHost>> Worker<P> {
    /// Configures the plugin in a VM. Starting another one in the same VM is a configuration push.
    pub fn start(host: &FakeHost, config: &str) -> Result<Self, Faults> {
        let root = host.new_root();
        let first: P = configure(host, root, config)?;
        host.set_timer(root, first.tick_period());
        let unmet = RefCell::new((!host.capabilities().metrics_at_once).then(|| config.to_owned()));
        let (host, settled, calls) = (host.clone(), OnceCell::new(), RefCell::default());
        Ok(Self(Rc::new(Inner { host, first, unmet, settled, root, calls })))
    }

    /// The first request, where the host is known only then: what a module's own entry does.
    fn configure_again(&self, stream: ContextId) {
        let unmet = self.0.unmet.take();
        let Some(config) = unmet else { return };
        let before = self.host().of_root(self.0.root).enter(stream, Phase::RequestHeaders, None);
        self.host().meet();
        self.host().leave(before);
        if let Ok(plugin) = configure::<P>(self.host(), self.0.root, &config) {
            // The timer runs already.
            let _ = plugin.tick_period();
            let _ = self.0.settled.set(plugin);
        }
    }

    /// The VM it runs in.
    pub fn host(&self) -> &FakeHost {
        &self.0.host
    }

    /// The plugin itself.
    pub fn plugin(&self) -> &P {
        self.0.settled.get().unwrap_or(&self.0.first)
    }

    /// Its root context.
    pub fn root(&self) -> ContextId {
        self.0.root
    }

    /// How often a proxy ticks it now.
    pub fn tick_period(&self) -> Option<Duration> {
        self.host().0.state.borrow().timers.get(&self.0.root).copied()
    }

    /// The timer fires once, if the plugin has one. Where the first request is waited for, that does nothing before it.
    pub fn tick(&self) {
        if self.tick_period().is_some() && self.host().may_tick() {
            self.in_root(Phase::Tick, None, Plugin::on_tick);
            self.settle();
        }
    }

    /// The configuration was replaced, and the last of its streams is over. It goes at once, or once it has finished what it had begun.
    pub fn retire(&self) {
        let may_go = self.in_root(Phase::Idle, None, Plugin::on_retire);
        if may_go || !self.host().capabilities().retires_late {
            self.host().forget_root(self.0.root);
        }
    }

    /// Whether it is gone.
    pub fn is_gone(&self) -> bool {
        !self.host().0.state.borrow().roots.contains(&self.0.root)
    }

    /// Paused streams that nothing under way can wake; see [`FakeHost::hung`].
    pub fn hung(&self) -> Vec<ContextId> {
        self.host().hung()
    }

    /// A stream about to be opened, with properties of its own.
    pub fn stream(&self) -> Opening<P> {
        Opening::new(self.clone())
    }

    /// A request without a body arrives.
    pub fn request(&self, headers: impl Into<Headers>) -> InFlight<P> {
        self.stream().request(headers)
    }

    /// The router tries an upstream: attempt number `attempt` (from 1), in the upstream chain. Envoy only.
    pub fn attempt(&self, attempt: u32, headers: impl Into<Headers>) -> InFlight<P> {
        self.stream().attempt(attempt).request(headers)
    }

    /// A stream that an earlier filter answered: only response callbacks and the end will run (T12).
    pub fn unseen(&self) -> InFlight<P> {
        self.stream().unseen()
    }

    pub(super) fn in_root<R>(
        &self,
        phase: Phase,
        answer: Option<Rc<CalloutAnswer>>,
        act: impl FnOnce(&P, &FakeHost) -> R,
    ) -> R {
        let before = self.host().of_root(self.0.root).enter(self.0.root, phase, answer);
        let result = act(self.plugin(), self.host());
        self.host().leave(before);
        result
    }

    /// Runs one callback of a stream; gives its answer and what it did.
    pub(super) fn in_stream<R>(
        &self,
        id: ContextId,
        phase: Phase,
        answer: Option<Rc<CalloutAnswer>>,
        act: impl FnOnce(&P, &mut P::Call, &FakeHost) -> R,
    ) -> (R, Current) {
        let call = self.call_of(id);
        let before = self.host().of_root(self.0.root).enter(id, phase, answer);
        let result = act(self.plugin(), &mut call.borrow_mut(), self.host());
        (result, self.host().leave(before))
    }

    /// The call's own memory, made at the stream's first callback.
    fn call_of(&self, id: ContextId) -> Rc<RefCell<P::Call>> {
        let made = || Rc::new(RefCell::new(self.plugin().call()));
        self.0.calls.borrow_mut().entry(id).or_insert_with(made).clone()
    }

    pub(super) fn forget(&self, id: ContextId) {
        self.0.calls.borrow_mut().remove(&id);
        self.host().0.state.borrow_mut().streams.remove(&id);
    }

    /// Runs a callback that decides how a direction goes on, then everything it set off.
    fn step(
        &self,
        id: ContextId,
        (phase, direction, at): (Phase, Direction, At),
        act: impl FnOnce(&P, &mut P::Call, &FakeHost) -> Flow,
    ) {
        let (flow, did) = self.in_stream(id, phase, None, act);
        self.host().apply(id, (direction, at), &flow, did.dispatched > 0);
        self.settle();
    }

    pub(super) fn request_headers(&self, id: ContextId) {
        self.configure_again(id);
        let end = self.host().with(id, |stream| stream.request.ended) && self.tells_end();
        let act = |plugin: &P, call: &mut P::Call, host: &FakeHost| plugin.on_request_headers(call, host, end);
        self.step(id, (Phase::RequestHeaders, Direction::Request, At::Headers), act);
    }

    pub(super) fn response_headers(&self, id: ContextId, headers: Headers, end: bool) {
        self.host().with(id, |stream| {
            stream.request.release();
            stream.response = Half::new(headers, end);
            if !self.tells_end() {
                // As a module's own entry does, whose calls are no plugin's.
                stream.remaining = Remaining::of(stream.response.headers.get("content-length"));
            }
        });
        let end = end && self.tells_end();
        let act = |plugin: &P, call: &mut P::Call, host: &FakeHost| plugin.on_response_headers(call, host, end);
        self.step(id, (Phase::ResponseHeaders, Direction::Response, At::Headers), act);
    }

    pub(super) fn request_trailers(&self, id: ContextId) {
        let act = |plugin: &P, call: &mut P::Call, host: &FakeHost| plugin.on_request_trailers(call, host);
        self.step(id, (Phase::RequestBody, Direction::Request, At::Trailers), act);
    }

    pub(super) fn response_trailers(&self, id: ContextId, trailers: Headers) {
        self.host().with(id, |stream| stream.trailers = trailers);
        if self.host().flavor() == Flavor::Envoy {
            let act = |plugin: &P, call: &mut P::Call, host: &FakeHost| plugin.on_response_trailers(call, host);
            self.step(id, (Phase::ResponseTrailers, Direction::Response, At::Trailers), act);
        }
    }

    /// A part of a body arrives; it waits where its headers are held.
    pub(super) fn body_part(&self, id: ContextId, direction: Direction, part: &[u8], end: bool) {
        if direction == Direction::Response && self.host().flavor() == Flavor::WasmX {
            return self.nginx_part(id, part, end);
        }
        self.show_part(id, direction, part, end);
    }

    /// `WasmX` takes an answer with a length for ended with a part that has all of it, and shows no empty one. Without a length nginx ends it with an empty
    /// part.
    fn nginx_part(&self, id: ContextId, part: &[u8], end: bool) {
        let (length, held) = self.host().with(id, |stream| (stream.response.length, stream.response.held()));
        if !part.is_empty() {
            self.show_part(id, Direction::Response, part, length == Some(held + part.len()));
        }
        if end && length.is_none() {
            self.show_part(id, Direction::Response, b"", true);
        }
    }

    fn show_part(&self, id: ContextId, direction: Direction, part: &[u8], end: bool) {
        let Some(size) = self.host().admit_part(id, direction, part, end) else {
            return;
        };
        // As a module's own entry does: where its headers were told to a former VM, they are told again.
        let unmet = direction == Direction::Request && !self.0.calls.borrow().contains_key(&id);
        if unmet {
            self.configure_again(id);
        }
        match direction {
            Direction::Request => self.step(id, (Phase::RequestBody, direction, At::Body), |plugin, call, host| {
                let flow = if unmet { plugin.on_request_headers(call, host, false) } else { Flow::Continue };
                if flow == Flow::Continue { plugin.on_request_body(call, host, size, end) } else { flow }
            }),
            Direction::Response => self.step(id, (Phase::ResponseBody, direction, At::Body), |plugin, call, host| {
                let end = host.with(id, |stream| stream.remaining.ends(size, end));
                plugin.on_response_body(call, host, size, end)
            }),
        }
    }

    /// Does what callbacks set off, until nothing is left.
    pub(super) fn settle(&self) {
        while let Some(next) = self.host().next_deferred() {
            match next {
                Deferred::Resumed(id, direction) => self.pump(id, direction),
                Deferred::Replied(id) => self.send_reply(id),
            }
        }
    }

    /// The parts that waited for a resume follow.
    fn pump(&self, id: ContextId, direction: Direction) {
        let waiting = self.host().with(id, |stream| core::mem::take(&mut stream.half(direction).waiting));
        for (part, end) in waiting {
            self.body_part(id, direction, &part, end);
        }
    }

    /// Our own answer goes back.
    fn send_reply(&self, id: ContextId) {
        let reply = self.host().with(id, |stream| {
            stream.properties.insert("response.code_details".to_owned(), Vec::new());
            if stream.request.stage != Stage::Left {
                // No router was asked.
                stream.properties.insert("upstream.request_attempt_count".to_owned(), 0_i64.to_le_bytes().to_vec());
            }
            stream.reply.clone().unwrap_or_default()
        });
        self.deliver(id, &reply);
    }

    /// A local reply passes the response callbacks, unless the service's response is already on its way (E3: never upstream).
    pub(super) fn deliver(&self, id: ContextId, reply: &Reply) {
        let (unheard, grpc) =
            self.host().with(id, |stream| (stream.has_response() || stream.chain == Chain::Upstream, stream.is_grpc()));
        // WasmX sends what it is given, whoever asked.
        let (headers, end) = reply_headers(reply, grpc && self.host().flavor() == Flavor::Envoy);
        if unheard {
            return self.host().replace_response(id, headers);
        }
        self.response_headers(id, headers, end);
        if !end {
            // In one piece, which says how long it is.
            self.show_part(id, Direction::Response, &reply.body, true);
        }
    }

    fn tells_end(&self) -> bool {
        self.host().flavor() == Flavor::Envoy
    }
}

impl<P: Plugin<FakeHost>> Clone for Worker<P> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<P: Plugin<FakeHost>> fmt::Debug for Worker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("plugin", &P::NAME).field("host", self.host()).finish_non_exhaustive()
    }
}

fn configure<P: Plugin<FakeHost>>(host: &FakeHost, root: ContextId, config: &str) -> Result<P, Faults> {
    let before = host.of_root(root).enter(root, Phase::Configure, None);
    let plugin = P::configure(host, config.as_bytes());
    if plugin.is_ok() && !P::SHOWS_ITSELF {
        identity::show(host, P::NAME, config.as_bytes());
    }
    host.leave(before);
    plugin
}

/// An answer of our own as headers: a gRPC request gets trailers only, with the body as `grpc-message`.
fn reply_headers(reply: &Reply, grpc: bool) -> (Headers, bool) {
    let mut headers = Headers::default();
    headers.set(":status", if grpc { "200".into() } else { reply.status.to_string() }.as_bytes());
    reply.headers.iter().for_each(|(name, value)| headers.set(name, value.as_bytes()));
    if grpc {
        let code = reply.grpc_status.unwrap_or_else(|| grpc_code(reply.status));
        headers.set("content-type", b"application/grpc");
        headers.set("grpc-status", code.to_string().as_bytes());
        headers.set("grpc-message", &reply.body);
    }
    (headers, grpc || reply.body.is_empty())
}

/// Envoy's translation of an HTTP status for a gRPC client (`Grpc::Utility::httpToGrpcStatus`).
const fn grpc_code(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}
