//! An operator settles a run in a real Redis: only the one that was looked at, only when its lease is over, and what is left is what the protocol says.
#![allow(clippy::disallowed_methods, reason = "real stores live in real time")]

mod store;

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use idempotency::protocol::{self, Answer, Claim, Owner, Settled, Write};
use idempotency::store::redis::Call;
use idempotency::store::redis::settle::{Found, Look, SCRIPTS, Seen, Stage, look, settled};
use idempotency::store::{Failure, Names};
use integration::TestResult;
use integration::store::Redis;
use store::redis::text;
use store::{LONG, Op, Said, claim, completion, name, redis};

const LEASE: u64 = 30;
const PAID: &[u8] = b"paid, says the bank";

fn send<T>(
    store: &Redis,
    call: &Call,
    read: impl Fn(&idempotency::store::resp::Reply<'_>) -> Result<T, Failure>,
) -> TestResult<T> {
    redis::reply(store, call, true, read)?.map_err(|failure| anyhow!("{failure:?}"))
}

fn see(store: &Redis, names: &Names) -> TestResult<Look> {
    send(store, &Call::look(names), look)
}

fn record(store: &Redis, names: &Names) -> TestResult<Seen> {
    match see(store, names)?.found {
        Found::Record(seen) => Ok(*seen),
        other => bail!("{other:?}"),
    }
}

fn settle(store: &Redis, names: &Names, owner: u128, answer: Option<u128>) -> TestResult<Settled> {
    let answer = answer.map(|new| (Owner(new), PAID.to_vec()));
    send(store, &Call::settle(&names.first, Owner(owner), LONG, "done by hand", answer), settled)
}

fn again(owner: u128) -> Op {
    Op::Claim(Claim { reexecute: true, ..claim(owner, LEASE) })
}

#[test]
fn a_run_is_settled_when_its_lease_is_over_and_only_once() -> TestResult {
    let store = Redis::start()?;
    let names = Names::from(name("k")?);
    assert_eq!(see(&store, &names)?.found, Found::Gone);
    assert_eq!(settle(&store, &names, 1, Some(9))?, Settled::MovedOn);
    let Said::Claim(Answer::Claimed { fence }) = redis::ask(&store, &names, &Op::Claim(claim(1, LEASE)))? else {
        bail!("not claimed")
    };
    let seen = record(&store, &names)?;
    assert_eq!((seen.owner, seen.fence, seen.note), (Owner(1), fence, None));
    assert!(matches!(settle(&store, &names, 1, Some(9))?, Settled::Running { remaining: 1..=LEASE }));
    sleep(Duration::from_millis(LEASE + 1));
    assert_eq!(settle(&store, &names, 2, Some(9))?, Settled::MovedOn, "another one's run");
    let Settled::Yes { now } = settle(&store, &names, 1, Some(9))? else { bail!("not settled") };
    let done = record(&store, &names)?;
    assert_eq!((done.owner, done.fence, done.stage), (Owner(9), fence, Stage::Done { length: PAID.len() }));
    assert_eq!(done.note, Some((now, "done by hand".to_owned())));
    assert_eq!(settle(&store, &names, 9, None)?, Settled::MovedOn, "what is done stays");

    // Its client is told, and its service is too late.
    let Said::Claim(answer) = redis::ask(&store, &names, &again(3))? else { bail!("no claim") };
    assert_eq!(answer, Answer::Done(PAID.to_vec()));
    assert_eq!(redis::ask(&store, &names, &completion(1, b"late"))?, Said::Complete(false));
    Ok(())
}

#[test]
fn a_released_run_leaves_its_fence_and_a_tombstone() -> TestResult {
    let store = Redis::start()?;
    let names = Names::from(name("k")?);
    redis::ask(&store, &names, &Op::Claim(claim(1, LEASE)))?;
    sleep(Duration::from_millis(LEASE + 1));
    let before = record(&store, &names)?;
    assert!(matches!(settle(&store, &names, 1, None)?, Settled::Yes { .. }));
    let seen = record(&store, &names)?;
    assert_eq!((seen.stage, seen.fence), (Stage::Released, before.fence));
    assert_eq!(redis::ask(&store, &names, &completion(1, b"late"))?, Said::Complete(false));
    assert_eq!(redis::ask(&store, &names, &Op::Claim(claim(1, LEASE)))?, Said::Claim(Answer::Abandoned));
    let Said::Claim(Answer::Claimed { fence }) = redis::ask(&store, &names, &Op::Claim(claim(2, LEASE)))? else {
        bail!("not free")
    };
    assert!(fence > before.fence);
    assert_eq!(record(&store, &names)?.note, None, "another run, and nobody said anything about it");
    Ok(())
}

#[test]
fn whoever_runs_it_again_in_between_is_left_alone() -> TestResult {
    let store = Redis::start()?;
    // While secrets change the record moves to the name under the new one, or is still under the old one.
    let both = Names { first: name("{1a}new")?, others: vec![name("{1a}old")?] };
    let old = Names::from(name("{1a}old")?);
    redis::ask(&store, &old, &Op::Claim(claim(1, LEASE)))?;
    sleep(Duration::from_millis(LEASE + 1));
    let seen = record(&store, &both)?;
    assert_eq!((&seen.name, seen.owner), (&old.first, Owner(1)));
    redis::ask(&store, &both, &again(2))?;
    sleep(Duration::from_millis(LEASE + 1));
    assert_eq!(settle(&store, &Names::from(seen.name), 1, Some(9))?, Settled::MovedOn);
    assert_eq!(settle(&store, &both, 1, Some(9))?, Settled::MovedOn);
    let now = record(&store, &both)?;
    assert_eq!((&now.name, now.owner), (&both.first, Owner(2)));
    assert!(matches!(settle(&store, &both, 2, Some(9))?, Settled::Yes { .. }));
    Ok(())
}

/// What the script leaves is what `protocol.rs` puts, field by field.
#[test]
fn the_script_says_what_the_protocol_says() -> TestResult {
    let store = Redis::start()?;
    for (key, answer) in [("a", Some((Owner(9), PAID.to_vec()))), ("b", None)] {
        let names = Names::from(name(key)?);
        redis::ask(&store, &names, &Op::Claim(claim(1, LEASE)))?;
        sleep(Duration::from_millis(LEASE + 1));
        let seen = record(&store, &names)?;
        let Stage::Claimed { lease } = seen.stage else { bail!("{seen:?}") };
        let fingerprint = claim(1, LEASE).fingerprint;
        let before = protocol::Record {
            owner: Owner(1),
            fence: seen.fence,
            fingerprint,
            stage: protocol::Stage::Claimed { lease },
            expires: seen.expires,
        };
        let call = Call::settle(&names.first, Owner(1), LONG, "w", answer.clone());
        let Settled::Yes { now } = send(&store, &call, settled)? else { bail!("not settled") };
        let (Settled::Yes { .. }, Write::Put(after)) = protocol::settle(Some(&before), Owner(1), answer, LONG, now)
        else {
            bail!("the protocol doesn't settle it")
        };
        assert_eq!(redis::stored(&store, key)?, Some(after), "{key}");
    }
    Ok(())
}

/// What it frees is what is needed.
#[test]
fn a_full_redis_takes_a_settlement() -> TestResult {
    let store = Redis::start()?;
    for (key, answer) in [("a", Some(9)), ("b", None)] {
        let names = Names::from(name(key)?);
        text(&store, &["CONFIG", "SET", "maxmemory", "0"])?;
        redis::ask(&store, &names, &Op::Claim(claim(1, LEASE)))?;
        sleep(Duration::from_millis(LEASE + 1));
        text(&store, &["CONFIG", "SET", "maxmemory", "1"])?;
        assert!(matches!(settle(&store, &names, 1, answer)?, Settled::Yes { .. }), "{key}");
    }
    Ok(())
}

/// The commands that `redis.rs` names, and no others.
#[test]
fn the_commands_that_are_listed_are_all_that_an_acl_must_allow() -> TestResult {
    use idempotency::store::redis::{Entry, indexed, pieces};
    const LISTED: &str = include_str!("../../plugins/idempotency/src/store/redis.rs");
    let store = Redis::start()?;
    let words = |before: &str| {
        let (_, rest) = LISTED.split_once(before).with_context(|| format!("no {before:?}"))?;
        let (_, rest) = rest.split_once('`').context("no list")?;
        Ok::<_, anyhow::Error>(rest.split_once('`').context("no end")?.0.split(' ').map(|word| format!("+{word}")))
    };
    let mut rules: Vec<String> = ["ACL", "SETUSER", "default", "-@all"].map(str::to_owned).to_vec();
    for list in ["//! allow", "for the index", "as well, and", "settles them needs"] {
        rules.extend(words(list)?);
    }
    text(&store, &rules.iter().map(String::as_str).collect::<Vec<_>>())?;

    let (names, other) = (Names::from(name("k")?), Names::from(name("l")?));
    for names in [&names, &other] {
        redis::ask(&store, names, &Op::Claim(claim(1, LEASE)))?;
    }
    let entry = Entry { names: &names, fence: 7, route: "pay", tenant: "" };
    assert!(send(&store, &Call::index("", &entry, 1, LONG), indexed)?);
    assert!(send(&store, &Call::index("", &Entry { names: &other, ..entry }, 1, LONG), indexed)?);
    assert!(send(&store, &Call::unindex("", &other), indexed)?);
    assert!(send(&store, &Call::keeps(), indexed)?);
    sleep(Duration::from_millis(LEASE + 1));
    assert!(matches!(settle(&store, &names, 1, Some(9))?, Settled::Yes { .. }));
    assert!(matches!(record(&store, &names)?.stage, Stage::Done { .. }));
    assert_eq!(send(&store, &Call::read(&names, Owner(9), 0), |reply| pieces::piece(reply).map(<[u8]>::to_vec))?, PAID);
    assert_eq!(redis::ask(&store, &other, &Op::Abandon { owner: Owner(1), keep: LONG })?, Said::Abandon(true));
    redis::ask(&store, &other, &Op::Claim(claim(2, LEASE)))?;
    assert_eq!(redis::ask(&store, &other, &completion(2, b"paid"))?, Said::Complete(true));
    assert!(text(&store, &["HLEN", "k"]).is_ok() && text(&store, &["GET", "k"]).is_err());
    Ok(())
}

#[test]
fn what_is_no_record_is_not_touched() -> TestResult {
    let store = Redis::start()?;
    text(&store, &["SET", "k", "somebody else's"])?;
    text(&store, &["HSET", "h", "r", "2", "o", "1", "l", "1"])?;
    for key in ["k", "h"] {
        let names = Names::from(name(key)?);
        assert_eq!(see(&store, &names)?.found, Found::Foreign);
        assert_eq!(settle(&store, &names, 1, None)?, Settled::MovedOn);
    }
    for script in SCRIPTS {
        assert_eq!(text(&store, &["SCRIPT", "LOAD", script.text])?, script.sha1);
    }
    Ok(())
}
