//! Retries, timeouts, and how a claim ends.

use std::time::Duration;

use anyhow::ensure;
use integration::ledger::{Delay, Trouble};
use integration::{Call, Fault, Ledger, Storm, TestResult, Upstream, Wasm, config, eventually};
use serde_json::{Value, json};

use crate::idempotency::SOON;
use crate::idempotency::edge::{Edge, Setup};
use crate::{assert_problem, is_replay};

const MS: Duration = Duration::from_millis(1);

fn retrying() -> Value {
    config::with_retries(config::route("pay", "service"), "5xx,reset,connect-failure", 3)
}

/// A service that always fails, and how often it is asked for one request with a key and one without.
fn attempts(change: Value) -> TestResult<(u64, u64)> {
    let service = Upstream::start("service")?;
    service.set(Fault::Status(503));
    let edge = Setup::new(change).route(retrying()).start(service.port())?;
    assert_eq!(edge.post("/pay", "\"k\"").send()?.status, 503);
    let with = service.hits();
    let without = Call::post(edge.port, "/pay", b"{}").send()?;
    assert_eq!((without.status, without.rejected_by()), (503, None));
    Ok((with, service.hits() - with))
}

#[test]
fn what_has_claimed_its_key_is_tried_once() -> TestResult {
    assert_eq!(attempts(json!({}))?, (1, 4));
    Ok(())
}

#[test]
fn a_service_that_is_idempotent_itself_is_retried() -> TestResult {
    assert_eq!(attempts(json!({"service_is_idempotent": true}))?, (4, 4));
    Ok(())
}

/// What a payment is answered that the service never answers, and after how long.
fn unanswered(route: Value) -> TestResult<(u16, Duration, Edge, Ledger)> {
    let ledger = Ledger::start()?;
    ledger.trouble(Trouble::Hang, 100);
    let edge = Setup::new(json!({"lease": "1s"})).route(route).start(ledger.port())?;
    let answer = edge.post("/pay", "\"k\"").send()?;
    assert_eq!(answer.rejected_by(), None);
    Ok((answer.status, answer.elapsed, edge, ledger))
}

fn until_uncertain(edge: &Edge, ledger: &Ledger) -> TestResult {
    eventually("its lease is over", SOON, || {
        let cause = edge.post("/pay", "\"k\"").send()?.rejected_by().map(str::to_owned);
        anyhow::Ok(cause.as_deref() == Some("idempotency; cause=uncertain"))
    })?;
    assert_problem(&edge.post("/pay", "\"k\"").send()?, 409, "uncertain");
    assert_eq!(ledger.total(), 1);
    edge.assert_no_trap();
    Ok(())
}

#[test]
fn a_route_without_any_timeout_ends_before_the_lease_does() -> TestResult {
    let route = config::with_timeout(config::route("pay", "service"), Duration::ZERO);
    let (status, took, edge, ledger) = unanswered(route)?;
    assert_eq!(status, 504);
    assert!(took > 700 * MS && took < 3_000 * MS, "{took:?}");
    until_uncertain(&edge, &ledger)
}

#[test]
fn so_does_a_route_with_retries_and_a_longer_timeout() -> TestResult {
    let route = config::with_per_try_timeout(config::with_timeout(retrying(), 15_000 * MS), 10_000 * MS);
    let (status, took, edge, ledger) = unanswered(route)?;
    assert_eq!(status, 504);
    assert!(took > 700 * MS && took < 3_000 * MS, "{took:?}");
    until_uncertain(&edge, &ledger)
}

#[test]
fn a_shorter_timeout_stays() -> TestResult {
    for route in [config::route("pay", "service"), retrying()] {
        let (status, took, edge, ledger) = unanswered(config::with_timeout(route, 200 * MS))?;
        assert_eq!(status, 504);
        assert!(took < 800 * MS, "{took:?}");
        until_uncertain(&edge, &ledger)?;
    }
    Ok(())
}

/// A filter can't read what a route says of a try, and its own word replaces it; the route's timeout still holds.
#[test]
fn a_shorter_timeout_of_a_try_gives_way_to_ours() -> TestResult {
    let route = config::with_timeout(config::with_per_try_timeout(retrying(), 100 * MS), 400 * MS);
    let (status, took, edge, ledger) = unanswered(route)?;
    assert_eq!(status, 504);
    assert!(took > 100 * MS && took < 800 * MS, "{took:?}");
    until_uncertain(&edge, &ledger)
}

#[test]
fn a_clients_own_timeout_headers_change_nothing() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.trouble(Trouble::Hang, 100);
    let route = config::with_timeout(config::route("pay", "service"), Duration::ZERO);
    let edge = Setup::new(json!({"lease": "1s"})).route(route).start(ledger.port())?;
    let call = edge.post("/pay", "\"k\"").header("x-envoy-upstream-rq-per-try-timeout-ms", "0");
    let answer = call.header("x-envoy-max-retries", "5").header("x-envoy-retry-on", "5xx,reset").send()?;
    assert!(answer.status == 504 && answer.elapsed < 3_000 * MS, "{} {:?}", answer.status, answer.elapsed);
    until_uncertain(&edge, &ledger)
}

/// The key is free at once: long before its lease is over.
fn until_free(edge: &Edge, key: &str) -> TestResult {
    eventually("the key is free", SOON, || {
        let answer = edge.post("/pay", key).send()?;
        ensure!(answer.status == 201, "{} {:?}", answer.status, answer.rejected_by());
        Ok::<_, anyhow::Error>(true)
    })
}

