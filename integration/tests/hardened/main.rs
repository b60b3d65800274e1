//! What each entry of a module's list is for, on the real Envoy: with the list a plugin does all that it does, without any one of its entries something is
//! missing, and what isn't on it is denied.
#![allow(clippy::disallowed_methods, reason = "the scenes happen in real time")]

mod breaker;
mod budget;
mod denied;
mod health;
mod idempotency;
mod sources;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use integration::capabilities::needed;
use integration::config::{self, suite, wasm};
use integration::envoy::{self, DENIED};
use integration::{Envoy, TestResult, Wasm};
use serde_json::json;

/// For what should happen at once.
const SOON: Duration = Duration::from_secs(15);
/// The same where an entry is missing: that it doesn't happen is what is waited for, and a scene that takes it for missing too early errs to the wrong side. So
/// this is several times what a whole scene's longest step takes.
const NOT_SOON: Duration = Duration::from_secs(3);
/// Entries of which one is taken away.
const SAMPLE: usize = 8;
/// Scenes at one time.
const AT_ONCE: usize = 3;

/// All that a plugin does, as far as it takes another call of the host or another callback.
pub(crate) trait Scene: Sized {
    /// Its module, without `.wasm`.
    const MODULE: &'static str;
    /// What the module needs and this scene doesn't miss, and why.
    const UNMISSED: &'static [(&'static str, &'static str)];

    /// The proxy and what is around it. The module may do what is on the list.
    fn start(list: &BTreeSet<String>) -> TestResult<Self>;

    /// Fails where anything isn't as it should be.
    fn play(&self, patience: Duration) -> TestResult;

    fn envoy(&self) -> &Envoy;
}

/// Whether somebody noticed, and what Envoy said.
struct Review {
    verdict: TestResult,
    log: String,
}

fn review<S: Scene>(list: &BTreeSet<String>, patience: Duration) -> Review {
    match S::start(list) {
        Err(error) => Review { verdict: Err(error), log: String::new() },
        Ok(scene) => Review { verdict: scene.play(patience), log: scene.envoy().log() },
    }
}

/// The module's own list.
fn list_of<S: Scene>() -> TestResult<BTreeSet<String>> {
    let module = if suite::is_meant() { suite::MODULE } else { S::MODULE };
    needed(&wasm::modules()?.join(module).with_extension("wasm"))
}

/// With its list the plugin does all that it does, and nothing is denied.
pub(crate) fn nothing_is_missing<S: Scene>() -> TestResult {
    let Review { verdict, log } = review::<S>(&list_of::<S>()?, SOON);
    let bad = |line: &&str| line.contains(DENIED) || line.contains("panicked") || line.contains("Uncaught");
    let bad: Vec<&str> = log.lines().filter(bad).collect();
    verdict.with_context(|| format!("{bad:#?}"))?;
    ensure!(bad.is_empty(), "{bad:#?}");
    Ok(())
}

/// Without any one entry of its list something goes wrong, or Envoy tells of a call that it denied. Each takes its time, so one in [`SAMPLE`] is looked at, unless
/// everything is to be (`cargo xtask test --thorough`).
pub(crate) fn nothing_is_too_much<S: Scene>() -> TestResult {
    if wasm::hardened() || suite::is_meant() {
        // Then an Envoy that denies something fails its test; and the suite's list is for more than one plugin's scene.
        return Ok(());
    }
    let list = list_of::<S>()?;
    let step = if std::env::var_os("HOLDFAST_THOROUGH").is_some() { 1 } else { SAMPLE };
    let (waiting, unmissed) = (Mutex::new(list.iter().step_by(step)), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        let review_the_rest = || {
            while let Some(name) = next(&waiting) {
                if !is_missed::<S>(&list, name) {
                    unmissed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.as_str());
                }
            }
        };
        (0..AT_ONCE).for_each(|_| drop(scope.spawn(review_the_rest)));
    });
    let expected: BTreeSet<&str> = S::UNMISSED.iter().map(|(name, _)| *name).collect();
    let unmissed = unmissed.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(unmissed.is_subset(&expected), "nobody missed {unmissed:?}, and only {expected:?} is known for that");
    Ok(())
}

fn next<T>(waiting: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).next()
}

fn is_missed<S: Scene>(list: &BTreeSet<String>, name: &String) -> bool {
    let without = list.iter().filter(|other| *other != name).cloned().collect();
    let Review { verdict, log } = review::<S>(&without, NOT_SOON);
    let denied = format!("capability: {name}");
    let denied = log.lines().any(|line| line.contains(DENIED) && line.ends_with(&denied));
    if let (Err(error), false) = (&verdict, denied) {
        eprintln!("{} without {name}: {}", S::MODULE, first_line(error));
    }
    let missed = denied || verdict.is_err();
    if !missed {
        let told: Vec<&str> = log.lines().filter(|line| line.contains(DENIED)).take(3).collect();
        eprintln!("{} without {name}: nobody noticed; {} bytes of log, {told:?}", S::MODULE, log.len());
    }
    missed
}

/// What a plugin has to say it says in the log.
pub(crate) fn tells_what_is_wrong(module: &Wasm) -> TestResult {
    let wrong = module.clone().config(&json!({"colour": "red"}));
    let listener = config::listener("edge", &[wrong.filter()], &[config::direct("all", "/", 404, "")]);
    let said = envoy::validate(&config::bootstrap(&[listener], &[])).err().unwrap_or_default();
    ensure!(said.contains("bad configuration: $.colour"), "{said}");
    Ok(())
}

fn first_line(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}
