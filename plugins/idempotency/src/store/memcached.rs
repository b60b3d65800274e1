//! The protocol in memcached: no scripts, no clock to read, one atomic step at a time.
//!
//! | key | value | expires |
//! |---|---|---|
//! | `<name>` | a record ([`super::record`]); a released one is called the mark | after `ttl`; the mark with its tombstone |
//! | `<name>:l:<owner>` | `1`: this owner's lease is not over | after `lease` |
//! | `<name>:t:<owner>` | `1`: this owner gave up | after `keep` |
//!
//! A verb is a few trips, each of them some commands in one pipeline. A trip is data: [`Step::Send`] says what to send, and who reads
//! the replies; the last one is [`Step::Finished`]. Whoever drives them may put the trips of many requests into one call.
//!
//! What must change at once is one value, changed by `add` or `cas`; what surrounds it is ordered so that nobody is misled:
//! - The lease is set **before** the record is. Who finds a record finds its lease, so a lease that is missing is over.
//! - Each owner has a lease of its own. One lease per name would be overwritten by whoever loses the race for the record.
//! - A record is read again **after** its lease was found missing, and taken over by `cas` of what was read then.
//! - A released claim leaves a mark **in the record's place**, and so does giving up before any claim came: nobody reads the reply to an
//!   `add` that arrives late, and memcached has no other way to make it do nothing.
//!
//! What memcached can't do, and what is done about it:
//! - It counts seconds, and begins with the current one: a time is rounded up and lasts up to two seconds longer. A lease is never short.
//! - It tells no time. Deadlines in a record are by the claimer's clock; they only estimate how long a lease still lasts, and fences
//!   begin with it. Whether a lease is over is what the key says.
//! - It evicts. A lost lease is an [`Answer::Uncertain`](crate::protocol::Answer::Uncertain) too early, a lost record a second execution: `accept_eviction` is asked for.
//! - A takeover (`reexecute`) that arrives after its caller gave up isn't stopped, if nothing else changed the record in between; its
//!   lease runs out, and the next claim takes over again.
//! - Records under two names can't change at once: more than one secret is refused where this store is configured.

mod claim;
mod finish;
pub mod text;

pub use claim::Claiming;
pub use finish::{Abandoning, Completing};

use super::{Failure, Name, record};
use crate::protocol::{Owner, Record, StoreMillis};
use text::{Reply, Value};

/// Memcached takes a larger number for a date.
pub const MAX_MILLIS: u64 = 30 * 24 * 60 * 60 * 1000 - 1000;

/// After so many trips others have changed the record each time.
const MAX_TRIPS: u8 = 10;

/// Commands to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trip {
    /// A pipeline.
    pub bytes: Vec<u8>,
    /// How many replies it gets.
    pub replies: usize,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<S, A> {
    /// Send these; `S` reads the replies.
    Send(Trip, S),
    /// That was all.
    Finished(A),
}

/// The replies to a trip, in their order.
pub type Replies<'a> = [Result<Reply<'a>, Failure>];

// === impl Trip ===

impl Trip {
    fn set(self, key: &str, seconds: u32, value: &[u8]) -> Self {
        self.with(|out| text::store(out, "set", key, seconds, value, None))
    }

    fn add(self, key: &str, seconds: u32, value: &[u8]) -> Self {
        self.with(|out| text::store(out, "add", key, seconds, value, None))
    }

    fn cas(self, key: &str, seconds: u32, value: &[u8], unique: u64) -> Self {
        self.with(|out| text::store(out, "cas", key, seconds, value, Some(unique)))
    }

    fn gets(self, key: &str) -> Self {
        self.with(|out| text::gets(out, key))
    }

    fn with(mut self, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        write(&mut self.bytes);
        self.replies += 1;
        self
    }
}

/// What a key holds, and the number to change it by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// `None` for what nobody here wrote.
    record: Option<Record<Vec<u8>>>,
    unique: u64,
}

// === impl Found ===

impl Found {
    /// `None` where the key holds nothing.
    fn read(reply: &Reply<'_>, key: &str) -> Result<Option<Self>, Failure> {
        let found = |value: &Value<'_>| Self { record: record::decode(value.data), unique: value.unique };
        Ok(value(reply, key)?.map(found))
    }
}

// === impl Record ===

impl Record<Vec<u8>> {
    /// What memcached still gives is not over: `expires` is by the clock of another node.
    fn undying(&self) -> Self {
        Self { expires: StoreMillis::MAX, ..self.clone() }
    }
}

/// The value of `key` in the reply to a `gets` of it.
fn value<'r, 'a>(reply: &'r Reply<'a>, key: &str) -> Result<Option<&'r Value<'a>>, Failure> {
    match reply {
        Reply::Value(value) if value.key == key.as_bytes() => Ok(Some(value)),
        Reply::End => Ok(None),
        _ => Err(failure(reply)),
    }
}

/// Whether a `set`, `add` or `cas` was done; the latter two depend on what the key holds.
fn stored(reply: &Reply<'_>) -> Result<bool, Failure> {
    match reply {
        Reply::Stored => Ok(true),
        Reply::NotStored | Reply::Exists | Reply::NotFound => Ok(false),
        _ => Err(failure(reply)),
    }
}

/// For a `set`, which nothing but a fault keeps from being done.
fn set(reply: &Reply<'_>) -> Result<(), Failure> {
    if stored(reply)? { Ok(()) } else { Err(Failure::Unexpected) }
}

fn failure(reply: &Reply<'_>) -> Failure {
    match reply {
        Reply::Error(message) => Failure::refused(message),
        _ => Failure::Unexpected,
    }
}

/// The replies as a list of known length; the first failure among them is the trip's.
fn all<'r, 'a, const N: usize>(replies: &'r Replies<'a>) -> Result<[&'r Reply<'a>; N], Failure> {
    let whole: Vec<_> = replies.iter().map(|reply| reply.as_ref().map_err(Clone::clone)).collect::<Result<_, _>>()?;
    whole.try_into().map_err(|_| Failure::Unexpected)
}

/// Whole seconds that last at least `millis`: memcached's current second has begun already.
fn seconds(millis: u64) -> Result<u32, Failure> {
    if millis > MAX_MILLIS {
        return Err(Failure::OutOfRange);
    }
    u32::try_from(millis.div_ceil(1000) + 1).map_err(|_| Failure::OutOfRange)
}

/// Where the store keeps that the lease of `owner` is not over.
fn lease_key(name: &Name, owner: Owner) -> String {
    format!("{}:l:{:032x}", name.as_str(), owner.0)
}

/// How long a lease still lasts, by the clock of this node and of the one that claimed: an estimate between 1 and `most`.
fn remaining(lease: StoreMillis, now: StoreMillis, most: u64) -> u64 {
    lease.saturating_sub(now).clamp(1, most.max(1))
}
