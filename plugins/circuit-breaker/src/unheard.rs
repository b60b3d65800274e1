//! Calls that are over, and nobody said so.
//!
//! Kong answers with an error page of its own where it reaches no service, or none answers in time. Its filters hear neither the answer nor the end: the call
//! is forgotten. Then nothing may be asked of the host any more, so what there is to say is left with the key until the next tick.

use crate::decide::{Ticket, Verdict};
use crate::track::Track;
use std::rc::Rc;

/// Kept of one key between two ticks, at most: a tick's work is bounded, and so many failures say it all.
const MOST: usize = 256;

/// What such a call says.
#[derive(Clone, Copy, Debug)]
pub struct Unheard {
    /// What it brings back.
    pub ticket: Ticket,
    /// That its service failed, where its client had said all there is to say; otherwise the error may be the client's.
    pub verdict: Verdict,
}

/// A call that is to be heard of. Dropped before it was, it leaves word.
#[derive(Debug)]
pub struct Expected {
    track: Rc<Track>,
    ticket: Ticket,
    complete: bool,
    heard: bool,
}

// === impl Expected ===

impl Expected {
    /// A call that begins; `complete` where its client has said all there is to say.
    pub fn new(track: &Rc<Track>, ticket: Ticket, complete: bool) -> Self {
        Self { track: Rc::clone(track), ticket, complete, heard: false }
    }

    /// The rest of the request came.
    pub fn sent(&mut self) {
        self.complete = true;
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
            let verdict = if self.complete { Verdict::Failure { slow: false } } else { Verdict::None };
            unheard.push(Unheard { ticket: self.ticket, verdict });
        }
    }
}
