//! How the stores are spoken to: bytes to send, and what the bytes that come back mean. No host, no I/O, no clock.
//!
//! | to find | look in |
//! |---|---|
//! | a record as bytes, for memory and memcached | [`record`] |
//! | Redis' protocol, and the scripts | [`resp`], [`redis`] |
//! | memcached's protocol, and the steps | [`memcached`] |
//! | Redis behind Webdis | [`webdis`] |
//!
//! Whatever store it is, [`crate::protocol`] is what it must say; `integration/tests/stores.rs` asks real ones and compares.
//!
//! Through the tunnel a cut reply comes with status 200 (docs/hosts.md), and many requests' commands share one call. So the decoders are
//! told how many replies a body should hold, and give exactly that many results: a command whose reply is not whole has
//! failed, one whose reply is whole has not.

pub mod memcached;
pub mod memory;
pub mod record;
pub mod redis;
pub mod resp;
pub mod trip;
pub mod webdis;

use crate::protocol::Owner;

/// The longest name: memcached's keys end at 250 bytes, and a suffix of ours takes 35.
pub const MAX_NAME: usize = 200;

/// The longest value that a reply may hold. Bodies are bounded by `max_body`, far below; what claims more is no reply of ours.
pub const MAX_VALUE: usize = 16 << 20;

/// The longest line of a reply that is not a value: a script's error with its trace.
const MAX_LINE: usize = 16 << 10;

/// What a key is called in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

/// What a key is called under every secret: written under the first, looked up under all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Under the first secret.
    pub first: Name,
    /// Under the others.
    pub others: Vec<Name>,
}

/// Why a store gave no answer. Unless it is [`Failure::UnknownScript`], what was asked for may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The reply didn't come, or not all of it.
    Missing,
    /// It, or one before it, is not in the store's language.
    Malformed,
    /// There are more replies than commands: nobody knows which is whose.
    Surplus,
    /// It is no reply to this command.
    Unexpected,
    /// The store said no, and why.
    Refused(String),
    /// Redis doesn't know the script, and did nothing: it must be sent in full.
    UnknownScript,
    /// Others changed the record each time.
    Contended,
    /// A length of time that the store can't keep.
    OutOfRange,
    /// No room: what lives is not evicted.
    Full,
    /// It failed several times in a row, and wasn't asked.
    LeftAlone,
    /// It may evict what it acknowledged, and nobody said that this is accepted.
    Evicts,
    /// Its silence would let the request go on, and wouldn't be heard: it wasn't asked.
    Unheard,
}

// === impl Name ===

impl Name {
    /// A name must be 1 to [`MAX_NAME`] visible ASCII characters: memcached's protocol has no other way to end one.
    pub fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let fits = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then_some(Self(name))
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where memcached keeps that `owner` gave up.
    pub fn tombstone(&self, owner: Owner) -> String {
        format!("{}:t:{:032x}", self.0, owner.0)
    }
}

// === impl Names ===

impl Names {
    /// From their texts, the one to write first; `None` if there is none, or one can't be a name.
    pub fn new(texts: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut names = texts.into_iter().map(Name::new);
        Some(Self { first: names.next()??, others: names.collect::<Option<_>>()? })
    }

    /// All of them, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &Name> {
        core::iter::once(&self.first).chain(&self.others)
    }
}

impl From<Name> for Names {
    fn from(first: Name) -> Self {
        Self { first, others: Vec::new() }
    }
}

// === impl Failure ===

impl Failure {
    /// A word for metrics.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Surplus => "surplus",
            Self::Unexpected => "unexpected",
            Self::Refused(_) => "refused",
            Self::UnknownScript => "unknown_script",
            Self::Contended => "contended",
            Self::OutOfRange => "out_of_range",
            Self::Full => "full",
            Self::LeftAlone => "left_alone",
            Self::Evicts => "evicts",
            Self::Unheard => "unheard",
        }
    }

    /// What the store said, as far as a log line has room for.
    fn refused(message: &[u8]) -> Self {
        Self::Refused(String::from_utf8_lossy(message).chars().take(200).collect())
    }
}

/// What there is besides the reply that was read.
type Rest<'a, T> = Result<(T, &'a [u8]), Failure>;

/// Cuts a body into `wanted` replies. Where one can't be read, nor can those behind it.
fn split<'a, T>(body: &'a [u8], wanted: usize, next: impl Fn(&'a [u8]) -> Rest<'a, T>) -> Vec<Result<T, Failure>> {
    let mut rest = body;
    let mut failed = None;
    let mut replies: Vec<_> = (0..wanted)
        .map(|_| match failed.clone().map_or_else(|| next(rest), Err) {
            Ok((reply, tail)) => {
                rest = tail;
                Ok(reply)
            }
            Err(failure) => {
                failed = Some(failure.clone());
                Err(failure)
            }
        })
        .collect();
    if failed.is_none() && !rest.is_empty() {
        replies = (0..wanted).map(|_| Err(Failure::Surplus)).collect();
    }
    replies
}

/// What stands before the next CRLF.
fn line(bytes: &[u8]) -> Rest<'_, &[u8]> {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Err(if bytes.len() < MAX_LINE { Failure::Missing } else { Failure::Malformed });
    };
    let (line, rest) = bytes.split_at_checked(end).ok_or(Failure::Missing)?;
    Ok((line, end_of_line(rest)?))
}

/// Exactly `length` bytes and a CRLF.
fn value(bytes: &[u8], length: usize) -> Rest<'_, &[u8]> {
    if length > MAX_VALUE {
        return Err(Failure::Malformed);
    }
    let (value, rest) = bytes.split_at_checked(length).ok_or(Failure::Missing)?;
    Ok((value, end_of_line(rest)?))
}

const fn end_of_line(bytes: &[u8]) -> Result<&[u8], Failure> {
    match bytes {
        [b'\r', b'\n', rest @ ..] => Ok(rest),
        [] | [b'\r'] => Err(Failure::Missing),
        _ => Err(Failure::Malformed),
    }
}

/// A number as the stores write it: digits, and nothing else.
fn digits<T: core::str::FromStr>(text: &[u8]) -> Result<T, Failure> {
    let text = core::str::from_utf8(text).map_err(|_| Failure::Malformed)?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::Malformed);
    }
    text.parse().map_err(|_| Failure::Malformed)
}
