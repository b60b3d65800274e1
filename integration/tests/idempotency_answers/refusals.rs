//! Whatever is refused says why: problem details, with a word that programs can read.

use std::time::{Duration, Instant};

use integration::ledger::Delay;
use integration::{Call, Ledger, TestResult, client, eventually};
use serde_json::json;

use crate::idempotency::SOON;
use crate::idempotency::edge::{Edge, Setup};
use crate::{assert_problem, is_replay};

const MS: Duration = Duration::from_millis(1);

/// A payment under way, and what came of a repeat in the meantime.
fn meanwhile<T>(edge: &Edge, ledger: &Ledger, then: impl FnOnce() -> TestResult<T>) -> TestResult<T> {
    std::thread::scope(|scope| {
        let first = scope.spawn(|| edge.post("/pay", "\"k\"").timeout(2 * SOON).send());
        eventually("the service has it", SOON, || ledger.total() == 1)?;
        let repeat = then()?;
        let first = first.join().expect("the first one's client")?;
        assert!(first.status == 201 && !is_replay(&first));
        Ok(repeat)
    })
}

#[test]
fn a_repeat_of_what_is_under_way_is_told_when_to_come_again() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.delay(Delay::Between(1_500 * MS, 1_500 * MS));
    let edge = Setup::new(json!({"lease": "20s"})).start(ledger.port())?;
    let repeat = meanwhile(&edge, &ledger, || edge.post("/pay", "\"k\"").send())?;
    assert_problem(&repeat, 409, "in_flight");
    let after: u64 = repeat.header("retry-after").unwrap_or("").parse()?;
    assert!((10..=20).contains(&after), "{after}");
    assert_eq!(repeat.header("x-envoy-ratelimited"), Some("true"), "a proxy in front doesn't retry it");
    assert!(is_replay(&edge.post("/pay", "\"k\"").send()?));
    assert_eq!(ledger.total(), 1);
    Ok(())
}

#[test]
fn a_repeat_can_wait_for_the_first_ones_answer() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.delay(Delay::Between(1_000 * MS, 1_000 * MS));
    let edge = Setup::new(json!({"on_in_flight": "wait", "wait": "10s"})).start(ledger.port())?;
    let repeat = meanwhile(&edge, &ledger, || edge.post("/pay", "\"k\"").send())?;
    assert!(repeat.status == 201 && is_replay(&repeat), "{} {}", repeat.status, repeat.text());
    assert_eq!(ledger.total(), 1);
    Ok(())
}

#[test]
fn a_repeat_waits_no_longer_than_it_may() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.delay(Delay::Between(4_000 * MS, 4_000 * MS));
    let edge = Setup::new(json!({"on_in_flight": "wait", "wait": "300ms"})).start(ledger.port())?;
    let (repeat, took) = meanwhile(&edge, &ledger, || {
        let begun = Instant::now();
        Ok((edge.post("/pay", "\"k\"").send()?, begun.elapsed()))
    })?;
    assert_problem(&repeat, 409, "in_flight");
    assert!(took >= 300 * MS && took < 3_500 * MS, "{took:?}");
    Ok(())
}

#[test]
fn a_key_that_is_none_is_refused_each_for_its_own_reason() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({"required": true, "strict": true, "tenant": ["x-tenant"]})).start(ledger.port())?;
    let bare = || Call::post(edge.port, "/pay", b"{}").header("x-tenant", "t");
    let with = |key: &[u8]| bare().header("idempotency-key", key).send();
    assert_problem(&bare().send()?, 400, "key_missing");
    assert_problem(
        &bare().header("idempotency-key", "\"a\"").header("idempotency-key", "\"b\"").send()?,
        400,
        "key_several",
    );
    assert_problem(&with(b"\"a\", \"b\"")?, 400, "key_several");
    assert_problem(&with(b"")?, 400, "key_empty");
    assert_problem(&with(b"\"\"")?, 400, "key_empty");
    assert_problem(&with(format!("\"{}\"", "k".repeat(256)).as_bytes())?, 400, "key_too_long");
    assert_problem(&with("\"käse\"".as_bytes())?, 400, "key_character");
    assert_problem(&with(b"bare")?, 400, "key_unquoted");
    assert_problem(&with(b"\"open")?, 400, "key_malformed");
    assert_problem(&with(b"\"a\" b")?, 400, "key_malformed");
    assert_problem(&Call::post(edge.port, "/pay", b"{}").header("idempotency-key", "\"k\"").send()?, 400, "tenant");
    let two = bare().header("x-tenant", "u").header("idempotency-key", "\"k\"").send()?;
    assert_problem(&two, 400, "tenant");
    assert_eq!(ledger.total(), 0);
    assert_eq!(with(format!("\"{}\"", "k".repeat(255)).as_bytes())?.status, 201);
    assert_eq!((edge.counted("refused_total", &[])?, ledger.total()), (12, 1));
    Ok(())
}

