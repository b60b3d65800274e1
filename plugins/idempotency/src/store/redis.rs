//! The protocol in Redis: one script per verb, each one atomic trip.
//!
//! A script is asked for by its digest, and sent in full when Redis answers that it doesn't know it ([`Failure::UnknownScript`]).
//!
//! | | |
//! |---|---|
//! | keys | the record's names under every secret, the first is the one that a claim writes |
//! | record | a hash: `r` form, `o` owner, `f` fence, `e` expires; `v` and `d` fingerprint, and `l` lease or `a` answer; or `x`, it was released; `s` where an operator settled it ([`settle`]) |
//! | tombstone | a field of the record, `t:<owner>`: until when; where there is no record, giving up leaves a released one with fence 0 |
//! | clock | Redis' `TIME`, the same for all nodes; the deadlines are compared with it in the script |
//! | forgetting | `PEXPIREAT`, when the last of record and tombstones is over; a script that finds it sooner obeys `e` and the tombstones' own times |
//! | index | what nobody knows the end of, for operators: [`index`] |
//!
//! Numbers in replies are bulk strings: Redis would send integers just as well, but Webdis spoils large ones ([`super::webdis`]).
//!
//! **A full Redis** (`noeviction`) grants no claim, with nothing written, and still takes the answers and releases of what is under way: Redis lets
//! a script go on that has written something, and theirs delete a field first. So answers may fill it beyond `maxmemory`, by what is in flight.
//!
//! **How much may share a call.** Redis answers a half-closed connection in slices of 64 KiB, and forgets the rest when it gets to read the end in
//! between: of pipelines with replies of 60 KB all came whole, of those with 100 KB 13 of 40, with 4 MB none. A reply that is alone in its call came whole
//! up to 900 KB, and memcached's always (Redis 7.0.15, memcached 1.6.18, loopback, without Envoy). What is cut fails, for exactly the
//! commands that lack their reply.
//!
//! All keys of a call must be on one node of a cluster ([`cluster`]), so names of one key share a hash tag. With one secret a call has one key, which a
//! cluster serves also while it moves the slot. What is needed: Redis 5 (scripts that read the clock and then write), or Valkey; an ACL must
//! allow `EVAL EVALSHA TIME TYPE HMGET HGET HKEYS HSET HDEL HLEN DEL PTTL PEXPIREAT`, for the index
//! `PEXPIRE ZADD ZREM ZCARD ZRANGE ZRANGEBYSCORE` as well, and `INFO` to see whether it may evict. Who looks at records and settles them needs `HSTRLEN SCAN` besides.

pub mod cluster;
pub mod index;
pub mod keeps;
pub mod pieces;
pub mod settle;
pub mod slots;

pub use cluster::{Redirect, redirect, slot};
pub use index::Entry;
pub use slots::Range;

use std::borrow::Cow;

use super::resp::{self, Reply};
use super::{Failure, Names, digits};
use crate::protocol::{Answer, Claim, Owner};

/// A script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// What Redis runs.
    pub text: &'static str,
    /// Its SHA-1, in hexadecimal, by which Redis knows it.
    pub sha1: &'static str,
}

/// [`crate::protocol::claim`].
pub const CLAIM: Script = Script {
    text: concat!(include_str!("redis/find.lua"), include_str!("redis/claim.lua")),
    sha1: "8aeb4c68b332df9b2d47792718255976d0fce7a1",
};

/// [`crate::protocol::complete`].
pub const COMPLETE: Script = Script {
    text: concat!(include_str!("redis/find.lua"), include_str!("redis/complete.lua")),
    sha1: "c2d431c5bba21bf13e99abca0c61c9812c7e59f1",
};

/// [`crate::protocol::abandon`], and the tombstone.
pub const ABANDON: Script = Script {
    text: concat!(include_str!("redis/find.lua"), include_str!("redis/abandon.lua")),
    sha1: "61175b58a7c77b9afb93abc6033347727f68dbfa",
};

/// One run of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    script: Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

// === impl Call ===

impl Call {
    /// Wishes to run a request; [`claimed`] reads the reply.
    pub fn claim(names: &Names, claim: &Claim) -> Self {
        let digests = [&[claim.fingerprint.digest], claim.others.as_slice()].concat().concat();
        let arguments = vec![
            token(claim.owner),
            format!("{:016x}", claim.fingerprint.version).into_bytes(),
            digests,
            number(claim.lease),
            number(claim.ttl),
            number(claim.reexecute.into()),
        ];
        Self::new(CLAIM, names, arguments)
    }

    /// Stores what the service answered, for `ttl` milliseconds; [`completed`] reads the reply.
    pub fn complete(names: &Names, owner: Owner, answer: Vec<u8>, ttl: u64) -> Self {
        Self::new(COMPLETE, names, vec![token(owner), answer, number(ttl)])
    }

