//! How many sets there are, and how many ways each has.

use super::bytes::Bytes;
use super::cells;
use super::set::Set;
use crate::store::{Failure, Name};
use sdk_shim::host::Host;

/// The most ways of a set. More would fill more evenly; a claim reads and writes all of them, about 5 KB.
pub(super) const WAYS: u8 = 32;

/// The number of the encoding.
const FORM: u8 = 1;

/// A name's set is its hash modulo `sets`, so this must not change while records live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    sets: u32,
    ways: u8,
}

/// The bytes that the answers of one set may take, where there are so many slots.
pub fn share(slots: u32, max_bytes: u64) -> u64 {
    Layout::of(slots).share(max_bytes)
}

// === impl Layout ===

impl Layout {
    /// At least `slots` slots, and fewer than one per set more.
    fn of(slots: u32) -> Self {
        let sets = slots.div_ceil(u32::from(WAYS)).max(1);
        let ways = u8::try_from(slots.div_ceil(sets)).map_or(WAYS, |ways| ways.clamp(1, WAYS));
        Self { sets, ways }
    }

    pub(super) fn slots(self) -> u32 {
        self.sets.saturating_mul(u32::from(self.ways))
    }

    pub(super) fn empty(self) -> Set {
        Set::empty(self.ways)
    }

    /// The bytes that the answers of one set may take.
    pub(super) fn share(self, max_bytes: u64) -> u64 {
        max_bytes / u64::from(self.sets.max(1))
    }

    /// Names are digests under a secret, so that nobody can aim at a set.
    pub(super) fn set_of(self, name: &Name) -> u64 {
        fnv(name.as_str().as_bytes()) % u64::from(self.sets.max(1))
    }

    fn encode(self) -> Vec<u8> {
        [&[FORM][..], &self.sets.to_le_bytes(), &[self.ways]].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let FORM = bytes.byte()? else { return None };
        let layout = Self { sets: bytes.array().map(u32::from_le_bytes)?, ways: bytes.byte()? };
        (bytes.0.is_empty() && layout.sets > 0 && layout.ways > 0).then_some(layout)
    }
}

/// The layout that holds in this process: the one in the cell, or, where there is none, that of `slots`.
pub(super) fn settle<H: Host>(host: &H, cell: &str, slots: u32) -> Result<Layout, Failure> {
    let ours = Layout::of(slots);
    cells::change(host, cell, |found| {
        let Some(bytes) = found else { return Ok((Some(ours.encode()), ours)) };
        Ok((None, Layout::decode(bytes).ok_or(Failure::Unexpected)?))
    })
}

/// Fowler, Noll and Vo's hash FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
}
