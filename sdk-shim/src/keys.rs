//! From a request to what is kept for its key: a look-up in this worker's own map, and the shared registry where that doesn't know it.

use crate::claim::Claim;
use crate::common::Common;
use crate::directory::Line;
use crate::host::Host;
use crate::key::{Key, KeySpec, OTHER, is_stand_in};
use crate::registry::{Membership, Registry};
use core::cell::{Cell, RefCell};
use core::fmt;
use hashbrown::HashMap;
use std::rc::Rc;

/// New keys of other workers that one tick takes over.
const LEARN_PER_TICK: u32 = 100;

/// Keys that one tick takes care of; a call takes care of its own key anyway.
const TEND_PER_TICK: usize = 1_000;

/// All keys that this worker knows, and a `T` for each.
pub struct Keys<T> {
    spec: KeySpec,
    /// Every cell's name begins with it: `holdfast;<plugin>;<chain>;<instance>;<meaning>`.
    prefix: String,
    registry: Registry,
    by_raw: RefCell<HashMap<Vec<u8>, Rc<T>>>,
    by_name: RefCell<HashMap<String, Rc<T>>>,
    most_raw: usize,
    /// Where the next tick goes on.
    turn: Cell<usize>,
    /// In the directory.
    line: Line,
}

/// A key's name, for whoever makes what is kept for it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The key, clean.
    pub name: &'a str,
    /// What the names of all cells of the instance begin with.
    pub prefix: &'a str,
    /// It stands for everybody beyond the registry's bound: to be counted, and never to be acted on.
    pub observe_only: bool,
}

impl<T> Keys<T> {
    /// The keys of one instance of `plugin`. `meaning` is a hash of the settings that give its counts their meaning.
    pub fn new(plugin: &str, common: &Common, meaning: &str) -> Self {
        Self::of_chain(plugin, common.chain.as_str(), common, meaning)
    }

    /// The same for the entry in another chain, whose cells are to be found by their names.
    pub fn of_chain(plugin: &str, chain: &str, common: &Common, meaning: &str) -> Self {
        let who = [plugin, ";", chain, ";", &common.instance].concat();
        let prefix = ["holdfast;", &who, ";", meaning].concat();
        Self {
            line: Line::new(who, meaning),
            spec: common.key.clone(),
            registry: Registry::new([&prefix, ";k"].concat(), common.max_keys),
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

    /// Leaves word once of where the states of its keys are, for an operator: in cells `<prefix>;e<encoding>;<key><suffix>`. To be called in a tick and not
    /// before: a suite may refuse a configuration for another plugin's faults. Nor by a configuration that was replaced before its first tick, and ticks on
    /// for the sake of its streams: an operator's orders would go where nobody looks.
    pub fn publish<H: Host>(&self, host: &H, claim: &Claim, encoding: u8, suffix: &str) {
        self.line.enter(host, claim, encoding, suffix);
    }

    /// What is kept for the current request's key; `make` makes it the first time.
    pub fn of_request<H: Host>(&self, host: &H, make: &dyn Fn(Named<'_>) -> T) -> Rc<T> {
        let key = self.spec.capture(host);
        let known = self.by_raw.borrow().get(&key.raw).cloned();
        known.unwrap_or_else(|| self.find(host, make, key))
    }

    fn find<H: Host>(&self, host: &H, make: &dyn Fn(Named<'_>) -> T, key: Key) -> Rc<T> {
        let (found, lasting) = self.admit(host, make, &key);
        if lasting {
            let mut by_raw = self.by_raw.borrow_mut();
            // Clients can fill this map, so it is emptied rather than grown; what is dropped is found again by name.
            if by_raw.len() >= self.most_raw {
                by_raw.clear();
            }
            by_raw.insert(key.raw, Rc::clone(&found));
        }
        found
    }

    /// What is kept, and whether the answer will stay the same.
    fn admit<H: Host>(&self, host: &H, make: &dyn Fn(Named<'_>) -> T, key: &Key) -> (Rc<T>, bool) {
        let Some(name) = self.spec.name(key) else { return (self.named(make, OTHER), true) };
        let client_chosen = self.spec.is_client_chosen();
        match self.registry.admit(host, &name, client_chosen) {
            Membership::Member(_) => (self.named(make, &name), true),
            Membership::Full if client_chosen => (self.stand_in(host, make, key), true),
            Membership::Full => (self.named(make, OTHER), true),
            Membership::Unavailable(_) => (self.named(make, OTHER), false),
        }
    }

    /// Clients have used up their quota: the key with their parts left out, if there is room for that.
    fn stand_in<H: Host>(&self, host: &H, make: &dyn Fn(Named<'_>) -> T, key: &Key) -> Rc<T> {
        let name = self.spec.name_without_clients(key);
        match self.registry.admit(host, &name, false) {
            Membership::Member(_) => self.named(make, &name),
            Membership::Full | Membership::Unavailable(_) => self.named(make, OTHER),
        }
    }

    fn named(&self, make: &dyn Fn(Named<'_>) -> T, name: &str) -> Rc<T> {
        if let Some(known) = self.by_name.borrow().get(name) {
            return Rc::clone(known);
        }
        let new = Rc::new(make(Named { name, prefix: &self.prefix, observe_only: is_stand_in(name) }));
        self.by_name.borrow_mut().insert(name.to_owned(), Rc::clone(&new));
        new
    }

    /// Learns the keys that other workers added, so that this worker's windows begin with theirs.
    pub fn learn<H: Host>(&self, host: &H, make: &dyn Fn(Named<'_>) -> T) {
        for name in self.registry.refresh(host, LEARN_PER_TICK) {
            self.named(make, &name);
        }
    }

    /// The next ones in turn, as many as one tick may take care of: a tick must not hold a worker up for long.
    pub fn some(&self) -> Vec<Rc<T>> {
        let mut all = self.all();
        if all.len() > TEND_PER_TICK {
            let start = self.turn.get() % all.len();
            self.turn.set(start.wrapping_add(TEND_PER_TICK));
            all.rotate_left(start);
            all.truncate(TEND_PER_TICK);
        }
        all
    }

    /// What is kept for every known key.
    pub fn all(&self) -> Vec<Rc<T>> {
        self.by_name.borrow().values().cloned().collect()
    }
}

impl<T> fmt::Debug for Keys<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
