//! The glue: proxy-wasm's contexts call the plugin.

use super::{LiveHost, guard};
use crate::config::Faults;
use crate::entry::{Answer, Flow, Plugin};
use crate::host::{CalloutId, Host, Map};
use crate::identity;
use crate::remaining::Remaining;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, Bytes, ContextType, GrpcStatusCode, Status};
use std::rc::Rc;
use std::time::SystemTime;

/// Registers a plugin with the proxy; `register!` calls it when the module starts.
pub fn start<P: Plugin<LiveHost>>() {
    super::raw::run_constructors();
    // Without it a trap says "unreachable", and nobody knows where.
    std::panic::set_hook(Box::new(|panic| LiveHost.log(log::Level::Error, &panic.to_string())));
    proxy_wasm::set_root_context(|id| {
        Box::new(Root::<P> { id, slot: Rc::new(Slot { plugin: RefCell::new(None), unmet: Cell::new(None) }) })
    });
}

struct Root<P> {
    id: u32,
    slot: Rc<Slot<P>>,
}

/// A root's plugin. Where the host is known only with the first request, another one takes its place then.
struct Slot<P> {
    plugin: RefCell<Option<Rc<P>>>,
    /// The root, and its configuration, as long as there has been no request.
    unmet: Cell<Option<(u32, Vec<u8>)>>,
}

struct Stream<P: Plugin<LiveHost>> {
    id: u32,
    slot: Rc<Slot<P>>,
    plugin: Rc<P>,
    call: P::Call,
    /// The plugin knows of it.
    met: bool,
    /// Of its answer.
    remaining: Remaining,
}

fn answer(id: u32, headers: usize, body: usize, trailers: usize) -> Answer {
    Answer { id: CalloutId(id), headers, body, trailers }
}

/// Once in this crate, and not in each plugin's, where it would be built for speed.
#[inline(never)]
fn show(plugin: &str, configuration: &[u8]) {
    identity::show(&LiveHost, plugin, configuration);
}

/// Of the answer whose headers are here. A host that tells its end isn't asked.
#[inline(never)]
fn remaining() -> Remaining {
    if LiveHost.capabilities().tells_end {
        return Remaining::default();
    }
    Remaining::of(LiveHost.header(Map::ResponseHeaders, "content-length").as_deref())
}

/// Once in a module, and not once for each of its callers.
#[inline(never)]
fn configure<P: Plugin<LiveHost>>(bytes: &[u8]) -> Result<Rc<P>, Faults> {
    let plugin = Rc::new(P::configure(&LiveHost, bytes)?);
    if !P::SHOWS_ITSELF {
        show(P::NAME, bytes);
    }
    Ok(plugin)
}

fn tell<P: Plugin<LiveHost>>(faults: &Faults) {
    for fault in faults {
        LiveHost.log(log::Level::Error, &format!("holdfast {}: bad configuration: {fault}", P::NAME));
    }
}

// === impl Root ===

impl<P> Root<P> {
    fn plugin(&self) -> Option<Rc<P>> {
        self.slot.plugin.borrow().clone()
    }
}

impl<P: Plugin<LiveHost>> Context for Root<P> {
    unused_of_context!();

    fn on_done(&mut self) -> bool {
        LiveHost::enter(self.id);
        // One host dies of what would follow.
        let may_stay = LiveHost.capabilities().retires_late;
        self.plugin().is_none_or(|plugin| plugin.on_retire(&LiveHost) || !may_stay)
    }

    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, trailers: usize) {
        LiveHost::enter(self.id);
        if let Some(plugin) = self.plugin() {
            guard::in_root(|| plugin.on_root_answer(&LiveHost, answer(token, headers, body, trailers)));
        }
    }
}

impl<P: Plugin<LiveHost>> RootContext for Root<P> {
    unused_of_root!();

    fn on_configure(&mut self, _size: usize) -> bool {
        LiveHost::enter(self.id);
        LiveHost::detect();
        let bytes = LiveHost::configuration();
        match configure::<P>(&bytes) {
            Ok(plugin) => {
                // Even a period of zero is one that was said.
                if let Some(period) = plugin.tick_period() {
                    LiveHost.tick_every(Some(period));
                }
                guard::note_root(self.id, plugin.may_miss());
                if !LiveHost.capabilities().metrics_at_once {
                    self.slot.unmet.set(Some((self.id, bytes)));
                }
                self.slot.plugin.replace(Some(plugin));
                true
            }
            Err(faults) => {
                tell::<P>(&faults);
                false
            }
        }
    }

