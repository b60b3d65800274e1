//! Calls that are over, and nobody said so.
//!
//! Kong answers with an error page of its own where it reaches no service, or none answers in time. Its filters hear neither the answer nor the end: the call
//! is forgotten. Then nothing may be asked of the host any more, so what there is to say is left with the key until its next request, end of a
//! call, or tick.

use crate::decide::Ticket;
use crate::track::Track;
use sdk_shim::time::Instant;
use std::rc::Rc;

/// Kept of one key, at most: a callback's work is bounded, and so many failures say it all.
const MOST: usize = 256;

/// What such a call says.
#[derive(Clone, Copy, Debug)]
pub struct Unheard {
    /// What it brings back.
    pub ticket: Ticket,
    /// When its request was complete, or began if it isn't.
    pub started: Instant,
    /// Its client had said all there is to say, so its service failed; otherwise the error may be the client's.
    pub complete: bool,
}

/// A call that is to be heard of. Dropped before it was, it leaves word.
#[derive(Debug)]
pub struct Expected {
    track: Rc<Track>,
    ticket: Ticket,
    started: Instant,
    complete: bool,
    heard: bool,
}

// === impl Expected ===

impl Expected {
    /// A call that begins; `complete` where its client has said all there is to say.
    pub fn new(track: &Rc<Track>, ticket: Ticket, started: Instant, complete: bool) -> Self {
        Self { track: Rc::clone(track), ticket, started, complete, heard: false }
    }

    /// The rest of the request came.
    pub fn sent(&mut self, now: Instant) {
        (self.started, self.complete) = (now, true);
    }

    /// Its end came.
    pub fn heard(&mut self) {
        self.heard = true;
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut unheard = self.track.unheard.borrow_mut();
        if !self.heard && unheard.len() < MOST {
            unheard.push(Unheard { ticket: self.ticket, started: self.started, complete: self.complete });
        }
    }
}
