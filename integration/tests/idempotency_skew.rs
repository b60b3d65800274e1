//! Two nodes are never changed at the same moment. While secrets are rotated, another version comes, and another selection of what a request is, each by
//! a push to one node after the other, forward and back, payments go on: each is made once. What one node can't compare with what another one wrote, it says so: never
//! "another request", and never a second run.
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

mod idempotency;

use std::collections::BTreeMap;
use std::time::Duration;

use idempotency::load::{key, keys, pay};
use idempotency::{Answered, Kind, LONG, Load, Plan, SECRETS, SOON, Site, judge, one_at_a_time};
use integration::ledger::Delay;
use integration::{Call, TestResult, Wasm, eventually};
use serde_json::{Value, json};

const MS: Duration = Duration::from_millis(1);
const KEYS: usize = 1_000;
const DUPLICATES: usize = 5;
/// So many requests in a row, each on a connection of its own, have reached both workers.
const PROBES: usize = 12;

/// One node's configuration.
#[derive(Clone, Copy)]
struct Node {
    next_version: bool,
    secrets: &'static [usize],
    next_selection: bool,
}

const OLD: Node = Node { next_version: false, secrets: &[0], next_selection: false };
const BOTH: Node = Node { secrets: &[0, 1], ..OLD };
const SWAPPED: Node = Node { secrets: &[1, 0], ..OLD };

fn plan() -> Plan {
    // A worker that takes up a module is busy for a while.
    Plan::new(Kind::Redis).with(json!({"paths": ["/pay"], "lease": "5s", "store": {"timeout": "2s"}}))
}

/// Pushes a configuration to one node, and returns when both its workers have it.
fn roll(site: &Site, stage: usize, gateway: usize, node: Node) -> TestResult {
    let module = if node.next_version { Wasm::test_module("idempotency_next") } else { Wasm::module("idempotency") }?;
    site.push_module(gateway, module, change(&format!("/stage/{stage}"), node))?;
    let probe = Call::post(site.edges()[gateway], &format!("/stage/{stage}"), b"").header("idempotency-key", "");
    // A key that is none is refused where the path is the plugin's.
    let reached = || anyhow::Ok(probe.clone().fresh_connection().send()?.status == 400);
    eventually("the push is in effect", SOON, || {
        (0..PROBES).try_fold(true, |all, _| reached().map(|reached| all && reached))
    })
}

fn change(path: &str, node: Node) -> Value {
    let secrets: Vec<Value> = node.secrets.iter().map(|n| json!({"env": SECRETS[*n].0})).collect();
    let selection = if node.next_selection { json!({"exclude": ["/note"]}) } else { Value::Null };
    json!({"paths": ["/pay", path], "secret": secrets, "fingerprint": selection})
}

/// Rolls the nodes by these steps while payments go on; nothing is told but what is allowed.
fn in_a_storm(steps: &[(usize, Node)], allowed: &[(u16, &str)]) -> TestResult<Site> {
    let site = plan().start()?;
    site.ledger.delay(Delay::Between(5 * MS, 25 * MS));
    let storm = Load::new(KEYS, DUPLICATES).over(Duration::from_secs(15)).start(&site.edges());
    for (stage, (gateway, node)) in steps.iter().enumerate() {
        roll(&site, stage, *gateway, *node)?;
    }
    println!("rolled after {} of {} requests", storm.over(), KEYS * DUPLICATES);
    let answers = storm.finish(LONG)?;
    told_only(&answers, allowed);
    judge::exactly_once(&site.ledger, &keys(KEYS))?;
    judge::told_the_truth(&answers, &site.ledger)?;
    site.assert_no_trap();
    Ok(site)
}

fn told_only(answers: &[Answered], allowed: &[(u16, &str)]) {
    let counts = judge::by_status(answers);
    println!("{counts:?}");
    let other = |((status, word), _): &(&(u16, String), &usize)| !allowed.contains(&(*status, word.as_str()));
    let wrong: BTreeMap<_, _> = counts.iter().filter(other).collect();
    assert!(wrong.is_empty(), "{counts:?}");
}

const PAID: (u16, &str) = (201, "");
const IN_FLIGHT: (u16, &str) = (409, "idempotency; cause=in_flight");
const UNKNOWN: (u16, &str) = (409, "idempotency; cause=unknown");

