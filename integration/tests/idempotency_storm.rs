//! A storm of repeats: every payment is sent ten times, at random times, over all proxies, which themselves try up to four times. The service
//! sees each once, and whoever asks again gets its answer, byte for byte.
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

mod idempotency;

use std::collections::BTreeMap;
use std::time::Duration;

use idempotency::load::keys;
use idempotency::{Answered, Kind, Load, Plan, judge, one_at_a_time};
use integration::TestResult;
use integration::ledger::Delay;
use serde_json::json;

const KEYS: usize = 2_000;
const DUPLICATES: usize = 10;
/// All first requests come within this time.
const SPAN: Duration = Duration::from_secs(14);
const MS: Duration = Duration::from_millis(1);

/// What a request of a storm without faults may be told: what the service answered, or that the first one is still under way.
const TOLD: [(u16, &str); 2] = [(201, ""), (409, "idempotency; cause=in_flight")];

/// The storm, over a store; nobody but the budget knows of retries.
fn storm(kind: Kind) -> TestResult {
    let _alone = one_at_a_time();
    let site = patient(kind).with_budget().start()?;
    // Most repeats that come at once find the first one under way.
    site.ledger.delay(Delay::Between(5 * MS, 25 * MS));
    let answers = Load::new(KEYS, DUPLICATES).over(SPAN).run(&site.edges())?;
    told_well(&answers);
    judge::exactly_once(&site.ledger, &keys(KEYS))?;
    judge::told_the_truth(&answers, &site.ledger)?;

    let replays = judge::replays(&site.edges(), &site.ledger, &keys(KEYS))?;
    println!("{kind:?}: {:?}; then {}", judge::by_status(&answers), replays.told());
    replays.assert_all()?;
    site.assert_no_trap();
    Ok(())
}

/// A store that has the time which a busy machine takes for an answer: what fails here isn't the machine.
fn patient(kind: Kind) -> Plan {
    let plan = Plan::new(kind);
    if kind == Kind::Memory { plan } else { plan.with(json!({"store": {"timeout": "1s"}})) }
}

fn told_well(answers: &[Answered]) {
    assert_eq!(answers.len(), KEYS * DUPLICATES);
    let counts = judge::by_status(answers);
    let wrong: BTreeMap<_, _> =
        counts.iter().filter(|((status, word), _)| !TOLD.contains(&(*status, word.as_str()))).collect();
    assert!(wrong.is_empty(), "{counts:?}");
    let paid = counts.get(&(201, String::new())).copied().unwrap_or(0);
    assert!(paid > KEYS && counts.len() > 1, "some are replayed and some are under way: {counts:?}");
}

#[test]
fn in_memory_each_is_paid_once_over_both_workers() -> TestResult {
    storm(Kind::Memory)
}

#[test]
fn over_redis_each_is_paid_once() -> TestResult {
    storm(Kind::Redis)
}

#[test]
fn over_a_redis_that_writes_each_command_to_disk_each_is_paid_once() -> TestResult {
    storm(Kind::DurableRedis)
}

#[test]
fn over_a_redis_cluster_each_is_paid_once() -> TestResult {
    storm(Kind::RedisCluster)
}

#[test]
fn over_memcached_each_is_paid_once() -> TestResult {
    storm(Kind::Memcached)
}

#[test]
fn over_webdis_each_is_paid_once() -> TestResult {
    storm(Kind::Webdis)
}
