//! The protocol, as pure functions over one record: no clock, no store, no host.
//!
//! ```text
//!                      claim                        complete (owner)
//!   (absent) -----------------------> CLAIMED ---------------------------> DONE
//!      ^                               ^ |  |                               ^
//!      | the tombstone's          claim| |  | the lease is over             | complete (owner)
//!      | time is over                  | |  v                               |
//!      +-------------------- RELEASED -+ | UNCERTAIN -----------------------+
//!                                ^       |  | |
//!                                |       |  | +--> CLAIMED: a claim, where on_uncertain says re-execute
//!                                +-------+--+  abandon (owner), which leaves a tombstone as well
//! ```
//!
//! Each arrow into `CLAIMED` brings a new owner and a higher fence. `RELEASED` is there for the fence's sake: a claim that is released and
//! the next one may fall into the same millisecond, and a service must be able to tell them apart.
//!
//! `UNCERTAIN` is no stored state: it is what a claimed record is called when its lease is over, by the store's own clock. A store runs
//! [`claim`], [`complete`] and [`abandon`] in one atomic step each: memory by compare-and-set, Redis in a script that says the same
//! in Lua, memcached by `add` and `cas`. An operator who has looked at the service's books ends an uncertain run by [`settle`], and no other: it leads
//! to `DONE` or `RELEASED` as well. A claim whose caller has given up may still arrive; it finds the caller's tombstone
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
    /// What the first request was; [`Fingerprint::NONE`] where it was released.
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
    /// Its owner gave up, and nothing ran: the next claim takes the key, whatever it is for.
    Released,
    /// The service answered.
    Done(R),
}

/// A wish to run a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who wishes it.
    pub owner: Owner,
    /// What the request is, under the first secret: this is written.
    pub fingerprint: Fingerprint,
    /// The digests of the same request under the other secrets: a record that holds one of them was written by a node that lists it first.
    pub others: Vec<[u8; 32]>,
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

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is so.
    Yes {
        /// When.
        now: StoreMillis,
    },
    /// The run may still be under way: nothing was done.
    Running {
        /// Milliseconds until the lease is over.
        remaining: u64,
    },
    /// The run isn't the record's last one any more, or has ended: nothing was done.
    MovedOn,
}

/// What becomes of the stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write<R> {
    /// It stays.
    Keep,
    /// This takes its place.
    Put(Record<R>),
}

// === impl Fingerprint ===

impl Fingerprint {
    /// Of nothing.
    pub const NONE: Self = Self { version: 0, digest: [0; 32] };
}

// === impl Record ===

impl<R> Record<R> {
    /// What is left of a claim that was given up.
    pub const fn released(owner: Owner, fence: u64, expires: StoreMillis) -> Self {
        Self { owner, fence, fingerprint: Fingerprint::NONE, stage: Stage::Released, expires }
    }

    /// Whether `owner` may still end it.
    fn is_claim_of(&self, owner: Owner) -> bool {
        self.owner == owner && matches!(self.stage, Stage::Claimed { .. })
    }
}

// === impl Claim ===

impl Claim {
    /// Whether that digest is of this request, under any of the secrets.
    fn is_of(&self, digest: &[u8; 32]) -> bool {
        self.fingerprint.digest == *digest || self.others.contains(digest)
    }
}

/// Decides about a claim. `found` is the record under any of the key's names, `tombstone` whether this owner gave up before.
pub fn claim<R: Clone>(
    found: Option<&Record<R>>,
    tombstone: bool,
    claim: &Claim,
    now: StoreMillis,
) -> (Answer<R>, Write<R>) {
    if tombstone {
        return (Answer::Abandoned, Write::Keep);
    }
    let Some(record) = live(found, now) else { return take(claim, now, 0) };
    let of = &record.fingerprint;
    match &record.stage {
        Stage::Released => take(claim, now, record.fence),
        _ if of.version != claim.fingerprint.version => (Answer::Unknown, Write::Keep),
        _ if !claim.is_of(&of.digest) => (Answer::Mismatch, Write::Keep),
        Stage::Done(answer) => (Answer::Done(answer.clone()), Write::Keep),
        Stage::Claimed { lease } if now < *lease => (Answer::InFlight { remaining: lease - now }, Write::Keep),
        Stage::Claimed { .. } if claim.reexecute => take(claim, now, record.fence),
        Stage::Claimed { .. } => (Answer::Uncertain { fence: record.fence }, Write::Keep),
    }
}