#[test]
fn a_key_counts_for_its_tenant_its_method_and_its_path() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({"tenant": ["x-tenant"]})).start(ledger.port())?;
    let pay = |tenant: &str| edge.post("/pay", "\"k\"").header("x-tenant", tenant);
    let others = [pay("a"), pay("b"), pay("a").path("/refund"), pay("a").method("PATCH".parse()?)];
    for call in &others {
        let first = call.send()?;
        assert!(first.status == 201 && !is_replay(&first), "{call}");
    }
    for call in &others {
        assert!(is_replay(&call.send()?), "{call}");
    }
    let put = pay("a").method("PUT".parse()?);
    assert!((0..2).all(|_| put.send().is_ok_and(|answer| answer.status == 201 && !is_replay(&answer))));
    assert_eq!(ledger.total(), others.len() + 2);
    Ok(())
}

#[test]
fn a_bare_key_is_the_same_as_a_quoted_one_and_is_counted() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({})).start(ledger.port())?;
    edge.post("/pay", "\"k-1\"").send()?;
    assert!(is_replay(&edge.post("/pay", "k-1").send()?));
    assert!(is_replay(&edge.post("/pay", " \"k-1\"; a=b ").send()?));
    assert_eq!((edge.counted("bare_keys_total", &[])?, ledger.total()), (1, 1));
    Ok(())
}

#[test]
fn without_a_key_a_request_passes_as_it_came() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({})).start(ledger.port())?;
    let call =
        Call::post(edge.port, "/pay", b"{}").header("x-holdfast-fence", "9").header("x-holdfast-idempotency", "x");
    assert!((0..2).all(|_| call.send().is_ok_and(|answer| answer.status == 201)));
    let seen = &ledger.all()[0];
    assert_eq!(
        (ledger.total(), seen.fence, seen.header("x-holdfast-idempotency")),
        (2, None, None),
        "a client's word isn't ours"
    );
    Ok(())
}

#[test]
fn a_body_that_is_too_long_is_refused_whether_its_length_is_known_or_not() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({"max_body": 10_000})).start(ledger.port())?;
    let pay =
        |bytes: usize| Call::post(edge.port, "/pay", &vec![b'.'; bytes]).header("idempotency-key", "\"k\"").send();
    assert_problem(&pay(10_001)?, 413, "too_large");
    let chunk = |bytes: usize| format!("{bytes:x}\r\n{}\r\n", ".".repeat(bytes));
    let head = "POST /pay HTTP/1.1\r\nhost: x\r\nidempotency-key: \"k\"\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let unknown = [head, &chunk(6_000), &chunk(6_000), "0\r\n\r\n"].concat();
    assert_problem(&client::raw(edge.port, unknown.as_bytes(), SOON)?, 413, "too_large");
    assert_eq!(ledger.total(), 0);
    assert_eq!(pay(10_000)?.status, 201, "the key is free, and this much is allowed");
    let known = [head, &chunk(5_000), &chunk(5_000), "0\r\n\r\n"].concat();
    assert!(is_replay(&client::raw(edge.port, known.as_bytes(), SOON)?), "chunks or not, it is the same body");
    Ok(())
}

#[test]
fn over_http2_refusals_are_the_same() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({"required": true})).start(ledger.port())?;
    assert_problem(&Call::post(edge.port, "/pay", b"{}").http2().send()?, 400, "key_missing");
    edge.post("/pay", "\"k\"").http2().send()?;
    assert_problem(&edge.post_json("/pay", "\"k\"", &json!([])).http2().send()?, 422, "mismatch");
    let long = Call::post(edge.port, "/pay", &vec![b'.'; 300_000]).header("idempotency-key", "\"l\"").http2().send()?;
    assert_problem(&long, 413, "too_large");
    Ok(())
}
