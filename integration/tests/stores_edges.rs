//! Real stores where the protocol has an edge: what comes late, what others wrote, clocks that step back, large answers.

mod store;

use std::thread::sleep;
use std::time::Duration;

use idempotency::protocol::{Answer, Claim, Fingerprint, Owner, Record, Stage};
use idempotency::store::memcached::{Step, text};
use idempotency::store::{Failure, Names};
use integration::TestResult;
use integration::store::{Memcached, Redis};
use store::{LONG, Op, Said, claim, completion, memcached, name, redis};

#[test]
fn a_claim_that_arrives_after_its_caller_gave_up_does_nothing() -> TestResult {
    let (store, cache) = (Redis::start()?, Memcached::start()?);
    let (key, names) = (name("k")?, Names::from(name("k")?));
    let gives_up = Op::Abandon { owner: Owner(1), keep: LONG };
    let (late, next) = (Op::Claim(claim(1, LONG)), Op::Claim(claim(2, LONG)));

    redis::ask(&store, &names, &gives_up)?;
    assert_eq!(redis::ask(&store, &names, &late)?, Said::Claim(Answer::Abandoned));
    assert!(matches!(redis::ask(&store, &names, &next)?, Said::Claim(Answer::Claimed { .. })));

    // In memcached nobody reads the reply to the commands that come late, so they alone must do nothing.
    let (trip, _) = memcached::begin(&key, &claim(1, LONG), 5)?;
    memcached::ask(&cache, &key, &gives_up, 5)?;
    cache.call(&trip.bytes)?;
    assert!(memcached::record(&cache, &key)?.is_some_and(|record| record.stage == Stage::Released));
    assert_eq!(memcached::ask(&cache, &key, &late, 6)?, Said::Claim(Answer::Abandoned));

    // The same when the first trip was answered, and the second one is late.
    let (trip, claiming) = memcached::begin(&key, &claim(3, LONG), 7)?;
    let body = cache.call(&trip.bytes)?;
    let Ok(Step::Send(second, _)) = claiming.next(&text::replies(&body, trip.replies)) else {
        panic!("no second trip")
    };
    memcached::ask(&cache, &key, &Op::Abandon { owner: Owner(3), keep: LONG }, 8)?;
    cache.call(&second.bytes)?;
    assert!(memcached::record(&cache, &key)?.is_some_and(|record| record.stage == Stage::Released));
    assert_eq!(memcached::ask(&cache, &key, &next, 9)?, Said::Claim(Answer::Claimed { fence: 9 }));
    Ok(())
}

/// Redis keeps tombstones in the record, whoever it belongs to.
#[test]
fn a_tombstone_outlives_the_record_that_it_is_in_and_is_swept_away_when_it_is_over() -> TestResult {
    let store = Redis::start()?;
    let names = Names::from(name("k")?);
    let gives_up = |owner, keep| Op::Abandon { owner: Owner(owner), keep };
    redis::ask(&store, &names, &Op::Claim(Claim { ttl: 30, ..claim(1, LONG) }))?;
    for (owner, keep) in [(2, LONG), (3, 30)] {
        assert_eq!(redis::ask(&store, &names, &gives_up(owner, keep))?, Said::Abandon(false));
    }
    sleep(Duration::from_millis(60));
    assert_eq!(redis::ask(&store, &names, &Op::Claim(claim(2, LONG)))?, Said::Claim(Answer::Abandoned));
    assert!(matches!(redis::ask(&store, &names, &Op::Claim(claim(3, LONG)))?, Said::Claim(Answer::Claimed { .. })));
    let left = [(2, "1"), (3, "0")];
    for (owner, there) in left {
        assert_eq!(redis::text(&store, &["HEXISTS", "k", &format!("t:{owner:032x}")])?, there, "{owner}");
    }
    // Nor does a completion sweep it away.
    redis::ask(&store, &names, &completion(3, b"paid"))?;
    assert_eq!(redis::ask(&store, &names, &Op::Claim(claim(2, LONG)))?, Said::Claim(Answer::Abandoned));
    Ok(())
}

/// By a newer version, or by somebody who uses the same store.
#[test]
fn a_record_of_another_form_is_neither_run_again_nor_overwritten() -> TestResult {
    let (store, cache) = (Redis::start()?, Memcached::start()?);
    let (key, names) = (name("k")?, Names::from(name("k")?));
    let ops = [Op::Claim(claim(1, LONG)), completion(1, b"paid"), Op::Abandon { owner: Owner(9), keep: LONG }];
    let nothing = [Said::Claim(Answer::Unknown), Said::Complete(false), Said::Abandon(false)];
    let foreign = [&["HSET", "k", "r", "2"][..], &["SET", "k", "x"], &["HSET", "k", "r", "1", "e", "0"]];
    for foreign in foreign {
        redis::text(&store, &["DEL", "k"])?;
        redis::text(&store, foreign)?;
        for (op, expected) in ops.iter().zip(&nothing) {
            assert_eq!(redis::ask(&store, &names, op)?, *expected, "{op:?} on {foreign:?}");
        }
    }
    cache.call(b"set k 0 0 5\r\n\x02\x01abc\r\n")?;
    for (op, expected) in ops.iter().zip(nothing) {
        assert_eq!(memcached::ask(&cache, &key, op, 5)?, expected);
    }
    assert_eq!(cache.call(b"get k\r\n")?, b"VALUE k 0 5\r\n\x02\x01abc\r\nEND\r\n");
    Ok(())
}

