//! The protocol, as pure functions over one record: no clock, no store, no host.
//!
//! ```text
//!                      claim                        complete (owner)
//!   (absent) -----------------------> CLAIMED ---------------------------> DONE
//!      ^                                 |                                  ^
//!      |  abandon (owner), which         | the lease is over                | complete (owner)
//!      |  leaves a tombstone             v                                  |
//!      +------------------------------ UNCERTAIN ---------------------------+
//!                                        |  claim, where on_uncertain says re-execute: a new owner, a higher fence
//!                                        +--> CLAIMED
//! ```
//!
//! `UNCERTAIN` is no stored state: it is what a claimed record is called when its lease is over, by the store's own clock. A store runs
//! [`claim`], [`complete`] and [`abandon`] in one atomic step each: memory by compare-and-set, Redis in a script that says the same
//! in Lua, memcached by `add` and `cas`. A claim whose caller has given up may still arrive; it finds the caller's tombstone
//! and does nothing.

/// Milliseconds since the epoch, by the store's clock.
pub type StoreMillis = u64;

/// Who claimed: a random token, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(pub u128);

/// What a request is, as a versioned digest: `version` names the form and the selection of what was digested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Digests of different versions can't be compared.
    pub version: u64,
    /// The digest.
    pub digest: [u8; 32],
}

/// What is stored under a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record<R> {
    /// Who claimed it last.
    pub owner: Owner,
    /// Grows with each claim of the key, so that a service can tell a late execution from the one that counts.
    pub fence: u64,
    /// What the first request was.
    pub fingerprint: Fingerprint,
    /// How far it came.
    pub stage: Stage<R>,
    /// When the store forgets it.
    pub expires: StoreMillis,
}

/// How far a claim came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage<R> {
    /// Its owner has until then to complete it.
    Claimed {
        /// The end of the lease.
        lease: StoreMillis,
    },
    /// The service answered.
    Done(R),
}

/// A wish to run a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who wishes it.
    pub owner: Owner,
    /// What the request is.
    pub fingerprint: Fingerprint,
    /// For how long, in milliseconds.
    pub lease: u64,
    /// How long the record is kept, in milliseconds.
    pub ttl: u64,
    /// A claim whose lease is over may be run again.
    pub reexecute: bool,
}

/// What a claim is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<R> {
    /// It is yours: run the request.
    Claimed {
        /// The number that goes to the service.
        fence: u64,
    },
    /// Somebody else runs it.
    InFlight {
        /// Milliseconds until the lease is over.
        remaining: u64,
    },
    /// It was run; this is what came of it.
    Done(R),
    /// The key was used for another request.
    Mismatch,
    /// The key was used for a request that can't be compared with this one.
    Unknown,
    /// It was begun, and nobody knows what came of it.
    Uncertain {
        /// The fence of that run.
        fence: u64,
    },
    /// The caller gave up before this claim arrived.
    Abandoned,
}

/// What becomes of the stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write<R> {
    /// It stays.
    Keep,
    /// This takes its place.
    Put(Record<R>),
    /// It goes.
    Delete,
}

/// Decides about a claim. `found` is the live record under any of the key's names, `tombstone` whether this owner gave up before.
pub fn claim<R: Clone>(
    found: Option<&Record<R>>,
    tombstone: bool,
    claim: &Claim,
    now: StoreMillis,
) -> (Answer<R>, Write<R>) {
    if tombstone {
        return (Answer::Abandoned, Write::Keep);
    }
    let Some(record) = found.filter(|record| now < record.expires) else {
        return take(claim, now, first_fence(now));
    };
    if record.fingerprint.version != claim.fingerprint.version {
        return (Answer::Unknown, Write::Keep);
    }
    if record.fingerprint != claim.fingerprint {
        return (Answer::Mismatch, Write::Keep);
    }
    match &record.stage {
        Stage::Done(answer) => (Answer::Done(answer.clone()), Write::Keep),
        Stage::Claimed { lease } if now < *lease => (Answer::InFlight { remaining: lease - now }, Write::Keep),
        Stage::Claimed { .. } if claim.reexecute => {
            take(claim, now, record.fence.saturating_add(1).max(first_fence(now)))
        }
        Stage::Claimed { .. } => (Answer::Uncertain { fence: record.fence }, Write::Keep),
    }
}

/// Fences begin at the store's time, so that they go on growing after a record was forgotten.
const fn first_fence(now: StoreMillis) -> u64 {
    now
}

fn take<R>(claim: &Claim, now: StoreMillis, fence: u64) -> (Answer<R>, Write<R>) {
    let record = Record {
        owner: claim.owner,
        fence,
        fingerprint: claim.fingerprint,
        stage: Stage::Claimed { lease: now.saturating_add(claim.lease) },
        expires: now.saturating_add(claim.ttl),
    };
    (Answer::Claimed { fence }, Write::Put(record))
}

/// Decides about a completion: only the owner's counts, and also after its lease is over, as long as nobody else has claimed since.
/// Gives whether it was stored.
pub fn complete<R: Clone>(
    found: Option<&Record<R>>,
    owner: Owner,
    answer: R,
    ttl: u64,
    now: StoreMillis,
) -> (bool, Write<R>) {
    match found {
        Some(record) if record.owner == owner && matches!(record.stage, Stage::Claimed { .. }) => {
            let expires = now.saturating_add(ttl);
            (true, Write::Put(Record { stage: Stage::Done(answer), expires, ..record.clone() }))
        }
        // A completion that was sent twice.
        Some(Record { owner: stored, stage: Stage::Done(_), .. }) if *stored == owner => (true, Write::Keep),
        _ => (false, Write::Keep),
    }
}

/// Decides about giving up: the owner's claim goes, and whoever gives up leaves a tombstone, for a claim that arrives late.
pub fn abandon<R>(found: Option<&Record<R>>, owner: Owner) -> Write<R> {
    match found {
        Some(record) if record.owner == owner && matches!(record.stage, Stage::Claimed { .. }) => Write::Delete,
        _ => Write::Keep,
    }
}
