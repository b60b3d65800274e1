//! A key in a real Redis, compared with the model after each step: what was said, and what is stored.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, bail, ensure};
use idempotency::protocol::{Fingerprint, Owner, Record, Stage};
use idempotency::store::redis::{Call, claimed, completed, released};
use idempotency::store::resp::{self, Reply};
use idempotency::store::{Failure, Name, Names, webdis};
use integration::TestResult;
use integration::store::{Redis, Webdis};

use super::{Model, Op, Said};

/// What is stored: under which name, and what.
type Stored = Vec<(String, Record<Vec<u8>>)>;

/// A step, and how it went.
pub(crate) struct Seen {
    pub(crate) said: Said,
    stored: Stored,
    /// Until when, by Redis' clock.
    tombstones: BTreeMap<Owner, u64>,
    /// By Redis' clock: before the script, after it, after the record was read.
    times: [u64; 3],
}

/// How a call gets to Redis, and its reply back.
pub(crate) trait Wire {
    /// The bytes of the one reply.
    fn send(&self, call: &Call, in_full: bool) -> TestResult<Result<Vec<u8>, Failure>>;
}

impl Wire for Redis {
    /// A call of its own: Redis may cut a pipeline's replies after 64 KiB when it sees the half-close.
    fn send(&self, call: &Call, in_full: bool) -> TestResult<Result<Vec<u8>, Failure>> {
        let mut bytes = Vec::new();
        let write = if in_full { Call::in_full } else { Call::by_digest };
        write(call, &mut bytes);
        self.call(&bytes).map(Ok)
    }
}

impl Wire for Webdis {
    fn send(&self, call: &Call, in_full: bool) -> TestResult<Result<Vec<u8>, Failure>> {
        let mark = 7;
        let response =
            integration::Call::post(self.port(), &webdis::path(mark), &webdis::body(call, in_full)).send()?;
        if response.status != 200 {
            return Ok(Err(Failure::Refused(format!("status {}", response.status))));
        }
        let shown = response.header(webdis::MARKED).context("no mark")?;
        ensure!(webdis::is_marked(shown.as_bytes(), mark), "another mark: {shown}");
        Ok(Ok(response.body))
    }
}

/// The script that does it.
pub(crate) fn call(names: &Names, op: &Op) -> Call {
    match op {
        Op::Claim(claim) => Call::claim(names, claim),
        Op::Complete { owner, answer, ttl } => Call::complete(names, *owner, answer.clone(), *ttl),
        Op::Abandon { owner, keep } => Call::abandon(names, *owner, *keep),
    }
}

/// Does one thing as the plugin will: by the script's digest, and in full if Redis doesn't know it.
pub(crate) fn ask(wire: &dyn Wire, names: &Names, op: &Op) -> TestResult<Said> {
    let said = match once(wire, names, op, false)? {
        Err(Failure::UnknownScript) => once(wire, names, op, true)?,
        said => said,
    };
    said.map_err(|failure| anyhow!("{op:?}: {failure:?}"))
}

/// The same, one way only.
pub(crate) fn once(wire: &dyn Wire, names: &Names, op: &Op, in_full: bool) -> TestResult<Result<Said, Failure>> {
    reply(wire, &call(names, op), in_full, |reply| match op {
        Op::Claim(_) => claimed(reply).map(Said::Claim),
        Op::Complete { .. } => completed(reply).map(Said::Complete),
        Op::Abandon { .. } => released(reply).map(Said::Abandon),
    })
}