#[test]
fn a_large_answer_comes_back_byte_for_byte() -> TestResult {
    let (store, cache) = (Redis::start()?, Memcached::start()?);
    let (key, names) = (name("k")?, Names::from(name("k")?));
    let answer: Vec<u8> = (0..=255).cycle().take(512 << 10).collect();
    let ops = [Op::Claim(claim(1, LONG)), completion(1, &answer), Op::Claim(claim(2, LONG))];
    let mut last = None;
    for op in &ops {
        last = Some((redis::ask(&store, &names, op)?, memcached::ask(&cache, &key, op, 5)?));
    }
    let done = Said::Claim(Answer::Done(answer));
    assert!(last == Some((done.clone(), done)), "another answer");
    Ok(())
}

/// Of one claim only the tombstone is left, and the mark in the record's place was evicted: the claim undoes itself.
#[test]
fn a_claim_that_finds_its_tombstone_too_late_is_taken_back() -> TestResult {
    let cache = Memcached::start()?;
    let key = name("k")?;
    memcached::ask(&cache, &key, &Op::Abandon { owner: Owner(1), keep: LONG }, 5)?;
    assert_eq!(cache.call(b"delete k\r\n")?, b"DELETED\r\n");
    assert_eq!(memcached::ask(&cache, &key, &Op::Claim(claim(1, LONG)), 6)?, Said::Claim(Answer::Abandoned));
    assert_eq!(memcached::record(&cache, &key)?, Some(Record::released(Owner(1), 6, 6 + LONG)));
    Ok(())
}

#[test]
fn a_fence_grows_although_the_clock_steps_back() -> TestResult {
    let (store, cache) = (Redis::start()?, Memcached::start()?);
    let (key, names) = (name("k")?, Names::from(name("k")?));
    let again = Op::Claim(Claim { reexecute: true, ..claim(2, LONG) });

    let Said::Claim(Answer::Claimed { fence }) = redis::ask(&store, &names, &Op::Claim(claim(1, 0)))? else {
        panic!("not claimed")
    };
    let ahead = fence + 3_600_000;
    redis::text(&store, &["HSET", "k", "f", &ahead.to_string()])?;
    assert_eq!(redis::ask(&store, &names, &again)?, Said::Claim(Answer::Claimed { fence: ahead + 1 }));

    memcached::ask(&cache, &key, &Op::Claim(claim(1, LONG)), 100)?;
    memcached::ask(&cache, &key, &Op::Abandon { owner: Owner(1), keep: LONG }, 100)?;
    assert_eq!(memcached::ask(&cache, &key, &again, 50)?, Said::Claim(Answer::Claimed { fence: 101 }));
    // Its lease is lost.
    assert_eq!(cache.call(format!("delete k:l:{:032x}\r\n", 2).as_bytes())?, b"DELETED\r\n");
    let third = Op::Claim(Claim { reexecute: true, ..claim(3, LONG) });
    assert_eq!(memcached::ask(&cache, &key, &third, 50)?, Said::Claim(Answer::Claimed { fence: 102 }));
    Ok(())
}

/// Of the node that completes, or of the one that claimed: what memcached still has is not over.
#[test]
fn a_clock_that_is_hours_off_loses_no_answer_in_memcached() -> TestResult {
    let cache = Memcached::start()?;
    let (key, far) = (name("k")?, 100 * LONG);
    let gives_up = Op::Abandon { owner: Owner(2), keep: LONG };
    for (op, now, said) in [
        (Op::Claim(claim(1, LONG)), 5, Said::Claim(Answer::Claimed { fence: 5 })),
        (Op::Claim(claim(2, LONG)), far, Said::Claim(Answer::InFlight { remaining: 1 })),
        (gives_up.clone(), far, Said::Abandon(false)),
        (completion(1, b"paid"), far, Said::Complete(true)),
        (Op::Claim(claim(3, LONG)), 100 * far, Said::Claim(Answer::Done(b"paid".to_vec()))),
    ] {
        assert_eq!(memcached::ask(&cache, &key, &op, now)?, said, "{op:?}");
    }
    let key = name("other")?;
    memcached::ask(&cache, &key, &Op::Claim(claim(2, LONG)), 5)?;
    assert_eq!(memcached::ask(&cache, &key, &gives_up, far)?, Said::Abandon(true));
    let next = Op::Claim(claim(3, LONG));
    assert_eq!(memcached::ask(&cache, &key, &next, 3)?, Said::Claim(Answer::Claimed { fence: 6 }));
    Ok(())
}

