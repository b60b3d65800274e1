//! What a record's place holds: the record, or the mark that a claim was released.
//!
//! The mark is `0`, then the fence of what was released, little-endian; a record begins with its form, which is never 0. A claim takes
//! the mark's place by `cas`, with a higher fence, as if there were nothing.

use crate::protocol::Record;
use crate::store::record;

/// What a record's place holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A record.
    Held(Record<Vec<u8>>),
    /// Nothing, and an `add` that comes late must not find nothing.
    Released {
        /// The highest fence before.
        fence: u64,
    },
}

const MARK: u8 = 0;

// === impl Slot ===

impl Slot {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Held(record) => record::encode(record),
            Self::Released { fence } => core::iter::once(MARK).chain(fence.to_le_bytes()).collect(),
        }
    }

    /// From bytes; `None` for anything that [`Slot::encode`] would not have written.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&MARK, fence) => Some(Self::Released { fence: u64::from_le_bytes(fence.try_into().ok()?) }),
            _ => record::decode(bytes).map(Self::Held),
        }
    }
}