#[test]
fn a_refused_connection_frees_the_key() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({})).route(retrying()).start(ledger.port())?;
    ledger.kill();
    let answer = edge.post("/pay", "\"k\"").send()?;
    assert_eq!((answer.status, answer.rejected_by()), (503, None));
    ledger.restart();
    until_free(&edge, "\"k\"")?;
    assert_eq!((ledger.total(), edge.counted("released_total", &[("cause", "not_sent")])? > 0), (1, true));
    Ok(())
}

#[test]
fn a_route_that_leads_nowhere_frees_the_key() -> TestResult {
    let ledger = Ledger::start()?;
    let lost = config::route("pay", "nobody");
    let edge = Setup::new(json!({})).route(lost).start(ledger.port());
    // Envoy refuses a static route to a cluster that isn't there, unless it is told not to look.
    assert!(edge.is_err());
    let empty = json!({"load_assignment": {"cluster_name": "service", "endpoints": []}});
    let edge = Setup::new(json!({})).cluster(empty).start(ledger.port())?;
    assert_eq!(edge.post("/pay", "\"k\"").send()?.status, 503);
    eventually("the claim was given up", SOON, || {
        edge.counted("released_total", &[("cause", "not_sent")]).map(|count| count == 1)
    })?;
    eventually("and the next one claims it", SOON, || {
        edge.post("/pay", "\"k\"").send()?;
        edge.counted("claimed_total", &[]).map(|count| count == 2)
    })
}

/// A breaker that one failure opens for a minute.
fn breaker(chain: &str) -> TestResult<Wasm> {
    let policy =
        json!({"chain": chain, "minimum_calls": 1, "open": {"base": "2s", "jitter": 0}, "recovery": {"over": "0s"}});
    Ok(Wasm::module("circuit_breaker")?.name("breaker").config(&policy))
}

/// The service fails once, which opens the breaker; what comes then is refused by it, and its key is free.
fn refused_by_a_breaker(setup: Setup) -> TestResult {
    let ledger = Ledger::start()?;
    let edge = setup.route(retrying()).start(ledger.port())?;
    ledger.trouble(Trouble::Fail(500), 100);
    assert_eq!(edge.post("/pay", "\"opens it\"").send()?.status, 500);
    ledger.trouble(Trouble::None, 0);
    eventually("the breaker refuses", SOON, || {
        let answer = edge.post("/pay", "\"k\"").send()?;
        anyhow::Ok(answer.rejected_by() == Some("circuit-breaker; cause=open"))
    })?;
    let again = edge.post("/pay", "\"opens it\"").send()?;
    assert!(is_replay(&again) && again.status == 500, "who was answered gets that: {} {}", again.status, again.text());
    until_free(&edge, "\"k\"")?;
    assert_eq!(ledger.executions("\"k\"").len(), 1);
    edge.assert_no_trap();
    Ok(())
}

#[test]
fn a_breaker_behind_the_plugin_refuses_and_frees_the_key() -> TestResult {
    refused_by_a_breaker(Setup::new(json!({})).behind(breaker("downstream")?.filter()))
}

#[test]
fn a_breaker_in_the_cluster_refuses_and_frees_the_key() -> TestResult {
    refused_by_a_breaker(Setup::new(json!({})).upstream(breaker("upstream")?.filter()))
}

#[test]
fn an_answer_by_which_the_service_says_that_it_did_nothing_frees_the_key() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({"release_on": [429, 503]})).start(ledger.port())?;
    for status in [429, 503] {
        ledger.trouble(Trouble::Decline(status), 100);
        let key = format!("\"{status}\"");
        assert_eq!(edge.post("/pay", &key).send()?.status, status);
        ledger.trouble(Trouble::None, 0);
        until_free(&edge, &key)?;
    }
    assert_eq!(ledger.total(), 2);
    Ok(())
}

/// Envoy's own circuit breaker has no place for a request, and says so by a flag that it also uses where a first try was sent.
#[test]
fn what_envoys_own_circuit_breaker_refuses_is_not_run_twice() -> TestResult {
    let ledger = Ledger::start()?;
    ledger.delay(Delay::Between(1_000 * MS, 1_000 * MS));
    let narrow = json!({"circuit_breakers": {"thresholds": [{"max_connections": 1, "max_pending_requests": 1, "max_requests": 1}]}});
    let edge = Setup::new(json!({"lease": "3s"})).cluster(narrow).start(ledger.port())?;
    let port = edge.port;
    let keyed = move |n: usize, call: Call| call.header("idempotency-key", format!("\"k-{n}\""));
    let storm = Storm::new(Call::post(port, "/pay", b"{}").fresh_connection()).total(12).concurrency(12).each(keyed);
    let tally = storm.run(SOON)?;
    assert_eq!(tally.status(201) + tally.status(503), 12, "{:?}", tally.by_status());
    assert!(tally.status(503) > 0 && ledger.total() == tally.status(201));
    let again = Storm::new(Call::post(port, "/pay", b"{}")).total(12).each(keyed).run(SOON)?;
    assert_eq!(again.status(201) + again.status(409), 12, "{:?}", again.by_status());
    assert!(ledger.repeated().is_empty(), "{:?}", ledger.repeated());
    Ok(())
}
