//! Which node of a Redis Cluster has which slot.
//!
//! A cluster tells on the way: who asks the wrong node is sent on. But nearly every key has a slot of its own, so the whole map is asked for as well, at
//! first, and whenever it turned out to be wrong.

use crate::store::redis::{Range, Redirect};
use core::cell::RefCell;
use core::time::Duration;
use sdk_shim::time::Instant;

/// Between two questions for the map.
const PAUSE: Duration = Duration::from_secs(1);
/// Slots of which is kept that they moved, until the map is there.
const MOST_MOVED: usize = 1_024;

/// The clusters that are known.
#[derive(Debug)]
pub(super) struct Nodes(RefCell<Vec<Cluster>>);

#[derive(Debug)]
struct Cluster {
    name: String,
    ranges: Vec<Range>,
    /// Slots that have moved since.
    moved: Vec<(u16, String)>,
    wanted: bool,
    asked: Option<Instant>,
}

// === impl Cluster ===

impl Cluster {
    fn is_due(&self, now: Instant) -> bool {
        // Where the clock stepped back, the last question lies ahead.
        let rested = |asked: Instant| now.since(asked) >= PAUSE || asked > now;
        self.wanted && self.asked.is_none_or(rested)
    }
}

// === impl Nodes ===

impl Nodes {
    /// Of these clusters; none, where the stores are single servers.
    pub(super) fn new(names: Vec<String>) -> Self {
        let fresh = |name| Cluster { name, ranges: Vec::new(), moved: Vec::new(), wanted: true, asked: None };
        Self(RefCell::new(names.into_iter().map(fresh).collect()))
    }

    /// Who has a slot, if that is known; whoever is asked without a name knows.
    pub(super) fn of(&self, cluster: &str, slot: u16) -> Option<String> {
        let clusters = self.0.borrow();
        let cluster = clusters.iter().find(|known| known.name == cluster)?;
        let moved = cluster.moved.iter().find(|(moved, _)| *moved == slot).map(|(_, node)| node);
        let range = || cluster.ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
        moved.or_else(|| range().map(|range| &range.node)).cloned()
    }

    /// Every node that has slots.
    pub(super) fn all(&self, cluster: &str) -> Vec<String> {
        let clusters = self.0.borrow();
        let ranges = clusters.iter().filter(|known| known.name == cluster).flat_map(|known| &known.ranges);
        let mut nodes: Vec<String> = Vec::new();
        for range in ranges {
            if !nodes.contains(&range.node) {
                nodes.push(range.node.clone());
            }
        }
        nodes
    }

    /// A node sent us on.
    pub(super) fn moved(&self, cluster: &str, redirect: &Redirect) {
        self.change(cluster, |known| {
            known.wanted = true;
            known.moved.retain(|(slot, _)| *slot != redirect.slot);
            if known.moved.len() < MOST_MOVED {
                known.moved.push((redirect.slot, redirect.node.clone()));
            }
        });
    }

    /// A node gave no answer: it may be gone, and its slots elsewhere.
    pub(super) fn lost(&self, cluster: &str, node: &str) {
        self.change(cluster, |known| {
            known.wanted = true;
            known.ranges.retain(|range| range.node != node);
            known.moved.retain(|(_, moved)| moved != node);
        });
    }

    /// The map came.
    pub(super) fn learnt(&self, cluster: &str, ranges: &[Range]) {
        self.change(cluster, |known| {
            known.wanted = false;
            known.moved.clear();
            known.ranges = ranges.to_vec();
        });
    }

    /// Whether one of them is to be asked for its map.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.0.borrow().iter().any(|known| known.is_due(now))
    }

    /// The clusters that are to be asked for their map now.
    pub(super) fn due(&self, now: Instant) -> Vec<String> {
        let mut clusters = self.0.borrow_mut();
        let due = clusters.iter_mut().filter(|known| known.is_due(now));
        due.map(|known| {
            known.asked = Some(now);
            known.name.clone()
        })
        .collect()
    }

    fn change(&self, cluster: &str, change: impl FnOnce(&mut Cluster)) {
        if let Some(known) = self.0.borrow_mut().iter_mut().find(|known| known.name == cluster) {
            change(known);
        }
    }
}
