//! A key in a real memcached: the steps driven to their end, and what is stored.

use anyhow::{anyhow, bail};
use idempotency::protocol::{Claim, Record, Stage};
use idempotency::store::memcached::text::{self, Reply};
use idempotency::store::memcached::{Abandoning, Claiming, Completing, Step, Trip};
use idempotency::store::{Failure, Name, record};
use integration::TestResult;
use integration::store::Memcached;

use super::{Model, Op, Said};

/// Does one thing, step by step, at `now` by this node's clock.
pub(crate) fn ask(memcached: &Memcached, name: &Name, op: &Op, now: u64) -> TestResult<Said> {
    let name = name.clone();
    match op {
        Op::Claim(claim) => {
            let (trip, claiming) = begin(&name, claim, now)?;
            drive(memcached, Step::Send(trip, claiming), Claiming::next).map(Said::Claim)
        }
        Op::Complete { owner, answer, ttl } => {
            let first = start(Completing::start(name, *owner, answer.clone(), *ttl, now))?;
            drive(memcached, first, Completing::next).map(Said::Complete)
        }
        Op::Abandon { owner, keep } => {
            drive(memcached, start(Abandoning::start(name, *owner, *keep, now))?, Abandoning::next).map(Said::Abandon)
        }
    }
}

/// A claim's first trip.
pub(crate) fn begin(name: &Name, claim: &Claim, now: u64) -> TestResult<(Trip, Claiming)> {
    Claiming::start(name.clone(), claim.clone(), now).map_err(|failure| anyhow!("{failure:?}"))
}

fn start<S, A>(first: Result<(Trip, S), Failure>) -> TestResult<Step<S, A>> {
    first.map(|(trip, state)| Step::Send(trip, state)).map_err(|failure| anyhow!("{failure:?}"))
}

fn drive<S, A>(
    memcached: &Memcached,
    first: Step<S, A>,
    next: impl Fn(S, &[Result<Reply<'_>, Failure>]) -> Result<Step<S, A>, Failure>,
) -> TestResult<A> {
    let mut step = first;
    loop {
        match step {
            Step::Finished(answer) => return Ok(answer),
            Step::Send(trip, state) => {
                let body = memcached.call(&trip.bytes)?;
                let replies = text::replies(&body, trip.replies);
                step = next(state, &replies).map_err(|failure| anyhow!("{failure:?} at {replies:?}"))?;
            }
        }
    }
}

/// What the key's place holds.
pub(crate) fn record(memcached: &Memcached, name: &Name) -> TestResult<Option<Record<Vec<u8>>>> {
    let mut bytes = Vec::new();
    text::gets(&mut bytes, name.as_str());
    let body = memcached.call(&bytes)?;
    match text::replies(&body, 1).remove(0) {
        Ok(Reply::End) => Ok(None),
        Ok(Reply::Value(value)) => Ok(record::decode(value.data)),
        other => bail!("{other:?}"),
    }
}

/// Whether that is what the protocol stores. Where there is nothing, or what a claim left behind, memcached has a mark, of whom doesn't
/// matter, and for as long as the last one asked for.
pub(crate) fn is_stored(model: &Model, stored: Option<&Record<Vec<u8>>>, now: u64) -> bool {
    let is_mark = |record: &Record<Vec<u8>>| record.stage == Stage::Released;
    match (model.record.as_ref().filter(|record| now < record.expires), stored) {
        (None, stored) => stored.is_none_or(is_mark),
        (Some(record), Some(stored)) if is_mark(record) => is_mark(stored) && stored.fence == record.fence,
        (Some(record), stored) => Some(record) == stored,
    }
}
