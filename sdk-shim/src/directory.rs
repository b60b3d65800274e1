//! What there is to look at from outside: which plugins run here, and where they keep the states of their keys.
//!
//! An operator's question comes through a module of its own (`plugins/control`), in another VM of the same `vm_id`. Shared data can't be listed, so each
//! plugin leaves a line of itself in a cell of a known name: `circuit-breaker;downstream;default;<place>`.

use crate::cell::{self, CellError};
use crate::claim::{Claim, Holder, revise};
use crate::host::Host;
use crate::identity::config_cell;
use crate::registry::Registry;
use core::cell::Cell;

/// A line for each plugin.
const PLUGINS: &str = "holdfast;plugins";
/// Bytes of it: a hundred plugins' and more. A new instance with each push must not make it grow without a bound.
const MOST: usize = 8_192;
/// Keys that an instance may have, by its configuration.
const MOST_KEYS: u32 = 10_000;

/// A plugin that runs here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `circuit-breaker;downstream;default`.
    pub who: String,
    /// Where it keeps the states of its keys, if it has some.
    pub place: Option<Place>,
}

/// Where one instance keeps what: its newest configuration's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the names of its cells begin with.
    pub prefix: String,
    /// The number of its cells' encoding, as a digit.
    encoding: char,
    /// What the names of its keys' cells end in.
    pub suffix: String,
}

/// Enters `who`. An empty `place` leaves the one that was told before; else the newest word counts.
pub(crate) fn enter<H: Host>(host: &H, who: &str, place: &str) {
    let (head, line) = ([who, ";"].concat(), [who, ";", place, "\n"].concat());
    // Who can't say it can't be looked at; there is nobody to tell.
    let _ = revise(host, PLUGINS, &|list| {
        let mut others = String::new();
        for known in list.split_inclusive('\n') {
            if !known.starts_with(&head) {
                others.push_str(known);
            } else if place.is_empty() || known == line {
                return None;
            }
        }
        others.push_str(&line);
        (others.len() <= MOST).then_some(others)
    });
}

/// A configuration's line: whose it is, and where the states of its keys are.
#[derive(Debug)]
pub(crate) struct Line {
    who: String,
    meaning: String,
    entered: Cell<bool>,
}

impl Line {
    /// Of `circuit-breaker;downstream;default`, whose counts have this meaning.
    pub(crate) fn new(who: String, meaning: &str) -> Self {
        Self { who, meaning: meaning.to_owned(), entered: Cell::new(false) }
    }

    /// Enters it once, unless another configuration was taken since.
    pub(crate) fn enter<H: Host>(&self, host: &H, claim: &Claim, encoding: u8, suffix: &str) {
        if !self.entered.get() && claim.stands(host, &config_cell(&self.who)) {
            self.entered.set(true);
            let mut place = [&self.meaning, ";"].concat();
            place.push(digit(encoding));
            place.push_str(suffix);
            enter(host, &self.who, &place);
        }
    }
}

/// The plugins that were entered, by name.
pub fn plugins<H: Host>(host: &H) -> Result<Vec<Entry>, CellError> {
    let list = cell::read::<H, Holder>(host, PLUGINS)?.record.map(|held| held.0).unwrap_or_default();
    let mut entries: Vec<Entry> = list.lines().filter_map(Entry::of).collect();
    entries.sort_unstable_by(|a, b| a.who.cmp(&b.who));
    Ok(entries)
}

/// The hash of the configuration that one of them has taken last.
pub fn configuration<H: Host>(host: &H, who: &str) -> Result<Option<String>, CellError> {
    let seen = cell::read::<H, Holder>(host, &config_cell(who))?;
    Ok(seen.record.map(|held| held.0))
}

impl Entry {
    fn of(line: &str) -> Option<Self> {
        let (at, _) = line.match_indices(';').nth(2)?;
        let (who, place) = (line.get(..at)?, line.get(at + 1..)?);
        Some(Self { who: who.to_owned(), place: Place::of(who, place) })
    }
}

impl Place {
    fn of(who: &str, place: &str) -> Option<Self> {
        let (meaning, rest) = place.split_once(';')?;
        let encoding = rest.chars().next()?;
        let suffix = rest.get(encoding.len_utf8()..)?.to_owned();
        Some(Self { prefix: ["holdfast;", who, ";", meaning].concat(), encoding, suffix })
    }

    /// Whether its cells are of this encoding.
    pub fn is_of(&self, encoding: u8) -> bool {
        self.encoding == digit(encoding)
    }

    /// The names of its keys, in the order in which they were met.
    pub fn keys<H: Host>(&self, host: &H) -> Vec<String> {
        Registry::new([&self.prefix, ";k"].concat(), u32::MAX).refresh(host, MOST_KEYS)
    }
}

/// Of a small number: there have been a few encodings at most.
fn digit(number: u8) -> char {
    char::from(b'0'.saturating_add(number))
}
