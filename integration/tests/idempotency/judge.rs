//! What must be true after a storm. The ledger's book is the evidence: what it executed, and what it answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::ensure;
use integration::client::Response;
use integration::{Ledger, Storm, TestResult};

use super::LONG;
use super::load::{Answered, kept, pay};

/// Headers of the service's answer that a replay has, and those that it must not have.
const REPLAYED: [&str; 3] = ["content-type", "location", "etag"];
const NEVER: [&str; 2] = ["set-cookie", "x-trace-id"];

/// What one more request per key was answered.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    /// The first answer, byte for byte.
    pub(crate) same: usize,
    /// 409: nobody knows what came of the first.
    pub(crate) uncertain: Vec<String>,
    /// 409: another version, or another selection, can't compare them.
    pub(crate) unknown: Vec<String>,
    /// Anything else, and why it is wrong.
    pub(crate) wrong: Vec<(String, String)>,
}

/// Every one of these keys was executed once, and nothing else was.
pub(crate) fn exactly_once(ledger: &Ledger, keys: &[String]) -> TestResult {
    at_most_once(ledger)?;
    let never: Vec<&String> = keys.iter().filter(|key| ledger.executions(key).is_empty()).collect();
    ensure!(never.is_empty(), "{} of {} keys were never executed: {}", never.len(), keys.len(), some(&never));
    ensure!(ledger.total() == keys.len(), "{} executions for {} keys", ledger.total(), keys.len());
    Ok(())
}

/// No key was executed twice.
pub(crate) fn at_most_once(ledger: &Ledger) -> TestResult {
    let repeated = ledger.repeated();
    let names: Vec<_> = repeated.iter().collect();
    ensure!(names.is_empty(), "{} keys were executed more than once: {}", names.len(), some(&names));
    Ok(())
}

/// Whoever was told that a payment was made was told what the service answered to its key's only execution.
pub(crate) fn told_the_truth(answers: &[Answered], ledger: &Ledger) -> TestResult {
    for answered in answers {
        let Ok(response) = &answered.answer else { continue };
        if response.status == 201 {
            let difference = difference(response, ledger, &answered.key);
            ensure!(difference.is_none(), "{}: {}", answered.key, difference.unwrap_or_default());
        }
    }
    Ok(())
}

/// Every request was over within that time, answered or not.
pub(crate) fn none_hangs(answers: &[Answered], limit: Duration) -> TestResult {
    let late = answers.iter().filter(|answered| answered.took > limit);
    let late: Vec<_> = late.map(|answered| (&answered.key, answered.took, told_of(answered))).collect();
    ensure!(late.is_empty(), "{} requests took longer than {limit:?}: {}", late.len(), some(&late));
    Ok(())
}

/// Those of the keys that were executed: whoever sends another one once more has it executed now.
pub(crate) fn executed(ledger: &Ledger, keys: &[String]) -> Vec<String> {
    keys.iter().filter(|key| !ledger.executions(key).is_empty()).cloned().collect()
}

/// Requests by the status that they were answered with, and by the word of ours that they carry; `0` without an answer.
pub(crate) fn by_status(answers: &[Answered]) -> BTreeMap<(u16, String), usize> {
    let mut counts = BTreeMap::new();
    for answered in answers {
        *counts.entry(told_of(answered)).or_insert(0) += 1;
    }
    counts
}

fn told_of(answered: &Answered) -> (u16, String) {
    let response = answered.answer.as_ref().ok();
    let word = response.and_then(Response::rejected_by).unwrap_or_default().to_owned();
    (response.map_or(0, |response| response.status), word)
}

/// The keys that somebody was told 201 for.
pub(crate) fn paid(answers: &[Answered]) -> BTreeSet<String> {
    let paid = |answered: &&Answered| answered.answer.as_ref().is_ok_and(|response| response.status == 201);
    answers.iter().filter(paid).map(|answered| answered.key.clone()).collect()
}

/// Sends each key once more, over all proxies by turns, and compares with what the service answered to its execution.
pub(crate) fn replays(edges: &[u16], ledger: &Ledger, keys: &[String]) -> TestResult<Replays> {
    let executed = ledger.total();
    let answers = once_more(edges, keys)?;
    ensure!(ledger.total() == executed, "{} of the repeats were executed", ledger.total() - executed);
    let mut replays = Replays::default();
    for (key, answer) in keys.iter().zip(answers) {
        replays.take(key, &answer, ledger);
    }
    Ok(replays)
}

// === impl Replays ===

