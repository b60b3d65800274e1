//! Who runs the plugins, and the whole table at once.

use super::play::play;
use super::scenario::{Plugin, Scenario};
use super::table;
use sdk_shim::entry;
use sdk_shim::fake::{FakeHost, FakeProxy};
use sdk_shim::flavor::Flavor;
use sdk_shim::host::Host as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Who runs the plugins: as the Rust that they are, or as built modules in an engine.
#[allow(missing_docs, reason = "their names say it")]
pub trait Engine {
    type CircuitBreaker: entry::Plugin<FakeHost>;
    type RetryBudget: entry::Plugin<FakeHost>;
    type Idempotency: entry::Plugin<FakeHost>;
    type ProtocolHealth: entry::Plugin<FakeHost>;
    type Metrics: entry::Plugin<FakeHost>;
    type Suite: entry::Plugin<FakeHost>;
}

/// What a proxy loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A module for each plugin.
    Modules,
    /// All plugins in one.
    Suite,
}

/// What came of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// How many scenarios ended as they should.
    pub passed: usize,
    /// Those that didn't: the sentence, and what was wrong.
    pub failed: Vec<String>,
    /// Those that the host can't play.
    pub left: Vec<Left>,
}

/// A scenario that wasn't played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its sentence.
    pub name: &'static str,
    /// What the host lacks.
    pub lacks: Vec<&'static str>,
}

/// Plays all that the proxy can, each on a new one.
pub fn play_all<E: Engine>(new: impl Fn() -> FakeProxy, form: Form) -> Played {
    let capabilities = new().worker().capabilities();
    let mut played = Played::default();
    for scenario in table() {
        let lacks = scenario.lacks(capabilities);
        if !lacks.is_empty() {
            played.left.push(Left { name: scenario.name, lacks });
            continue;
        }
        match tried(|| play_with::<E>(&scenario, &new(), capabilities.flavor, form)) {
            Ok(()) => played.passed += 1,
            Err(wrong) => played.failed.push(format!("{} {wrong}", scenario.name)),
        }
    }
    played
}

fn play_with<E: Engine>(scenario: &Scenario, proxy: &FakeProxy, flavor: Flavor, form: Form) -> Result<(), String> {
    let service = if flavor == Flavor::Envoy { "orders" } else { "127.0.0.1:8001" };
    let (plugin, configuration) = match form {
        Form::Modules => (scenario.plugin, scenario.configuration(flavor, service)),
        Form::Suite => (Plugin::Suite, scenario.suites_configuration(flavor, service)),
    };
    let configuration = configuration.to_string();
    match plugin {
        Plugin::CircuitBreaker => play::<E::CircuitBreaker>(scenario, proxy, &configuration),
        Plugin::RetryBudget => play::<E::RetryBudget>(scenario, proxy, &configuration),
        Plugin::Idempotency => play::<E::Idempotency>(scenario, proxy, &configuration),
        Plugin::ProtocolHealth => play::<E::ProtocolHealth>(scenario, proxy, &configuration),
        Plugin::Metrics => play::<E::Metrics>(scenario, proxy, &configuration),
        Plugin::Suite => play::<E::Suite>(scenario, proxy, &configuration),
    }
}

/// A trap is a panic; the other scenarios are played all the same.
fn tried(play: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it died: {}", text.unwrap_or("of something without words")))
    })
}

// === impl Played ===

impl Played {
    /// Tells what was left out, and fails where something was wrong or nothing was played.
    ///
    /// # Panics
    /// Where it fails.
    pub fn report(&self, host: &str) {
        for left in &self.left {
            println!("{host}: left out, it lacks {}: {}", left.lacks.join(", "), left.name);
        }
        println!("{host}: {} scenarios as they should be", self.passed);
        assert!(self.failed.is_empty(), "{host}:\n{}", self.failed.join("\n"));
        assert!(self.passed > self.left.len(), "{host}: only {} scenarios were played", self.passed);
    }
}
