//! Many requests at once, bounded in number and in time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use super::{Call, Response, Sample, Tally};
use crate::{TestResult, runtime};

type Each = dyn Fn(usize, Call) -> Call + Send + Sync;
type Due = dyn Fn(usize) -> Duration + Send + Sync;
type See = dyn Fn(usize, &TestResult<Response>) + Send + Sync;

/// A load to be: how many requests, how many at a time, how fast.
#[derive(Clone)]
pub struct Storm {
    call: Call,
    concurrency: usize,
    total: usize,
    due: Option<Arc<Due>>,
    each: Option<Arc<Each>>,
    see: Option<Arc<See>>,
}

/// A load under way in the background; dropping it stops it.
pub struct Running {
    shared: Arc<Shared>,
    workers: Mutex<JoinSet<()>>,
}

struct Shared {
    storm: Storm,
    start: Instant,
    next: AtomicUsize,
    stopping: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

// === impl Storm ===

impl Storm {
    /// 100 requests like `call`, one at a time.
    pub fn new(call: Call) -> Self {
        Self { call, concurrency: 1, total: 100, due: None, each: None, see: None }
    }

    /// Requests in flight at a time.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Requests in all.
    #[must_use]
    pub fn total(mut self, total: usize) -> Self {
        self.total = total;
        self
    }

    /// Begins request `n` not before `n / rate` seconds. Slow answers delay later requests only when all
    /// `concurrency` slots are taken.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    pub fn per_second(self, rate: f64) -> Self {
        self.due(move |n| Duration::from_secs_f64(n as f64 / rate))
    }

    /// Begins request `n` not before this time since the start; it must not come before the one of `n - 1`.
    #[must_use]
    pub fn due(mut self, due: impl Fn(usize) -> Duration + Send + Sync + 'static) -> Self {
        self.due = Some(Arc::new(due));
        self
    }

    /// Shows every answer, with its request's number, as it comes: for what the tally doesn't keep.
    #[must_use]
    pub fn see(mut self, see: impl Fn(usize, &TestResult<Response>) + Send + Sync + 'static) -> Self {
        self.see = Some(Arc::new(see));
        self
    }

    /// Changes the `n`th call (from 0) before it is sent, for example to give each a key of its own.
    #[must_use]
    pub fn each(mut self, change: impl Fn(usize, Call) -> Call + Send + Sync + 'static) -> Self {
        self.each = Some(Arc::new(change));
        self
    }

    /// Runs it to its end. Requests that are not over at the deadline are given up and missing in the tally
    /// ([`Tally::len`] tells).
    ///
    /// # Errors
    /// When nothing at all was answered or failed in time.
    pub fn run(self, deadline: Duration) -> TestResult<Tally> {
        let running = self.start();
        let tally = running.join(deadline);
        ensure!(!tally.is_empty(), "no request was over within {deadline:?}");
        Ok(tally)
    }

    /// Starts it in the background.
    pub fn start(self) -> Running {
        let concurrency = self.concurrency;
        let shared = Arc::new(Shared {
            storm: self,
            start: Instant::now(),
            next: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            samples: Mutex::default(),
        });
        let mut workers = JoinSet::new();
        for _ in 0..concurrency {
            workers.spawn_on(Arc::clone(&shared).work(), runtime::handle());
        }
        Running { shared, workers: Mutex::new(workers) }
    }

    fn nth(&self, n: usize) -> Call {
        let call = self.call.clone();
        match &self.each {
            Some(change) => change(n, call),
            None => call,
        }
    }

    /// When request `n` may begin, since the start.
    fn begin_at(&self, n: usize) -> Duration {
        self.due.as_ref().map_or(Duration::ZERO, |due| due(n))
    }
}

// === impl Running ===

impl Running {
    /// What came so far.
    pub fn tally(&self) -> Tally {
        Tally::new(self.shared.samples().clone())
    }

    /// Begins no further request, waits for those in flight (at most 10 s, their own timeout), and tells all.
    pub fn stop(self) -> Tally {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.join(Duration::from_secs(10))
    }

    /// Waits until all requests are over. Those that aren't at the deadline are given up, and missing in the tally.
    pub fn join(&self, deadline: Duration) -> Tally {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        runtime::block_on(async {
            let all = async { while workers.join_next().await.is_some() {} };
            // Late requests are given up: they are missing in the tally.
            drop(tokio::time::timeout(deadline, all).await);
        });
        workers.abort_all();
        drop(workers);
        self.tally()
    }
}

// === impl Shared ===

impl Shared {
    async fn work(self: Arc<Self>) {
        while let Some(n) = self.take() {
            let wait = self.storm.begin_at(n).saturating_sub(self.start.elapsed());
            tokio::time::sleep(wait).await;
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            let at = self.start.elapsed();
            let begun = Instant::now();
            let answer = self.storm.nth(n).fetch().await;
            if let Some(see) = &self.storm.see {
                see(n, &answer);
            }
            self.samples().push(Sample::new(at, begun.elapsed(), answer));
        }
    }

    fn take(&self) -> Option<usize> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        (n < self.storm.total).then_some(n)
    }

    fn samples(&self) -> std::sync::MutexGuard<'_, Vec<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
