//! What is going to happen, in order.

use core::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use sdk_shim::time::Instant;

/// Things to come. Two at the same time come in the order in which they were planned.
#[derive(Debug)]
pub(super) struct Events<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Instant,
    nth: u64,
    event: E,
}

// === impl Events ===

impl<E> Events<E> {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0 }
    }

    pub(super) fn plan(&mut self, at: Instant, event: E) {
        self.planned += 1;
        self.heap.push(Reverse(Entry { at, nth: self.planned, event }));
    }

    pub(super) fn next(&mut self) -> Option<(Instant, E)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}

// === impl Entry ===

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.nth).cmp(&(other.at, other.nth))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.nth == other.nth
    }
}

impl<E> Eq for Entry<E> {}