/// Any call, and what its reply says.
pub(crate) fn reply<T>(
    wire: &dyn Wire,
    call: &Call,
    in_full: bool,
    read: impl Fn(&Reply<'_>) -> Result<T, Failure>,
) -> TestResult<Result<T, Failure>> {
    let body = wire.send(call, in_full)?;
    Ok(body.and_then(|body| resp::replies(&body, 1).remove(0).and_then(|reply| read(&reply))))
}

/// The same, and looks at the clock and at what is stored.
pub(crate) fn watch(redis: &Redis, wire: &dyn Wire, names: &Names, op: &Op) -> TestResult<Seen> {
    let before = now(redis)?;
    let said = ask(wire, names, op)?;
    let after = now(redis)?;
    let (mut stored, mut tombstones) = (Stored::new(), BTreeMap::new());
    for name in names.iter().map(Name::as_str) {
        let body = redis.call(&command(&["HGETALL", name]))?;
        let reply = resp::replies(&body, 1).remove(0).map_err(|failure| anyhow!("{failure:?}"))?;
        let mut fields = fields(&reply)?;
        tombstones.extend(take_tombstones(&mut fields)?);
        stored.extend(record(fields)?.map(|record| (name.to_owned(), record)));
    }
    Ok(Seen { said, stored, tombstones, times: [before, after, now(redis)?] })
}

/// The model after this step, and when that was: there must be a millisecond between the two readings of the clock at which the protocol
/// says and stores the same.
pub(crate) fn compare(
    model: &Model,
    names: &Names,
    before: &str,
    op: &Op,
    seen: &Seen,
) -> TestResult<(Model, String, u64)> {
    let mut expected = Vec::new();
    for now in seen.times[0]..=seen.times[1] {
        let tombstone = model.tombstone(op).is_some_and(|until| now < until);
        let (said, next) = model.after(op, now, tombstone);
        // Only a claim moves a record: its name and its digest go together.
        let moved = matches!(op, Op::Claim(_)) && next.record != model.record;
        let at = if moved { names.first.as_str() } else { before }.to_owned();
        if said == seen.said && is_stored(&next, &at, seen) && is_buried(&next, op, seen) {
            return Ok((next, at, now));
        }
        expected.push((now, said, next.record, at));
    }
    bail!("{op:?} said {:?} and left {:?}; the protocol: {expected:#?}", seen.said, seen.stored)
}

/// Tombstones need a record to be in: one that is over, or a released one that was never granted.
fn is_stored(model: &Model, at: &str, seen: &Seen) -> bool {
    let is_over = |record: &Record<Vec<u8>>| record.expires <= seen.times[2];
    let is_nothing = |record: &Record<Vec<u8>>| is_over(record) || record.stage == Stage::Released && record.fence == 0;
    match (&model.record, seen.stored.as_slice()) {
        (None, stored) => stored.iter().all(|(_, record)| is_nothing(record)),
        (Some(record), [(name, stored)]) if record == stored => at == name,
        (Some(record), stored) => is_over(record) && stored.iter().all(|(_, record)| is_nothing(record)),
    }
}

/// The owner that gives up has a tombstone for as long as the protocol says, if that is not over. It tells at which millisecond this was
/// where nothing else does: a later claim goes by it.
fn is_buried(model: &Model, op: &Op, seen: &Seen) -> bool {
    let Op::Abandon { owner, .. } = op else { return true };
    let (until, stored) = (model.tombstones.get(owner), seen.tombstones.get(owner));
    until == stored || stored.is_none() && until.is_some_and(|until| *until <= seen.times[2])
}

fn command(parts: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    resp::command(&mut out, parts.iter().map(|part| part.as_bytes()));
    out
}

/// One command and its only reply, as text.
pub(crate) fn text(redis: &Redis, parts: &[&str]) -> TestResult<String> {
    let body = redis.call(&command(parts))?;
    match resp::replies(&body, 1).remove(0) {
        Ok(Reply::Bulk(text) | Reply::Simple(text)) => Ok(String::from_utf8_lossy(text).into_owned()),
        Ok(Reply::Integer(number)) => Ok(number.to_string()),
        other => bail!("{parts:?}: {other:?}"),
    }
}

/// Redis' clock, in milliseconds.
fn now(redis: &Redis) -> TestResult<u64> {
    let body = redis.call(&command(&["TIME"]))?;
    let Ok(Reply::Array(parts)) = resp::replies(&body, 1).remove(0) else { bail!("no time") };
    let number = |part: &Reply<'_>| Ok::<u64, anyhow::Error>(bulk(part)?.parse()?);
    Ok(number(&parts[0])? * 1000 + number(&parts[1])? / 1000)
}

fn bulk(reply: &Reply<'_>) -> TestResult<String> {
    let Reply::Bulk(bytes) = reply else { bail!("{reply:?}") };
    Ok(String::from_utf8(bytes.to_vec())?)
}

/// A hash, read apart from the scripts.
fn fields(reply: &Reply<'_>) -> TestResult<BTreeMap<String, Vec<u8>>> {
    let Reply::Array(parts) = reply else { bail!("{reply:?}") };
    let pair = |pair: &[Reply<'_>]| {
        let Reply::Bulk(value) = pair[1] else { bail!("{pair:?}") };
        Ok((bulk(&pair[0])?, value.to_vec()))
    };
    parts.chunks(2).map(pair).collect()
}

/// Those in a hash, out of it.
fn take_tombstones(fields: &mut BTreeMap<String, Vec<u8>>) -> TestResult<BTreeMap<Owner, u64>> {
    let (tombstones, rest) = std::mem::take(fields).into_iter().partition(|(field, _)| field.starts_with("t:"));
    *fields = rest;
    let read = |(field, until): (String, Vec<u8>)| {
        Ok((Owner(u128::from_str_radix(&field[2..], 16)?), String::from_utf8(until)?.parse()?))
    };
    BTreeMap::into_iter(tombstones).map(read).collect()
}

/// One record as it is stored, apart from its tombstones and an operator's note.
pub(crate) fn stored(redis: &Redis, name: &str) -> TestResult<Option<Record<Vec<u8>>>> {
    let body = redis.call(&command(&["HGETALL", name]))?;
    let reply = resp::replies(&body, 1).remove(0).map_err(|failure| anyhow!("{failure:?}"))?;
    let mut fields = fields(&reply)?;
    take_tombstones(&mut fields)?;
    fields.remove("s");
    record(fields)
}

/// What is left as a record.
fn record(mut fields: BTreeMap<String, Vec<u8>>) -> TestResult<Option<Record<Vec<u8>>>> {
    if fields.is_empty() {
        return Ok(None);
    }
    let mut take = |name: &str| fields.remove(name).with_context(|| format!("no {name}"));
    ensure!(take("r")? == b"1", "another form");
    let owner = Owner(u128::from_str_radix(&String::from_utf8(take("o")?)?, 16)?);
    let fence = String::from_utf8(take("f")?)?.parse()?;
    let expires = String::from_utf8(take("e")?)?.parse()?;
    if take("x").is_ok() {
        ensure!(fields.is_empty(), "a released one has {:?}", fields.keys());
        return Ok(Some(Record::released(owner, fence, expires)));
    }
    let version = u64::from_str_radix(&String::from_utf8(take("v")?)?, 16)?;
    let digest = take("d")?.try_into().ok().context("a digest of another length")?;
    let stage = match take("l") {
        Ok(lease) => Stage::Claimed { lease: String::from_utf8(lease)?.parse()? },
        Err(_) => Stage::Done(take("a")?),
    };
    ensure!(fields.is_empty(), "what are {:?}", fields.keys());
    Ok(Some(Record { owner, fence, fingerprint: Fingerprint { version, digest }, stage, expires }))
}
