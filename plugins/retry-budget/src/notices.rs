//! What the two entries of an instance tell each other, in two small cells.
//!
//! Which keys' budgets are empty: so the downstream entry can keep the router from retrying what the upstream entry would refuse, and needs no
//! key as long as all is well. And whether clients' retries are told apart: then the upstream entry asks of each request whether it is one, since
//! a retry must not earn the next.
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

/// Each name, and until when it stands: whoever listed it may be gone, pushed away or switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names(Vec<(String, Instant)>);

impl Record for Names {
    fn encode(&self) -> Vec<u8> {
        let lines: Vec<String> = self.0.iter().map(|(name, until)| format!("{} {name}", until.as_nanos())).collect();
        lines.join("\n").into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok()?;
        let line = |line: &str| {
            let (until, name) = line.split_once(' ')?;
            Some((name.to_owned(), Instant::from_nanos(until.parse().ok()?)))
        };
        Some(Self(text.split('\n').filter_map(line).take(MOST).collect()))
    }
}

/// Whether an instance's downstream entry tells clients' retries apart: the cell of that word.
pub fn tells_clients(instance: &str) -> String {
    format!("holdfast;retry-budget;{instance};clients")
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

    /// Whether this key is listed, whatever its time.
    pub fn holds(&self, name: &str) -> bool {
        self.until(name).is_some()
    }

    /// Whether this key's budget is empty.
    pub fn is_empty(&self, name: &str, now: Instant) -> bool {
        self.until(name).is_some_and(|until| now < until)
    }

    fn until(&self, name: &str) -> Option<Instant> {
        self.names.borrow().0.iter().find(|(known, _)| known == name).map(|(_, until)| *until)
    }

    /// A key's budget is empty. It stands for three of the upstream entry's periods, and is renewed when a third of that is over.
    pub fn note_empty<H: Host>(&self, host: &H, name: &str, now: Instant, period: Duration) {
        let (soon, until) = (now.plus(period * 2), now.plus(period * 3));
        if self.until(name).is_some_and(|known| known > soon && known <= until) {
            return;
        }
        self.change(host, |names| {
            names.retain(|(known, _)| known != name);
            if names.len() < MOST {
                names.push((name.to_owned(), until));
            }
        });
    }

    /// It has something left again.
    pub fn note_refilled<H: Host>(&self, host: &H, name: &str) {
        if self.holds(name) {
            self.change(host, |names| names.retain(|(known, _)| known != name));
        }
    }

    /// Steering is a courtesy: who isn't steered is refused per attempt.
    fn change<H: Host>(&self, host: &H, change: impl Fn(&mut Vec<(String, Instant)>)) {
        let stored = cell::update(host, &self.cell, |stored: Option<Names>| {
            let mut names = stored.unwrap_or_default();
            change(&mut names.0);
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
