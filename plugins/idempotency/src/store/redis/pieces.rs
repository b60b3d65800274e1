//! Long answers, in pieces.
//!
//! Redis writes 64 KiB of its replies at a time, and what it hasn't written when it reads the end of the commands it drops (docs/hosts.md): a call's
//! replies are sure to come whole only up to that. So a claim is told how much room its reply has, and announces an answer that is longer; it is
//! then read in pieces, each in a call of its own.

use super::{Call, Script, natural, number, token};
use crate::protocol::Owner;
use crate::store::resp::Reply;
use crate::store::{Failure, Names};

/// Bytes that the replies of one call may take together: 64 KiB, less what replies have around them.
pub const MOST_PER_CALL: usize = 60_000;

/// Bytes of a piece.
pub const PIECE: usize = 48 << 10;

const READ: Script = Script {
    text: concat!(include_str!("find.lua"), include_str!("read.lua")),
    sha1: "515d3e1265094df9955195e572ac102c5ef83526",
};

/// The script, for who wants to load or check it.
pub const SCRIPT: Script = READ;

/// An answer that is longer than a claim's reply may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Long {
    /// Whose record it is: another one may have taken its place.
    pub owner: Owner,
    /// Its bytes.
    pub length: usize,
}

impl Call {
    /// Reads a piece of an answer that begins after `from` bytes; [`piece`] reads the reply.
    pub fn read(names: &Names, owner: Owner, from: usize) -> Self {
        let (first, last) = (from.saturating_add(1) as u64, from.saturating_add(PIECE) as u64);
        Self::new(READ, names, vec![token(owner), number(first), number(last)])
    }
}

/// What a claim's reply announces, if it does.
pub fn announced(reply: &Reply<'_>) -> Option<Long> {
    let Reply::Array(parts) = reply else { return None };
    let [Reply::Bulk(b"long"), Reply::Bulk(owner), Reply::Bulk(length)] = parts.as_slice() else { return None };
    let owner = u128::from_str_radix(core::str::from_utf8(owner).ok()?, 16).ok()?;
    let length = usize::try_from(natural(length).ok()?).ok()?;
    (length <= crate::store::MAX_VALUE).then_some(Long { owner: Owner(owner), length })
}

/// A piece; a failure where another record has taken the place, or none.
pub fn piece<'a>(reply: &Reply<'a>) -> Result<&'a [u8], Failure> {
    match reply {
        Reply::Bulk(piece) if !piece.is_empty() => Ok(piece),
        Reply::Bulk(_) | Reply::Nil => Err(Failure::Missing),
        _ => Err(super::failure(reply)),
    }
}
