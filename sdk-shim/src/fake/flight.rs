//! A stream under way, driven by the test: what the client, the service and the proxy do to it.

use super::driver::Worker;
use super::message::Headers;
use super::properties::status;
use super::stream::{Chain, FilterState, Phase, Stream};
use super::vm::FakeHost;
use crate::entry::{Flow, Plugin};
use crate::flavor::Flavor;
use crate::host::{ContextId, Direction, Reply};

/// `response.flags` of a client that went away.
const DOWNSTREAM_GONE: i64 = 16384;

/// A stream under way.
///
/// Dropping it leaves the stream open in its worker, so that callouts and ticks may still wake it.
#[must_use = "a stream that is not finished never runs on_done or on_log"]
#[derive(Debug)]
pub struct InFlight<P: Plugin<FakeHost>> {
    worker: Worker<P>,
    id: ContextId,
}

/// What came of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The status that the client got; `None` without a response.
    pub status: Option<u16>,
    /// The request's headers as they went on.
    pub request: Headers,
    /// The response's headers as they went back.
    pub response: Headers,
    /// The plugin's own answer, if it gave one.
    pub reply: Option<Reply>,
}

impl<P: Plugin<FakeHost>> InFlight<P> {
    pub(super) const fn new(worker: Worker<P>, id: ContextId) -> Self {
        Self { worker, id }
    }

    pub(super) const fn worker(&self) -> &Worker<P> {
        &self.worker
    }

    /// Its context.
    pub const fn id(&self) -> ContextId {
        self.id
    }

    /// What the plugin decided last.
    pub fn flow(&self) -> Flow {
        self.look(|stream| stream.flow.clone())
    }

    /// Whether the request went on to the service.
    pub fn passed(&self) -> bool {
        self.look(|stream| stream.reply.is_none() && stream.request.paused.is_none())
    }

    /// Whether either direction waits for a resume.
    pub fn paused(&self) -> bool {
        self.look(|stream| stream.is_paused())
    }

    /// The plugin's own answer.
    pub fn reply(&self) -> Option<Reply> {
        self.look(|stream| stream.reply.clone())
    }

    /// The status on its way to the client.
    pub fn status(&self) -> Option<u16> {
        self.look(|stream| status(stream))
    }

    /// A header of the request, as it goes on.
    pub fn request_header(&self, name: &str) -> Option<String> {
        self.look(|stream| stream.request.headers.text(name))
    }

    /// A header of the response, as it goes back.
    pub fn response_header(&self, name: &str) -> Option<String> {
        self.look(|stream| stream.response.headers.text(name))
    }

    /// The filter state of its request, for another stream of the same request.
    pub fn filter_state(&self) -> FilterState {
        self.look(|stream| stream.state.clone())
    }

    /// Sets a property of this stream alone, from now on.
    pub fn set(&mut self, path: &str, value: &str) -> &mut Self {
        self.set_bytes(path, value.as_bytes())
    }

    /// The same as bytes.
    pub fn set_bytes(&mut self, path: &str, value: &[u8]) -> &mut Self {
        self.look(|stream| stream.properties.insert(path.to_owned(), value.to_vec()));
        self
    }

    /// The client sends a part of the request's body.
    ///
    /// # Panics
    /// On a trap.
    pub fn request_body(&mut self, part: &[u8], end: bool) -> &mut Self {
        if self.reply().is_none() {
            self.worker.body_part(self.id, Direction::Request, part, end);
        }
        self
    }

    /// The request ends in trailers. `WasmX` tells nobody.
    ///
    /// # Panics
    /// On a trap.
    pub fn request_trailers(&mut self) -> &mut Self {
        if self.reply().is_none() && self.worker.host().flavor() == Flavor::Envoy {
            self.worker.request_trailers(self.id);
        }
        self
    }

    /// The service answers; `end` where no body follows.
    ///
    /// # Panics
    /// Where the request never reached the service: it is paused or was answered by the plugin. On a trap.
    pub fn respond(&mut self, headers: impl Into<Headers>, end: bool) -> &mut Self {
        self.expect_forwarded();
        if self.look(|stream| stream.seen) {
            self.set("response.code_details", "via_upstream");
        }
        self.worker.response_headers(self.id, headers.into(), end);
        self
    }

    /// Another filter answers with these headers, and says nothing of why; `end` where no body follows.
    ///
    /// # Panics
    /// On a trap.
    pub fn respond_locally(&mut self, headers: impl Into<Headers>, end: bool) -> &mut Self {
        self.set("response.code_details", "");
        self.worker.response_headers(self.id, headers.into(), end);
        self
    }

    /// A part of the response's body.
    ///
    /// # Panics
    /// On a trap.
    pub fn body(&mut self, part: &[u8], end: bool) -> &mut Self {
        self.worker.body_part(self.id, Direction::Response, part, end);
        self
    }

