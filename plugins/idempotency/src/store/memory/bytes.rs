//! Reading what was written, field by field.

/// What is still to be read.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

// === impl Bytes ===

impl<'a> Bytes<'a> {
    /// The next `N` bytes; `None` where there are fewer.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// The next eight bytes as a number.
    pub(super) fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A part after its length, which is one byte.
    pub(super) fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        let (part, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(part)
    }
}

/// Appends a part after its length. What is longer than 255 bytes is cut: no caller's is.
pub(super) fn put(out: &mut Vec<u8>, part: &[u8]) {
    let length = u8::try_from(part.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend(part.iter().take(usize::from(length)));
}