#[test]
fn secrets_are_rotated_and_back_and_every_answer_is_found() -> TestResult {
    let _alone = one_at_a_time();
    let steps = [(0, BOTH), (1, BOTH), (0, SWAPPED), (1, SWAPPED), (1, BOTH), (0, BOTH), (0, SWAPPED)];
    let site = in_a_storm(&steps, &[PAID, IN_FLIGHT])?;
    let replays = judge::replays(&site.edges(), &site.ledger, &keys(KEYS))?;
    println!("{}", replays.told());
    replays.assert_all()
}

#[test]
fn the_old_secret_is_dropped_when_nothing_is_left_of_it() -> TestResult {
    let site = plan().with(json!({"lease": "2500ms", "ttl": "4s", "store": {"timeout": "500ms"}})).start()?;
    let edges = site.edges();
    let old = pay(edges[0], &key(1)).send()?;
    for (stage, (gateway, node)) in [(0, BOTH), (1, BOTH), (0, SWAPPED), (1, SWAPPED)].into_iter().enumerate() {
        roll(&site, stage, gateway, node)?;
    }
    std::thread::sleep(Duration::from_secs(4));
    let new = pay(edges[0], &key(2)).send()?;
    assert_eq!(pay(edges[1], &key(2)).send()?.body, new.body);
    (0..2).try_for_each(|gateway| roll(&site, 9, gateway, Node { secrets: &[1], ..OLD }))?;
    let again = pay(edges[1], &key(2)).send()?;
    let known = again.body == new.body && again.header("idempotency-replayed") == Some("true");
    assert!(known || site.ledger.executions(&key(2))[0].at.elapsed() > Duration::from_secs(4), "{}", again.text());
    assert_ne!(pay(edges[0], &key(1)).send()?.body, old.body, "it was forgotten when its time was over");
    Ok(())
}

#[test]
fn two_versions_side_by_side_pay_once_and_say_what_they_cannot_compare() -> TestResult {
    let _alone = one_at_a_time();
    let next = Node { next_version: true, ..OLD };
    let site = in_a_storm(&[(1, next), (0, next), (0, OLD), (1, OLD)], &[PAID, IN_FLIGHT, UNKNOWN])?;
    what_is_left_is_known_or_said_to_be_unknown(&site)
}

#[test]
fn versions_secrets_and_selections_roll_forward_and_back_in_one_storm() -> TestResult {
    let _alone = one_at_a_time();
    let next = Node { next_version: true, ..BOTH };
    let selected = Node { next_version: true, next_selection: true, ..SWAPPED };
    let steps = [(1, BOTH), (0, next), (1, selected), (0, selected), (1, SWAPPED), (0, BOTH)];
    let site = in_a_storm(&steps, &[PAID, IN_FLIGHT, UNKNOWN])?;
    what_is_left_is_known_or_said_to_be_unknown(&site)
}

/// Of what both nodes wrote, some was written by the version that is left.
fn what_is_left_is_known_or_said_to_be_unknown(site: &Site) -> TestResult {
    let replays = judge::replays(&site.edges(), &site.ledger, &keys(KEYS))?;
    println!("{}", replays.told());
    assert!(replays.wrong.is_empty() && replays.uncertain.is_empty(), "{}", replays.told());
    assert!(replays.same > 0 && !replays.unknown.is_empty(), "{}", replays.told());
    Ok(())
}

#[test]
fn another_request_under_a_key_of_another_version_is_unknown_too() -> TestResult {
    let site = plan().start()?;
    let edges = site.edges();
    pay(edges[0], &key(1)).send()?;
    roll(&site, 1, 1, Node { next_selection: true, ..OLD })?;
    let other = |edge| Call::post(edge, "/pay", br#"{"amount": 1}"#).header("content-type", "application/json");
    let ask = |call: Call| call.header("idempotency-key", key(1)).send();
    let (known, unknown) = (ask(other(edges[0]))?, ask(other(edges[1]))?);
    assert_eq!((known.status, known.rejected_by()), (422, Some("idempotency; cause=mismatch")));
    assert_eq!((unknown.status, unknown.rejected_by()), (409, Some("idempotency; cause=unknown")));
    assert_eq!(pay(edges[1], &key(1)).send()?.status, 409);
    assert_eq!((pay(edges[0], &key(1)).send()?.status, site.ledger.total()), (201, 1));
    Ok(())
}
