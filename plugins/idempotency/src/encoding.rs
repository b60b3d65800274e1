//! Bytes in which no field can be taken for another.
//!
//! Whatever is hashed here is put together of parts that a client chooses. Strung together, `POST` to `/pay` with key `1` and to `/pa` with
//! key `y1` are the same bytes, and one client is given another's answer. So each part is preceded by its length, each list by its count,
//! and the whole by what it is for: the same secret makes names, fingerprints and seals, and none of them is ever another.

use core::fmt::Write;
use sha2::{Digest, Sha256};

/// Parts, one after the other.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoding(Vec<u8>);

// === impl Encoding ===

impl Encoding {
    /// Begins one; `purpose` is a word of ours.
    pub fn of(purpose: &str) -> Self {
        let mut encoding = Self(Vec::with_capacity(256));
        encoding.bytes(b"holdfast/idempotency").bytes(purpose.as_bytes());
        encoding
    }

    /// A number: 8 bytes, the highest first.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// A part, after its length.
    pub fn bytes(&mut self, part: &[u8]) -> &mut Self {
        self.number(part.len() as u64);
        self.0.extend_from_slice(part);
        self
    }

    /// Parts, after their count.
    pub fn list<T: AsRef<[u8]>>(&mut self, parts: &[T]) -> &mut Self {
        self.number(parts.len() as u64);
        for part in parts {
            self.bytes(part.as_ref());
        }
        self
    }

    /// What there is so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its SHA-256, without any secret: not for a store.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut out, byte| {
        // Writing to a String can't fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_between_parts_can_not_be_shifted() {
        let two = |a: &[u8], b: &[u8]| Encoding::of("test").bytes(a).bytes(b).as_bytes().to_vec();
        assert_ne!(two(b"ab", b"c"), two(b"a", b"bc"));
        assert_ne!(two(b"", b"abc"), two(b"abc", b""));
        assert!(Encoding::of("test").list(&["a", "b"]) != Encoding::of("test").list(&["a"]).bytes(b"b"));
        assert!(Encoding::of("a") != Encoding::of("b"), "what it is for counts");
    }

    #[test]
    fn hex_has_two_digits_for_each_byte() {
        assert_eq!(hex(&[0, 0x0F, 0xA0, 0xFF]), "000fa0ff");
    }
}
