//! A word that one plugin, or one entry of a plugin, leaves for others of the same `vm_id`: yes or no.
//!
//! Whoever listens reads it with each tick and asks nobody per request.

use crate::cell::{self, Record};
use crate::host::Host;
use core::cell::Cell;

/// A word, and what was heard of it last.
#[derive(Debug)]
pub struct Notice {
    cell: String,
    known: Cell<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(bool);

impl Record for Word {
    fn encode(&self) -> Vec<u8> {
        vec![u8::from(self.0)]
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [word @ 0..=1] => Some(Self(*word == 1)),
            _ => None,
        }
    }
}

// === impl Notice ===

impl Notice {
    /// The word in this cell; no until something else was read.
    pub fn new(cell: impl Into<String>) -> Self {
        Self { cell: cell.into(), known: Cell::new(false) }
    }

    /// The same, read at once.
    pub fn heard<H: Host>(host: &H, cell: impl Into<String>) -> Self {
        let notice = Self::new(cell);
        notice.refresh(host);
        notice
    }

    /// Says it; the newest word wins. Where it can't be said, it stays unsaid.
    pub fn say<H: Host>(&self, host: &H, word: bool) {
        let _ =
            cell::update(host, &self.cell, |said: Option<Word>| ((said != Some(Word(word))).then_some(Word(word)), ()));
    }

    /// The word, as of the last look.
    pub fn known(&self) -> bool {
        self.known.get()
    }

    /// Looks again. One shared read.
    pub fn refresh<H: Host>(&self, host: &H) {
        let seen = cell::read::<H, Word>(host, &self.cell);
        self.known.set(seen.is_ok_and(|seen| seen.record == Some(Word(true))));
    }
}
