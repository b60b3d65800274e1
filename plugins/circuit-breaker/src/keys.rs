//! From a request to its [`Track`]: a look-up in this worker's own map, and the shared registry where that doesn't know it.

use crate::metrics::KeyMetrics;
use crate::policy::Policy;
use crate::track::{CellName, Track};
use core::cell::{Cell, RefCell};
use hashbrown::HashMap;
use sdk_shim::host::Host;
use sdk_shim::key::{Key, KeySpec, OTHER, is_stand_in};
use sdk_shim::meter::Meter;
use sdk_shim::registry::{Membership, Registry};
use std::rc::Rc;

/// New keys of other workers that one tick takes over.
const LEARN_PER_TICK: u32 = 100;

/// Keys that one tick takes care of; a call takes care of its own key anyway.
const TEND_PER_TICK: usize = 1_000;

/// All keys that this worker knows.
#[derive(Debug)]
pub struct Keys {
    spec: KeySpec,
    /// Every cell's name begins with it.
    prefix: String,
    registry: Registry,
    by_raw: RefCell<HashMap<Vec<u8>, Rc<Track>>>,
    by_name: RefCell<HashMap<String, Rc<Track>>>,
    most_raw: usize,
    /// Where the next tick goes on.
    turn: Cell<usize>,
}

impl Keys {
    /// The keys of one instance.
    pub fn new(policy: &Policy) -> Self {
        let common = &policy.common;
        let prefix =
            format!("holdfast;circuit-breaker;{};{};{}", common.chain.as_str(), common.instance, policy.meaning());
        Self {
            spec: common.key.clone(),
            registry: Registry::new(format!("{prefix};k"), common.max_keys),
            prefix,
            by_raw: RefCell::default(),
            by_name: RefCell::default(),
            most_raw: common.max_keys as usize * 4 + 64,
            turn: Cell::new(0),
        }
    }

    /// What the names of all its cells begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The track of the current request.
    pub fn of_request<H: Host>(&self, host: &H, meter: &Meter) -> Rc<Track> {
        let key = self.spec.capture(host);
        let known = self.by_raw.borrow().get(&key.raw).cloned();
        known.unwrap_or_else(|| self.find(host, meter, key))
    }

    fn find<H: Host>(&self, host: &H, meter: &Meter, key: Key) -> Rc<Track> {
        let (track, lasting) = self.admit(host, meter, &key);
        if lasting {
            let mut by_raw = self.by_raw.borrow_mut();
            // Clients can fill this map, so it is emptied rather than grown; what is dropped is found again by name.
            if by_raw.len() >= self.most_raw {
                by_raw.clear();
            }
            by_raw.insert(key.raw, Rc::clone(&track));
        }
        track
    }

    /// The track, and whether the answer will stay the same.
    fn admit<H: Host>(&self, host: &H, meter: &Meter, key: &Key) -> (Rc<Track>, bool) {
        let Some(name) = self.spec.name(key) else { return (self.track(host, meter, OTHER), true) };
        let client_chosen = self.spec.is_client_chosen();
        match self.registry.admit(host, &name, client_chosen) {
            Membership::Member(_) => (self.track(host, meter, &name), true),
            Membership::Full if client_chosen => (self.stand_in(host, meter, key), true),
            Membership::Full => (self.track(host, meter, OTHER), true),
            Membership::Unavailable(_) => (self.track(host, meter, OTHER), false),
        }
    }

    /// Clients have used up their quota: the key with their parts left out, if there is room for that.
    fn stand_in<H: Host>(&self, host: &H, meter: &Meter, key: &Key) -> Rc<Track> {
        let name = self.spec.name_without_clients(key);
        match self.registry.admit(host, &name, false) {
            Membership::Member(_) => self.track(host, meter, &name),
            Membership::Full | Membership::Unavailable(_) => self.track(host, meter, OTHER),
        }
    }

    fn track<H: Host>(&self, host: &H, meter: &Meter, name: &str) -> Rc<Track> {
        if let Some(track) = self.by_name.borrow().get(name) {
            return Rc::clone(track);
        }
        let cell = CellName { prefix: self.prefix.clone(), key: name.to_owned() };
        let observe_only = is_stand_in(name);
        let track = Rc::new(Track::new(name.to_owned(), cell, KeyMetrics::new(host, meter, name), observe_only));
        self.by_name.borrow_mut().insert(name.to_owned(), Rc::clone(&track));
        track
    }

    /// Learns the keys that other workers added, so that this worker's windows begin with theirs.
    pub fn learn<H: Host>(&self, host: &H, meter: &Meter) {
        for name in self.registry.refresh(host, LEARN_PER_TICK) {
            self.track(host, meter, &name);
        }
    }

    /// The next tracks in turn, as many as one tick may take care of: a tick must not hold a worker up for long.
    pub fn some(&self) -> Vec<Rc<Track>> {
        let mut all = self.all();
        if all.len() > TEND_PER_TICK {
            let start = self.turn.get() % all.len();
            self.turn.set(start.wrapping_add(TEND_PER_TICK));
            all.rotate_left(start);
            all.truncate(TEND_PER_TICK);
        }
        all
    }

    /// Every known track.
    pub fn all(&self) -> Vec<Rc<Track>> {
        self.by_name.borrow().values().cloned().collect()
    }
}
