//! The protocol in Redis: one script per verb, each one atomic trip.
//!
//! A script is asked for by its digest, and sent in full when Redis answers that it doesn't know it ([`Failure::UnknownScript`]).
//!
//! | | |
//! |---|---|
//! | keys | the record's names under every secret, the first is the one that is written; then the tombstone's |
//! | record | a hash: `r` form, `o` owner, `f` fence, `v` and `d` fingerprint, `e` expires, and `l` lease or `a` answer |
//! | clock | Redis' `TIME`, the same for all nodes; the deadlines are compared with it in the script |
//! | forgetting | `PEXPIREAT`; a script that comes a moment before Redis' own expiry obeys `e` |
//! | tombstone | `<first name>:t:<owner>`, with an expiry |
//!
//! **How much may share a call.** Redis answers a half-closed connection in slices of 64 KiB, and forgets the rest when it gets to read the end in
//! between: of pipelines with replies of 60 KB all came whole, of those with 100 KB 13 of 40, with 4 MB none. A reply that is alone in its call came whole
//! up to 900 KB, and memcached's always (Redis 7.0.15, memcached 1.6.18, loopback, without Envoy). What is cut fails, for exactly the
//! commands that lack their reply.
//!
//! All keys of a call must be on one node of a cluster, so names of one key share a hash tag. What is needed: Redis 5 (scripts that read the clock
//! and then write), or Valkey; an ACL must allow `EVAL EVALSHA TIME TYPE EXISTS HMGET HGET HSET DEL SET PEXPIREAT`.

use super::resp::{self, Reply};
use super::{Failure, Names};
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
    sha1: "458f7b8c5467f61b71ddfb2f778ae4901f4b2c47",
};

/// [`crate::protocol::complete`].
pub const COMPLETE: Script = Script {
    text: concat!(include_str!("redis/find.lua"), include_str!("redis/complete.lua")),
    sha1: "24e87b7acd1ec3aa49392b5b6413431cf596c632",
};

/// [`crate::protocol::abandon`], and the tombstone.
pub const ABANDON: Script = Script {
    text: concat!(include_str!("redis/find.lua"), include_str!("redis/abandon.lua")),
    sha1: "d7730b74b2a3ac7da8771f30b07f9648310ef9ff",
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
        let Claim { owner, fingerprint, lease, ttl, reexecute } = *claim;
        let arguments = vec![
            token(owner),
            format!("{:016x}", fingerprint.version).into_bytes(),
            fingerprint.digest.to_vec(),
            lease.to_string().into_bytes(),
            ttl.to_string().into_bytes(),
            u8::from(reexecute).to_string().into_bytes(),
        ];
        Self::new(CLAIM, names, owner, arguments)
    }

    /// Stores what the service answered, for `ttl` milliseconds; [`completed`] reads the reply.
    pub fn complete(names: &Names, owner: Owner, answer: Vec<u8>, ttl: u64) -> Self {
        Self::new(COMPLETE, names, owner, vec![token(owner), answer, ttl.to_string().into_bytes()])
    }

    /// Gives up. For `keep` milliseconds (not 0) a claim of the same owner that arrives late does nothing; [`released`] reads the reply.
    pub fn abandon(names: &Names, owner: Owner, keep: u64) -> Self {
        Self::new(ABANDON, names, owner, vec![token(owner), keep.to_string().into_bytes()])
    }

    fn new(script: Script, names: &Names, owner: Owner, arguments: Vec<Vec<u8>>) -> Self {
        let mut keys = Vec::with_capacity(names.count() + 1);
        keys.extend(names.iter().map(|name| name.as_str().to_owned()));
        keys.push(names.first.tombstone(owner));
        Self { script, keys, arguments }
    }

    /// Appends the command that names the script by its digest.
    pub fn by_digest(&self, out: &mut Vec<u8>) {
        self.command(out, "EVALSHA", self.script.sha1);
    }

    /// Appends the command that brings the script along, for a Redis that doesn't know it yet.
    pub fn in_full(&self, out: &mut Vec<u8>) {
        self.command(out, "EVAL", self.script.text);
    }

    fn command(&self, out: &mut Vec<u8>, verb: &str, script: &str) {
        let count = self.keys.len().to_string();
        let mut parts = vec![verb.as_bytes(), script.as_bytes(), count.as_bytes()];
        parts.extend(self.keys.iter().map(String::as_bytes));
        parts.extend(self.arguments.iter().map(Vec::as_slice));
        resp::command(out, parts);
    }
}

fn token(owner: Owner) -> Vec<u8> {
    format!("{:032x}", owner.0).into_bytes()
}

/// What a claim was answered.
pub fn claimed(reply: &Reply<'_>) -> Result<Answer<Vec<u8>>, Failure> {
    let Reply::Array(parts) = reply else { return Err(failure(reply)) };
    match parts.as_slice() {
        [Reply::Bulk(b"claimed"), Reply::Integer(fence)] => Ok(Answer::Claimed { fence: natural(*fence)? }),
        [Reply::Bulk(b"in_flight"), Reply::Integer(ms)] => Ok(Answer::InFlight { remaining: natural(*ms)? }),
        [Reply::Bulk(b"done"), Reply::Bulk(answer)] => Ok(Answer::Done(answer.to_vec())),
        [Reply::Bulk(b"mismatch")] => Ok(Answer::Mismatch),
        [Reply::Bulk(b"unknown")] => Ok(Answer::Unknown),
        [Reply::Bulk(b"uncertain"), Reply::Integer(fence)] => Ok(Answer::Uncertain { fence: natural(*fence)? }),
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

fn natural(number: i64) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| Failure::Unexpected)
}
