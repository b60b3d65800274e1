//! Real stores say what the protocol says: after each step of several owners' play, the answer and the stored record are compared with
//! `protocol.rs`.
#![allow(clippy::disallowed_methods, reason = "real stores live in real time")]

mod store;

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use idempotency::protocol::{Answer, Claim, Fingerprint, Owner};
use idempotency::store::redis::{ABANDON, CLAIM, COMPLETE};
use idempotency::store::{Failure, Names};
use integration::TestResult;
use integration::store::{Memcached, Redis, Webdis};
use store::redis::Wire;
use store::{Coverage, Draws, LONG, Model, Op, Said, Times, claim, completion, has_swapped, memcached, name, redis};

/// Redis counts milliseconds.
const REDIS: Times = Times { lease: 50, short: 55, long: LONG };
/// Memcached counts seconds, and the current one has begun: this lasts two to three seconds.
const MEMCACHED: Times = Times { lease: 2000, short: 2000, long: LONG };
const MEMCACHED_LEAST: Duration = Duration::from_secs(2);
const MEMCACHED_MOST: Duration = Duration::from_millis(3100);

#[test]
fn redis_says_what_the_protocol_says() -> TestResult {
    let store = Redis::start()?;
    play(&store, &store, 24)
}

#[test]
fn redis_behind_webdis_says_what_the_protocol_says() -> TestResult {
    let store = Redis::start()?;
    play(&store, &Webdis::start(store.port(), 2)?, 24)
}

/// Each key has two names, and nodes before and after the swap of the secrets take turns.
fn play(store: &Redis, wire: &dyn Wire, keys: u64) -> TestResult {
    let mut coverage = Coverage::default();
    let mut players = Vec::new();
    for key in 0..keys {
        let (one, other) = (name(&format!("{{{key}}}1"))?, name(&format!("{{{key}}}2"))?);
        let before = Names { first: one.clone(), others: vec![other.clone()] };
        let after = Names { first: other, others: vec![one] };
        players.push(([before, after], String::new(), Model::default(), Draws::new(key, REDIS).rotating()));
    }
    for round in 0..60 {
        for (names, at, model, draws) in &mut players {
            let op = draws.op(model);
            // Whoever claims keeps to the names that he began with.
            let names = &names[usize::from(has_swapped(op.owner()))];
            let seen = redis::watch(store, wire, names, &op)?;
            let compared = redis::compare(model, names, at, &op, &seen);
            let (next, place, now) = compared.with_context(|| format!("round {round}, names {names:?}"))?;
            coverage.observe(model, &seen.said, now);
            (*at, *model) = (place, next);
        }
        if round % 4 == 3 {
            sleep(Duration::from_millis(60));
        }
    }
    coverage.assert(5);
    Ok(())
}

#[test]
fn memcached_says_what_the_protocol_says() -> TestResult {
    let store = Memcached::start()?;
    let mut coverage = Coverage::default();
    let mut now = 1_700_000_000_000;
    let mut keys = Vec::new();
    for key in 0..80_u64 {
        keys.push((name(&format!("k{key}"))?, Model::default(), Draws::new(key, MEMCACHED)));
    }
    for phase in 0..4 {
        let start = Instant::now();
        for _ in 0..9 {
            for (name, model, draws) in &mut keys {
                now += 1;
                let op = draws.op(model);
                let said = memcached::ask(&store, name, &op, now)?;
                let tombstone = model.tombstone(&op).is_some_and(|until| now < until);
                let (expected, next) = model.after(&op, now, tombstone);
                let stored = memcached::record(&store, name)?;
                ensure!(start.elapsed() < MEMCACHED_LEAST, "this machine is too slow for the test's leases");
                ensure!(said == expected, "phase {phase}, {op:?}: {said:?}, not {expected:?}; before: {model:?}");
                ensure!(memcached::is_stored(&next, stored.as_ref(), now), "{op:?} left {stored:?}, not {next:?}");
                coverage.observe(model, &said, now);
                *model = next;
            }
        }
        if phase < 3 {
            sleep(MEMCACHED_MOST);
            now += 2 * MEMCACHED.lease;
        }
    }
    coverage.assert(5);
    Ok(())
}

#[test]
fn a_redis_that_does_not_know_the_scripts_is_told() -> TestResult {
    let store = Redis::start()?;
    let names = Names::from(name("k")?);
    let ops = [Op::Claim(claim(1, 50)), completion(1, b"paid"), Op::Abandon { owner: Owner(2), keep: 50 }];
    for (op, script) in ops.iter().zip([CLAIM, COMPLETE, ABANDON]) {
        let unknown = redis::once(&store, &names, op, false)?;
        assert_eq!(unknown.err(), Some(Failure::UnknownScript));
        let said = redis::once(&store, &names, op, true)?;
        assert!(said.is_ok_and(|said| said != Said::Complete(false)));
        // EVAL has taught it.
        assert!(redis::once(&store, &names, op, false)?.is_ok());
        assert_eq!(redis::text(&store, &["SCRIPT", "LOAD", script.text])?, script.sha1);
    }
    Ok(())
}

