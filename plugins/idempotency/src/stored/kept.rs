//! What is kept of an answer's body.

use super::take;
use core::fmt;
use sha2::{Digest, Sha256};

const NOTHING: u8 = 0;
const DIGEST: u8 = 1;
const WHOLE: u8 = 2;

/// What is kept of a body.
#[derive(Clone, PartialEq, Eq)]
pub enum Kept {
    /// All of it.
    Whole(Vec<u8>),
    /// That it was this one (`store_body: false`).
    Digest {
        /// Its SHA-256.
        sha256: [u8; 32],
        /// Its bytes.
        len: u64,
    },
    /// Nothing: it was too long, or a stream.
    Nothing,
}

// === impl Kept ===

impl Kept {
    /// A body's digest, in its place.
    pub fn digest(body: &[u8]) -> Self {
        Self::Digest { sha256: Sha256::digest(body).into(), len: body.len() as u64 }
    }

    /// The body, where it is known: also from a digest of nothing.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Whole(body) => Some(body),
            Self::Digest { len: 0, .. } => Some(&[]),
            Self::Digest { .. } | Self::Nothing => None,
        }
    }

    /// The number of the kind, for a decoder.
    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Nothing => NOTHING,
            Self::Digest { .. } => DIGEST,
            Self::Whole(_) => WHOLE,
        }
    }

    /// Appends what the kind has to say.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nothing => {}
            Self::Digest { sha256, len } => {
                out.extend(sha256);
                out.extend(len.to_le_bytes());
            }
            Self::Whole(body) => out.extend(body),
        }
    }

    /// From the kind and the bytes behind it, all of them.
    pub(super) fn decode(kind: u8, bytes: &[u8]) -> Option<Self> {
        match kind {
            NOTHING => bytes.is_empty().then_some(Self::Nothing),
            DIGEST => {
                let (sha256, len) = take(bytes)?;
                Some(Self::Digest { sha256, len: u64::from_le_bytes(len.try_into().ok()?) })
            }
            WHOLE => Some(Self::Whole(bytes.to_vec())),
            _ => None,
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(body) => write!(f, "Whole({} bytes)", body.len()),
            Self::Digest { len, .. } => write!(f, "Digest({len} bytes)"),
            Self::Nothing => f.write_str("Nothing"),
        }
    }
}
