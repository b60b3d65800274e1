//! What nobody must read anywhere: keys, tenants, bodies, secrets.

use integration::ledger::Trouble;
use integration::{Ledger, TestResult, eventually};
use serde_json::json;

use crate::idempotency::edge::{Edge, Setup};
use crate::idempotency::{SECRETS, SOON};
use crate::is_replay;

const KEY: &str = "key-that-nobody-reads";
const TENANT: &str = "tenant-that-nobody-reads";
const BODY: &str = "body-that-nobody-reads";
const ANSWER: &str = "payment";

/// Everything that is said about a request somewhere: replays, conflicts, refusals, uncertain ends.
fn talk_of_everything(edge: &Edge, ledger: &Ledger) -> TestResult {
    let pay = |amount: u32, key: &str| {
        let body = json!({"amount": amount, "for": BODY});
        edge.post_json("/pay", &format!("\"{KEY}{key}\""), &body).header("x-tenant", TENANT)
    };
    assert_eq!(pay(1, "").send()?.status, 201);
    assert!(is_replay(&pay(1, "").send()?));
    assert_eq!(pay(2, "").send()?.status, 422);
    assert_eq!(pay(1, " open").header("idempotency-key", KEY).send()?.status, 400);
    ledger.trouble(Trouble::Reset, 100);
    assert_eq!(pay(1, "-lost").send()?.status, 503);
    eventually("it is uncertain", SOON, || {
        anyhow::Ok(pay(1, "-lost").send()?.rejected_by() == Some("idempotency; cause=uncertain"))
    })
}

/// None of these words, in plain or in another common dress.
fn says_nothing_of(place: &str, text: &[u8], words: &[&str]) {
    let text = String::from_utf8_lossy(text).to_lowercase();
    for word in words {
        let hex = word.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        assert!(!text.contains(word) && !text.contains(&hex), "{place} tells {word}");
    }
}

/// All keys, and all that is under them.
fn everything_in(edge: &Edge) -> TestResult<Vec<u8>> {
    let redis = edge.store.redis()?;
    let dump = "local all = {} for _, key in ipairs(redis.call('KEYS', '*')) do all[#all + 1] = key \
                local kind = redis.call('TYPE', key).ok \
                local read = {hash = 'HGETALL', string = 'GET'} \
                local value = read[kind] and redis.call(read[kind], key) or redis.call('ZRANGE', key, 0, -1) \
                all[#all + 1] = type(value) == 'table' and table.concat(value, ' ') or value end return all";
    redis.call(&integration::store::command(&["EVAL", dump, "0"]))
}

#[test]
fn keys_tenants_and_bodies_are_in_no_log_no_metric_no_dump_and_no_store() -> TestResult {
    let ledger = Ledger::start()?;
    let edge = Setup::new(json!({"tenant": ["x-tenant"], "lease": "1s"})).start(ledger.port())?;
    talk_of_everything(&edge, &ledger)?;
    let private = [KEY, TENANT, BODY, SECRETS[0].1, SECRETS[1].1];
    says_nothing_of("the log", edge.envoy.log().as_bytes(), &private);
    for page in ["/stats", "/stats/prometheus", "/config_dump?include_eds", "/clusters", "/server_info"] {
        says_nothing_of(page, edge.envoy.admin_get(page)?.as_bytes(), &private);
    }
    let stored = everything_in(&edge)?;
    assert!(stored.len() > 300, "there is something: {}", String::from_utf8_lossy(&stored));
    says_nothing_of("the store", &stored, &[&private[..], &[ANSWER]].concat());
    Ok(())
}

/// At this level Envoy itself writes all headers; what is looked for are the plugin's own lines.
#[test]
fn the_plugin_says_nothing_more_in_a_talkative_proxy() -> TestResult {
    let ledger = Ledger::start()?;
    let setup = Setup::new(json!({"tenant": ["x-tenant"], "lease": "1s"})).talkative();
    let edge = setup.start(ledger.port())?;
    talk_of_everything(&edge, &ledger)?;
    let log = edge.envoy.log();
    let own: Vec<&str> = log.lines().filter(|line| line.contains("wasm log")).collect();
    says_nothing_of("the plugin's log", own.join("\n").as_bytes(), &[KEY, TENANT, BODY, SECRETS[0].1]);
    Ok(())
}
