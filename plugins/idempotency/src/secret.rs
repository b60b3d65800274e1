//! The secrets under which names and fingerprints are made (HMAC-SHA-256, RFC 2104).
//!
//! Keys, tenants and payloads must not be readable in the store, nor guessable from what is there: an order's number, hashed without a secret,
//! is found by trying all of them. To change a secret without forgetting what ran, both are listed for a while: the first one writes, all are
//! looked up.

use crate::encoding::Encoding;
use core::fmt;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Shortest secret, in bytes: 128 bits are out of reach for guessing.
pub const MIN_SECRET: usize = 16;

/// One secret, as a keyed hash: the bytes themselves aren't kept.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

/// What is wrong with a list of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretFault {
    /// There is none.
    Missing,
    /// One is shorter than [`MIN_SECRET`].
    TooShort {
        /// Which, from 0.
        index: usize,
        /// Its bytes.
        len: usize,
    },
    /// One stands there twice.
    Twice {
        /// The second one, from 0.
        index: usize,
    },
}

/// Secrets, at least one; the first one writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets(Vec<Secret>);

// === impl Secret ===

impl Secret {
    /// `None` for one that is too short.
    fn new(bytes: &[u8]) -> Option<Self> {
        let keyed = Hmac::new_from_slice(bytes).ok()?;
        (bytes.len() >= MIN_SECRET).then_some(Self(keyed))
    }

    /// The MAC of an encoding, which says what it is for.
    pub fn mac(&self, encoding: &Encoding) -> [u8; 32] {
        self.0.clone().chain_update(encoding.as_bytes()).finalize().into_bytes().into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let same = Encoding::of("same secret");
        self.mac(&same) == other.mac(&same)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

// === impl Secrets ===

impl Secrets {
    /// Takes them in the order of the configuration.
    pub fn new<T: AsRef<[u8]>>(list: &[T]) -> Result<Self, SecretFault> {
        let mut secrets = Vec::with_capacity(list.len());
        for (index, bytes) in list.iter().map(AsRef::as_ref).enumerate() {
            let secret = Secret::new(bytes).ok_or(SecretFault::TooShort { index, len: bytes.len() })?;
            if secrets.contains(&secret) {
                return Err(SecretFault::Twice { index });
            }
            secrets.push(secret);
        }
        if secrets.is_empty() { Err(SecretFault::Missing) } else { Ok(Self(secrets)) }
    }

    /// Each of them, the one that writes first.
    pub fn iter(&self) -> core::slice::Iter<'_, Secret> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Secrets {
    type Item = &'a Secret;
    type IntoIter = core::slice::Iter<'a, Secret>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no secret"),
            Self::TooShort { index, len } => write!(f, "secret {index} has {len} bytes, fewer than {MIN_SECRET}"),
            Self::Twice { index } => write!(f, "secret {index} is there already"),
        }
    }
}

impl core::error::Error for SecretFault {}
