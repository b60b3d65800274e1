//! What calls of the port set off in the host, and what it dies of.

use super::message::{At, Half, Headers};
use super::properties::status;
use super::stream::{Chain, Phase, Stream};
use super::trap::Trap;
use super::vm::{Deferred, FakeHost};
use crate::entry::Flow;
use crate::flavor::Flavor;
use crate::host::{Callout, ContextId, Direction, HostError, Reply};

/// Streams that one callback may wake (T13).
const MAX_WOKEN: usize = 272;
/// What `WasmX` keeps of a paused response before it flushes (4 x 16 KiB).
const WASMX_RESPONSE_BUFFER: usize = 64 * 1024;

impl FakeHost {
    /// Counts a wake-up of another stream than the one called back.
    pub(super) fn count_wake(&self, woken: ContextId) {
        let mut state = self.0.state.borrow_mut();
        state.current.woken += usize::from(woken != state.current.context);
        let too_many = state.current.woken > MAX_WOKEN;
        drop(state);
        if too_many {
            self.trap(Trap::WokeTooMany);
        }
    }

    /// Lets a paused half go on; what it held follows once the callback is over. False where it did not wait.
    pub(super) fn let_go(&self, id: ContextId, direction: Direction) -> bool {
        let mut state = self.0.state.borrow_mut();
        let Some(half) = state.streams.get_mut(&id).map(|stream| stream.half(direction)) else {
            return false;
        };
        if half.paused.is_none() {
            return false;
        }
        half.release();
        state.deferred.push_back(Deferred::Resumed(id, direction));
        true
    }

    /// Takes an answer of our own for a stream.
    pub(super) fn take_reply(&self, id: ContextId, reply: &Reply) {
        self.note("reply", reply.status);
        let mut state = self.0.state.borrow_mut();
        let Some(stream) = state.streams.get_mut(&id) else { return };
        let (second, phase) = (stream.reply.is_some(), stream.phase);
        stream.reply = Some(reply.clone());
        stream.request.paused = None;
        stream.response.paused = None;
        state.deferred.push_back(Deferred::Replied(id));
        drop(state);
        if second {
            self.trap(Trap::SecondReply);
        }
        if self.flavor() == Flavor::WasmX && phase == Phase::ResponseBody {
            self.trap(Trap::ReplyInResponseBody);
        }
    }

    pub(super) fn check_dispatch(&self, callout: &Callout) -> Result<(), HostError> {
        let headers = Headers::from(&callout.headers[..]);
        let lacks = |name: &str| headers.get(name).is_none_or(<[u8]>::is_empty);
        let wasmx = self.flavor() == Flavor::WasmX;
        let phase = self.0.state.borrow().current.phase;
        if wasmx && !phase.may_dispatch() {
            self.trap(Trap::DispatchPhase);
        }
        if wasmx && (lacks(":path") || lacks(":authority")) {
            self.trap(Trap::DispatchTarget);
        }
        let unknown = self.proxy().0.injected.unknown_upstreams.borrow().contains(&callout.upstream);
        let bad = unknown || lacks(":path") || lacks(":method") || lacks(":authority");
        if bad { Err(HostError::BadArgument) } else { Ok(()) }
    }

    /// An attempt that the router would destroy inside `resume` (T3), were its route to retry.
    pub(super) fn check_retry(&self, id: ContextId, direction: Direction) {
        let state = self.0.state.borrow();
        let inside = matches!(state.current.phase, Phase::Answer | Phase::RootAnswer);
        let doomed = inside && direction == Direction::Response && state.streams.get(&id).is_some_and(is_retried);
        drop(state);
        if doomed && !self.proxy().0.stop_iteration.get() {
            self.trap(Trap::RetryInsideResume);
        }
    }

    /// Does to a direction what a callback decided.
    pub(super) fn apply(&self, id: ContextId, (direction, at): (Direction, At), flow: &Flow, dispatched: bool) {
        let wasmx = self.flavor() == Flavor::WasmX;
        self.with(id, |stream| stream.flow = flow.clone());
        match flow {
            Flow::Continue if wasmx && dispatched => self.trap(Trap::DispatchThenContinue),
            Flow::Continue => self.with(id, |stream| stream.half(direction).release()),
            Flow::Pause if wasmx && direction == Direction::Response && at == At::Headers => {
                self.host_log(log::Level::Warn, "pause in response headers is ignored");
                self.with(id, |stream| stream.half(direction).release());
            }
            Flow::Pause => self.with(id, |stream| hold(stream.half(direction), at, wasmx)),
            Flow::Reply(reply) => self.take_reply(id, reply),
        }
    }

    /// Takes a part of a body and gives the size to tell; `None` where it waits.
    pub(super) fn admit_part(&self, id: ContextId, direction: Direction, part: &[u8], end: bool) -> Option<usize> {
        let wasmx = self.flavor() == Flavor::WasmX;
        let stop_iteration = self.proxy().0.stop_iteration.get() && !wasmx;
        self.with(id, |stream| {
            let half = stream.half(direction);
            half.ended |= end;
            if half.paused == Some(At::Headers) && !stop_iteration {
                half.waiting.push((part.to_vec(), end));
                return None;
            }
            half.take(part);
            let whole = !wasmx || direction == Direction::Response || end;
            // WasmX makes one call with the whole body, and none where that is empty.
            half.gathering = !whole;
            let shown = whole && !(wasmx && direction == Direction::Request && half.buffer.is_empty());
            shown.then_some(half.buffer.len())
        })
    }

    /// The service's response is dropped for ours; `WasmX` changes the status only.
    pub(super) fn replace_response(&self, id: ContextId, headers: Headers) {
        let wasmx = self.flavor() == Flavor::WasmX;
        self.with(id, |stream| {
            let status = headers.get(":status").map(<[u8]>::to_vec).unwrap_or_default();
            if wasmx && stream.has_response() {
                stream.response.headers.set(":status", &status);
            } else {
                stream.response = Half::new(headers, true);
            }
            stream.response.release();
        });
    }
}

fn is_retried(stream: &Stream) -> bool {
    let held = stream.response.paused == Some(At::Headers) && !stream.response.ended;
    stream.chain == Chain::Upstream && held && status(stream).is_some_and(|status| status >= 500)
}

fn hold(half: &mut Half, at: At, wasmx: bool) {
    let overflows = wasmx && half.buffer.len() > WASMX_RESPONSE_BUFFER && at == At::Body;
    if overflows {
        half.release();
    } else {
        half.paused = Some(at);
    }
}
