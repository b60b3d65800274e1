//! Real stores say what the protocol says: after each step of several owners' play, the answer and the stored record are compared with
//! `protocol.rs`.
#![allow(clippy::disallowed_methods, reason = "real stores live in real time")]

mod store;

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use idempotency::protocol::{Answer, Claim, Owner};
use idempotency::store::redis::{ABANDON, CLAIM, COMPLETE, Call};
use idempotency::store::{Failure, Name, Names};
use integration::TestResult;
use integration::store::{Memcached, Redis};
use store::{Coverage, Draws, LONG, Model, Op, Said, Times, claim, completion, memcached, name, redis};

/// Redis counts milliseconds.
const REDIS: Times = Times { lease: 50, short: 55, long: LONG };
/// Memcached counts seconds, and the current one has begun: this lasts two to three seconds.
const MEMCACHED: Times = Times { lease: 2000, short: 2000, long: LONG };
const MEMCACHED_LEAST: Duration = Duration::from_secs(2);
const MEMCACHED_MOST: Duration = Duration::from_millis(3100);

/// Each key has two names, and nodes before and after the swap of the secrets take turns.
#[test]
fn redis_says_what_the_protocol_says() -> TestResult {
    let store = Redis::start()?;
    let mut coverage = Coverage::default();
    let mut keys = Vec::new();
    for key in 0..24_u64 {
        let (one, other) = (name(&format!("{{{key}}}1"))?, name(&format!("{{{key}}}2"))?);
        let before = Names { first: one.clone(), others: vec![other.clone()] };
        let after = Names { first: other, others: vec![one] };
        keys.push(([before, after], String::new(), Model::default(), Draws::new(key, REDIS)));
    }
    for round in 0..60 {
        for (names, at, model, draws) in &mut keys {
            let op = draws.op(model);
            // Whoever claims keeps to the names that he began with.
            let names = &names[usize::from(op.owner().0 % 2 == 1)];
            let seen = redis::watch(&store, names, &op)?;
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
                let slot = memcached::slot(&store, name)?;
                ensure!(start.elapsed() < MEMCACHED_LEAST, "this machine is too slow for the test's leases");
                ensure!(said == expected, "phase {phase}, {op:?}: {said:?}, not {expected:?}; before: {model:?}");
                ensure!(memcached::is_stored(&next, slot.as_ref(), now), "{op:?} left {slot:?}, not {next:?}");
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
        let unknown = redis::once(&store, &names, op, Call::by_digest)?;
        assert_eq!(unknown.err(), Some(Failure::UnknownScript));
        let said = redis::once(&store, &names, op, Call::in_full)?;
        assert!(said.is_ok_and(|said| said != Said::Complete(false)));
        // EVAL has taught it.
        assert!(redis::once(&store, &names, op, Call::by_digest)?.is_ok());
        assert_eq!(redis::text(&store, &["SCRIPT", "LOAD", script.text])?, script.sha1);
    }
    Ok(())
}

/// Add the new secret everywhere, then swap, then drop the old one.
#[test]
fn a_secret_is_rotated_without_a_second_execution() -> TestResult {
    let store = Redis::start()?;
    let (old, new) = (name("{k}old")?, name("{k}new")?);
    let one = Names::from(old.clone());
    let added = Names { first: old.clone(), others: vec![new.clone()] };
    let swapped = Names { first: new.clone(), others: vec![old.clone()] };
    let dropped = Names::from(new.clone());
    let say = |names: &Names, op: &Op| redis::ask(&store, names, op);
    let another = |owner| Op::Claim(claim(owner, LONG));
    let exists = |name: &Name| redis::text(&store, &["EXISTS", name.as_str()]);

    assert!(matches!(say(&one, &another(1))?, Said::Claim(Answer::Claimed { .. })));
    for names in [&one, &added, &swapped] {
        assert!(matches!(say(names, &another(2))?, Said::Claim(Answer::InFlight { .. })));
    }
    // Its owner completes it on a node that has swapped: from then on it is known by the new name.
    assert_eq!(say(&swapped, &completion(1, b"paid"))?, Said::Complete(true));
    for names in [&added, &swapped, &dropped] {
        assert_eq!(say(names, &another(3))?, Said::Claim(Answer::Done(b"paid".to_vec())));
    }
    assert_eq!((exists(&old)?.as_str(), exists(&new)?.as_str()), ("0", "1"));
    let left: u64 = redis::text(&store, &["PTTL", new.as_str()])?.parse()?;
    assert!((LONG - 5000..=LONG).contains(&left), "{left} ms");
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
                        granted(store, cache, KEYS, Claim { reexecute: true, ..claim(round * 8 + owner, LEASE) })
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

fn granted(store: &Redis, cache: &Memcached, keys: usize, claim: Claim) -> TestResult<Vec<(bool, bool)>> {
    let is_granted = |said| matches!(said, Said::Claim(Answer::Claimed { .. }));
    (0..keys)
        .map(|key| {
            let (key, op) = (name(&format!("k{key}"))?, Op::Claim(claim));
            let redis = redis::ask(store, &Names::from(key.clone()), &op)?;
            Ok((is_granted(redis), is_granted(memcached::ask(cache, &key, &op, 5)?)))
        })
        .collect()
}
