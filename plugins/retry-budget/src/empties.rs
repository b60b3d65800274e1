//! Which keys' budgets are empty: one small cell per instance, so that the downstream entry can keep the router from retrying what the
//! upstream entry would refuse, and needs no key as long as all is well.
//!
//! The two entries share no counters on every Envoy (1.36 gives each chain its own: docs/hosts.md), but they share shared data.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::cell::{self, Record};
use sdk_shim::host::Host;
use sdk_shim::time::Instant;

/// Names that the cell may hold; with more, the rest is refused per attempt only.
const MOST: usize = 64;

/// The keys whose budgets are empty, as this worker knows.
#[derive(Debug)]
pub struct Empties {
    cell: String,
    names: RefCell<Names>,
    read_at: Cell<Option<Instant>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names(Vec<String>);

impl Record for Names {
    fn encode(&self) -> Vec<u8> {
        self.0.join("\n").into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok()?;
        Some(Self(text.split('\n').filter(|name| !name.is_empty()).map(str::to_owned).take(MOST).collect()))
    }
}

// === impl Empties ===

impl Empties {
    /// The list of an instance. Both chains' entries have the same.
    pub fn new(instance: &str) -> Self {
        Self {
            cell: format!("holdfast;retry-budget;{instance};empty"),
            names: RefCell::default(),
            read_at: Cell::default(),
        }
    }

    /// Whether there is any, as far as a copy knows that is at most `max_age` old.
    pub fn any<H: Host>(&self, host: &H, now: Instant, max_age: Duration) -> bool {
        self.refresh(host, now, max_age);
        !self.names.borrow().0.is_empty()
    }

    /// Whether this key is one.
    pub fn holds(&self, name: &str) -> bool {
        self.names.borrow().0.iter().any(|known| known == name)
    }

    /// A key's budget ran out, or has something left again. One shared write, and none where that is known.
    pub fn note<H: Host>(&self, host: &H, name: &str, empty: bool) {
        if self.holds(name) == empty {
            return;
        }
        // Steering is a courtesy: who isn't steered is refused per attempt.
        let stored = cell::update(host, &self.cell, |stored: Option<Names>| {
            let mut names = stored.unwrap_or_default();
            names.0.retain(|known| known != name);
            if empty && names.0.len() < MOST {
                names.0.push(name.to_owned());
            }
            (Some(names.clone()), names)
        });
        if let Ok(names) = stored {
            *self.names.borrow_mut() = names;
        }
    }

    /// Takes the copy anew if it is older than `max_age`.
    pub fn refresh<H: Host>(&self, host: &H, now: Instant, max_age: Duration) {
        if self.read_at.get().is_some_and(|at| at <= now && now.since(at) < max_age) {
            return;
        }
        if let Ok(seen) = cell::read::<H, Names>(host, &self.cell) {
            *self.names.borrow_mut() = seen.record.unwrap_or_default();
        }
        self.read_at.set(Some(now));
    }
}
