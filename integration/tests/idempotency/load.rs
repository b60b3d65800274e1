//! Payments that are repeated: by clients that lost patience, by networks, by other proxies.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use integration::client::{Response, Running, Storm};
use integration::{Call, TestResult};
use sdk_shim::random::{SplitMix64, below};

use super::LONG;

/// Payments per second, unless a story takes its time: what two proxies, a store and a service on two processors carry.
const PER_SECOND: usize = 1_000;
/// Half of the repeats come that soon after the first, which is then under way;
const AT_ONCE: Duration = Duration::from_millis(30);
/// the others within that time, when it is mostly over.
const LATER: Duration = Duration::from_secs(3);

/// What a client was told.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// The key, as it was sent.
    pub(crate) key: String,
    /// The proxy.
    pub(crate) edge: u16,
    /// The answer, or why there is none.
    pub(crate) answer: Result<Response, String>,
    /// How long the client waited for it.
    pub(crate) took: Duration,
}

/// A load to be: keys, each sent so often at random times over random proxies. The same seed draws the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    keys: usize,
    duplicates: usize,
    over: Duration,
    seed: u64,
    concurrency: usize,
    impatient: u64,
}

/// One request of a load.
#[derive(Clone, Copy, Debug)]
struct Shot {
    at: Duration,
    key: usize,
    edge: u16,
    /// Its client leaves after that time.
    patience: Duration,
}

/// A load under way.
pub(crate) struct Underway {
    running: Running,
    answers: Arc<Mutex<Vec<Answered>>>,
    total: usize,
}

/// The `n`th key as it is sent: a structured field's string.
pub(crate) fn key(n: usize) -> String {
    format!("\"k-{n}\"")
}

/// The first `count` keys.
pub(crate) fn keys(count: usize) -> Vec<String> {
    (0..count).map(key).collect()
}

/// The payment of a key: always the same, and no other key's.
pub(crate) fn pay(edge: u16, key: &str) -> Call {
    let body = serde_json::json!({"for": key, "amount": 1_995, "currency": "EUR"});
    let call = Call::post(edge, "/pay", body.to_string().as_bytes()).timeout(2 * super::SOON);
    call.header("content-type", "application/json").header("idempotency-key", key)
}

/// An answer to be looked at later.
pub(super) fn kept(answer: &TestResult<Response>) -> Result<Response, String> {
    match answer {
        Ok(response) => Ok(response.clone()),
        Err(error) => Err(format!("{error:#}")),
    }
}

// === impl Load ===

impl Load {
    pub(crate) fn new(keys: usize, duplicates: usize) -> Self {
        let over = Duration::from_millis((keys * duplicates * 1_000 / PER_SECOND) as u64);
        Self { keys, duplicates, over, seed: 7, concurrency: 128, impatient: 0 }
    }

    /// Spread over that time; repeats may come a little later.
    #[must_use]
    pub(crate) fn over(self, over: Duration) -> Self {
        Self { over, ..self }
    }

    #[must_use]
    pub(crate) fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Requests in flight at a time.
    #[must_use]
    pub(crate) fn concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }

    /// So many of 100 requests are given up by their clients within 20 ms, mostly before they are answered.
    #[must_use]
    pub(crate) fn impatient(self, percent: u64) -> Self {
        Self { impatient: percent, ..self }
    }

    /// Sends them all and tells how each ended.
    pub(crate) fn run(self, edges: &[u16]) -> TestResult<Vec<Answered>> {
        self.start(edges).finish(LONG)
    }

    /// Sends them in the background, while the story goes on.
    pub(crate) fn start(self, edges: &[u16]) -> Underway {
        let (shots, answers) = (Arc::new(self.shots(edges)), Arc::new(Mutex::new(Vec::new())));
        let total = shots.len();
        let [due, each, seen] = [0; 3].map(|_| Arc::clone(&shots));
        let heard = Arc::clone(&answers);
        let begun: Arc<Vec<OnceLock<Instant>>> = Arc::new((0..total).map(|_| OnceLock::new()).collect());
        let begins = Arc::clone(&begun);
        let storm = Storm::new(pay(0, ""))
            .total(total)
            .concurrency(self.concurrency)
            .due(move |n| due[n].at)
            .each(move |n, _| {
                begins[n].get_or_init(Instant::now);
                pay(each[n].edge, &key(each[n].key)).timeout(each[n].patience)
            })
            .see(move |n, answer| {
                let took = begun[n].get().map_or(Duration::ZERO, Instant::elapsed);
                let answered = Answered { key: key(seen[n].key), edge: seen[n].edge, answer: kept(answer), took };
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(answered);
            });
        Underway { running: storm.start(), answers, total }
    }

    fn shots(&self, edges: &[u16]) -> Vec<Shot> {
        let mut draw = SplitMix64::new(self.seed);
        let mut shots = Vec::with_capacity(self.keys * self.duplicates);
        for key in 0..self.keys {
            let first = within(&mut draw, self.over);
            for duplicate in 0..self.duplicates {
                let spread = if below(draw.draw(), 2) == 0 { AT_ONCE } else { LATER };
                let after = if duplicate == 0 { Duration::ZERO } else { within(&mut draw, spread) };
                let edge = edges[usize::try_from(below(draw.draw(), edges.len() as u64)).unwrap_or(0)];
                let hasty = below(draw.draw(), 100) < self.impatient;
                let patience = if hasty { within(&mut draw, Duration::from_millis(20)) } else { 2 * super::SOON };
                shots.push(Shot { at: first + after, key, edge, patience });
            }
        }
        shots.sort_by_key(|shot| shot.at);
        shots
    }
}

fn within(draw: &mut SplitMix64, span: Duration) -> Duration {
    let microseconds = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(below(draw.draw(), microseconds.max(1)))
}

// === impl Underway ===

impl Underway {
    /// How many are over.
    pub(crate) fn over(&self) -> usize {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits for all of them: none hangs past its timeout.
    pub(crate) fn finish(self, deadline: Duration) -> TestResult<Vec<Answered>> {
        self.running.join(deadline);
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(answers.len() == self.total, "only {} of {} requests were over in time", answers.len(), self.total);
        Ok(answers)
    }
}
