//! What a breaker and a retry budget would have done in an outage that somebody describes: before anybody turns them on, and without a proxy.
//!
//! The proxy, the clients and the service are modelled, in virtual time; the plugins are not: it is their own code that reads the configuration, counts and decides, as in a proxy
//! with one worker. Everything is enforced, also what is configured to `dry_run`, and compared with the same outage without them. All requests have one key, and time and chance are given: the
//! same inputs have the same outcome everywhere.

mod drawn;
mod outcome;
mod scenario;
mod world;

use crate::check::Bare;
use crate::document::read;
use crate::entry::Entry;
use crate::file::File;
use crate::find;
use outcome::Outcome;
use scenario::Scenario;
use serde_json::{Value, json};
use suite::parts::Part;

/// What came of it: for programs, for people, and as a picture.
pub(crate) struct Simulated {
    pub(crate) value: Value,
    pub(crate) text: String,
    pub(crate) svg: String,
}

/// The two that decide about requests and retries, as they are configured.
struct Plugins {
    breaker: Option<String>,
    budget: Option<String>,
}

/// Simulates what is configured in a file, in the outage that another file describes. Both are given with their names.
pub(crate) fn simulate(
    config: (String, String),
    bare: Option<Bare>,
    outage: &(String, String),
) -> Result<Simulated, String> {
    let (name, text) = config;
    let (file, unreadable) = File::new(name.clone(), text);
    if let Some(unreadable) = unreadable {
        return Err(format!("{name}: {}", unreadable.why));
    }
    let entries = match bare {
        Some(Bare { module, kong }) => find::bare(0, &file, module, kong).into_iter().collect(),
        None => find::entries(0, &file),
    };
    let plugins = plugins(&entries);
    if plugins.breaker.is_none() && plugins.budget.is_none() {
        return Err(format!(
            "{name}: neither a circuit breaker of requests nor a retry budget of attempts is configured there"
        ));
    }
    let scenario = scenario(outage)?;
    let told = |error: String| format!("{name}: {error}");
    let with = world::run(&scenario, plugins.breaker.as_deref(), plugins.budget.as_deref()).map_err(told)?;
    let without = world::run(&scenario, None, None)?;
    Ok(Simulated {
        value: json!({"with": with.json(), "without": without.json()}),
        text: drawn::for_people(&with, &without, &plugins.names()),
        svg: drawn::picture(&with, &without, &plugins.names()),
    })
}

fn scenario((name, text): &(String, String)) -> Result<Scenario, String> {
    let mut documents = read(text).map_err(|unreadable| format!("{name}: {}", unreadable.why))?;
    let root =
        documents.pop().filter(|_| documents.is_empty()).ok_or_else(|| format!("{name}: one document is wanted"))?;
    Scenario::read(root.json().as_bytes()).map_err(|faults| format!("{name}: {faults}"))
}

/// The first breaker of requests, and the first budget of attempts.
fn plugins(entries: &[Entry<'_>]) -> Plugins {
    let part = |part: Part, upstream: bool| {
        let mut found = entries.iter().filter(|entry| entry.says_upstream() == upstream);
        found.find_map(|entry| entry.part(part)).map(|text| enforced(&text))
    };
    Plugins { breaker: part(Part::CircuitBreaker, false), budget: part(Part::RetryBudget, true) }
}

/// The same configuration, and nothing left to a dry run. What can't be read the plugin refuses.
fn enforced(text: &str) -> String {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else { return text.to_owned() };
    fields.insert("mode".to_owned(), "enforce".into());
    fields.remove("enforce_ratio");
    Value::Object(fields).to_string()
}

// === impl Plugins ===

impl Plugins {
    fn names(&self) -> String {
        let names = [self.breaker.as_ref().map(|_| "circuit breaker"), self.budget.as_ref().map(|_| "retry budget")];
        names.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

// === impl Outcome ===

impl Outcome {
    fn json(&self) -> Value {
        let seconds = self.seconds.iter().map(|second| {
            json!({
                "requests": second.requests, "good": second.good, "failed": second.failed, "refused": second.refused, "moved": second.moved,
                "attempts": second.attempts, "phase": second.phase,
            })
        });
        let total = self.total();
        json!({
            "requests": total.requests, "good": total.good, "failed": total.failed, "refused": total.refused, "moved": total.moved, "attempts": total.attempts,
            "waited_in_vain_seconds": self.waited.as_secs(), "seconds": seconds.collect::<Vec<_>>(),
        })
    }
}
