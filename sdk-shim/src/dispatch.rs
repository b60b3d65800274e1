//! Calls to other services, and what waits for them.
//!
//! Two ways to get a call wrong: to read an answer that is not there (a timeout after the first byte calls back with no
//! headers at all, T6), and to share one call among requests from a request's own context (it dies with that client, and
//! the others hang, T14). [`read`] does the first right. For the second, requests wait in [`Waiters`]: the root sends one
//! pipelined call for many of them ([`send`]) and wakes at most [`MAX_WAKES_PER_CALLBACK`] per callback ([`wake`]), because
//! every wake-up recurses in the host (T13); ticks wake the rest. Every waiter has a deadline, so that none hangs.
//!
//! ```text
//! enqueue -> queued -> drain_batch -> sent -> answered -+-> wake list -> next_woken
//!               |           |           |               |
//!               +---expire--|--expire---+---------------+
//!                           +--- lost (the host refused) -+
//! ```
//! The queue is plain data; only [`read`], [`send`] and [`wake`] speak to the host.

use crate::entry::Answer;
use crate::flavor::Flavor;
use crate::host::{Body, Callout, CalloutId, ContextId, Host, Map};
use crate::time::Instant;
use core::cell::RefCell;
use std::collections::VecDeque;

/// How many streams one callback wakes. Envoy's stack ends at 273 (T13); this leaves room for the filters around us.
pub const MAX_WAKES_PER_CALLBACK: usize = 64;

/// What a service said, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// HTTP status; 503 and 504 also where Envoy itself could not reach the service.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is nothing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoAnswer {
    /// No headers: timeout or reset. The service may have done what it was asked.
    Silent,
    /// No `:status`, or none that is a number.
    NoStatus,
    /// A body of `size` bytes, of which the host showed `shown`: too long for the caller, or not buffered.
    Cut {
        /// As told.
        size: usize,
        /// As shown.
        shown: usize,
    },
}

/// Reads a callout's answer of at most `max_body` bytes, headers first (T6). Only valid inside its callback.
pub fn read(host: &impl Host, answer: &Answer, max_body: usize) -> Result<Answered, NoAnswer> {
    if answer.headers == 0 {
        return Err(NoAnswer::Silent);
    }
    let status = host.header(Map::CalloutHeaders, ":status").and_then(number).ok_or(NoAnswer::NoStatus)?;
    let body = if answer.body == 0 { None } else { host.body(Body::Callout, max_body) }.unwrap_or_default();
    if body.len() < answer.body {
        return Err(NoAnswer::Cut { size: answer.body, shown: body.len() });
    }
    Ok(Answered { status, body })
}

/// Whether a call of a request's own that fails is told. Kong 3.8 doesn't say so, and lets the request go on. To be asked in a request's callback.
pub fn tells_failures(host: &impl Host) -> bool {
    let silent = |version: Vec<u8>| version == b"3.8" || version.starts_with(b"3.8.");
    host.capabilities().flavor != Flavor::WasmX || !host.property(&["kong", "version"]).is_some_and(silent)
}

fn number(bytes: Vec<u8>) -> Option<u16> {
    String::from_utf8(bytes).ok()?.parse().ok()
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<R> {
    /// With this waiter's part of the answer.
    Answered(R),
    /// The call could not be sent, or its answer had no part for this waiter.
    NoAnswer,
    /// The deadline passed first.
    Expired,
}

/// A waiter that is to be woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Woken<T, R> {
    /// The stream; it may be gone by now.
    pub context: ContextId,
    /// What it waited with.
    pub payload: T,
    /// What came of it.
    pub end: End<R>,
}

/// Waiters on their way into one call. Must come back as [`Waiters::sent`] or [`Waiters::lost`].
#[must_use = "a dropped batch loses its waiters"]
#[derive(Debug)]
pub struct Batch<T>(Vec<Waiter<T>>);

#[derive(Debug)]
struct Waiter<T> {
    context: ContextId,
    deadline: Instant,
    payload: T,
}

/// A call and who waits for it. A list of them is shorter to write than a map, in bytes of module too: few are under way at a time.
#[derive(Debug)]
struct Flight<T> {
    id: CalloutId,
    batch: Vec<Option<Waiter<T>>>,
}

/// Streams that wait for shared callouts: `T` is what each asks, `R` what it gets.
#[derive(Debug)]
pub struct Waiters<T, R> {
    queued: Vec<Waiter<T>>,
    /// In the order of each batch; `None` where a waiter expired, so that answers keep their places.
    flying: Vec<Flight<T>>,
    woken: VecDeque<Woken<T, R>>,
    last: Instant,
}

// === impl Batch ===

impl<T> Batch<T> {
    /// What to ask, in the order in which the answers must come back.
    pub fn payloads(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|waiter| &waiter.payload)
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// === impl Waiter ===

impl<T> Waiter<T> {
    fn end<R>(self, end: End<R>) -> Woken<T, R> {
        Woken { context: self.context, payload: self.payload, end }
    }
}

// === impl Waiters ===

impl<T, R> Default for Waiters<T, R> {
    fn default() -> Self {
        Self { queued: Vec::new(), flying: Vec::new(), woken: VecDeque::new(), last: Instant::default() }
    }
}

impl<T, R> Waiters<T, R> {
    /// A paused stream joins; it is woken at `deadline` at the latest, by the first tick after it.
    pub fn enqueue(&mut self, now: Instant, context: ContextId, deadline: Instant, payload: T) {
        self.rebase(now);
        self.queued.push(Waiter { context, deadline, payload });
    }

