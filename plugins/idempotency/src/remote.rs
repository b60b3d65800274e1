//! The stores that are called: who asks when, and what the answers are.
//!
//! A call through the tunnel costs a TCP connection, and a service has only so many of them. So a request that is alone asks by itself, at once;
//! where there are more, they wait in a line, and the root sends one pipelined call for all of them (it must be the root: a request's own call
//! dies with its client, docs/hosts.md). An answer to the root sends the next call right away; ticks send the first one.
//!
//! ```text
//! ask --alone, and a connection is left--> own call ------------------+
//!  |                                                                   +--> outcome: heard, or one more trip
//!  +--> line --tick, or an answer--> shared call --> wake, 64 at a time +
//! ```
//!
//! - **Everybody has a deadline**: twice the store's timeout. What is late is told that there was no answer.
//! - **New connections are paced** over all workers ([`Pace`]).
//! - **A store that doesn't answer is left alone** for a while ([`crate::health`]); who asks is told at once.
//! - **Errands** ([`Errands`]) are for nobody who waits: giving up, storing what could not be stored in time. They are repeated until acknowledged.

mod alone;
mod errands;
mod job;
mod line;
mod nodes;
mod shared;
mod watch;

pub use errands::Errands;
pub use job::{Job, Target};

use crate::pace::Pace;
use crate::policy;
use crate::store::Failure;
use crate::store::trip::{Language, Login, Outcome, Said};
use core::cell::{Cell, RefCell};
use job::Wire;
use line::Line;
use nodes::Nodes;
use sdk_shim::dispatch;
use sdk_shim::entry::Answer;
use sdk_shim::host::{CalloutId, Host, Map};
use sdk_shim::labels::Label;
use sdk_shim::meter::{Counter, Meter};
use sdk_shim::random::SplitMix64;
use sdk_shim::time::Instant;
use std::rc::Rc;
use watch::Watch;

/// Commands that share a call: as many as are woken by one callback would be one batch; four let a second's connections carry a storm.
const MOST_PER_CALL: usize = 256;
/// Requests that ask by themselves at one time, as long as connections are left.
const MOST_ALONE: u32 = 8;
/// The longest body of an answer to a call: what a batch of replays may take.
const MOST_ANSWER: usize = 64 << 20;
/// Bytes of answers on their way to the store, in one VM, whose memory ends at 1 GiB and holds each of them three times at worst.
const MOST_HELD: usize = 64 << 20;
/// Stores and cluster nodes that there may be; a redirect beyond is a failure.
const MOST_LINES: usize = 64;
/// Redirects that one verb follows.
const MOST_HOPS: u16 = 3;
/// Trips of one verb.
const MOST_TRIPS: u16 = 11;

/// What came of a job, for whoever waits for it.
pub type Heard = Result<Said, Failure>;

/// Whoever takes in what came of a job.
pub type Hear<'a, H, W> = dyn FnMut(&H, &Rc<Job<W>>, Heard) + 'a;

/// The remote store of one plugin instance in one VM. `W` is whoever waits.
#[derive(Debug)]
pub struct Remote<W> {
    wire: Wire,
    lines: RefCell<Vec<Rc<Line<W>>>>,
    own: RefCell<Vec<OwnCall<W>>>,
    /// Bytes that all jobs hold.
    held: Rc<Cell<usize>>,
    errands: RefCell<Errands<W>>,
    nodes: Nodes,
    watch: Watch,
    /// There was a request.
    used: Cell<bool>,
    /// There is something to ask the stores about themselves.
    curious: Cell<bool>,
    /// Something was left for [`Remote::work`] since it last found nothing.
    stirred: Cell<bool>,
    /// Which line is the first to get connections.
    turn: Cell<usize>,
    pace: RefCell<Pace>,
    random: RefCell<SplitMix64>,
    opened: Counter,
    metrics: Metrics,
}

/// A call of a stream's own.
#[derive(Debug)]
struct OwnCall<W> {
    id: CalloutId,
    line: Rc<Line<W>>,
    job: Rc<Job<W>>,
}

#[derive(Debug)]
struct Metrics {
    failures: Meter,
    calls: Counter,
    commands: Counter,
    errands: Counter,
    ended: Counter,
    dropped: Counter,
    may_evict: Counter,
}

/// Whether an answer will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// By a call of the request's own, which dies with it.
    Alone(CalloutId),
    /// With others.
    Queued,
}

/// What an answer to a stream's own call led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Own {
    /// The end.
    Heard(Heard),
    /// One more trip.
    Asked(Asked),
}

// === impl Remote ===