/// Two claims may fall into one millisecond, and the clock may step back: the service must still tell their executions apart.
#[test]
fn a_fence_grows_after_a_claim_was_given_up_whatever_the_next_one_is_for() -> TestResult {
    let (store, cache) = (Redis::start()?, Memcached::start()?);
    let (key, names) = (name("k")?, Names::from(name("k")?));
    let another = Fingerprint { version: 9, digest: [9; 32] };
    let gives_up = Op::Abandon { owner: Owner(1), keep: LONG };
    let next = Op::Claim(Claim { fingerprint: another, ..claim(2, LONG) });

    redis::ask(&store, &names, &Op::Claim(claim(1, LONG)))?;
    let ahead = 9_000_000_000_000;
    redis::text(&store, &["HSET", "k", "f", &ahead.to_string()])?;
    assert_eq!(redis::ask(&store, &names, &gives_up)?, Said::Abandon(true));
    // Of the claim no more is kept than the next one needs, and the tombstone.
    assert_eq!(redis::text(&store, &["HLEN", "k"])?, "6");
    assert_eq!(redis::ask(&store, &names, &gives_up)?, Said::Abandon(false));
    assert_eq!(redis::ask(&store, &names, &completion(1, b"paid"))?, Said::Complete(false));
    assert_eq!(redis::ask(&store, &names, &next)?, Said::Claim(Answer::Claimed { fence: ahead + 1 }));
    assert_eq!(redis::text(&store, &["HEXISTS", "k", "x"])?, "0");

    for (op, said) in [
        (Op::Claim(claim(1, LONG)), Said::Claim(Answer::Claimed { fence: 100 })),
        (gives_up.clone(), Said::Abandon(true)),
        (gives_up, Said::Abandon(false)),
        (completion(1, b"paid"), Said::Complete(false)),
        (next, Said::Claim(Answer::Claimed { fence: 101 })),
    ] {
        assert_eq!(memcached::ask(&cache, &key, &op, 100)?, said, "{op:?}");
    }
    Ok(())
}

/// Refused before anything is written, so that the set of keys doesn't grow; what is under way comes to its end.
#[test]
fn a_redis_that_is_full_grants_no_claim_and_still_takes_answers() -> TestResult {
    let store = Redis::start()?;
    let (paid, refused) = (Names::from(name("paid")?), Names::from(name("refused")?));
    for (owner, names) in [(1, &paid), (2, &refused)] {
        redis::ask(&store, names, &Op::Claim(claim(owner, LONG)))?;
    }
    for setting in [["maxmemory-policy", "noeviction"], ["maxmemory", "1"]] {
        redis::text(&store, &[&["CONFIG", "SET"][..], &setting].concat())?;
    }
    let new = Names::from(name("new")?);
    let said = redis::once(&store, &new, &Op::Claim(claim(3, LONG)), false)?;
    assert!(matches!(&said, Err(Failure::Refused(why)) if why.contains("OOM")), "{said:?}");
    assert!(matches!(redis::ask(&store, &paid, &Op::Claim(claim(4, LONG)))?, Said::Claim(Answer::InFlight { .. })));
    assert_eq!(redis::text(&store, &["EXISTS", "new"])?, "0");
    assert_eq!(redis::ask(&store, &paid, &completion(1, b"paid"))?, Said::Complete(true));
    for (names, owner, released) in [(&refused, 2, true), (&refused, 3, false), (&new, 3, false)] {
        let gives_up = Op::Abandon { owner: Owner(owner), keep: LONG };
        assert_eq!(redis::ask(&store, names, &gives_up)?, Said::Abandon(released));
    }
    // Nor one that finds something to replace.
    let said = redis::once(&store, &refused, &Op::Claim(claim(5, LONG)), false)?;
    assert!(matches!(&said, Err(Failure::Refused(why)) if why.contains("OOM")), "{said:?}");
    Ok(())
}

/// A time that a double or Redis can't hold must not leave a record that never expires.
#[test]
fn a_time_that_redis_cannot_keep_writes_nothing() -> TestResult {
    let store = Redis::start()?;
    let names = Names::from(name("k")?);
    for claim in [Claim { ttl: u64::MAX, ..claim(1, 50) }, claim(1, u64::MAX)] {
        assert!(redis::ask(&store, &names, &Op::Claim(claim)).is_err());
    }
    assert!(redis::ask(&store, &names, &Op::Abandon { owner: Owner(1), keep: u64::MAX }).is_err());
    assert_eq!(redis::text(&store, &["DBSIZE"])?, "0");
    // Nor is the shortest time an error.
    redis::ask(&store, &names, &Op::Claim(claim(1, LONG)))?;
    assert_eq!(redis::ask(&store, &names, &Op::Abandon { owner: Owner(1), keep: 0 })?, Said::Abandon(true));
    sleep(Duration::from_millis(5));
    assert_eq!(redis::text(&store, &["EXISTS", "k"])?, "0");
    Ok(())
}
