//! How a message goes through a row of filters, one of which may hold it.
//!
//! ```text
//!   headers ->  0 -> 1 -> 2 (holds) .  3    4        the rest doesn't know of the message yet
//!   body    ->  0 -> 1 -> 2 (holds) .  3    4        goes as far as the holder, which may read it
//!   release ->            2 ---------> 3 -> 4        headers, the body so far, trailers: as a proxy lets them go on
//! ```
//!
//! That is what Envoy does with filters of their own, in both directions; here it is done for links within one filter. The proxy holds what is
//! held: this only knows how far the message came.

use sdk_shim::entry::Flow;

/// A row of filters that one message passes, in its direction.
pub trait Links {
    /// How many.
    const COUNT: usize;
    /// The headers reach a filter; `end` where they are all.
    fn headers(&mut self, link: usize, end: bool) -> Flow;
    /// A part of the body reaches it: `size` bytes, or as many as it has been shown so far where it holds them. They begin behind the first `start` of those
    /// that the proxy holds: what came before has gone by here.
    fn body(&mut self, link: usize, start: usize, size: usize, end: bool) -> Flow;
    /// The trailers reach it.
    fn trailers(&mut self, link: usize) -> Flow;
}

/// How far a message came in one direction.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Who holds it, if anybody does.
    holder: Option<usize>,
    /// Those behind the holder haven't seen the headers.
    headers_wait: bool,
    /// The headers were all of it.
    bare: bool,
    /// Bytes of the body that the proxy holds by now.
    held: usize,
    /// The body came to its end, while it was held.
    ended: bool,
    /// Trailers came while it was held.
    trailers: bool,
}

// === impl Progress ===

impl Progress {
    /// Whether somebody holds it.
    pub const fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    /// The headers arrive.
    pub fn headers<L: Links>(&mut self, links: &mut L, end: bool) -> Flow {
        *self = Self { bare: end, ..Self::default() };
        self.headers_from(links, 0, end)
    }

    fn headers_from<L: Links>(&mut self, links: &mut L, first: usize, end: bool) -> Flow {
        for link in first..L::COUNT {
            match links.headers(link, end) {
                Flow::Continue => {}
                Flow::Pause => return self.hold(link, true),
                reply @ Flow::Reply(_) => return reply,
            }
        }
        Flow::Continue
    }

    fn hold(&mut self, link: usize, headers_wait: bool) -> Flow {
        (self.holder, self.headers_wait) = (Some(link), headers_wait);
        Flow::Pause
    }

    /// A part of the body arrives; `size` bytes are there, those that are held included.
    pub fn body<L: Links>(&mut self, links: &mut L, size: usize, end: bool) -> Flow {
        // Those before the holder have seen what it holds.
        let fresh = if self.is_held() { size.saturating_sub(self.held) } else { size };
        self.ended |= end;
        self.body_from(links, 0, (fresh, size), end)
    }

    /// From a filter on; those before the holder are shown the fresh bytes, the holder and those behind it all of them.
    fn body_from<L: Links>(
        &mut self,
        links: &mut L,
        first: usize,
        (mut fresh, size): (usize, usize),
        end: bool,
    ) -> Flow {
        for link in first..L::COUNT {
            let holds = self.holder == Some(link);
            let before = self.holder.is_some_and(|holder| link < holder);
            let (start, shown) = if before { (size - fresh, fresh) } else { (0, size) };
            match links.body(link, start, shown, end) {
                reply @ Flow::Reply(_) => return reply,
                Flow::Pause => {
                    if !holds {
                        self.hold(link, false);
                    }
                    self.held = size;
                    return Flow::Pause;
                }
                Flow::Continue if holds => {
                    (self.held, fresh) = (0, size);
                    if let reply @ Flow::Reply(_) = self.let_headers_go(links, link, false) {
                        return reply;
                    }
                }
                Flow::Continue => {}
            }
        }
        if self.is_held() { Flow::Pause } else { Flow::Continue }
    }

    /// The holder holds no longer: who is behind it sees the headers, where they waited.
    fn let_headers_go<L: Links>(&mut self, links: &mut L, holder: usize, end: bool) -> Flow {
        self.holder = None;
        if core::mem::take(&mut self.headers_wait) { self.headers_from(links, holder + 1, end) } else { Flow::Continue }
    }

    /// The trailers arrive.
    pub fn trailers<L: Links>(&mut self, links: &mut L) -> Flow {
        self.trailers |= self.is_held();
        self.trailers_from(links, 0)
    }

    fn trailers_from<L: Links>(&mut self, links: &mut L, first: usize) -> Flow {
        for link in first..L::COUNT {
            let holds = self.holder == Some(link);
            match links.trailers(link) {
                reply @ Flow::Reply(_) => return reply,
                Flow::Pause => {
                    if !holds {
                        self.hold(link, false);
                    }
                    return Flow::Pause;
                }
                Flow::Continue if holds => {
                    if let reply @ Flow::Reply(_) = self.let_go(links, link) {
                        return reply;
                    }
                }
                Flow::Continue => {}
            }
        }
        if self.is_held() { Flow::Pause } else { Flow::Continue }
    }

    /// Headers, and what there is of the body, to those behind a holder.
    fn let_go<L: Links>(&mut self, links: &mut L, holder: usize) -> Flow {
        let bare = self.bare && self.held == 0 && !self.ended && !self.trailers;
        let flow = self.let_headers_go(links, holder, bare);
        if matches!(flow, Flow::Reply(_)) || (self.held == 0 && !self.ended) {
            return flow;
        }
        let (held, ended) = (core::mem::take(&mut self.held), self.ended && !self.trailers);
        self.body_from(links, holder + 1, (held, held), ended)
    }

    /// The holder says, in some other callback, that the message may go on. What becomes of it: [`Flow::Continue`] means that nobody holds it now.
    pub fn release<L: Links>(&mut self, links: &mut L) -> Flow {
        let Some(holder) = self.holder else { return Flow::Continue };
        let flow = self.let_go(links, holder);
        if matches!(flow, Flow::Reply(_)) || !self.trailers {
            return flow;
        }
        let flow = self.trailers_from(links, holder + 1);
        self.trailers = self.is_held();
        flow
    }
}
