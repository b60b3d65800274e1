//! Redis' protocol, version 2 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>): commands as arrays of bulk
//! strings, and the replies of a whole pipeline.
//!
//! Own code, of 100 lines, because no crate fits: `redis-protocol` 6.0, the best kept one, parses with nom 7 and writes with cookie-factory
//! (five crates more in the module), nests without a bound, and reads one frame at a time; `resp-async` is at 0.0.7. `redis`
//! itself is a client with sockets. What is asked for here is five types, a bound for each, and which command lacks its reply.
//!
//! Version 3's types (`_`, `=`, `,`, `#`, `(`, `%`, `~`, `>`) come only to who says `HELLO 3`, and we don't: they are malformed.

use super::{Failure, Rest, digits, line, split, value};

/// How deep arrays may nest; the scripts answer with flat ones.
pub const MAX_DEPTH: usize = 4;

/// How many elements an array may have: `HGETALL` of a record has 16.
pub const MAX_ELEMENTS: usize = 1024;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `+OK`
    Simple(&'a [u8]),
    /// `-ERR …`
    Error(&'a [u8]),
    /// `:1`
    Integer(i64),
    /// Bytes.
    Bulk(&'a [u8]),
    /// Nothing, where bytes or an array could be.
    Nil,
    /// Replies in a reply.
    Array(Vec<Reply<'a>>),
}

/// Appends a command.
pub fn command<'a, I>(out: &mut Vec<u8>, parts: I)
where
    I: IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>,
{
    let parts = parts.into_iter();
    out.extend(format!("*{}\r\n", parts.len()).bytes());
    for part in parts {
        out.extend(format!("${}\r\n", part.len()).bytes());
        out.extend(part);
        out.extend(b"\r\n");
    }
}

/// The replies to `wanted` commands, in their order.
pub fn replies(body: &[u8], wanted: usize) -> Vec<Result<Reply<'_>, Failure>> {
    split(body, wanted, |bytes| reply(bytes, MAX_DEPTH))
}

fn reply(bytes: &[u8], depth: usize) -> Rest<'_, Reply<'_>> {
    let (kind, rest) = bytes.split_first().ok_or(Failure::Missing)?;
    let (head, rest) = match kind {
        b'+' | b'-' | b':' | b'$' | b'*' => line(rest)?,
        _ => return Err(Failure::Malformed),
    };
    match kind {
        b'+' => Ok((Reply::Simple(head), rest)),
        b'-' => Ok((Reply::Error(head), rest)),
        b':' => Ok((Reply::Integer(integer(head)?), rest)),
        _ if head == b"-1" => Ok((Reply::Nil, rest)),
        b'$' => value(rest, digits(head)?).map(|(bulk, rest)| (Reply::Bulk(bulk), rest)),
        _ => array(rest, digits(head)?, depth),
    }
}

fn array(bytes: &[u8], length: usize, depth: usize) -> Rest<'_, Reply<'_>> {
    let depth = depth.checked_sub(1).ok_or(Failure::Malformed)?;
    if length > MAX_ELEMENTS {
        return Err(Failure::Malformed);
    }
    let mut rest = bytes;
    // Not allocated in advance: the length is only what somebody says.
    let mut elements = Vec::new();
    for _ in 0..length {
        let (element, tail) = reply(rest, depth)?;
        elements.push(element);
        rest = tail;
    }
    Ok((Reply::Array(elements), rest))
}

fn integer(text: &[u8]) -> Result<i64, Failure> {
    match text.strip_prefix(b"-") {
        // One more than the positive ones reach.
        Some(b"9223372036854775808") => Ok(i64::MIN),
        Some(number) => digits::<i64>(number).map(|number| -number),
        None => digits(text),
    }
}
