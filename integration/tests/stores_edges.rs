//! Real stores where the protocol has an edge: what comes late, what others wrote, clocks that step back, large answers.

mod store;

use idempotency::protocol::{Answer, Claim, Owner};
use idempotency::store::Names;
use idempotency::store::memcached::slot::Slot;
use idempotency::store::memcached::{Step, text};
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
    let (trip, _) = memcached::begin(&key, claim(1, LONG), 5)?;
    memcached::ask(&cache, &key, &gives_up, 5)?;
    cache.call(&trip.bytes)?;
    assert!(matches!(memcached::slot(&cache, &key)?, Some(Slot::Released { .. })));
    assert_eq!(memcached::ask(&cache, &key, &late, 6)?, Said::Claim(Answer::Abandoned));

    // The same when the first trip was answered, and the second one is late.
    let (trip, claiming) = memcached::begin(&key, claim(3, LONG), 7)?;
    let body = cache.call(&trip.bytes)?;
    let Ok(Step::Send(second, _)) = claiming.next(&text::replies(&body, trip.replies)) else {
        panic!("no second trip")
    };
    memcached::ask(&cache, &key, &Op::Abandon { owner: Owner(3), keep: LONG }, 8)?;
    cache.call(&second.bytes)?;
    assert!(matches!(memcached::slot(&cache, &key)?, Some(Slot::Released { .. })));
    assert_eq!(memcached::ask(&cache, &key, &next, 9)?, Said::Claim(Answer::Claimed { fence: 9 }));
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
    assert_eq!(memcached::slot(&cache, &key)?, Some(Slot::Released { fence: 6 }));
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

/// A time that a double or Redis can't hold must not leave a record that never expires.
#[test]
fn a_time_that_redis_cannot_keep_writes_nothing() -> TestResult {
    let store = Redis::start()?;
    let names = Names::from(name("k")?);
    for claim in [Claim { ttl: u64::MAX, ..claim(1, 50) }, claim(1, u64::MAX)] {
        assert!(redis::ask(&store, &names, &Op::Claim(claim)).is_err());
    }
    assert!(redis::ask(&store, &names, &Op::Abandon { owner: Owner(1), keep: 0 }).is_err());
    assert_eq!(redis::text(&store, &["DBSIZE"])?, "0");
    Ok(())
}