impl Replays {
    /// Every key is replayed.
    pub(crate) fn assert_all(&self) -> TestResult {
        let others = self.uncertain.len() + self.unknown.len() + self.wrong.len();
        ensure!(others == 0, "{}", self.told());
        Ok(())
    }

    /// At least 99 of 100 keys are replayed, and the others are said to be uncertain.
    pub(crate) fn assert_nearly_all(&self) -> TestResult {
        let total = self.same + self.uncertain.len() + self.unknown.len() + self.wrong.len();
        ensure!(self.unknown.is_empty() && self.wrong.is_empty() && self.same * 100 >= total * 99, "{}", self.told());
        Ok(())
    }

    /// All but so many keys are replayed, and those are said to be uncertain.
    pub(crate) fn assert_all_but(&self, uncertain: usize) -> TestResult {
        let right = self.unknown.is_empty() && self.wrong.is_empty();
        ensure!(right && self.uncertain.len() <= uncertain, "{}", self.told());
        Ok(())
    }

    /// In a line.
    pub(crate) fn told(&self) -> String {
        let list = |what: &str, keys: &[String]| format!("{} {what} ({})", keys.len(), some(keys));
        let (uncertain, unknown) = (list("uncertain", &self.uncertain), list("unknown", &self.unknown));
        format!("{} replayed, {uncertain}, {unknown}, {} wrong: {}", self.same, self.wrong.len(), some(&self.wrong))
    }

    fn take(&mut self, key: &str, answer: &Result<Response, String>, ledger: &Ledger) {
        match answer {
            Ok(response) if refused_as(response, "uncertain") => self.uncertain.push(key.to_owned()),
            Ok(response) if refused_as(response, "unknown") => self.unknown.push(key.to_owned()),
            Ok(response) => match difference(response, ledger, key).or_else(|| unmarked(response)) {
                None => self.same += 1,
                Some(difference) => self.wrong.push((key.to_owned(), difference)),
            },
            Err(error) => self.wrong.push((key.to_owned(), error.clone())),
        }
    }
}

fn once_more(edges: &[u16], keys: &[String]) -> TestResult<Vec<Result<Response, String>>> {
    let answers = std::sync::Arc::new(std::sync::Mutex::new(BTreeMap::new()));
    let (edges, sent, heard) = (edges.to_vec(), keys.to_vec(), std::sync::Arc::clone(&answers));
    let storm = Storm::new(pay(0, "")).total(keys.len()).concurrency(16);
    let storm = storm.each(move |n, _| pay(edges[n % edges.len()], &sent[n])).see(move |n, answer| {
        heard.lock().expect("no panic in here").insert(n, kept(answer));
    });
    storm.run(LONG)?;
    let answers = std::mem::take(&mut *answers.lock().expect("no panic in here"));
    ensure!(answers.len() == keys.len(), "only {} of {} repeats were over in time", answers.len(), keys.len());
    Ok(answers.into_values().collect())
}

/// What is not as the service answered to the key's first execution.
fn difference(response: &Response, ledger: &Ledger, key: &str) -> Option<String> {
    let executions = ledger.executions(key);
    let Some((payment, (status, body))) =
        executions.iter().find_map(|done| Some((done.payment, done.answer.as_ref()?)))
    else {
        return Some(format!("{} {:?} for a payment that was never answered", response.status, response.text()));
    };
    if (response.status, &response.body[..]) != (*status, &body[..]) {
        let expected = String::from_utf8_lossy(body);
        return Some(format!("{} {:?}, not {status} {expected:?}", response.status, response.text()));
    }
    let location = (*status == 201 || response.header("location").is_some()).then(|| format!("/payments/{payment}"));
    (response.header("location") != location.as_deref()).then(|| format!("location {:?}", response.header("location")))
}

/// Why this doesn't look like a replay.
fn unmarked(response: &Response) -> Option<String> {
    if response.header("idempotency-replayed") != Some("true") {
        return Some("a replay that isn't marked".into());
    }
    let missing = REPLAYED.iter().find(|name| response.header(name).is_none()).map(|name| format!("no {name}"));
    missing
        .or_else(|| NEVER.iter().find(|name| response.header(name).is_some()).map(|name| format!("somebody's {name}")))
}

fn refused_as(response: &Response, cause: &str) -> bool {
    response.status == 409 && response.rejected_by() == Some(&format!("idempotency; cause={cause}"))
}

fn some<T: std::fmt::Debug>(things: &[T]) -> String {
    format!("{:?}{}", &things[..things.len().min(5)], if things.len() > 5 { " …" } else { "" })
}
