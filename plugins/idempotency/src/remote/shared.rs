//! Calls that streams share, which the root sends, and errands, which are nobody's.

use super::job::Job;
use super::line::Line;
use super::watch;
use super::{Hear, Heard, MOST_PER_CALL, Remote};
use crate::store::Failure;
use crate::store::redis::pieces;
use crate::store::trip::{Language, Said, Trip};
use sdk_shim::dispatch::{self, End, MAX_WAKES_PER_CALLBACK};
use sdk_shim::entry::Answer;
use sdk_shim::host::{ContextId, Host};
use sdk_shim::time::Instant;
use std::rc::Rc;

impl<W: 'static> Remote<W> {
    /// An answer to a shared call; false where it is none of ours.
    pub fn root_answer<H: Host>(&self, host: &H, answer: Answer) -> bool {
        let lines = self.lines.borrow().clone();
        for line in lines {
            let Some(jobs) = line.landed(answer.id) else { continue };
            let outcomes = self.read(host, &line, answer, &jobs);
            line.waiters.borrow_mut().answered(answer.id, outcomes);
            return true;
        }
        false
    }

    /// To be called in each tick, and after each answer to the root, by the root: wakes who has an answer or is late, and sends who waits.
    /// At most `most` are woken; `hear` is called with the waiter's stream in effect.
    pub fn work<H: Host>(&self, host: &H, root: ContextId, most: usize, hear: &mut Hear<'_, H, W>) {
        let now = host.now();
        self.curious.set(false);
        self.look_after(host, root, now);
        self.look_around(host, root, now);
        self.release_errands(host, root, now);
        let lines = self.lines.borrow().clone();
        let mut budget = most;
        // Pieces of long answers get the connections that the others leave.
        let (long, mut short): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.target.long);
        // Where connections are scarce, the first ones would have them all.
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let first = turn.checked_rem(short.len()).unwrap_or(0);
        short.rotate_left(first);
        for line in short.iter().chain(&long) {
            line.waiters.borrow_mut().expire(now);
            while let Some(late) = line.late().filter(|_| !host.capabilities().tells_every_end) {
                line.landed(late);
                line.ended(false, 0, now, self.draw());
            }
            budget -= self.wake(host, line, budget, hear);
            self.flush(host, root, line, now);
        }
    }

    /// Asks each store once in a while whether it may evict. A VM without requests has nothing to ask for; Envoy's main thread has one that
    /// can't even call.
    fn look_after<H: Host>(&self, host: &H, root: ContextId, now: Instant) {
        if !self.used.get() {
            return;
        }
        for cluster in self.watch.due(now) {
            if self.wire.language == Language::Memcached {
                self.metrics.may_evict.set(host, 1);
                continue;
            }
            // Each node of a Redis Cluster has a policy of its own.
            let mut nodes: Vec<_> = self.nodes.all(&cluster).into_iter().map(Some).collect();
            if nodes.is_empty() {
                nodes.push(None);
            }
            self.watch.consists_of(&cluster, &nodes);
            for node in nodes {
                let job = Job::new(Trip::keeps(), None, root, cluster.clone(), None).at(node);
                self.send_errand(host, job, now.plus(watch::EVERY / 2));
            }
        }
    }

    /// Asks clusters for their map, where it is wanted.
    fn look_around<H: Host>(&self, host: &H, root: ContextId, now: Instant) {
        let due = if self.used.get() { self.nodes.due(now) } else { Vec::new() };
        for cluster in due {
            let job = Job::new(Trip::slots(), None, root, cluster, None);
            self.send_errand(host, job, now.plus(self.wire.timeout * 2));
        }
    }

    fn release_errands<H: Host>(&self, host: &H, root: ContextId, now: Instant) {
        let before = self.errands.borrow().len();
        let due = self.errands.borrow_mut().due(now);
        // It is too late for some.
        (self.errands.borrow().len()..before).for_each(|_| self.metrics.ended.add(host));
        for job in due {
            match self.line(&self.target(&job)).filter(|line| !line.is_left_alone(now)) {
                Some(line) => {
                    job.context.set(root);
                    self.enqueue(&line, job, now);
                }
                None => self.errands.borrow_mut().again(&job, now),
            }
        }
    }

    fn wake<H: Host>(&self, host: &H, line: &Line<W>, most: usize, hear: &mut Hear<'_, H, W>) -> usize {
        dispatch::wake(host, &line.waiters, most, |host, job: Rc<Job<W>>, end| {
            let outcome = match end {
                End::Answered(outcome) => outcome,
                End::NoAnswer | End::Expired => Err(Failure::Missing),
            };
            let heard = match self.follow(host, &job, outcome) {
                Some(heard) => heard,
                None if self.enqueue_again(host, &job) => return,
                None => Err(Failure::Contended),
            };
            if job.waiter.is_none() {
                self.take_in(host, &job, &heard);
                return self.errand_ended(host, &job, heard.is_ok());
            }
            hear(host, &job, heard);
        })
    }

    fn errand_ended<H: Host>(&self, host: &H, job: &Rc<Job<W>>, well: bool) {
        if !well {
            return self.errands.borrow_mut().again(job, host.now());
        }
        self.errands.borrow_mut().done(job);
        self.metrics.ended.add(host);
    }

    /// What a store says of itself.
    fn take_in<H: Host>(&self, host: &H, job: &Job<W>, heard: &Heard) {
        match heard {
            Ok(Said::Keeps(keeps)) => {
                self.watch.learnt(&job.cluster, job.node.borrow().as_ref(), *keeps);
                self.metrics.may_evict.set(host, u64::from(self.watch.may_evict()));
            }
            Ok(Said::Slots(ranges)) => {
                self.nodes.learnt(&job.cluster, ranges);
                self.watch.ask_again(&job.cluster);
                self.curious.set(true);
            }
            _ => {}
        }
    }

    /// One more trip, for the stream that is in effect; false where there is no line for it.
    fn enqueue_again<H: Host>(&self, host: &H, job: &Rc<Job<W>>) -> bool {
        let Some(line) = self.line(&self.target(job)) else { return false };
        self.enqueue(&line, Rc::clone(job), host.now());
        true
    }

    /// How many of those that wait may share the next call: some whose replies are short and that fit through the way to the store together, or some whose
    /// long replies fit into one. None, where what is under way must arrive first.
    fn batch(&self, line: &Line<W>) -> usize {
        if !self.wire.language.pipelines() {
            return 1;
        }
        let waiters = line.waiters.borrow();
        let (room, mut left) = (line.room(), line.room().unwrap_or(line.window()));
        let short = waiters.leading(MOST_PER_CALL, |job| job.long_reply().is_none() && fits(&mut left, job.size()));
        if short > 0 {
            return short;
        }
        if waiters.leading(1, |job| job.long_reply().is_none()) > 0 {
            // It is larger than what may go with others: it goes when nothing else is under way.
            return usize::from(room.is_none());
        }
        let mut room = pieces::MOST_PER_CALL;
        waiters.leading(MOST_PER_CALL, |job| job.long_reply().is_some_and(|bytes| fits(&mut room, bytes))).max(1)
    }

    fn flush<H: Host>(&self, host: &H, root: ContextId, line: &Line<W>, now: Instant) {
        let mut rounds = MAX_WAKES_PER_CALLBACK;
        while rounds > 0 && line.waiters.borrow().queued() > 0 {
            rounds -= 1;
            let most = self.batch(line);
            if most == 0 || !self.may_open(host, now) || !line.may_call(now) {
                break;
            }
            let mut jobs = Vec::new();
            let sent = dispatch::send(host, root, &line.waiters, now, most, |batch| {
                jobs = batch.payloads().cloned().collect();
                line.target.callout(&self.wire, &jobs, self.draw())
            });
            match sent {
                Some(id) => {
                    self.count_call(host, jobs.len());
                    line.flying.borrow_mut().push((id, jobs));
                }
                None => line.ended(false, 0, now, self.draw()),
            }
        }
    }
}

fn fits(room: &mut usize, bytes: usize) -> bool {
    let left = room.checked_sub(bytes);
    *room = left.unwrap_or(0);
    left.is_some()
}
