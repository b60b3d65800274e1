//! A claim: one trip where nobody was there before, or the answer is known; one more to learn whether a lease is over, or to take over.
//!
//! ```text
//!  start -> [set lease, add record, gets tombstone, gets record] -> Claimed | Abandoned | Done | Mismatch | Unknown
//!              |                               ^
//!              | a claim of somebody else      | it changed, or is gone
//!              v                               |
//!           [gets its lease, gets record] -----+-> InFlight | Uncertain
//!              |
//!              | over, and may be run again (or released: at once)
//!              v
//!           [set lease, cas record, gets tombstone, gets record] -> as above
//! ```

use super::{Failure, Found, Replies, Step, Trip, all, lease_key, remaining, seconds, set, stored, value};
use crate::protocol::{Answer, Claim, Owner, Record, Stage, StoreMillis, Write, abandon, claim as decide};
use crate::store::{Name, record};

/// A claim under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claiming {
    name: Name,
    claim: Claim,
    now: StoreMillis,
    trips: u8,
    asked: Asked,
}

/// What the replies will be to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Our record, with this fence, and what is there now.
    Write { fence: u64 },
    /// Whether this owner's lease is over, and what is there now.
    Lease { of: Owner },
    /// To undo what came after the tombstone.
    Undo,
}

type Next = Step<Claiming, Answer<Vec<u8>>>;

// === impl Claiming ===

impl Claiming {
    /// The first step. `now` is this node's clock, for fences and estimates only.
    ///
    /// # Errors
    /// [`Failure::OutOfRange`] if the lease or the ttl is longer than [`super::MAX_MILLIS`].
    pub fn start(name: Name, claim: Claim, now: StoreMillis) -> Result<(Trip, Self), Failure> {
        match (Self { name, claim, now, trips: 0, asked: Asked::Undo }).take()? {
            Step::Send(trip, claiming) => Ok((trip, claiming)),
            Step::Finished(_) => Err(Failure::Unexpected),
        }
    }

    /// The next step, after the replies to the last one.
    ///
    /// # Errors
    /// A store failure: the claim may have been written, so the caller gives up by [`super::Abandoning`].
    pub fn next(self, replies: &Replies<'_>) -> Result<Next, Failure> {
        match self.asked {
            Asked::Write { fence } => {
                let [lease, record, tombstone, found] = all(replies)?;
                set(lease)?;
                let (written, found) = (stored(record)?, self.found(found)?);
                if value(tombstone, &self.name.tombstone(self.claim.owner))?.is_some() {
                    return self.obey(found);
                }
                if written { Ok(Step::Finished(Answer::Claimed { fence })) } else { self.consider(found) }
            }
            Asked::Lease { of } => {
                let [lease, found] = all(replies)?;
                let over = value(lease, &lease_key(&self.name, of))?.is_none();
                let found = self.found(found)?;
                match found {
                    Some(Found { record: Some(record), unique }) if record.owner == of => {
                        self.judge(&record, over, unique)
                    }
                    found => self.consider(found),
                }
            }
            Asked::Undo => {
                all::<1>(replies).and_then(|[undone]| stored(undone)).map(|_| Step::Finished(Answer::Abandoned))
            }
        }
    }

    /// The caller gave up before: our own record goes again, if it got there.
    fn obey(self, found: Option<Found>) -> Result<Next, Failure> {
        let Some(Found { record: Some(record), unique }) = found else { return Ok(Step::Finished(Answer::Abandoned)) };
        let (owner, keep) = (self.claim.owner, self.claim.ttl);
        let (true, Write::Put(released)) = abandon(Some(&record.undying()), owner, keep, self.now) else {
            return Ok(Step::Finished(Answer::Abandoned));
        };
        let mark = record::encode(&released);
        let trip = Trip::default().cas(self.name.as_str(), seconds(keep)?, &mark, unique);
        self.send(trip, Asked::Undo)
    }

    /// What is there isn't ours.
    fn consider(self, found: Option<Found>) -> Result<Next, Failure> {
        match found {
            // It went between two commands.
            None => self.take(),
            Some(Found { record: None, .. }) => Ok(Step::Finished(Answer::Unknown)),
            Some(Found { record: Some(record), unique }) => self.judge(&record, false, unique),
        }
    }

    /// The protocol decides, about a record whose deadlines are replaced by what memcached says about them.
    fn judge(self, record: &Record<Vec<u8>>, over: bool, unique: u64) -> Result<Next, Failure> {
        let of = record.owner;
        let (stage, left) = match record.stage {
            Stage::Claimed { lease } => {
                let until = if over { 0 } else { StoreMillis::MAX };
                (Stage::Claimed { lease: until }, remaining(lease, self.now, self.claim.lease))
            }
            ref ended => (ended.clone(), 0),
        };
        let judged = Record { stage, ..record.undying() };
        match decide(Some(&judged), false, &self.claim, self.now) {
            (Answer::InFlight { .. }, _) if self.asked == (Asked::Lease { of }) => {
                Ok(Step::Finished(Answer::InFlight { remaining: left }))
            }
            (Answer::InFlight { .. }, _) => {
                let trip = Trip::default().gets(&lease_key(&self.name, of)).gets(self.name.as_str());
                self.send(trip, Asked::Lease { of })
            }
            (Answer::Claimed { .. }, Write::Put(ours)) => self.write(&ours, Some(unique)),
            (answer, _) => Ok(Step::Finished(answer)),
        }
    }

    /// Puts our record where nothing is.
    fn take(self) -> Result<Next, Failure> {
        match decide(None, false, &self.claim, self.now) {
            (Answer::Claimed { .. }, Write::Put(ours)) => self.write(&ours, None),
            (answer, _) => Ok(Step::Finished(answer)),
        }
    }

    /// Puts our record there: over what has the number `unique`, or where nothing is.
    fn write(self, ours: &Record<Vec<u8>>, unique: Option<u64>) -> Result<Next, Failure> {
        let (name, owner) = (self.name.as_str(), self.claim.owner);
        let (bytes, ttl) = (record::encode(ours), seconds(self.claim.ttl)?);
        let trip = Trip::default().set(&lease_key(&self.name, owner), seconds(self.claim.lease)?, b"1");
        let trip = match unique {
            None => trip.add(name, ttl, &bytes),
            Some(unique) => trip.cas(name, ttl, &bytes, unique),
        };
        let trip = trip.gets(&self.name.tombstone(owner)).gets(name);
        self.send(trip, Asked::Write { fence: ours.fence })
    }

    fn found(&self, reply: &super::Reply<'_>) -> Result<Option<Found>, Failure> {
        Found::read(reply, self.name.as_str())
    }

    fn send(self, trip: Trip, asked: Asked) -> Result<Next, Failure> {
        if self.trips >= super::MAX_TRIPS {
            return Err(Failure::Contended);
        }
        Ok(Step::Send(trip, Self { trips: self.trips + 1, asked, ..self }))
    }
}
