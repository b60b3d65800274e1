//! What an operator does about a record: looks at it, and settles a run of which nobody else knows the end.
//!
//! A record that was settled has a field more, `s`: when, and a word about it, for whoever looks. No claim and no completion reads it, and the next claim
//! of a released record drops it.

use super::{Call, Script, natural, number, token};
use crate::protocol::{Owner, Settled, StoreMillis};
use crate::store::resp::Reply;
use crate::store::{Failure, Name, Names};

const LOOK: Script = Script {
    text: concat!(include_str!("find.lua"), include_str!("look.lua")),
    sha1: "7fb9f998d80cd556b615229ad47ef77da003edd0",
};

const SETTLE: Script = Script {
    text: concat!(include_str!("find.lua"), include_str!("settle.lua")),
    sha1: "326a4539cfb54885e2b351315318c26789cb7cd0",
};

/// Both scripts, for who wants to load or check them.
pub const SCRIPTS: [Script; 2] = [LOOK, SETTLE];

/// What is there under a key's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// By the store's clock.
    pub now: StoreMillis,
    /// What was found.
    pub found: Found,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or what is over.
    Gone,
    /// Something that isn't a record of this form.
    Foreign,
    /// A record.
    Record(Box<Seen>),
}

/// A record, without its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The name that it is under.
    pub name: Name,
    /// Who claimed it last.
    pub owner: Owner,
    /// The number of that run.
    pub fence: u64,
    /// When the store forgets it.
    pub expires: StoreMillis,
    /// How far it came.
    pub stage: Stage,
    /// When it was settled, and the word about it.
    pub note: Option<(StoreMillis, String)>,
}

/// How far a claim came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was begun.
    Claimed {
        /// The end of the lease.
        lease: StoreMillis,
    },
    /// The key is free.
    Released,
    /// An answer is stored.
    Done {
        /// Its bytes, sealed.
        length: usize,
    },
}

impl Call {
    /// Looks for a record under any of its names; [`look`] reads the reply.
    pub fn look(names: &Names) -> Self {
        Self::new(LOOK, names, vec![Vec::new()])
    }

    /// [`crate::protocol::settle`]: the run of `owner` is settled, if it is uncertain, with an answer that is sealed for this name and that belongs
    /// to `new` from then on; without one it is released. `word` is kept in the clear. [`settled`] reads the reply.
    pub fn settle(name: &Name, owner: Owner, keep: u64, word: &str, answer: Option<(Owner, Vec<u8>)>) -> Self {
        let mut arguments = vec![token(owner), number(keep.max(1)), word.as_bytes().to_vec()];
        if let Some((new, answer)) = answer {
            arguments.extend([token(new), answer]);
        }
        Self::new(SETTLE, &Names::from(name.clone()), arguments)
    }
}

/// What is there.
pub fn look(reply: &Reply<'_>) -> Result<Look, Failure> {
    let Reply::Array(parts) = reply else { return Err(super::failure(reply)) };
    let (now, found) = match parts.as_slice() {
        [Reply::Bulk(now), Reply::Bulk(b"gone")] => (now, Found::Gone),
        [Reply::Bulk(now), Reply::Bulk(b"foreign")] => (now, Found::Foreign),
        [Reply::Bulk(now), parts @ ..] => (now, Found::Record(Box::new(seen(parts).ok_or(Failure::Unexpected)?))),
        _ => return Err(Failure::Unexpected),
    };
    Ok(Look { now: natural(now)?, found })
}

/// What became of it, and when.
pub fn settled(reply: &Reply<'_>) -> Result<Settled, Failure> {
    let Reply::Array(parts) = reply else { return Err(super::failure(reply)) };
    match parts.as_slice() {
        [Reply::Bulk(b"settled"), Reply::Bulk(now)] => Ok(Settled::Yes { now: natural(now)? }),
        [Reply::Bulk(b"running"), Reply::Bulk(ms)] => Ok(Settled::Running { remaining: natural(ms)? }),
        [Reply::Bulk(b"moved")] => Ok(Settled::MovedOn),
        _ => Err(Failure::Unexpected),
    }
}

/// `None` where the reply is another one.
fn seen(parts: &[Reply<'_>]) -> Option<Seen> {
    let texts: Vec<&str> = parts.iter().map(text).collect::<Option<_>>()?;
    let [stage, name, owner, fence, expires, lease, length, note] = *texts.as_slice() else { return None };
    let number = |text: &str| natural(text.as_bytes()).ok();
    let stage = match stage {
        "claimed" => Stage::Claimed { lease: number(lease)? },
        "released" => Stage::Released,
        "done" => Stage::Done { length: usize::try_from(number(length)?).ok()? },
        _ => return None,
    };
    let note = note.split_once(' ').and_then(|(at, word)| Some((number(at)?, word.to_owned())));
    let owner = Owner(u128::from_str_radix(owner, 16).ok()?);
    Some(Seen { name: Name::new(name)?, owner, fence: number(fence)?, expires: number(expires)?, stage, note })
}

fn text<'a>(reply: &Reply<'a>) -> Option<&'a str> {
    let Reply::Bulk(bytes) = reply else { return None };
    core::str::from_utf8(bytes).ok()
}
