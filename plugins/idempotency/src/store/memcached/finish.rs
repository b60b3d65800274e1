//! The end of a claim: completing it, and giving it up. Each reads what is there and changes just that, again where it changed in between.

use super::{Failure, Found, MAX_MILLIS, Replies, Step, Trip, all, seconds, set, stored};
use crate::protocol::{Owner, Record, Stage, StoreMillis, Write, abandon, complete};
use crate::store::{Name, record};

/// A completion under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completing {
    name: Name,
    owner: Owner,
    answer: Vec<u8>,
    ttl: u64,
    now: StoreMillis,
    trips: u8,
    /// The trip began with a change.
    changing: bool,
}

// === impl Completing ===

impl Completing {
    /// Roughly how many bytes it holds.
    pub fn size(&self) -> usize {
        self.answer.len()
    }

    /// The first step of storing what the service answered, for `ttl` milliseconds. `now` is this node's clock.
    ///
    /// # Errors
    /// [`Failure::OutOfRange`] if the ttl is longer than [`super::MAX_MILLIS`].
    pub fn start(
        name: Name,
        owner: Owner,
        answer: Vec<u8>,
        ttl: u64,
        now: StoreMillis,
    ) -> Result<(Trip, Self), Failure> {
        seconds(ttl)?;
        let trip = Trip::default().gets(name.as_str());
        Ok((trip, Self { name, owner, answer, ttl, now, trips: 1, changing: false }))
    }

    /// The next step, after the replies to the last one; at the end, whether the answer was stored.
    pub fn next(self, replies: &Replies<'_>) -> Result<Step<Self, bool>, Failure> {
        let Some(found) = outcome(replies, self.changing, &self.name)? else { return Ok(Step::Finished(true)) };
        let Some(Found { record: Some(record), unique }) = found else { return Ok(Step::Finished(false)) };
        let name = self.name.as_str();
        match complete(Some(&record.undying()), self.owner, self.answer.clone(), self.ttl, self.now) {
            (_, Write::Put(done)) if self.trips < super::MAX_TRIPS => {
                let trip = Trip::default().cas(name, seconds(self.ttl)?, &record::encode(&done), unique).gets(name);
                Ok(Step::Send(trip, Self { trips: self.trips + 1, changing: true, ..self }))
            }
            (_, Write::Put(_)) => Err(Failure::Contended),
            (stored, _) => Ok(Step::Finished(stored)),
        }
    }
}

/// Giving up, under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoning {
    name: Name,
    owner: Owner,
    /// How long the tombstone and the mark stay, in milliseconds.
    keep: u64,
    now: StoreMillis,
    trips: u8,
    /// The change that was sent releases a claim, if it is made.
    releasing: bool,
}

// === impl Abandoning ===

impl Abandoning {
    /// The first step. For `keep` milliseconds a claim of the same owner that arrives late does nothing. `now` is this node's clock.
    ///
    /// # Errors
    /// [`Failure::OutOfRange`] if that is longer than [`super::MAX_MILLIS`].
    pub fn start(name: Name, owner: Owner, keep: u64, now: StoreMillis) -> Result<(Trip, Self), Failure> {
        let mark = Record::released(owner, 0, now.saturating_add(keep));
        let trip = Trip::default().set(&name.tombstone(owner), seconds(keep)?, b"1");
        let trip = trip.add(name.as_str(), seconds(keep)?, &record::encode(&mark)).gets(name.as_str());
        Ok((trip, Self { name, owner, keep, now, trips: 1, releasing: false }))
    }

    /// The next step, after the replies to the last one; at the end, whether a claim was released.
    ///
    /// # Errors
    /// A store failure: begin again until one ends without.
    pub fn next(self, replies: &Replies<'_>) -> Result<Step<Self, bool>, Failure> {
        let rest = if self.trips == 1 { after_tombstone(replies)? } else { replies };
        let Some(found) = outcome(rest, true, &self.name)? else { return Ok(Step::Finished(self.releasing)) };
        let Some(Found { record: Some(record), unique }) = found else { return Ok(Step::Finished(false)) };
        match abandon(Some(&record.undying()), self.owner, self.keep, self.now) {
            (_, Write::Put(released)) => self.mark(&released, unique, true),
            // Changed as well: a claim of ours that is still on its way knows its number. No mark is cut short.
            (_, Write::Keep) if matches!(record.stage, Stage::Released) => {
                let expires = self.now.saturating_add(self.keep).max(record.expires);
                self.mark(&Record { expires, ..record }, unique, false)
            }
            _ => Ok(Step::Finished(false)),
        }
    }

    fn mark(self, released: &Record<Vec<u8>>, unique: u64, releasing: bool) -> Result<Step<Self, bool>, Failure> {
        if self.trips >= super::MAX_TRIPS {
            return Err(Failure::Contended);
        }
        let (name, left) = (self.name.as_str(), released.expires.saturating_sub(self.now).min(MAX_MILLIS));
        let trip = Trip::default().cas(name, seconds(left)?, &record::encode(released), unique).gets(name);
        Ok(Step::Send(trip, Self { trips: self.trips + 1, releasing, ..self }))
    }
}

/// The first reply is to the tombstone, which must be there before anything else counts.
fn after_tombstone<'r, 'a>(replies: &'r Replies<'a>) -> Result<&'r Replies<'a>, Failure> {
    let (tombstone, rest) = replies.split_first().ok_or(Failure::Missing)?;
    set(tombstone.as_ref().map_err(Clone::clone)?)?;
    Ok(rest)
}

/// `None` where the change was made, else what the key holds.
#[allow(clippy::option_option, reason = "done, or something, or nothing")]
fn outcome(replies: &Replies<'_>, changing: bool, name: &Name) -> Result<Option<Option<Found>>, Failure> {
    if !changing {
        let [found] = all(replies)?;
        return Found::read(found, name.as_str()).map(Some);
    }
    let [change, found] = all(replies)?;
    if stored(change)? { Ok(None) } else { Found::read(found, name.as_str()).map(Some) }
}
