//! Clients of both gateways, bounded in number and in time.
//!
//! Each chooses a gateway, and goes to the other one where the first gives no answer. Payments have keys; some are sent to both gateways at
//! the same time, some again after their answer, and all again where there was none: what an app does whose user taps twice, or whose phone
//! lost its network. Clients do the same whether or not the gateways have Holdfast.

mod answer;
mod manner;
mod nodes;
mod streams;
mod wish;

pub use manner::Manner;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use super::{Kind, Leg, Record};
use crate::{TestResult, runtime};
use answer::Judged;
use nodes::Nodes;
use wish::Wish;

/// After the last one has begun. Its attempts are over by then, or it hangs.
const PATIENCE: Duration = Duration::from_secs(25);
/// What nobody should send to a test bed by mistake.
const MOST_PER_SECOND: u32 = 500;
const MOST_SECONDS: u32 = 300;
const MOST_STREAMS: u32 = 20;

/// A load to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The gateways, `name:port`.
    pub nodes: Vec<String>,
    /// How long requests begin.
    pub seconds: u32,
    /// How many of them begin in each second.
    pub per_second: u32,
    /// Keys of payments begin so.
    pub name: String,
    /// What a client does that didn't get what it wanted.
    pub manner: Manner,
    /// So many readers of events, and writers with a WebSocket each, at each gateway.
    pub streams: u32,
}

/// All clients.
struct Clients<S> {
    nodes: Arc<Nodes>,
    load: Load,
    start: Instant,
    see: S,
}

// === impl Load ===

impl Load {
    /// Runs it to its end; `begun` is called when all gateways have been found, `see` with each request that is over, and `see_leg` with each
    /// stream.
    ///
    /// # Errors
    /// When it is more than a test bed should get, or a gateway can't be found.
    pub fn run<S, L>(self, begun: impl FnOnce(), see: S, see_leg: L) -> TestResult<usize>
    where
        S: Fn(&Record) + Send + Sync + 'static,
        L: Fn(&Leg) + Send + Sync + 'static,
    {
        ensure!((1..=MOST_PER_SECOND).contains(&self.per_second), "1 to {MOST_PER_SECOND} requests per second");
        ensure!((1..=MOST_SECONDS).contains(&self.seconds), "1 to {MOST_SECONDS} seconds");
        ensure!(self.streams <= MOST_STREAMS, "at most {MOST_STREAMS} streams of each kind at each gateway");
        let nodes = Arc::new(runtime::block_on(Nodes::find(&self.nodes))?);
        begun();
        let start = Instant::now();
        let streams = streams::start(&nodes, &self, start, see_leg);
        let over = runtime::block_on(Arc::new(Clients { nodes, load: self, start, see }).all());
        // They know when it is over.
        for stream in streams {
            drop(stream.join());
        }
        Ok(over)
    }

    fn total(&self) -> u32 {
        self.seconds * self.per_second
    }

    /// When request `n` begins.
    fn due(&self, n: u32) -> Duration {
        Duration::from_secs(1) * n / self.per_second
    }
}

// === impl Clients ===

impl<S: Fn(&Record) + Send + Sync + 'static> Clients<S> {
    /// How many were over in time.
    async fn all(self: Arc<Self>) -> usize {
        let mut requests = JoinSet::new();
        for n in 0..self.load.total() {
            tokio::time::sleep(self.load.due(n).saturating_sub(self.start.elapsed())).await;
            requests.spawn_on(Arc::clone(&self).begin(Wish::nth(n)), runtime::handle());
        }
        let mut over = 0;
        let rest = async {
            while requests.join_next().await.is_some() {
                over += 1;
            }
        };
        // Who is still not through is given up, and missing in the log.
        drop(tokio::time::timeout(PATIENCE, rest).await);
        over
    }

    async fn begin(self: Arc<Self>, wish: Wish) {
        if wish.at_both {
            tokio::join!(self.insist(&wish, wish.node), self.insist(&wish, wish.node + 1));
        } else if self.insist(&wish, wish.node).await && wish.again {
            self.insist(&wish, wish.node + 1).await;
        }
    }

    /// One request, as often as its client tries; whether it got what it wanted.
    async fn insist(&self, wish: &Wish, first: usize) -> bool {
        let (at, mut attempts) = (self.start.elapsed(), 0);
        let key = (wish.kind == Kind::Pay).then(|| format!("{}-{}", self.load.name, wish.number));
        loop {
            let node = self.nodes.choose(first, attempts);
            let judged = Judged::of(wish.kind, wish.call(node, key.as_deref()).fetch().await);
            node.heard(judged.status.is_some());
            attempts += 1;
            let Some(pause) = self.load.manner.pause(wish.kind, &judged, attempts) else {
                let (took, ok) = (self.start.elapsed().saturating_sub(at), judged.ok);
                (self.see)(&judged.record(wish, node.name(), at, took, attempts, key));
                return ok;
            };
            tokio::time::sleep(pause).await;
        }
    }
}
