//! Memcached's text protocol (`doc/protocol.txt` in its source): the four commands that are used here, and their replies.
//!
//! Own code, of 60 lines: the crates that speak it are clients with sockets of their own. Memcached's newer meta commands would save
//! a trip here and there, but managed and older servers don't have them.

use crate::store::{Failure, Rest, digits, line, split, value};

/// One reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// It was done.
    Stored,
    /// `add` found something.
    NotStored,
    /// `cas` found something newer.
    Exists,
    /// `cas` found nothing.
    NotFound,
    /// What a key holds.
    Value(Value<'a>),
    /// The key holds nothing.
    End,
    /// Memcached could not do it, or didn't understand.
    Error(&'a [u8]),
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The bytes.
    pub data: &'a [u8],
    /// Another number after each change.
    pub unique: u64,
}

/// Appends a `set`, `add` or `cas` (which needs `unique`). The key must be visible ASCII, see [`crate::store::Name`].
pub fn store(out: &mut Vec<u8>, verb: &str, key: &str, seconds: u32, value: &[u8], unique: Option<u64>) {
    let unique = unique.map(|unique| format!(" {unique}")).unwrap_or_default();
    out.extend(format!("{verb} {key} 0 {seconds} {}{unique}\r\n", value.len()).bytes());
    out.extend(value);
    out.extend(b"\r\n");
}

/// Appends a `gets` of one key.
pub fn gets(out: &mut Vec<u8>, key: &str) {
    out.extend(format!("gets {key}\r\n").bytes());
}

/// The replies to `wanted` commands, in their order.
pub fn replies(body: &[u8], wanted: usize) -> Vec<Result<Reply<'_>, Failure>> {
    split(body, wanted, reply)
}

fn reply(bytes: &[u8]) -> Rest<'_, Reply<'_>> {
    let (head, rest) = line(bytes)?;
    let reply = match head {
        b"STORED" => Reply::Stored,
        b"NOT_STORED" => Reply::NotStored,
        b"EXISTS" => Reply::Exists,
        b"NOT_FOUND" => Reply::NotFound,
        b"END" => Reply::End,
        b"ERROR" => Reply::Error(head),
        _ if head.starts_with(b"CLIENT_ERROR ") || head.starts_with(b"SERVER_ERROR ") => Reply::Error(head),
        _ => return held(head.strip_prefix(b"VALUE ").ok_or(Failure::Malformed)?, rest),
    };
    Ok((reply, rest))
}

/// `<key> <flags> <length> <unique>`, the bytes, and the end: one key was asked for.
fn held<'a>(head: &'a [u8], rest: &'a [u8]) -> Rest<'a, Reply<'a>> {
    let mut words = head.split(|byte| *byte == b' ');
    let mut word = || words.next().filter(|word| !word.is_empty()).ok_or(Failure::Malformed);
    let (key, flags, length, unique) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(Failure::Malformed);
    }
    digits::<u32>(flags)?;
    let (data, rest) = value(rest, digits(length)?)?;
    let (end, rest) = line(rest)?;
    let value = Value { key, data, unique: digits(unique)? };
    if end == b"END" { Ok((Reply::Value(value), rest)) } else { Err(Failure::Malformed) }
}