    /// The response ends in trailers. `WasmX` tells nobody.
    ///
    /// # Panics
    /// On a trap.
    pub fn trailers(&mut self, trailers: impl Into<Headers>) -> &mut Self {
        self.worker.response_trailers(self.id, trailers.into());
        self
    }

    /// The proxy, or another filter, answers in place of the service, with these `response.flags` and details. A gRPC client
    /// gets trailers only.
    ///
    /// # Panics
    /// Where the request was answered by the plugin, or waits for a resume. On a trap.
    pub fn local_reply(&mut self, status: u16, flags: i64, details: &str) -> &mut Self {
        self.expect_forwarded();
        self.set_bytes("response.flags", &flags.to_le_bytes()).set("response.code_details", details);
        let reply = Reply { status, body: details.as_bytes().to_vec(), ..Reply::default() };
        self.worker.deliver(self.id, &reply);
        self
    }

    /// The client goes away: flags 16384, no callback for its callouts (E7, T14).
    ///
    /// # Panics
    /// On a trap.
    pub fn abort(mut self) -> Ended {
        self.set_bytes("response.flags", &DOWNSTREAM_GONE.to_le_bytes());
        self.set("response.code_details", "downstream_remote_disconnect");
        self.end()
    }

    /// Kong answers with an error page of its own, because no service was reached, or none answered in time (or, before 3.8, because a callout that it
    /// waits for failed): its filters hear nothing of it, and the stream is forgotten.
    ///
    /// # Panics
    /// Where no proxy does that.
    pub fn forget(self) {
        assert!(self.worker.host().flavor() == Flavor::WasmX, "Envoy tells how each stream ends");
        self.worker.forget(self.id);
    }

    /// Its VM is made anew, as Kong does after a trap and with a changed configuration: what comes of it from now on, `next` hears, which knows nothing of it.
    ///
    /// # Panics
    /// Where no proxy does that.
    pub fn anew(self, next: &Worker<P>) -> Self {
        assert!(self.worker.host().flavor() == Flavor::WasmX, "with an Envoy's VM its streams end");
        Self { worker: next.clone(), id: self.id }
    }

    /// The proxy ends the stream in the middle, with these `response.flags`: a service that broke its answer off (64), a stream that was idle.
    ///
    /// # Panics
    /// On a trap.
    pub fn cut(mut self, flags: i64) -> Ended {
        self.set_bytes("response.flags", &flags.to_le_bytes());
        self.end()
    }

    /// An attempt ends without a response: connect failure (with Envoy's reason), or reset and timeout (an empty reason: T20).
    ///
    /// # Panics
    /// Outside the upstream chain. On a trap.
    pub fn fail_upstream(mut self, reason: &str) -> Ended {
        assert!(
            self.look(|stream| stream.chain == Chain::Upstream),
            "only an attempt fails; use local_reply downstream"
        );
        if !reason.is_empty() {
            self.set("upstream.transport_failure_reason", reason);
        }
        self.end()
    }

    /// The stream is over. Envoy: `on_log`, then `on_done`; upstream `on_done` alone; `WasmX`: `on_done`, then `on_log`.
    ///
    /// # Panics
    /// Where it still waits for a resume: the client waits too, and would go away. On a trap.
    pub fn finish(self) -> Ended {
        assert!(!self.paused(), "stream {} is still paused: answer its callout, tick, or abort it", self.id.0);
        self.end()
    }

    fn end(self) -> Ended {
        for phase in last_words(self.worker.host().flavor(), self.look(|stream| stream.chain)) {
            self.worker.in_stream(self.id, *phase, None, |plugin, call, host| match phase {
                Phase::Log => plugin.on_log(call, host),
                _ => plugin.on_done(call, host),
            });
        }
        let ended = self.look(Ended::of);
        self.worker.forget(self.id);
        self.worker.settle();
        ended
    }

    fn expect_forwarded(&self) {
        let (replied, paused) = self.look(|stream| (stream.reply.is_some(), stream.request.paused.is_some()));
        assert!(!replied, "the plugin answered stream {} itself; the service never saw it", self.id.0);
        assert!(!paused, "the request of stream {} is paused; the service never saw it", self.id.0);
    }

    fn look<R>(&self, read: impl FnOnce(&mut Stream) -> R) -> R {
        self.worker.host().with(self.id, read)
    }
}

impl Ended {
    fn of(stream: &mut Stream) -> Self {
        let (request, response) = (stream.request.headers.clone(), stream.response.headers.clone());
        Self { status: status(stream), request, response, reply: stream.reply.clone() }
    }
}

const fn last_words(flavor: Flavor, chain: Chain) -> &'static [Phase] {
    match (flavor, chain) {
        (Flavor::Envoy, Chain::Downstream) => &[Phase::Log, Phase::Done],
        (Flavor::Envoy, Chain::Upstream) => &[Phase::Done],
        (Flavor::WasmX, _) => &[Phase::Done, Phase::Log],
    }
}
