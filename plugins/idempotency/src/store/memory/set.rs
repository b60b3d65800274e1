//! What a set's cell holds: so many ways, and in each of them a record or none.
//!
//! ```text
//!   form  ways | of each way: holds  name's length (0: no record)  name | record's length  record
//!   1     1    |              4      1                             ..   | 1                ..
//! ```
//!
//! A record is written as in [`record`]; in place of an answer it has the answer's length (4 bytes), for the answer is in a cell
//! of its own, with its owner before it. `holds` is the most that this other cell may hold: it is raised before anything is written there, and lowered
//! afterwards. So the sum over all ways is never below what is really kept.

use super::bytes::{Bytes, put};
use crate::protocol::{Owner, Record, Stage, StoreMillis};
use crate::store::{Name, record};

/// The number of the encoding.
const FORM: u8 = 1;

/// A set as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set(Vec<Way>);

/// A place for a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    holds: u32,
    entry: Option<Entry>,
}

/// A record under its name. What it says of an answer is its length.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: Vec<u8>,
    record: Record<Vec<u8>>,
}

/// Where an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) way: usize,
    pub(super) owner: Owner,
    /// Bytes of the answer.
    pub(super) length: u32,
}

// === impl Set ===

impl Set {
    /// One in which nothing was ever written.
    pub(super) fn empty(ways: u8) -> Self {
        Self(vec![Way::default(); usize::from(ways)])
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 + 192 * self.0.len());
        out.extend([FORM, u8::try_from(self.0.len()).unwrap_or(u8::MAX)]);
        self.0.iter().for_each(|way| way.encode(&mut out));
        out
    }

    /// `None` for anything that [`Self::encode`] would not have written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let FORM = bytes.byte()? else { return None };
        let ways = bytes.byte()?;
        let ways = (0..ways).map(|_| Way::decode(&mut bytes)).collect::<Option<_>>()?;
        bytes.0.is_empty().then_some(Self(ways))
    }

    /// The record of a name, also one that has expired: the clock may step back.
    pub(super) fn find(&self, name: &Name) -> Option<(usize, &Record<Vec<u8>>)> {
        let mut entries = self.0.iter().enumerate().filter_map(|(way, found)| Some((way, found.entry.as_ref()?)));
        let (way, entry) = entries.find(|(_, entry)| entry.name == name.as_str().as_bytes())?;
        Some((way, &entry.record))
    }

    /// Where a new record goes: a way without one, best one without an answer that is still kept; else one whose record has expired. `None`
    /// where all are taken.
    pub(super) fn vacant(&self, now: StoreMillis) -> Option<usize> {
        let vacant = self.0.iter().enumerate().filter(|(_, way)| !way.lives(now));
        vacant.min_by_key(|(_, way)| (way.expires(), way.holds)).map(|(way, _)| way)
    }

    /// What a way's answer cell may hold, in bytes.
    pub(super) fn holds(&self, way: usize) -> u32 {
        self.0.get(way).map_or(0, |way| way.holds)
    }

    /// What all answer cells but this way's may hold: those of records that live, and those of others.
    pub(super) fn held(&self, but: usize, now: StoreMillis) -> (u64, u64) {
        let others = || self.0.iter().enumerate().filter(|(way, _)| *way != but).map(|(_, way)| way);
        let sum = |living| others().filter(|way| way.lives(now) == living).map(|way| u64::from(way.holds)).sum();
        (sum(true), sum(false))
    }

    /// The way without a living record that holds most.
    pub(super) fn stale(&self, but: usize, now: StoreMillis) -> Option<usize> {
        let stale = self.0.iter().enumerate().filter(|(way, found)| *way != but && !found.lives(now));
        stale.max_by_key(|(_, way)| way.holds).map(|(way, _)| way)
    }

    pub(super) fn has_entry(&self, way: usize) -> bool {
        self.0.get(way).is_some_and(|way| way.entry.is_some())
    }

    pub(super) fn set_holds(&mut self, way: usize, bytes: u32) {
        if let Some(way) = self.0.get_mut(way) {
            way.holds = bytes;
        }
    }

    pub(super) fn remove(&mut self, way: usize) {
        if let Some(way) = self.0.get_mut(way) {
            way.entry = None;
        }
    }

    pub(super) fn put(&mut self, way: usize, name: &Name, record: Record<Vec<u8>>) {
        if let Some(way) = self.0.get_mut(way) {
            way.entry = Some(Entry { name: name.as_str().into(), record });
        }
    }

    /// Where the answer of a name is; `None` where there is none.
    pub(super) fn place(&self, name: &Name) -> Option<Place> {
        let (way, record) = self.find(name)?;
        let Stage::Done(length) = &record.stage else { return None };
        let length = u32::from_le_bytes(length.as_slice().try_into().ok()?);
        Some(Place { way, owner: record.owner, length })
    }
}

// === impl Way ===

impl Way {
    fn lives(&self, now: StoreMillis) -> bool {
        self.entry.as_ref().is_some_and(|entry| now < entry.record.expires)
    }

    /// When its record expires; less than any time where there is none.
    fn expires(&self) -> Option<StoreMillis> {
        self.entry.as_ref().map(|entry| entry.record.expires)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.holds.to_le_bytes());
        put(out, self.entry.as_ref().map_or(&[], |entry| entry.name.as_slice()));
        if let Some(entry) = &self.entry {
            put(out, &record::encode(&entry.record));
        }
    }

    fn decode(bytes: &mut Bytes<'_>) -> Option<Self> {
        let holds = bytes.array().map(u32::from_le_bytes)?;
        let name = bytes.part()?;
        if name.is_empty() {
            return Some(Self { holds, entry: None });
        }
        let record = record::decode(bytes.part()?)?;
        let whole = !matches!(&record.stage, Stage::Done(length) if length.len() != 4);
        whole.then(|| Self { holds, entry: Some(Entry { name: name.to_vec(), record }) })
    }
}