/// A store may give a record a moment longer than it lives.
fn live<R>(found: Option<&Record<R>>, now: StoreMillis) -> Option<&Record<R>> {
    found.filter(|record| now < record.expires)
}

/// With a fence above the `last` one. Fences begin at the store's time, so that they go on growing after a record was forgotten.
fn take<R>(claim: &Claim, now: StoreMillis, last: u64) -> (Answer<R>, Write<R>) {
    let fence = last.saturating_add(1).max(now);
    let record = Record {
        owner: claim.owner,
        fence,
        fingerprint: claim.fingerprint,
        stage: Stage::Claimed { lease: now.saturating_add(claim.lease) },
        expires: now.saturating_add(claim.ttl),
    };
    (Answer::Claimed { fence }, Write::Put(record))
}

/// Decides about a completion: only the owner's counts, and also after its lease is over, as long as nobody else has claimed since and
/// the record isn't forgotten. Gives whether it was stored. What is put stays under the name where it was found, which goes with its digest.
pub fn complete<R: Clone>(
    found: Option<&Record<R>>,
    owner: Owner,
    answer: R,
    ttl: u64,
    now: StoreMillis,
) -> (bool, Write<R>) {
    match live(found, now) {
        Some(record) if record.is_claim_of(owner) => {
            let expires = now.saturating_add(ttl);
            (true, Write::Put(Record { stage: Stage::Done(answer), expires, ..record.clone() }))
        }
        // A completion that was sent twice.
        Some(Record { owner: stored, stage: Stage::Done(_), .. }) if *stored == owner => (true, Write::Keep),
        _ => (false, Write::Keep),
    }
}

/// Decides about giving up: of the owner's claim only the fence is kept, for `keep` milliseconds. Whoever gives up leaves a tombstone
/// for as long, for a claim that arrives late. Gives whether there was a claim to release.
pub fn abandon<R>(found: Option<&Record<R>>, owner: Owner, keep: u64, now: StoreMillis) -> (bool, Write<R>) {
    match live(found, now) {
        Some(record) if record.is_claim_of(owner) => {
            (true, Write::Put(Record::released(owner, record.fence, now.saturating_add(keep))))
        }
        _ => (false, Write::Keep),
    }
}

/// Decides about settling, from outside, what became of a run: with an answer, which from then on is `new`'s, so that a completion by `owner` that comes
/// late is told that it is too late; without one it is released. Only an uncertain run is settled, and only the one that somebody looked at.
pub fn settle<R: Clone>(
    found: Option<&Record<R>>,
    owner: Owner,
    answer: Option<(Owner, R)>,
    keep: u64,
    now: StoreMillis,
) -> (Settled, Write<R>) {
    let Some(record) = live(found, now).filter(|record| record.owner == owner) else {
        return (Settled::MovedOn, Write::Keep);
    };
    let Stage::Claimed { lease } = record.stage else { return (Settled::MovedOn, Write::Keep) };
    if now < lease {
        return (Settled::Running { remaining: lease - now }, Write::Keep);
    }
    let until = now.saturating_add(keep);
    let settled = match answer {
        Some((new, answer)) => {
            let expires = record.expires.max(until);
            Record { owner: new, stage: Stage::Done(answer), expires, ..record.clone() }
        }
        None => Record::released(owner, record.fence, until),
    };
    (Settled::Yes { now }, Write::Put(settled))
}