    /// Takes at most `max` waiters, oldest first, for one call. Expired ones go to the wake list instead.
    pub fn drain_batch(&mut self, now: Instant, max: usize) -> Batch<T> {
        self.expire(now);
        Batch(self.queued.drain(..max.min(self.queued.len())).collect())
    }

    /// The batch is under way as callout `id`.
    pub fn sent(&mut self, id: CalloutId, batch: Batch<T>) {
        let batch = batch.0.into_iter().map(Some).collect();
        // A host that numbers anew has forgotten the older call.
        if let Some(older) = self.landed(id) {
            self.finish(older, core::iter::empty());
        }
        self.flying.push(Flight { id, batch });
    }

    /// The host refused the call.
    pub fn lost(&mut self, batch: Batch<T>) {
        self.woken.extend(batch.0.into_iter().map(|waiter| waiter.end(End::NoAnswer)));
    }

    /// The call was answered: one result per payload, in order. Too few, or none after a [`NoAnswer`], leave the rest
    /// without one. False where it is no call of ours.
    pub fn answered(&mut self, id: CalloutId, results: impl IntoIterator<Item = R>) -> bool {
        let batch = self.landed(id);
        let ours = batch.is_some();
        self.finish(batch.unwrap_or_default(), results.into_iter());
        ours
    }

    /// Moves waiters whose deadline has come to the wake list; how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        self.rebase(now);
        let before = self.woken.len();
        let expired = self.queued.extract_if(.., |waiter| waiter.deadline <= now);
        let flying = self.flying.iter_mut().flat_map(|flight| &mut flight.batch);
        let late = flying.filter_map(|slot| slot.take_if(|waiter| waiter.deadline <= now));
        self.woken.extend(expired.chain(late).map(|waiter| waiter.end(End::Expired)));
        self.flying.retain(|flight| flight.batch.iter().any(Option::is_some));
        self.woken.len() - before
    }

    /// The next to wake, in the order in which the waits ended.
    pub fn next_woken(&mut self) -> Option<Woken<T, R>> {
        self.woken.pop_front()
    }

    /// How many wait for anything: a call, its answer, or to be woken.
    pub fn len(&self) -> usize {
        let flying: usize = self.flying.iter().map(|flight| flight.batch.iter().flatten().count()).sum();
        self.queued.len() + flying + self.woken.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of the next `most` that wait to be sent are alike, until the first one for which `alike` doesn't hold.
    pub fn leading(&self, most: usize, mut alike: impl FnMut(&T) -> bool) -> usize {
        self.queued.iter().take(most).take_while(|waiter| alike(&waiter.payload)).count()
    }

    /// Whether anybody waits for this call.
    pub fn is_flying(&self, id: CalloutId) -> bool {
        self.flying.iter().any(|flight| flight.id == id)
    }

    /// How many wait to be sent.
    pub fn queued(&self) -> usize {
        self.queued.len()
    }

    fn landed(&mut self, id: CalloutId) -> Option<Vec<Option<Waiter<T>>>> {
        let at = self.flying.iter().position(|flight| flight.id == id)?;
        Some(self.flying.swap_remove(at).batch)
    }

    fn finish(&mut self, batch: Vec<Option<Waiter<T>>>, mut results: impl Iterator<Item = R>) {
        for slot in batch {
            let end = results.next().map_or(End::NoAnswer, End::Answered);
            self.woken.extend(slot.map(|waiter| waiter.end(end)));
        }
    }

    /// Where the clock stepped back, deadlines step with it, so that nobody waits longer than promised.
    fn rebase(&mut self, now: Instant) {
        let back = self.last.since(now);
        self.last = now;
        if !back.is_zero() {
            let flying = self.flying.iter_mut().flat_map(|flight| &mut flight.batch).flatten();
            let waiters = self.queued.iter_mut().chain(flying);
            waiters.for_each(|waiter| waiter.deadline = waiter.deadline.minus(back));
        }
    }
}

/// Sends one call for at most `max` waiters. Nothing happens outside a callback of the root (T14), or where nobody waits.
///
/// The call's own timeout should end before the waiters' deadlines do.
pub fn send<T, R>(
    host: &impl Host,
    root: ContextId,
    waiters: &RefCell<Waiters<T, R>>,
    now: Instant,
    max: usize,
    build: impl FnOnce(&Batch<T>) -> Callout,
) -> Option<CalloutId> {
    if host.context() != root || !host.set_context(root) {
        return None;
    }
    let batch = waiters.borrow_mut().drain_batch(now, max);
    if batch.is_empty() {
        return None;
    }
    let sent = host.dispatch(&build(&batch)).ok();
    match sent {
        Some(id) => waiters.borrow_mut().sent(id, batch),
        None => waiters.borrow_mut().lost(batch),
    }
    sent
}

/// Wakes at most `most` waiters, each with its stream in effect; how many. Streams that are gone are skipped. Call it in callbacks of the
/// root, and let all queues of a module together wake at most [`MAX_WAKES_PER_CALLBACK`] in each.
pub fn wake<H: Host, T, R>(
    host: &H,
    waiters: &RefCell<Waiters<T, R>>,
    most: usize,
    mut act: impl FnMut(&H, T, End<R>),
) -> usize {
    let mut awake = 0;
    while awake < most {
        // Not held while acting: waking a stream may call the plugin back.
        let next = waiters.borrow_mut().next_woken();
        let Some(next) = next else { break };
        if host.set_context(next.context) {
            act(host, next.payload, next.end);
            awake += 1;
        }
    }
    host.set_context(host.context());
    awake
}
