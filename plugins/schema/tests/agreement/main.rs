//! A schema and its plugin's parser agree on every configuration, but for the rules that a schema can't say.
//!
//! Judged is what the parser says without a host (`config::read`): what a host lacks is a matter of that host, and listed with the rules. Configurations
//! are real ones in which one value after the other, or a few at random, is replaced by what stands at its bounds and beyond, by another type, by
//! null, or by another spelling. Numbers are compared as Lua has them, where 20.0 is 20.

mod change;
mod seeds;

use change::{Change, changes};
use config_schema::dialect::{DRAFT_04, in_2020_12, schema_of};
use config_schema::rules::RULES;
use jsonschema::Validator;
use proptest::prelude::*;
use sdk_shim::config::Faults;
use serde_json::Value;
use std::collections::BTreeSet;
use suite::parts::Part;

/// Whose configurations are judged.
struct Subject {
    name: &'static str,
    schema: Value,
    validator: Validator,
    /// By the other draft.
    modern: Validator,
    read: fn(&[u8]) -> Result<(), Faults>,
    seeds: Vec<Value>,
}

impl Subject {
    fn new<T: config_schema::JsonSchema>(name: &'static str, read: fn(&[u8]) -> Result<(), Faults>) -> Self {
        let schema = schema_of::<T>();
        let validator = jsonschema::draft4::new(&schema).expect("a schema");
        let modern = jsonschema::draft202012::new(&in_2020_12(&schema)).expect("a schema");
        Self { name, schema, validator, modern, read, seeds: seeds::of(name) }
    }

    /// What is wrong with what the two say.
    fn disagreement(&self, config: &Value) -> Option<String> {
        let as_lua = as_lua(config);
        let schema = self.validator.validate(&as_lua).map_err(|error| error.to_string());
        if self.modern.is_valid(&as_lua) != schema.is_ok() {
            return Some(format!("the drafts disagree about {config}: {schema:?}"));
        }
        let parser = (self.read)(config.to_string().as_bytes());
        match (schema, parser) {
            (Ok(()), Err(faults)) => {
                let unlisted: Vec<String> =
                    faults.iter().filter(|fault| !self.has_rule(fault)).map(ToString::to_string).collect();
                (!unlisted.is_empty()).then(|| format!("only the parser refuses {config}: {unlisted:?}"))
            }
            (Err(error), Ok(())) => Some(format!("only the schema refuses {config}: {error}")),
            _ => None,
        }
    }

    fn has_rule(&self, fault: &sdk_shim::config::Fault) -> bool {
        RULES.iter().any(|rule| {
            rule.plugin.is_none_or(|plugin| self.name == plugin || self.name == "suite") && (rule.is)(fault)
        })
    }
}

/// Lua has one kind of number.
fn as_lua(value: &Value) -> Value {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
        Value::Number(n) => match n.as_f64() {
            Some(n) if n.fract() == 0.0 && n.abs() < 9e15 => Value::from(n as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(as_lua).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), as_lua(value))).collect(),
        other => other.clone(),
    }
}

/// A parser, by what it says.
macro_rules! parser {
    ($plugin:ident) => {
        |bytes| $plugin::config::read(bytes).map(|_| ())
    };
}

fn subjects() -> Vec<Subject> {
    vec![
        Subject::new::<config_schema::circuit_breaker::CircuitBreaker>("circuit_breaker", parser!(circuit_breaker)),
        Subject::new::<config_schema::retry_budget::RetryBudget>("retry_budget", parser!(retry_budget)),
        Subject::new::<config_schema::idempotency::Idempotency>("idempotency", parser!(idempotency)),
        Subject::new::<config_schema::protocol_health::ProtocolHealth>("protocol_health", parser!(protocol_health)),
        Subject::new::<config_schema::metrics::Metrics>("metrics", parser!(metrics)),
        Subject::new::<config_schema::suite::Suite>("suite", read_suite),
        Subject::new::<config_schema::control::Control>("control", parser!(control)),
    ]
}

