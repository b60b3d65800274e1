//! The payment service that judges the stories: it must itself count right, and stand the load.
#![allow(clippy::disallowed_methods, reason = "the harness lives in real time")]

use std::time::{Duration, Instant};

use integration::ledger::{Delay, Trouble};
use integration::{Call, Ledger, Storm, TestResult, eventually};

const MS: Duration = Duration::from_millis(1);
const SOON: Duration = Duration::from_secs(10);

fn pay(ledger: &Ledger, key: &str) -> Call {
    Call::post(ledger.port(), "/pay", br#"{"amount": 7}"#).header("idempotency-key", key)
}

#[test]
fn every_execution_is_booked_and_answered_in_its_own_words() -> TestResult {
    let ledger = Ledger::start()?;
    let call = pay(&ledger, "\"k-1\"");
    let first = call.clone().header("x-holdfast-fence", "41").send()?;
    let second = call.http2().header("x-holdfast-fence", "42").send()?;
    let nameless = Call::post(ledger.port(), "/any/path", b"x").send()?;

    assert_eq!((first.status, first.served_by()), (201, Some("ledger")));
    assert_eq!(first.json()?, serde_json::json!({"payment": 1, "key": "\"k-1\""}));
    assert_eq!(first.header("location"), Some("/payments/1"));
    assert!(
        ["content-type", "etag", "set-cookie", "date", "x-trace-id"].iter().all(|name| first.header(name).is_some())
    );
    assert_ne!(first.body, second.body);
    assert_eq!(ledger.fences("\"k-1\""), [Some(41), Some(42)]);
    let executions = ledger.executions("\"k-1\"");
    assert_eq!((&executions[0].body[..], executions[0].path.as_str()), (&br#"{"amount": 7}"#[..], "/pay"));
    assert_eq!(executions[1].answer.as_ref().map(|(status, body)| (*status, &body[..])), Some((201, &second.body[..])));
    assert_eq!(ledger.executions("").len(), 1);
    assert_eq!(nameless.json()?["payment"], 3);
    assert_eq!(ledger.repeated().into_iter().collect::<Vec<_>>(), [("\"k-1\"".to_owned(), 2)]);
    assert_eq!((ledger.total(), ledger.keys()), (3, 1));
    Ok(())
}

#[test]
fn reading_executes_nothing() -> TestResult {
    let ledger = Ledger::start()?;
    pay(&ledger, "a").send()?;
    let reply = Call::get(ledger.port(), "/payments").header("idempotency-key", "a").send()?;
    assert_eq!((reply.status, reply.json()?["payments"].as_u64(), ledger.total()), (200, Some(1), 1));
    Ok(())
}

#[test]
fn every_trouble_is_what_it_says() -> TestResult {
    let ledger = Ledger::start()?;
    let once = |trouble, key: &str| {
        ledger.trouble(trouble, 100);
        let answer = pay(&ledger, key).timeout(200 * MS).send();
        (answer.map(|reply| reply.status).map_err(|error| format!("{error:#}")), ledger.executions(key).len())
    };
    assert_eq!(once(Trouble::Decline(409), "declined"), (Ok(409), 0));
    assert_eq!(once(Trouble::Fail(500), "failed"), (Ok(500), 1));
    let (reset, executed) = once(Trouble::Reset, "reset");
    assert!(reset.is_err_and(|error| error.contains("reset")) && executed == 1);
    let (hung, executed) = once(Trouble::Hang, "hung");
    assert!(hung.is_err_and(|error| error.contains("within")) && executed == 1);
    assert!(ledger.executions("hung")[0].answer.is_none());
    assert_eq!((ledger.declined(), ledger.total()), (1, 3));
    Ok(())
}

#[test]
fn an_execution_counts_though_its_client_has_left() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.delay(Delay::Between(300 * MS, 400 * MS));
    assert!(pay(&ledger, "left").timeout(50 * MS).send().is_err());
    assert_eq!(ledger.executions("left").len(), 1);
    let begun = Instant::now();
    pay(&ledger, "patient").send()?;
    assert!(begun.elapsed() >= 300 * MS);
    Ok(())
}

#[test]
fn a_killed_service_loses_its_answers_and_keeps_its_book() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.delay(Delay::Between(5 * SOON, 5 * SOON));
    std::thread::scope(|scope| {
        let lost = scope.spawn(|| pay(&ledger, "lost").send());
        eventually("it is executed", SOON, || ledger.total() == 1)?;
        ledger.kill();
        assert!(lost.join().expect("the one that waits").is_err());
        assert!(pay(&ledger, "refused").send().is_err());
        TestResult::Ok(())
    })?;
    ledger.delay(Delay::None);
    ledger.restart();
    ledger.pad_answers(1000);
    assert!(pay(&ledger, "after").send()?.body.len() > 1000);
    assert_eq!((ledger.total(), ledger.keys(), ledger.repeated().len()), (2, 2, 0));
    Ok(())
}

#[test]
fn it_stands_the_load() -> TestResult {
    let ledger = Ledger::start()?;
    let storm = Storm::new(pay(&ledger, "load")).each(|n, call| call.header("x-n", n.to_string()));
    let begun = Instant::now();
    let tally = storm.concurrency(32).total(10_000).run(6 * SOON)?;
    println!("{:.0} payments per second", 10_000.0 / begun.elapsed().as_secs_f64());
    assert_eq!((tally.status(201), ledger.total()), (10_000, 10_000), "{:?}", tally.errors());
    Ok(())
}
