//! A layer: gateways that do the same, and retry on their own account.

use core::time::Duration;

use sdk_shim::random::{SplitMix64, below};

use super::budget::{RetryBudget, Scheme};

/// Envoy's `retry_back_off`: base 25 ms, at most ten times as much.
const BASE: Duration = Duration::from_millis(25);
const MOST: Duration = Duration::from_millis(250);

/// The gateways of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    nodes: Vec<Box<dyn RetryBudget>>,
}

/// A request's stay at a node: its attempt there that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    node: usize,
    nth: u32,
}

// === impl Layer ===

impl Layer {
    pub(super) fn new(nodes: u32, scheme: &Scheme) -> Self {
        Self { nodes: (0..nodes).map(|_| scheme.open()).collect() }
    }

    /// A request comes to one of the nodes, which makes its first attempt.
    pub(super) fn enter(&mut self, draw: u64) -> Hop {
        let node = usize::try_from(below(draw, self.nodes.len() as u64)).unwrap_or(0);
        self.begin(Hop { node, nth: 1 })
    }

    /// The back-off is over: the next attempt begins.
    pub(super) fn retry(&mut self, hop: Hop) -> Hop {
        self.begin(Hop { nth: hop.nth + 1, ..hop })
    }

    fn begin(&mut self, hop: Hop) -> Hop {
        self.nodes[hop.node].begins(hop.nth);
        hop
    }

    /// The attempt went well.
    pub(super) fn succeed(&mut self, hop: Hop) {
        self.nodes[hop.node].ends(hop.nth);
    }

    /// The attempt failed: whether another one follows, of so many that the route allows.
    pub(super) fn fail(&mut self, hop: Hop, tries: u32) -> bool {
        let node = &mut self.nodes[hop.node];
        node.ends(hop.nth);
        hop.nth < tries && node.grants()
    }

    /// One node's timer.
    pub(super) fn tick(&mut self, node: usize) {
        self.nodes[node].tick();
    }
}

// === impl Hop ===

impl Hop {
    /// How long Envoy waits before the attempt that follows: anything in `0..(2^n - 1) * base`.
    pub(super) fn back_off(self, chance: &mut SplitMix64) -> Duration {
        let most = (BASE * ((1 << self.nth.min(8)) - 1)).min(MOST);
        Duration::from_nanos(below(chance.draw(), sdk_shim::time::nanos(most)))
    }
}
