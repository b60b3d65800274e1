//! What is remembered of one request, and how far it came.

use crate::metrics::Side;
use crate::protocol::{Claim, Owner};
use crate::store::Names;
use crate::stored::Stored;
use core::cell::RefCell;
use sdk_shim::headers::Headers;
use sdk_shim::host::{CalloutId, ContextId};
use sdk_shim::time::Instant;
use std::rc::Rc;

/// A request, shared by its stream and by whoever has an answer for it.
pub type Shared = Rc<RefCell<Request>>;

/// How far a request came.
///
/// ```text
/// Unseen -> Reading -> Asking <-> Sleeping
///                        |
///                        +-> Forwarded -> Holding -> Storing -> Over
///                                     +-> Releasing -> Over
/// ```
/// Whatever is refused, replayed, or not ours is `Over` at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// We never saw its headers.
    #[default]
    Unseen,
    /// Its body is being gathered.
    Reading,
    /// Its claim is under way.
    Asking,
    /// Another request with its key is under way; it will ask again.
    Sleeping,
    /// It was claimed, and is with the service.
    Forwarded,
    /// The answer's body is being gathered.
    Holding,
    /// The answer is being stored; the client waits for it.
    Storing,
    /// Nothing was done, and the key is being freed; the client waits for it, so that it may try again at once.
    Releasing,
    /// Nothing more to do.
    Over,
}

/// A request.
#[derive(Debug, Default)]
pub struct Request {
    /// How far it came.
    pub phase: Phase,
    /// What is known of it, once it is ours.
    pub ticket: Option<Box<Ticket>>,
    /// Its stream, once it is ours.
    pub context: Option<ContextId>,
    /// A call of its own that is under way.
    pub call: Option<CalloutId>,
    /// It is answered by a replay without a content type: the proxy gives such answers one of its own.
    pub untyped: bool,
    /// The client may know what was decided.
    pub debug: bool,
    /// The last decision, for debugging.
    pub decision: &'static str,
}

/// What is known of a request with a key.
#[derive(Debug)]
pub struct Ticket {
    /// Its method.
    pub method: Vec<u8>,
    /// Path and query.
    pub target: Vec<u8>,
    /// Its headers; empty once the claim was made.
    pub headers: Headers,
    /// Its key; `None` where it is to be derived.
    pub key: Option<String>,
    /// The tenant headers' values.
    pub tenant: Vec<Vec<u8>>,
    /// What the proxy calls the store that has its key.
    pub home: Option<String>,
    /// It is gRPC.
    pub grpc: bool,
    /// Its metrics.
    pub side: Rc<Side>,
    /// Decisions are carried out, not only counted.
    pub enforced: bool,
    /// When it came.
    pub began: Instant,
    /// When the last claim was sent.
    pub asked_at: Instant,
    /// How often it asked.
    pub asked: u32,
    /// Under which names it is stored; a request keeps those that it began with.
    pub names: Option<Names>,
    /// The claim.
    pub claim: Option<Claim>,
    /// What the service answered.
    pub answer: Option<Stored>,
    /// It counts among its tenant's.
    pub counted: bool,
    /// Of the claim that was granted.
    pub fence: u64,
}

// === impl Request ===

impl Request {
    /// How long the answer is to be kept, and whose: `None` without a claim.
    pub fn owner(&self) -> Option<Owner> {
        Some(self.ticket.as_ref()?.claim.as_ref()?.owner)
    }
}