impl<W: 'static> Remote<W> {
    /// The store that is configured, in these clusters.
    pub fn new<H: Host>(host: &H, policy: &policy::Remote, login: Login, clusters: Vec<String>, meter: Meter) -> Self {
        let language = match policy.kind {
            policy::Kind::Redis => Language::Redis,
            policy::Kind::Memcached => Language::Memcached,
            policy::Kind::Webdis => Language::Webdis,
        };
        let label = [(Label::Store, language.as_str())];
        let counter = |what: &str| meter.counter(host, what, &label);
        let gauge = |what: &str| meter.gauge(host, what, &label);
        Self {
            wire: Wire { language, login, timeout: policy.timeout },
            lines: RefCell::default(),
            own: RefCell::default(),
            held: Rc::default(),
            errands: RefCell::default(),
            nodes: Nodes::new(if policy.cluster_mode { clusters.clone() } else { Vec::new() }),
            used: Cell::new(false),
            curious: Cell::new(false),
            stirred: Cell::new(false),
            turn: Cell::new(0),
            watch: Watch::new(clusters, policy.accept_eviction),
            pace: RefCell::new(Pace::new(policy.max_new_connections)),
            random: RefCell::new(SplitMix64::new(host.seed())),
            opened: counter("store_connections_total"),
            metrics: Metrics {
                calls: counter("store_calls_total"),
                commands: counter("store_commands_total"),
                errands: counter("store_errands_total"),
                ended: counter("store_errands_ended_total"),
                dropped: counter("store_errands_dropped_total"),
                may_evict: gauge("store_may_evict"),
                failures: meter,
            },
        }
    }

    /// How the store speaks.
    pub const fn language(&self) -> Language {
        self.wire.language
    }

    /// Whether there may be something for [`Remote::work`] to do.
    pub const fn is_stirred(&self) -> bool {
        self.stirred.get()
    }

    /// Whether [`Remote::work`] would find nothing to do, now and later.
    pub fn rests(&self) -> bool {
        let nobody_waits = || self.lines.borrow().iter().all(|line| line.waiters.borrow().is_empty());
        let rests = !self.curious.get() && self.errands.borrow().is_empty() && nobody_waits();
        self.stirred.set(!rests);
        rests
    }

    /// Asks for the current stream, which must pause if this gives `Ok`. A failure is told at once where the store is left alone.
    pub fn ask<H: Host>(&self, host: &H, job: Job<W>) -> Result<Asked, Failure> {
        let now = host.now();
        self.used.set(true);
        if self.watch.is_due(now) || self.nodes.is_due(now) {
            self.curious.set(true);
            self.stirred.set(true);
        }
        let line = self.line(&self.target(&job)).ok_or(Failure::Contended)?;
        let job = Rc::new(job.weighed(&self.held));
        if line.is_left_alone(now) {
            return Err(Failure::LeftAlone);
        }
        if self.watch.refuses(&job.cluster) {
            return Err(Failure::Evicts);
        }
        if self.may_go_alone(host, &line, &job, now) {
            return self.ask_alone(host, &line, job).map(Asked::Alone);
        }
        self.queue(host, &line, job, now)
    }

    /// Lets it wait for its turn; where nothing but a call of its own keeps a request waiting, it would go on unclaimed.
    fn queue<H: Host>(&self, host: &H, line: &Rc<Line<W>>, job: Rc<Job<W>>, now: Instant) -> Result<Asked, Failure> {
        if !host.capabilities().pause_without_call {
            return Err(Failure::LeftAlone);
        }
        self.enqueue(line, job, now);
        Ok(Asked::Queued)
    }

    /// Whether an answer of so many bytes may be held until the store has it.
    pub fn may_hold(&self, bytes: usize) -> bool {
        self.held.get().saturating_add(bytes) <= MOST_HELD
    }

    /// Only in its stream's own callback: a call belongs to whoever is called back. Where nothing but its own call keeps a request waiting, each has one.
    fn may_go_alone<H: Host>(&self, host: &H, line: &Line<W>, job: &Job<W>, now: Instant) -> bool {
        let few = line.alone.get() < MOST_ALONE && line.waiters.borrow().is_empty();
        let alone = few || !host.capabilities().pause_without_call;
        alone && host.context() == job.context.get() && self.may_open(host, now) && line.may_call(now)
    }

    fn enqueue(&self, line: &Line<W>, job: Rc<Job<W>>, now: Instant) {
        self.stirred.set(true);
        line.waiters.borrow_mut().enqueue(now, job.context.get(), now.plus(self.wire.timeout * 2), job);
    }

    /// A line in the index, unless it is on its way already.
    pub fn send_note<H: Host>(&self, host: &H, job: Job<W>, give_up: Instant) {
        let known = job.trip.borrow().as_ref().is_some_and(|trip| self.errands.borrow().has_note(trip));
        if !known {
            self.send_errand(host, job, give_up);
        }
    }

    /// An errand: repeated until acknowledged, at most until `give_up`. It goes with the next tick. False where there are too many.
    pub fn send_errand<H: Host>(&self, host: &H, job: Job<W>, give_up: Instant) -> bool {
        self.stirred.set(true);
        // What is under way is the difference of two counters: a gauge would show what the last VM has.
        let taken = self.errands.borrow_mut().push(Rc::new(job.weighed(&self.held)), host.now(), give_up);
        let counter = if taken { self.metrics.errands } else { self.metrics.dropped };
        counter.add(host);
        taken
    }

    /// What a callout's body makes of its jobs.
    fn read<H: Host>(
        &self,
        host: &H,
        line: &Line<W>,
        answer: Answer,
        jobs: &[Rc<Job<W>>],
    ) -> Vec<Result<Outcome, Failure>> {
        let header = |name: &str| host.header(Map::CalloutHeaders, name);
        let ours = answer.headers > 0 && jobs.iter().all(|job| self.wire.language.is_answer(job.mark.get(), header));
        let answered = dispatch::read(host, &answer, MOST_ANSWER);
        let well = answered.as_ref().is_ok_and(|answered| answered.status == 200 && !answered.body.is_empty());
        line.ended(well, jobs.iter().map(|job| job.size()).sum(), host.now(), self.draw());
        if let (false, Some(node)) = (well, &line.target.node) {
            self.nodes.lost(&line.target.cluster, node);
        }
        let trips = jobs.iter().map(|job| job.take_trip()).collect();
        match answered {
            Ok(_) if well && !ours => jobs.iter().map(|_| Err(Failure::Unexpected)).collect(),
            Ok(answered) if well => {
                let outcomes = self.wire.language.read(&self.wire.login, &answered.body, trips);
                outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(Failure::Missing))).collect()
            }
            _ => jobs.iter().map(|_| Err(Failure::Missing)).collect(),
        }
    }

    /// Takes in what a trip came to: `None` where one more is needed.
    fn follow<H: Host>(&self, host: &H, job: &Job<W>, outcome: Result<Outcome, Failure>) -> Option<Heard> {
        match outcome {
            Ok(Outcome::Said(said)) => Some(Ok(said)),
            Ok(Outcome::Again(trip)) => job.goes_on(trip, MOST_TRIPS),
            Ok(Outcome::Elsewhere(trip, redirect)) => {
                job.redirect(&redirect);
                if !redirect.is_ask() {
                    self.nodes.moved(&job.cluster, &redirect);
                }
                job.goes_on(trip, MOST_HOPS)
            }
            Err(failure) => {
                self.metrics.failed(host, &failure);
                Some(Err(failure))
            }
        }
    }

    fn target(&self, job: &Job<W>) -> Target {
        let node = job.node.borrow().clone();
        Target {
            cluster: job.cluster.clone(),
            long: job.long_reply().is_some(),
            node: node.or_else(|| self.nodes.of(&job.cluster, job.slot?)),
        }
    }

    fn line(&self, target: &Target) -> Option<Rc<Line<W>>> {
        let mut lines = self.lines.borrow_mut();
        if let Some(line) = lines.iter().find(|line| line.target == *target) {
            return Some(Rc::clone(line));
        }
        if lines.len() >= MOST_LINES {
            // What is idle can go: a node that was learnt long ago.
            lines.retain(|line| !line.is_idle());
        }
        if lines.len() >= MOST_LINES {
            return None;
        }
        let line = Rc::new(Line::new(target.clone(), self.wire.timeout));
        lines.push(Rc::clone(&line));
        Some(line)
    }

    /// A connection is opened by each call through a tunnel; a proxy pools those that speak HTTP.
    fn may_open<H: Host>(&self, host: &H, now: Instant) -> bool {
        !self.wire.language.pipelines() || self.pace.borrow_mut().may_open(now, self.opened.read(host))
    }

    fn count_call<H: Host>(&self, host: &H, commands: usize) {
        if self.wire.language.pipelines() {
            self.opened.add(host);
        }
        self.metrics.calls.add(host);
        (0..commands).for_each(|_| self.metrics.commands.add(host));
    }

    fn draw(&self) -> u64 {
        self.random.borrow_mut().draw()
    }
}

// === impl Metrics ===

impl Metrics {
    fn failed<H: Host>(&self, host: &H, failure: &Failure) {
        self.failures.counter(host, "store_failures_total", &[(Label::Cause, failure.cause())]).add(host);
    }
}
