//! Calls to other services that wait for a test to answer them.

use super::driver::Worker;
use super::message::Headers;
use super::stream::Phase;
use super::vm::{FakeHost, State};
use crate::entry::{Answer, Flow, Plugin};
use crate::flavor::Flavor;
use crate::host::{Callout, CalloutId, ContextId, Direction, Host as _};
use std::rc::Rc;

/// What the other service says; no headers stand for a timeout or a reset (T6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalloutAnswer {
    /// With `:status`.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// Where a gRPC status stands.
    pub trailers: Headers,
}

/// A callout under way, or over.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) id: CalloutId,
    pub(super) owner: ContextId,
    /// Whose plugin made it.
    pub(super) root: ContextId,
    pub(super) callout: Callout,
    pub(super) answered: bool,
}

impl Sent {
    /// Whether somebody waits: a callout dies with the context that owns it (T14).
    pub(super) fn is_pending(&self, state: &State) -> bool {
        !self.answered && state.knows(self.owner)
    }

    pub(super) fn shown(&self) -> (CalloutId, Callout) {
        (self.id, self.callout.clone())
    }
}

impl CalloutAnswer {
    fn counts(&self, id: CalloutId) -> Answer {
        let (headers, trailers) = (self.headers.pairs().len(), self.trailers.pairs().len());
        Answer { id, headers, body: self.body.len(), trailers }
    }
}

impl FakeHost {
    /// The owner of a callout that is now answered, if the owner is still there, and whose plugin made it.
    fn take_callout(&self, id: CalloutId) -> Option<(ContextId, ContextId)> {
        let mut state = self.0.state.borrow_mut();
        let sent = state.callouts.iter_mut().find(|sent| sent.id == id);
        let sent = sent.unwrap_or_else(|| panic!("no callout {} was ever sent", id.0));
        assert!(!sent.answered, "callout {} is answered already", id.0);
        sent.answered = true;
        let (owner, root) = (sent.owner, sent.root);
        state.knows(owner).then_some((owner, root))
    }

    fn is_root(&self, id: ContextId) -> bool {
        self.0.state.borrow().roots.contains(&id)
    }

    fn waits_for_callouts(&self, id: ContextId) -> bool {
        let state = self.0.state.borrow();
        state.callouts.iter().any(|sent| sent.owner == id && !sent.answered)
    }
}

impl<P: Plugin<FakeHost>> Worker<P> {
    /// Answers a callout. False where its context is gone and nobody was called back (T14).
    ///
    /// # Panics
    /// Where no such callout is under way.
    pub fn answer(&self, id: CalloutId, headers: impl Into<Headers>, body: &[u8]) -> bool {
        self.answer_as(id, CalloutAnswer { headers: headers.into(), body: body.to_vec(), ..CalloutAnswer::default() })
    }

    /// The callout times out or is reset after its headers: called back with no headers at all (T6).
    ///
    /// # Panics
    /// Where no such callout is under way.
    pub fn answer_nothing(&self, id: CalloutId) -> bool {
        self.answer_as(id, CalloutAnswer::default())
    }

    /// Answers a callout with everything there is.
    ///
    /// # Panics
    /// Where no such callout is under way.
    pub fn answer_as(&self, id: CalloutId, answer: CalloutAnswer) -> bool {
        let Some((owner, root)) = self.host().take_callout(id) else {
            return false;
        };
        let (counts, answer) = (answer.counts(id), Some(Rc::new(answer)));
        if self.host().is_root(owner) {
            self.in_root(Phase::RootAnswer, answer, |plugin, host| plugin.on_root_answer(host, counts));
        } else if root != self.root() {
            // As a module's own entry does, to which the number of this call says nothing.
            self.in_stream(owner, Phase::Answer, answer, |plugin, _, host| {
                if let Flow::Reply(reply) = plugin.on_lost(host) {
                    host.reply(&reply);
                }
            });
            self.resume_by_itself(owner);
        } else {
            self.in_stream(owner, Phase::Answer, answer, |plugin, call, host| plugin.on_answer(call, host, counts));
            self.resume_by_itself(owner);
        }
        self.settle();
        true
    }

    /// `WasmX` lets a request go on once its last callout is answered.
    fn resume_by_itself(&self, id: ContextId) {
        let host = self.host();
        if host.flavor() == Flavor::WasmX && !host.waits_for_callouts(id) {
            host.let_go(id, Direction::Request);
        }
    }
}