/// Add the new secret everywhere, then swap, then drop the old one.
#[test]
fn a_secret_is_rotated_without_a_second_execution_or_a_false_mismatch() -> TestResult {
    let store = Redis::start()?;
    let (old, new) = ([1; 32], [2; 32]);
    let node = |texts: &[&str], digests: &[[u8; 32]]| {
        let names = Names::new(texts.iter().map(|text| (*text).to_owned())).context("names")?;
        TestResult::Ok((names, digests.to_vec()))
    };
    let one = node(&["{k}old"], &[old])?;
    let added = node(&["{k}old", "{k}new"], &[old, new])?;
    let swapped = node(&["{k}new", "{k}old"], &[new, old])?;
    let dropped = node(&["{k}new"], &[new])?;
    let say = |node: &(Names, Vec<[u8; 32]>), owner| {
        let (first, others) = node.1.split_first().context("a digest")?;
        let fingerprint = Fingerprint { version: 1, digest: *first };
        let claim = Claim { fingerprint, others: others.to_vec(), ..claim(owner, LONG) };
        redis::ask(&store, &node.0, &Op::Claim(claim))
    };
    let claimed = |said| matches!(said, Said::Claim(Answer::Claimed { .. }));
    let done = |answer: &[u8]| Said::Claim(Answer::Done(answer.to_vec()));

    // Claimed before the new secret is added, completed when it is the first: the record stays what its own secret made.
    assert!(claimed(say(&one, 1)?));
    for node in [&one, &added, &swapped] {
        assert!(matches!(say(node, 2)?, Said::Claim(Answer::InFlight { .. })));
    }
    assert_eq!(redis::ask(&store, &swapped.0, &completion(1, b"paid"))?, Said::Complete(true));
    for node in [&one, &added, &swapped] {
        assert_eq!(say(node, 3)?, done(b"paid"));
    }
    let left: u64 = redis::text(&store, &["PTTL", "{k}old"])?.parse()?;
    assert!((LONG - 5000..=LONG).contains(&left), "{left} ms");

    // The ttl is over, and a node that has swapped claims: one that hasn't finds that, and so does one that has dropped the old one.
    redis::text(&store, &["DEL", "{k}old"])?;
    assert!(claimed(say(&swapped, 4)?));
    assert_eq!(redis::ask(&store, &swapped.0, &completion(4, b"paid again"))?, Said::Complete(true));
    for node in [&added, &swapped, &dropped] {
        assert_eq!(say(node, 5)?, done(b"paid again"));
    }
    assert_eq!(redis::text(&store, &["DBSIZE"])?, "1");
    Ok(())
}

/// Eight connections want the same keys at the same moment: at first, and once more when the lease is over.
#[test]
fn of_many_claims_at_once_one_is_granted() -> TestResult {
    const KEYS: usize = 30;
    const LEASE: u64 = 1000;
    let (store, cache) = (Redis::start()?, Memcached::start()?);
    for round in 0..2_u128 {
        let counts = scope(|scope| {
            let claimants: Vec<_> = (0..8_u128)
                .map(|owner| {
                    let (store, cache) = (&store, &cache);
                    scope.spawn(move || {
                        granted(store, cache, KEYS, &Claim { reexecute: true, ..claim(round * 8 + owner, LEASE) })
                    })
                })
                .collect();
            claimants.into_iter().map(|claimant| claimant.join().expect("a claimant")).collect::<TestResult<Vec<_>>>()
        })?;
        for key in 0..KEYS {
            let sums = counts.iter().fold((0, 0), |(redis, memcached), granted| {
                (redis + u32::from(granted[key].0), memcached + u32::from(granted[key].1))
            });
            assert_eq!(sums, (1, 1), "key {key} in round {round}");
        }
        sleep(Duration::from_millis(2 * LEASE + 100));
    }
    Ok(())
}

fn granted(store: &Redis, cache: &Memcached, keys: usize, claim: &Claim) -> TestResult<Vec<(bool, bool)>> {
    let is_granted = |said| matches!(said, Said::Claim(Answer::Claimed { .. }));
    (0..keys)
        .map(|key| {
            let (key, op) = (name(&format!("k{key}"))?, Op::Claim(claim.clone()));
            let redis = redis::ask(store, &Names::from(key.clone()), &op)?;
            Ok((is_granted(redis), is_granted(memcached::ask(cache, &key, &op, 5)?)))
        })
        .collect()
}