    fn on_tick(&mut self) {
        // No tick then, but the guard's word that this stream waited for a call of a former VM.
        if let Some(stream) = guard::hears() {
            LiveHost::enter(stream);
            if let Some(Flow::Reply(reply)) = self.plugin().map(|plugin| plugin.on_lost(&LiveHost)) {
                LiveHost.reply(&reply);
            }
            return;
        }
        LiveHost::enter(self.id);
        if let Some(plugin) = self.plugin().filter(|_| LiveHost::may_tick()) {
            guard::in_root(|| plugin.on_tick(&LiveHost));
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let plugin = self.plugin()?;
        let call = plugin.call();
        let remaining = Remaining::default();
        Some(Box::new(Stream { id, slot: Rc::clone(&self.slot), plugin, call, met: false, remaining }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

// === impl Stream ===

impl<P: Plugin<LiveHost>> Stream<P> {
    /// The first request: the plugin that was configured without it has served only to see that it can be.
    #[cold]
    fn settle(&mut self, root: u32, bytes: &[u8]) {
        LiveHost::meet();
        LiveHost::enter(root);
        if let Ok(plugin) = configure::<P>(bytes) {
            // The timer runs already.
            let _ = plugin.tick_period();
            self.slot.plugin.replace(Some(plugin));
        }
    }

    /// Its headers, when they are here or where a former VM was told of them; not once for each.
    #[inline(never)]
    fn meet(&mut self, end: bool) -> Action {
        if let Some((root, bytes)) = self.slot.unmet.take() {
            self.settle(root, &bytes);
        }
        self.catch_up();
        self.met = true;
        self.flow(|plugin, call| plugin.on_request_headers(call, &LiveHost, end))
    }

    /// A stream may have been made before another one's request headers had a plugin configured anew.
    fn catch_up(&mut self) {
        let newest = self.slot.plugin.borrow();
        if let Some(newest) = newest.as_ref().filter(|newest| !Rc::ptr_eq(newest, &self.plugin)) {
            self.call = newest.call();
            self.plugin = Rc::clone(newest);
        }
    }

    /// Lets the plugin speak, and does what it says.
    fn flow(&mut self, speak: impl FnOnce(&P, &mut P::Call) -> Flow) -> Action {
        LiveHost::enter(self.id);
        match speak(&self.plugin, &mut self.call) {
            Flow::Continue => Action::Continue,
            Flow::Pause => Action::Pause,
            Flow::Reply(reply) => {
                LiveHost.reply(&reply);
                Action::Pause
            }
        }
    }
}

impl<P: Plugin<LiveHost>> Drop for Stream<P> {
    fn drop(&mut self) {
        guard::note_end(self.id);
    }
}

impl<P: Plugin<LiveHost>> Context for Stream<P> {
    unused_of_context!();

    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, trailers: usize) {
        LiveHost::enter(self.id);
        self.plugin.on_answer(&mut self.call, &LiveHost, answer(token, headers, body, trailers));
    }

    fn on_done(&mut self) -> bool {
        LiveHost::enter(self.id);
        self.plugin.on_done(&mut self.call, &LiveHost);
        true
    }
}

impl<P: Plugin<LiveHost>> HttpContext for Stream<P> {
    unused_of_http!();

    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        self.meet(end)
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        // Those of a stream that a former VM has begun; unseen, it wouldn't be judged.
        if !self.met && self.meet(false) == Action::Pause {
            return Action::Pause;
        }
        self.flow(|plugin, call| plugin.on_request_body(call, &LiveHost, size, end))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.flow(|plugin, call| plugin.on_request_trailers(call, &LiveHost))
    }

    fn on_http_response_headers(&mut self, _count: usize, end: bool) -> Action {
        self.remaining = remaining();
        self.flow(|plugin, call| plugin.on_response_headers(call, &LiveHost, end))
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        let end = self.remaining.ends(size, end);
        self.flow(|plugin, call| plugin.on_response_body(call, &LiveHost, size, end))
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.flow(|plugin, call| plugin.on_response_trailers(call, &LiveHost))
    }

    fn on_log(&mut self) {
        LiveHost::enter(self.id);
        self.plugin.on_log(&mut self.call, &LiveHost);
    }
}
