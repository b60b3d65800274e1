//! What to write next: pure functions from a set as read to a step.
//!
//! A record and its answer are in two cells, and only one cell can be changed at once. An answer must not be written over another record's, and
//! no more be kept than is counted. So whoever writes an answer cell
//! 1. makes the set say so: for an answer, it has the writer's claim and `holds` at least its size; for emptying, it has no record in that way;
//! 2. looks at the answer cell, for its version;
//! 3. reads the set again: it must still say so;
//! 4. replaces the answer cell, if it still has that version;
//! 5. replaces the set, if it is still the one of step 3.
//!
//! Whoever was between 3 and 4 when the way was given to somebody else finds another version, or is found in step 4 by the new owner, who then begins
//! anew. What was written in step 4 and not told in step 5 is counted in `holds`.

use super::set::{Place, Set};
use crate::protocol::{self, Answer, Claim, Owner, StoreMillis, Write};
use crate::store::{Failure, Name};

/// What an answer cell holds besides the answer: its owner, 16 bytes.
const OWNER: u32 = 16;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<T> {
    /// Nothing: this is the answer.
    Say(T),
    /// Write the set, if one is given; then look at this way's answer cell, and ask again.
    Look(usize, Option<Set>),
    /// Write the answer cell that was looked at, if bytes are given; then the set. This is the answer, or, where there is none, ask again.
    Write(Option<Vec<u8>>, Set, Option<T>),
}

/// A claim's answer, and where to find what it lacks.
pub(super) type Claimed = (Answer<Vec<u8>>, Option<Place>);

/// A completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion<'a> {
    pub(super) name: &'a Name,
    pub(super) owner: Owner,
    /// What to keep, and what to keep where there is no room for that.
    pub(super) answers: [&'a [u8]; 2],
    /// Milliseconds.
    pub(super) ttl: u64,
    /// Bytes that the answers of a set may take.
    pub(super) share: u64,
}

/// [`protocol::claim`]. A claim waits for no answer cell: what an expired record left there stays counted until it is replaced, or its room is needed.
pub(super) fn claim(set: Set, name: &Name, claim: &Claim, now: StoreMillis) -> Result<Step<Claimed>, Failure> {
    let found = set.find(name);
    // A claim is one call, over before its caller can give up: there are no tombstones here.
    let (answer, write) = protocol::claim(found.map(|(_, record)| record), false, claim, now);
    let Write::Put(record) = write else {
        let place = matches!(answer, Answer::Done(_)).then(|| set.place(name)).flatten();
        return Ok(Step::Say((answer, place)));
    };
    let way = found.map(|(way, _)| way).or_else(|| set.vacant(now)).ok_or(Failure::Full)?;
    let mut set = set;
    set.put(way, name, record);
    Ok(Step::Write(None, set, Some((answer, None))))
}

/// [`protocol::abandon`].
pub(super) fn abandon(set: Set, name: &Name, owner: Owner, keep: u64, now: StoreMillis) -> Step<bool> {
    let found = set.find(name);
    let (released, write) = protocol::abandon(found.map(|(_, record)| record), owner, keep, now);
    match (found.map(|(way, _)| way), write) {
        (Some(way), Write::Put(record)) => {
            let mut set = set;
            set.put(way, name, record);
            Step::Write(None, set, Some(released))
        }
        _ => Step::Say(released),
    }
}

/// [`protocol::complete`]. `looked` is the way whose answer cell was looked at before the set was read.
pub(super) fn complete(
    mut set: Set,
    looked: Option<usize>,
    completion: &Completion<'_>,
    now: StoreMillis,
) -> Result<Step<bool>, Failure> {
    let found = set.find(completion.name);
    let way = found.map(|(way, _)| way);
    let chosen = way.and_then(|way| choose(&set, way, completion, now));
    let length = chosen.map_or(0, |(_, length)| length).to_le_bytes().to_vec();
    let (stored, write) =
        protocol::complete(found.map(|(_, record)| record), completion.owner, length, completion.ttl, now);
    let (Some(way), Write::Put(record)) = (way, write) else { return Ok(Step::Say(stored)) };
    let (answer, length) = chosen.ok_or(Failure::Full)?;
    let size = length.saturating_add(OWNER);
    let (living, stale) = set.held(way, now);
    if living + stale + u64::from(size) > completion.share {
        return set.stale(way, now).map(|stale| empty(set, looked, stale)).ok_or(Failure::Full);
    }
    if set.holds(way) < size {
        set.set_holds(way, size);
        return Ok(Step::Look(way, Some(set)));
    }
    if looked != Some(way) {
        return Ok(Step::Look(way, None));
    }
    set.put(way, completion.name, record);
    set.set_holds(way, size);
    Ok(Step::Write(Some(with_owner(completion.owner, answer)), set, Some(stored)))
}

/// The first answer for which there is room, once what nobody needs is emptied; with its length.
fn choose<'a>(set: &Set, way: usize, completion: &Completion<'a>, now: StoreMillis) -> Option<(&'a [u8], u32)> {
    let (living, _) = set.held(way, now);
    completion.answers.into_iter().find_map(|answer| {
        let length = u32::try_from(answer.len()).ok()?;
        let size = length.checked_add(OWNER)?;
        (living + u64::from(size) <= completion.share).then_some((answer, length))
    })
}

/// Empties the answer cell of a way whose record, if there is one, has expired.
fn empty(mut set: Set, looked: Option<usize>, way: usize) -> Step<bool> {
    if set.has_entry(way) {
        set.remove(way);
        return Step::Look(way, Some(set));
    }
    if looked != Some(way) {
        return Step::Look(way, None);
    }
    set.set_holds(way, 0);
    Step::Write(Some(Vec::new()), set, None)
}

fn with_owner(owner: Owner, answer: &[u8]) -> Vec<u8> {
    owner.0.to_le_bytes().iter().chain(answer).copied().collect()
}

/// The answer in an answer cell; `None` where it is not the one that is looked for.
pub(super) fn answer_of(place: Place, cell: &[u8]) -> Option<&[u8]> {
    let (owner, answer) = cell.split_first_chunk()?;
    let same = u128::from_le_bytes(*owner) == place.owner.0 && answer.len() == place.length as usize;
    same.then_some(answer)
}
