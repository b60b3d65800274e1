//! The adapter: what a proxy calls, and nothing that decides.

use crate::gate::Gate;
use crate::request::Shared;
use core::time::Duration;
use sdk_shim::config::Faults;
use sdk_shim::entry::{Answer, Flow, Plugin};
use sdk_shim::host::Host;

/// The plugin: one entry of one chain per configuration and VM.
#[derive(Debug)]
pub struct Idempotency(Gate);

impl Idempotency {
    /// A callback's end: it may have left something for the ticks to do.
    fn after<H: Host>(&self, host: &H, flow: Flow) -> Flow {
        self.0.keep_ticking(host);
        flow
    }
}

impl<H: Host + 'static> Plugin<H> for Idempotency {
    type Call = Shared;

    const NAME: &'static str = "idempotency";

    fn configure(host: &H, bytes: &[u8]) -> Result<Self, Faults> {
        let policy = crate::config::read_and(bytes, |policy| policy.check_on(host))?;
        Gate::new(host, policy).map(Self)
    }

    /// A request that passed unseen could run twice.
    fn may_miss(&self) -> bool {
        false
    }

    fn tick_period(&self) -> Option<Duration> {
        self.0.tick_period()
    }

    fn on_tick(&self, host: &H) {
        self.0.tick(host);
        self.0.rest(host);
    }

    fn on_retire(&self, host: &H) -> bool {
        self.0.retire(host)
    }

    fn call(&self) -> Shared {
        Shared::default()
    }

    fn on_request_headers(&self, call: &mut Shared, host: &H, end: bool) -> Flow {
        self.after(host, self.0.begin(host, call, end))
    }

    fn on_request_body(&self, call: &mut Shared, host: &H, size: usize, end: bool) -> Flow {
        self.after(host, self.0.body(host, call, size, end))
    }

    fn on_request_trailers(&self, call: &mut Shared, host: &H) -> Flow {
        self.after(host, self.0.request_trailers(host, call))
    }

    fn on_response_headers(&self, call: &mut Shared, host: &H, end: bool) -> Flow {
        self.after(host, self.0.answered(host, call, end))
    }

    fn on_response_body(&self, call: &mut Shared, host: &H, size: usize, end: bool) -> Flow {
        self.after(host, self.0.answer_body(host, call, size, end))
    }

    fn on_response_trailers(&self, call: &mut Shared, host: &H) -> Flow {
        self.after(host, self.0.answer_trailers(host, call))
    }

    fn on_answer(&self, call: &mut Shared, host: &H, answer: Answer) {
        self.0.own_answer(host, call, answer);
        self.0.keep_ticking(host);
    }

    fn on_root_answer(&self, host: &H, answer: Answer) {
        self.0.root_answer(host, answer);
        self.0.keep_ticking(host);
    }

    fn on_lost(&self, host: &H) -> Flow {
        self.0.refuse_lost(host)
    }

    fn on_log(&self, call: &mut Shared, host: &H) {
        self.0.end(host, call);
        self.0.keep_ticking(host);
    }
}
