//! Calls of a stream's own, which end with it.

use super::job::Job;
use super::line::Line;
use super::{Asked, Own, OwnCall, Remote};
use crate::store::Failure;
use sdk_shim::entry::Answer;
use sdk_shim::host::{CalloutId, Host};
use std::rc::Rc;

impl<W: 'static> Remote<W> {
    pub(super) fn ask_alone<H: Host>(
        &self,
        host: &H,
        line: &Rc<Line<W>>,
        job: Rc<Job<W>>,
    ) -> Result<CalloutId, Failure> {
        let callout = line.target.callout(&self.wire, core::slice::from_ref(&job), self.draw());
        let Ok(id) = host.dispatch(&callout) else {
            line.ended(false, 0, host.now(), self.draw());
            return Err(Failure::Missing);
        };
        self.count_call(host, 1);
        line.alone.set(line.alone.get() + 1);
        self.own.borrow_mut().push(OwnCall { id, line: Rc::clone(line), job });
        Ok(id)
    }

    /// A stream is over whose own call may be under way: nobody will hear its answer.
    pub fn forget<H: Host>(&self, host: &H, id: CalloutId) {
        if let Some(call) = self.landed(id) {
            call.line.forgotten(host.now());
        }
    }

    /// Where not each stream's end is told: the next one whose own call failed, and who is `gone`. What it asked may have come to the store.
    pub fn unheard<H: Host>(&self, host: &H, gone: impl Fn(&W) -> bool) -> Option<Rc<Job<W>>> {
        let is_gone = |call: &&OwnCall<W>| call.job.waiter.as_ref().is_some_and(&gone);
        let id = self.own.borrow().iter().find(is_gone)?.id;
        let OwnCall { line, job, .. } = self.landed(id)?;
        line.ended(false, 0, host.now(), self.draw());
        Some(job)
    }

    fn landed(&self, id: CalloutId) -> Option<OwnCall<W>> {
        let mut own = self.own.borrow_mut();
        let at = own.iter().position(|call| call.id == id)?;
        let call = own.swap_remove(at);
        call.line.alone.set(call.line.alone.get().saturating_sub(1));
        Some(call)
    }

    /// The answer to a stream's own call.
    pub fn own_answer<H: Host>(&self, host: &H, answer: Answer) -> Own {
        let Some(OwnCall { line, job, .. }) = self.landed(answer.id) else { return Own::Asked(Asked::Queued) };
        let outcomes = self.read(host, &line, answer, core::slice::from_ref(&job));
        let outcome = outcomes.into_iter().next().unwrap_or(Err(Failure::Missing));
        match self.follow(host, &job, outcome) {
            Some(heard) => Own::Heard(heard),
            None => self.once_more(host, job),
        }
    }

    /// The next trip of a request that asks by itself goes the same way, so that its client doesn't wait for a tick.
    fn once_more<H: Host>(&self, host: &H, job: Rc<Job<W>>) -> Own {
        let now = host.now();
        let Some(line) = self.line(&self.target(&job)) else { return Own::Heard(Err(Failure::Contended)) };
        if self.may_go_alone(host, &line, &job, now) {
            return self
                .ask_alone(host, &line, job)
                .map_or_else(|failure| Own::Heard(Err(failure)), |id| Own::Asked(Asked::Alone(id)));
        }
        self.queue(host, &line, job, now).map_or_else(|failure| Own::Heard(Err(failure)), Own::Asked)
    }
}
