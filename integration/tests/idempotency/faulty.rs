//! A storm during which something goes wrong, and what is left of it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use integration::{TestResult, eventually};
use serde_json::json;

use super::judge::{self, Replays};
use super::load::keys;
use super::{Answered, Kind, Load, Plan, SOON, Site};

/// A lease that a story can wait for.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// What a store's call may take.
const STORE: Duration = Duration::from_millis(500);
/// The router may wait for the service for nine tenths of the lease; before it a claim, behind it a completion, each of up to two trips that
/// wait for as long as two calls may take; and a machine that is busy with the storm.
const OVER: Duration = Duration::from_millis(1_800 + 2 * 2 * 1_000 + 3_000);

const KEYS: usize = 400;
const DUPLICATES: usize = 5;
/// All first requests come within this time; repeats may come 3 s later.
const SPAN: Duration = Duration::from_secs(4);

/// What came of a storm.
pub(crate) struct Aftermath {
    pub(crate) site: Site,
    pub(crate) answers: Vec<Answered>,
}

/// Proxies with a short lease and retries in front of a store.
pub(crate) fn plan(kind: Kind) -> Plan {
    let short = Plan::new(kind).with(json!({"lease": "2s"})).with_budget();
    if kind == Kind::Memory { short } else { short.with(json!({"store": {"timeout": "500ms"}})) }
}

/// Every key five times, for some seconds.
pub(crate) fn load() -> Load {
    Load::new(KEYS, DUPLICATES).over(SPAN)
}

/// Sends it; when a quarter of it is over, `fault` happens, while the rest comes. Whatever it is, no request hangs, none is executed a second time, and nobody is
/// told what isn't so.
pub(crate) fn storm(site: Site, load: Load, fault: impl FnOnce(&Site) -> TestResult) -> TestResult<Aftermath> {
    let underway = load.start(&site.edges());
    eventually("a quarter of the storm is over", SOON, || underway.over() >= KEYS * DUPLICATES / 4)?;
    fault(&site)?;
    let answers = underway.finish(2 * SOON)?;
    println!("{:?}", judge::by_status(&answers));
    judge::none_hangs(&answers, OVER)?;
    judge::at_most_once(&site.ledger)?;
    judge::told_the_truth(&answers, &site.ledger)?;
    Ok(Aftermath { site, answers })
}

// === impl Aftermath ===

impl Aftermath {
    /// How many requests were answered with this status, and with this word of ours.
    pub(crate) fn told(&self, status: u16, word: &str) -> usize {
        judge::by_status(&self.answers).get(&(status, word.to_owned())).copied().unwrap_or(0)
    }

    /// The keys that were executed.
    pub(crate) fn executed(&self) -> Vec<String> {
        judge::executed(&self.site.ledger, &keys(KEYS))
    }

    /// Asks once more for each key that was executed, when no lease can be left.
    pub(crate) fn once_more(&self) -> TestResult<Replays> {
        std::thread::sleep(LEASE);
        let replays = judge::replays(&self.site.edges(), &self.site.ledger, &self.executed())?;
        println!("{}", replays.told());
        ensure!(replays.wrong.is_empty(), "{}", replays.told());
        Ok(replays)
    }

    /// Every execution's answer is replayed, in the end: what could not be stored in time was stored later.
    pub(crate) fn all_are_replayed_in_the_end(&self) -> TestResult {
        let (edges, executed) = (self.site.edges(), self.executed());
        eventually("every answer is replayed", SOON, || {
            judge::replays(&edges, &self.site.ledger, &executed)?.assert_all().map(|()| true)
        })?;
        self.site.assert_no_trap();
        Ok(())
    }

    /// Of these keys nobody was told how their execution ended, and each was executed at most once.
    pub(crate) fn nobody_knows(&self, uncertain: &[String]) -> TestResult {
        let told = |answered: &&Answered| {
            answered
                .answer
                .as_ref()
                .is_ok_and(|response| response.rejected_by().is_none() && response.served_by().is_some())
        };
        let told: BTreeSet<&String> = self.answers.iter().filter(told).map(|answered| &answered.key).collect();
        let wrong: Vec<&String> = uncertain.iter().filter(|key| told.contains(key)).collect();
        ensure!(wrong.is_empty(), "somebody was told the end of uncertain keys: {wrong:?}");
        judge::at_most_once(&self.site.ledger)?;
        self.site.assert_no_trap();
        Ok(())
    }
}
