//! Whether the stores keep what they acknowledged.
//!
//! A Redis that may evict (`maxmemory-policy` other than `noeviction`) forgets what ran when its memory is full, and a request runs again. Nobody sees that in a
//! configuration of ours, so the store is asked, and where it may and nobody accepted that (`accept_eviction`), nothing is claimed there: the same as
//! if it were down. A store that doesn't say (an ACL without `INFO`) is believed.

use core::cell::RefCell;
use core::time::Duration;
use sdk_shim::time::Instant;

/// How often each is asked.
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
    evicts: bool,
    next: Option<Instant>,
}

// === impl Watch ===

impl Watch {
    /// Of these clusters.
    pub(super) fn new(clusters: Vec<String>, accepted: bool) -> Self {
        let stores = clusters.into_iter().map(|cluster| Store { cluster, evicts: false, next: None });
        Self { accepted, stores: RefCell::new(stores.collect()) }
    }

    /// Those that are to be asked now.
    pub(super) fn due(&self, now: Instant) -> Vec<String> {
        let mut stores = self.stores.borrow_mut();
        // Where the clock stepped back, the next time may be far away.
        let is_due = |store: &&mut Store| store.next.is_none_or(|next| next <= now || next.since(now) > EVERY);
        let due = stores.iter_mut().filter(is_due);
        due.map(|store| {
            store.next = Some(now.plus(EVERY));
            store.cluster.clone()
        })
        .collect()
    }

    /// A store said whether it keeps what it acknowledged.
    pub(super) fn learnt(&self, cluster: &str, keeps: bool) {
        let mut stores = self.stores.borrow_mut();
        stores.iter_mut().filter(|store| store.cluster == cluster).for_each(|store| store.evicts = !keeps);
    }

    /// Whether nothing may be claimed there.
    pub(super) fn refuses(&self, cluster: &str) -> bool {
        !self.accepted && self.stores.borrow().iter().any(|store| store.evicts && store.cluster == cluster)
    }

    /// Whether one of them may evict.
    pub(super) fn may_evict(&self) -> bool {
        self.stores.borrow().iter().any(|store| store.evicts)
    }
}
