//! Whether the stores keep what they acknowledged.
//!
//! A Redis that may evict (`maxmemory-policy` other than `noeviction`) forgets what ran when its memory is full, and a request runs again. Nobody sees that in a
//! configuration of ours, so the store is asked, and where it may and nobody accepted that (`accept_eviction`), nothing is claimed there: the same as
//! if it were down. A store that doesn't say (an ACL without `INFO`) is believed.

use core::cell::RefCell;
use core::time::Duration;
use sdk_shim::time::Instant;

/// How often each is asked while there are requests.
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// What is known of each store.
#[derive(Debug)]
pub(super) struct Watch {
    accepted: bool,
    stores: RefCell<Vec<Store>>,
}

#[derive(Debug)]
struct Store {
    cluster: String,
    /// Who said last that it may: nodes of a cluster, or the store itself.
    evicting: Vec<Option<String>>,
    next: Option<Instant>,
}

// === impl Store ===

impl Store {
    fn is_due(&self, now: Instant) -> bool {
        // Where the clock stepped back, the next time may be far away.
        self.next.is_none_or(|next| next <= now || next.since(now) > EVERY)
    }

    fn may_evict(&self) -> bool {
        !self.evicting.is_empty()
    }
}

// === impl Watch ===

impl Watch {
    /// Of these clusters.
    pub(super) fn new(clusters: Vec<String>, accepted: bool) -> Self {
        let stores = clusters.into_iter().map(|cluster| Store { cluster, evicting: Vec::new(), next: None });
        Self { accepted, stores: RefCell::new(stores.collect()) }
    }

    /// Whether one of them is to be asked.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.stores.borrow().iter().any(|store| store.is_due(now))
    }

    /// Those that are to be asked now.
    pub(super) fn due(&self, now: Instant) -> Vec<String> {
        let mut stores = self.stores.borrow_mut();
        let due = stores.iter_mut().filter(|store| store.is_due(now));
        due.map(|store| {
            store.next = Some(now.plus(EVERY));
            store.cluster.clone()
        })
        .collect()
    }

    /// These are all that are to be asked there; what others said is forgotten with them.
    pub(super) fn consists_of(&self, cluster: &str, nodes: &[Option<String>]) {
        let mut stores = self.stores.borrow_mut();
        for store in stores.iter_mut().filter(|store| store.cluster == cluster) {
            store.evicting.retain(|node| nodes.contains(node));
        }
    }

    /// A store, or a node of it, said whether it keeps what it acknowledged.
    pub(super) fn learnt(&self, cluster: &str, node: Option<&String>, keeps: bool) {
        let mut stores = self.stores.borrow_mut();
        for store in stores.iter_mut().filter(|store| store.cluster == cluster) {
            store.evicting.retain(|known| known.as_ref() != node);
            if !keeps {
                store.evicting.push(node.cloned());
            }
        }
    }

    /// There are nodes that weren't asked yet.
    pub(super) fn ask_again(&self, cluster: &str) {
        let mut stores = self.stores.borrow_mut();
        stores.iter_mut().filter(|store| store.cluster == cluster).for_each(|store| store.next = None);
    }

    /// Whether nothing may be claimed there.
    pub(super) fn refuses(&self, cluster: &str) -> bool {
        let evicts = |store: &Store| store.cluster == cluster && store.may_evict();
        !self.accepted && self.stores.borrow().iter().any(evicts)
    }

    /// Whether one of them may evict.
    pub(super) fn may_evict(&self) -> bool {
        self.stores.borrow().iter().any(Store::may_evict)
    }
}