    /// Gives up. For `keep` milliseconds (0 counts as 1: Redis keeps nothing for no time) a claim of the same owner that arrives late does
    /// nothing; [`released`] reads the reply.
    pub fn abandon(names: &Names, owner: Owner, keep: u64) -> Self {
        Self::new(ABANDON, names, vec![token(owner), number(keep.max(1))])
    }

    fn new(script: Script, names: &Names, arguments: Vec<Vec<u8>>) -> Self {
        Self { script, keys: names.iter().map(|name| name.as_str().to_owned()).collect(), arguments }
    }

    /// Appends the command that names the script by its digest.
    pub fn by_digest(&self, out: &mut Vec<u8>) {
        self.command(out, false);
    }

    /// Appends the command that brings the script along, for a Redis that doesn't know it yet.
    pub fn in_full(&self, out: &mut Vec<u8>) {
        self.command(out, true);
    }

    /// Roughly how many bytes it takes, without its script.
    pub fn size(&self) -> usize {
        let (keys, arguments) = (self.keys.iter().map(String::len), self.arguments.iter().map(Vec::len));
        keys.chain(arguments).map(|length| length + 8).sum()
    }

    /// The names that it was made for.
    pub(super) fn names(&self) -> Option<Names> {
        Names::new(self.keys.iter().cloned())
    }

    /// The slot of a cluster that its keys are in.
    pub fn slot(&self) -> u16 {
        self.keys.first().map_or(0, |key| cluster::slot_of(key))
    }

    /// Appends the command of a claim whose reply may take `room` bytes: a longer answer is only announced ([`pieces`]).
    pub fn with_room(&self, out: &mut Vec<u8>, in_full: bool, room: usize) {
        let mut parts = self.parts(in_full);
        parts.push(Cow::Owned(room.to_string().into_bytes()));
        resp::command(out, parts.iter().map(Cow::as_ref));
    }

    fn command(&self, out: &mut Vec<u8>, in_full: bool) {
        let parts = self.parts(in_full);
        resp::command(out, parts.iter().map(Cow::as_ref));
    }

    /// The command, word by word.
    pub(super) fn parts(&self, in_full: bool) -> Vec<Cow<'_, [u8]>> {
        let (verb, script) = if in_full { ("EVAL", self.script.text) } else { ("EVALSHA", self.script.sha1) };
        let mut parts = vec![Cow::Borrowed(verb.as_bytes()), Cow::Borrowed(script.as_bytes())];
        parts.push(Cow::Owned(self.keys.len().to_string().into_bytes()));
        parts.extend(self.keys.iter().map(|key| Cow::Borrowed(key.as_bytes())));
        parts.extend(self.arguments.iter().map(|argument| Cow::Borrowed(argument.as_slice())));
        parts
    }
}

fn number(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn token(owner: Owner) -> Vec<u8> {
    format!("{:032x}", owner.0).into_bytes()
}

/// What a claim was answered.
pub fn claimed(reply: &Reply<'_>) -> Result<Answer<Vec<u8>>, Failure> {
    let Reply::Array(parts) = reply else { return Err(failure(reply)) };
    match parts.as_slice() {
        [Reply::Bulk(b"claimed"), Reply::Bulk(fence)] => Ok(Answer::Claimed { fence: natural(fence)? }),
        [Reply::Bulk(b"in_flight"), Reply::Bulk(ms)] => Ok(Answer::InFlight { remaining: natural(ms)? }),
        [Reply::Bulk(b"done"), Reply::Bulk(answer)] => Ok(Answer::Done(answer.to_vec())),
        [Reply::Bulk(b"mismatch")] => Ok(Answer::Mismatch),
        [Reply::Bulk(b"unknown")] => Ok(Answer::Unknown),
        [Reply::Bulk(b"uncertain"), Reply::Bulk(fence)] => Ok(Answer::Uncertain { fence: natural(fence)? }),
        [Reply::Bulk(b"abandoned")] => Ok(Answer::Abandoned),
        _ => Err(Failure::Unexpected),
    }
}

/// Whether the service's answer was stored, by this completion or by the same one before.
pub fn completed(reply: &Reply<'_>) -> Result<bool, Failure> {
    flag(reply)
}

/// Whether giving up released a claim; `false` where there was none to release.
pub fn released(reply: &Reply<'_>) -> Result<bool, Failure> {
    flag(reply)
}

/// Whether a line was new to the index, or, for a removal, was there.
pub fn indexed(reply: &Reply<'_>) -> Result<bool, Failure> {
    flag(reply)
}

fn flag(reply: &Reply<'_>) -> Result<bool, Failure> {
    match reply {
        Reply::Integer(0) => Ok(false),
        Reply::Integer(1) => Ok(true),
        _ => Err(failure(reply)),
    }
}

fn failure(reply: &Reply<'_>) -> Failure {
    match reply {
        Reply::Error(message) if message.starts_with(b"NOSCRIPT") => Failure::UnknownScript,
        Reply::Error(message) => Failure::refused(message),
        _ => Failure::Unexpected,
    }
}

fn natural(text: &[u8]) -> Result<u64, Failure> {
    digits(text).map_err(|_| Failure::Unexpected)
}
