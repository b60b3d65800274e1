//! Redis behind a real Webdis: what its source promises, and where it differs from Redis.
#![allow(clippy::disallowed_methods, reason = "real stores live in real time")]

mod store;

use std::time::Duration;

use anyhow::Context as _;
use idempotency::protocol::{Answer, Owner};
use idempotency::store::redis::{Call, completed};
use idempotency::store::{Failure, Names, webdis};
use integration::TestResult;
use integration::store::{Redis, Webdis};
use store::redis::{ask, once, reply, text};
use store::{LONG, Op, Said, claim, completion, name};

const SOON: Duration = Duration::from_secs(5);

fn start() -> TestResult<(Redis, Webdis)> {
    let store = Redis::start()?;
    let webdis = Webdis::start(store.port(), 2)?;
    Ok((store, webdis))
}

/// Each byte there is, what Webdis takes for its own, nothing at all, and more than one read.
#[test]
fn an_answer_comes_back_byte_for_byte() -> TestResult {
    let (store, webdis) = start()?;
    let all: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = all.iter().copied().cycle().take(512 << 10).collect();
    let answers = [all, Vec::new(), b"/".to_vec(), b"a/b.raw?type=x+y%2f%".to_vec(), b"\r\n\r\n".to_vec(), large];
    for (answer, key) in answers.into_iter().zip(["1", "2", "3", "4", "5", "6"]) {
        let names = Names::from(name(key)?);
        assert!(matches!(ask(&webdis, &names, &Op::Claim(claim(1, LONG)))?, Said::Claim(Answer::Claimed { .. })));
        assert_eq!(ask(&webdis, &names, &completion(1, &answer))?, Said::Complete(true));
        let done = Said::Claim(Answer::Done(answer));
        for wire in [&webdis as &dyn store::redis::Wire, &store] {
            assert!(ask(wire, &names, &Op::Claim(claim(2, LONG)))? == done, "key {key}: another answer");
        }
    }
    Ok(())
}

/// Integers beyond 2^31 inside arrays are spoilt by Webdis.
#[test]
fn a_fence_of_today_comes_whole() -> TestResult {
    let (store, webdis) = start()?;
    let names = Names::from(name("k")?);
    let Said::Claim(Answer::Claimed { fence }) = ask(&webdis, &names, &Op::Claim(claim(1, 0)))? else {
        panic!("not claimed")
    };
    assert_eq!(text(&store, &["HGET", "k", "f"])?, fence.to_string());
    assert!(fence > 1_700_000_000_000, "{fence}");
    assert_eq!(ask(&webdis, &names, &Op::Claim(claim(2, LONG)))?, Said::Claim(Answer::Uncertain { fence }));
    let spoilt = integration::Call::post(webdis.port(), "/", b"EVAL/return {1700000000000}/0.raw").send()?;
    assert_ne!(spoilt.body, b"*1\r\n:1700000000000\r\n");
    Ok(())
}

#[test]
fn a_script_that_redis_does_not_know_is_told_apart() -> TestResult {
    let (_store, webdis) = start()?;
    let names = Names::from(name("k")?);
    let gives_up = Op::Abandon { owner: Owner(1), keep: LONG };
    assert_eq!(once(&webdis, &names, &gives_up, false)?, Err(Failure::UnknownScript));
    assert_eq!(once(&webdis, &names, &gives_up, true)?, Ok(Said::Abandon(false)));
    assert_eq!(once(&webdis, &names, &gives_up, false)?, Ok(Said::Abandon(false)));
    Ok(())
}

#[test]
fn what_redis_or_webdis_refuses_is_a_failure_that_says_why() -> TestResult {
    let (store, webdis) = start()?;
    let names = Names::from(name("k")?);
    let complete = Call::complete(&names, Owner(1), b"paid".to_vec(), LONG);
    let too_long = Call::complete(&names, Owner(1), b"paid".to_vec(), u64::MAX);
    let refused = |failure: Failure| if let Failure::Refused(why) = failure { why } else { panic!("{failure:?}") };

    let why = reply(&webdis, &too_long, true, completed)?.map_err(refused);
    assert!(matches!(&why, Err(why) if why.contains("too long a time")), "{why:?}");
    // Nothing at all is not a command.
    let nothing = integration::Call::post(webdis.port(), "/", b"").send()?;
    assert_eq!(nothing.status, 403);

    store.kill();
    let why = reply(&webdis, &complete, true, completed)?.map_err(refused);
    assert!(matches!(&why, Err(why) if why.contains("503")), "{why:?}");
    store.restart()?;
    integration::eventually("Webdis has found Redis again", SOON, || {
        Ok::<_, anyhow::Error>(reply(&webdis, &complete, true, completed)? == Ok(false))
    })
}

/// Webdis before 0.1.20 answers whoever has the descriptor by then. Newer ones don't; the mark tells in any case.
#[test]
fn an_answer_shows_whose_it_is() -> TestResult {
    let store = Redis::start()?;
    // One thread: the next connection surely gets the descriptor of the one that was closed.
    let webdis = Webdis::start(store.port(), 1)?;
    let asked = |mark: u64, timeout| {
        let call = integration::Call::post(webdis.port(), &webdis::path(mark), format!("ECHO/{mark}.raw").as_bytes());
        call.fresh_connection().timeout(timeout)
    };
    integration::eventually("it has found Redis", SOON, || {
        Ok::<_, anyhow::Error>(asked(1, SOON).send()?.status == 200)
    })?;
    store.pause()?;
    assert!(asked(1, Duration::from_millis(200)).send().is_err(), "Redis was to stop");
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| asked(2, SOON).send());
        std::thread::sleep(Duration::from_millis(200));
        store.resume()?;
        second.join().expect("the second client")
    })?;
    let shown = second.header(webdis::MARKED).context("no mark")?;
    let owner =
        [1, 2].into_iter().find(|mark| webdis::is_marked(shown.as_bytes(), *mark)).context("an unknown mark")?;
    assert_eq!(second.text(), format!("$1\r\n{owner}\r\n"), "the mark is another one's");
    Ok(())
}
