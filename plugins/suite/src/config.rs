//! JSON to the parts' own configurations, or every fault at once.
//!
//! ```json
//! { "instance": "edge", "mode": "dry_run", "circuit_breaker": {"minimum_calls": 50}, "retry_budget": {"mode": "enforce"} }
//! ```
//! A part that isn't named doesn't run. Settings that all plugins have may stand at the top, and again inside of a part where it wants another one;
//! `chain` is the entry's, and so the same for all.

use crate::parts::{PARTS, Part};
use sdk_shim::common::{Chain, Common};
use sdk_shim::config::{Faults, Reader, parse, path_of, shown};
use sdk_shim::json::{Object, Value};

/// The settings that every plugin has ([`sdk_shim::common::Common`]).
const COMMON: [&str; 13] = [
    "chain",
    "instance",
    "mode",
    "enforce_ratio",
    "key",
    "key_allow",
    "max_keys",
    "state_refresh",
    "headers_stop_iteration",
    "allow_degraded",
    "mark_rejections",
    "insecure_literal",
    "debug_token",
];

/// Those of them that don't change what the form that stands alone does.
const HARMLESS: [&str; 4] = ["headers_stop_iteration", "allow_degraded", "insecure_literal", "debug_token"];

/// What each part is to be configured with.
#[derive(Debug)]
pub struct Settings {
    /// Where the entry is.
    pub chain: Chain,
    /// By the part's number.
    pub parts: [Option<PartSettings>; PARTS],
}

/// One part's configuration.
#[derive(Debug)]
pub struct PartSettings {
    /// Its JSON text.
    pub text: String,
    /// Fields of it that stand at the top.
    inherited: Vec<&'static str>,
}

/// Takes a configuration apart.
///
/// ```
/// let settings = suite::config::read(br#"{"mode": "dry_run", "circuit_breaker": {}, "retry_budget": {"mode": "enforce"}}"#).unwrap();
/// let texts: Vec<_> = settings.parts.iter().flatten().map(|part| part.text.as_str()).collect();
/// assert_eq!(texts, [r#"{"mode":"dry_run"}"#, r#"{"mode":"enforce"}"#]);
/// assert!(suite::config::read(b"{}").is_err());
/// ```
pub fn read(bytes: &[u8]) -> Result<Settings, Faults> {
    let (settings, faults) = take_apart(bytes)?;
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

/// The same with the faults beside it, so that those of the parts can be told together with them.
///
/// # Errors
/// Where there is nothing that could be taken apart.
pub fn take_apart(bytes: &[u8]) -> Result<(Settings, Faults), Faults> {
    let (value, mut taken) = (parse(bytes)?, None);
    let outcome = Reader::root(&value, |read| taken = Some(parts_of(read)));
    match (taken, outcome) {
        (Some(settings), Ok(())) => Ok((settings, Faults::default())),
        (Some(settings), Err(faults)) => Ok((settings, faults)),
        (None, outcome) => Err(outcome.err().unwrap_or_default()),
    }
}

fn parts_of(read: &mut Reader<'_>) -> Settings {
    let common: Vec<(&'static str, &Value)> =
        COMMON.into_iter().filter_map(|name| Some((name, read.raw(name)?))).collect();
    check_common(read, &common);
    let mut parts = [const { None }; PARTS];
    for (part, slot) in Part::ALL.into_iter().zip(&mut parts) {
        *slot = read_part(read, part, &common);
    }
    // One that can't be read is told as such.
    let is_named = |part: Part| read.raw(part.as_str()).is_some_and(|value| !value.is_null());
    if !Part::ALL.into_iter().any(is_named) {
        let names = Part::ALL.map(Part::as_str).join(", ");
        read.fault("", "no plugin to run", format!("one of {names} at least: {{}} runs it with its defaults"));
    }
    let chain = common.iter().find(|(name, _)| *name == "chain").and_then(|(_, chain)| chain.as_str());
    // What else stands there is a fault that the parts tell.
    let chain = if chain == Some("upstream") { Chain::Upstream } else { Chain::Downstream };
    Settings { chain, parts }
}

/// Also where no part takes them over.
fn check_common(read: &mut Reader<'_>, common: &[(&'static str, &Value)]) {
    let fields = common.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect();
    let object = Value::Object(Object::new(fields).unwrap_or_default());
    if let Err(faults) = Reader::root(&object, |read| Common::read(read)) {
        read.adopt(faults);
    }
}

fn read_part(read: &mut Reader<'_>, part: Part, common: &[(&'static str, &Value)]) -> Option<PartSettings> {
    let own = match read.raw(part.as_str())? {
        Value::Null => return None,
        Value::Object(own) => own,
        other => {
            read.fault(part.as_str(), shown(other), "a JSON object: the plugin's configuration");
            return None;
        }
    };
    let chain_of_all = common.iter().find(|(name, _)| *name == "chain").map(|(_, chain)| *chain);
    if let Some(chain) = own.get("chain").filter(|chain| chain_of_all != Some(*chain)) {
        let path = path_of(part.as_str(), "chain");
        read.adopt(Faults::one(
            &format!("$.{path}"),
            shown(chain),
            "\"chain\" beside the plugins: it is the same for all",
        ));
    }
    // A form that stands alone has no common settings.
    let alone = part == Part::CircuitBreaker && circuit_breaker::config::is_legacy(own);
    if alone {
        refuse_beside_alone(read, common);
    }
    let taken_over = common.iter().filter(|(name, _)| !alone && own.get(name).is_none());
    let mut fields: Vec<(String, Value)> = own.iter().cloned().collect();
    let mut inherited = Vec::new();
    for (name, value) in taken_over {
        fields.push(((*name).to_owned(), (*value).clone()));
        inherited.push(*name);
    }
    // No name is there twice: those that were are no JSON, and the others were looked for.
    let text = Value::Object(Object::new(fields).unwrap_or_default()).to_string();
    Some(PartSettings { text, inherited })
}

/// What would change what it does, and can't: it would enforce beside `"mode": "dry_run"`.
fn refuse_beside_alone(read: &mut Reader<'_>, common: &[(&'static str, &Value)]) {
    for (name, value) in common {
        let harmless = HARMLESS.contains(name) || (*name == "chain" && value.as_str() == Some("downstream"));
        if !harmless {
            let allowed = "nothing beside the form of \"circuit_breaker\" that stands alone: write it in full";
            read.fault(name, shown(value), allowed);
        }
    }
}

// === impl PartSettings ===

impl PartSettings {
    /// A part's faults, where they stand in the whole configuration; those that others have told already are left out.
    pub fn place(&self, part: Part, faults: &Faults, told: &mut Faults) {
        for fault in faults {
            let below = fault.path.strip_prefix('$').unwrap_or(&fault.path);
            let path =
                if self.is_inherited(below) { format!("${below}") } else { format!("$.{}{below}", part.as_str()) };
            if !told.iter().any(|other| other.path == path && other.found == fault.found) {
                told.push(&path, fault.found.as_str(), fault.allowed.as_str());
            }
        }
    }

    fn is_inherited(&self, below: &str) -> bool {
        let field = below.trim_start_matches('.');
        let end = field.find(['.', '[']).unwrap_or(field.len());
        field.get(..end).is_some_and(|field| self.inherited.contains(&field))
    }
}