/// The suite takes a configuration apart, and each plugin reads its own.
fn read_suite(bytes: &[u8]) -> Result<(), Faults> {
    let (settings, mut faults) = suite::config::take_apart(bytes)?;
    for (part, settings) in Part::ALL.into_iter().zip(&settings.parts) {
        let Some(settings) = settings else { continue };
        let text = settings.text.as_bytes();
        let own = match part {
            Part::ProtocolHealth => protocol_health::config::read(text).map(|_| ()),
            Part::Metrics => metrics::config::read(text).map(|_| ()),
            Part::Idempotency => idempotency::config::read(text).map(|_| ()),
            Part::CircuitBreaker => circuit_breaker::config::read(text).map(|_| ()),
            Part::RetryBudget => retry_budget::config::read(text).map(|_| ()),
        };
        if let Err(own) = own {
            settings.place(part, &own, &mut faults);
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

#[test]
fn every_schema_is_draft_04() {
    let meta = jsonschema::draft4::meta::validate;
    for Subject { name, schema, .. } in subjects() {
        assert_eq!(schema["$schema"], DRAFT_04);
        meta(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn real_configurations_are_good_and_have_every_field() {
    for subject in subjects() {
        let mut known = BTreeSet::new();
        for seed in &subject.seeds {
            subject.validator.validate(seed).unwrap_or_else(|error| panic!("{}: {error} in {seed}", subject.name));
            (subject.read)(seed.to_string().as_bytes()).unwrap_or_else(|faults| panic!("{}: {faults}", subject.name));
            known.extend(change::places(seed).into_iter().map(|place| change::in_general(&place)));
        }
        // What a suite's plugins have is theirs.
        let fields = change::fields(&subject.schema)
            .into_iter()
            .filter(|field| subject.name != "suite" || field.matches('/').count() == 1);
        let missing: Vec<String> = fields.filter(|field| !known.contains(field)).collect();
        assert!(missing.is_empty(), "{} has no seed with {missing:?}", subject.name);
    }
}

#[test]
fn they_agree_on_each_value_at_its_bounds_and_beyond() {
    for subject in subjects() {
        let (mut judged, mut refused, mut disagreements) = (0, 0, BTreeSet::new());
        for seed in &subject.seeds {
            for change in changes(seed, &subject.schema) {
                let config = change.apply(seed.clone());
                disagreements.extend(subject.disagreement(&config).map(|words| format!("{change:?}: {words}")));
                judged += 1;
                refused += usize::from(!subject.validator.is_valid(&as_lua(&config)));
            }
        }
        let few: Vec<&String> = disagreements.iter().take(5).collect();
        assert!(few.is_empty(), "{}: {} disagreements, such as {few:#?}", subject.name, disagreements.len());
        println!("{}: {judged} judged, {refused} refused", subject.name);
        assert!(refused * 10 > judged && refused < judged, "of {judged} the schema refuses {refused}");
    }
}

#[test]
fn they_agree_on_configurations_drawn_at_random() {
    for subject in subjects() {
        let changes: Vec<Vec<Change>> =
            subject.seeds.iter().map(|seed| changes(seed, &subject.schema).collect()).collect();
        let drawn = (any::<prop::sample::Index>(), prop::collection::vec(any::<prop::sample::Index>(), 1..4));
        proptest!(ProptestConfig::with_cases(2_000), |((seed, picks) in drawn)| {
            let seed = seed.index(subject.seeds.len());
            let picked = picks.iter().map(|pick| pick.get(&changes[seed]));
            let config = picked.fold(subject.seeds[seed].clone(), |config, change| change.apply(config));
            prop_assert_eq!(subject.disagreement(&config), None);
        });
    }
}

#[test]
fn each_listed_rule_is_one_that_only_the_parser_has() {
    let subjects = subjects();
    for rule in RULES {
        let (name, example) = rule.example;
        let subject = subjects.iter().find(|subject| subject.name == name).expect("a plugin");
        let config = serde_json::from_str(&example.replace("BYTES", &"\u{e9}".repeat(200))).expect("JSON");
        subject.validator.validate(&config).unwrap_or_else(|error| panic!("{rule:?} is the schema's too: {error}"));
        let faults = (subject.read)(config.to_string().as_bytes()).expect_err("the parser refuses it");
        assert!(faults.iter().all(rule.is), "{rule:?}: {faults}");
    }
}
