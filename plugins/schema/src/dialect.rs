//! Draft-04, which is what Kong takes: a schema of another draft stops it.
//!
//! Everything is written where it is used, without references: Kong's answers name the path of what is wrong, and not that of a definition.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, ReplaceBoolSchemas, ReplaceConstValue, ReplaceUnevaluatedProperties};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// The dialect's name.
pub const DRAFT_04: &str = "http://json-schema.org/draft-04/schema#";

/// The dialect of editors and of most validators today.
pub const DRAFT_2020_12: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a type.
pub fn schema_of<T: JsonSchema>() -> Value {
    let mut no_booleans = ReplaceBoolSchemas::default();
    no_booleans.skip_additional_properties = true;
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.meta_schema = Some(DRAFT_04.into());
        settings.inline_subschemas = true;
        settings.transforms = vec![
            Box::new(ReplaceUnevaluatedProperties::default()),
            Box::new(RecursiveTransform(list_words)),
            Box::new(ReplaceConstValue::default()),
            Box::new(no_booleans),
        ];
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The same schema in [`DRAFT_2020_12`]: of what our schemas say, only `dependencies` is said in another way there.
pub fn in_2020_12(schema: &Value) -> Value {
    let mut schema = modern(schema);
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("$schema".to_owned(), DRAFT_2020_12.into());
    }
    schema
}

fn modern(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else { return schema.clone() };
    let all = fields.iter().flat_map(|(keyword, value)| match (keyword.as_str(), value) {
        ("properties" | "patternProperties", Value::Object(named)) => vec![(keyword.clone(), modern_each(named))],
        ("dependencies", Value::Object(named)) => dependencies(named),
        ("additionalProperties" | "items" | "not", schema) => vec![(keyword.clone(), modern(schema))],
        ("anyOf" | "allOf" | "oneOf", Value::Array(schemas)) => {
            vec![(keyword.clone(), schemas.iter().map(modern).collect())]
        }
        // Values, and words that mean the same in both.
        _ => vec![(keyword.clone(), value.clone())],
    });
    Value::Object(all.collect())
}

fn modern_each(named: &Map<String, Value>) -> Value {
    named.iter().map(|(name, schema)| (name.clone(), modern(schema))).collect()
}

/// One keyword has become two: which fields must be there too, and what else must be true then.
fn dependencies(named: &Map<String, Value>) -> Vec<(String, Value)> {
    let (fields, schemas): (Vec<_>, Vec<_>) = named.iter().partition(|(_, value)| value.is_array());
    let fields: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let schemas: Map<String, Value> = schemas.into_iter().map(|(name, value)| (name.clone(), modern(value))).collect();
    let both = [("dependentRequired", fields), ("dependentSchemas", schemas)];
    both.into_iter().filter(|(_, map)| !map.is_empty()).map(|(name, map)| (name.to_owned(), map.into())).collect()
}

/// One of a few words is an `enum`, with what each means in the description: of alternatives Kong only says that none fits.
fn list_words(schema: &mut Schema) {
    let Some(words) = words_of(schema) else { return };
    let meanings: Vec<String> = words.iter().map(|(word, meaning)| format!("`{word}`: {meaning}")).collect();
    let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = [&[about.to_owned()], meanings.as_slice()].concat().join("\n");
    let words: Vec<&String> = words.iter().map(|(word, _)| word).collect();
    let listed = json!({"type": "string", "enum": words, "description": description});
    schema.remove("oneOf");
    schema.ensure_object().extend(listed.as_object().cloned().unwrap_or_default());
}

fn words_of(schema: &Schema) -> Option<Vec<(String, String)>> {
    let text = |fields: &Map<String, Value>, name| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let word = |one: &Value| {
        let fields = one.as_object()?;
        Some((text(fields, "const")?, text(fields, "description").unwrap_or_default()))
    };
    schema.get("oneOf")?.as_array()?.iter().map(word).collect()
}

/// An alternative: the field `kind` says `word`, and so these others aren't there. What is there is said once, beside the alternatives, since of them
/// Kong only says that none fits.
pub fn only(kind: &str, word: &str, others: &[&str]) -> Value {
    let absent = others.iter().map(|name| ((*name).to_owned(), json!({"not": {}})));
    let properties: Map<String, Value> = absent.chain([(kind.to_owned(), json!({"enum": [word]}))]).collect();
    json!({"required": [kind], "properties": properties})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::modules;
    use std::collections::BTreeSet;

    #[test]
    fn dependencies_are_two_keywords_now_and_names_of_fields_are_left_alone() {
        let old = json!({
            "$schema": DRAFT_04,
            "properties": {"dependencies": {"enum": [{"dependencies": {"a": ["b"]}}]}},
            "anyOf": [{"items": {"dependencies": {"username": ["password"], "interval": {"not": {}}}}}],
        });
        assert_eq!(
            in_2020_12(&old),
            json!({
                "$schema": DRAFT_2020_12,
                "properties": {"dependencies": {"enum": [{"dependencies": {"a": ["b"]}}]}},
                "anyOf": [{"items": {"dependentRequired": {"username": ["password"]}, "dependentSchemas": {"interval": {"not": {}}}}}],
            })
        );
    }

    /// The words that a schema uses; the names of fields aren't among them.
    fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            found.insert(keyword.clone());
            match (keyword.as_str(), value) {
                ("properties" | "patternProperties" | "dependencies", Value::Object(named)) => {
                    named.values().for_each(|schema| keywords(schema, found));
                }
                ("enum" | "default", _) => {}
                (_, Value::Array(schemas)) => schemas.iter().for_each(|schema| keywords(schema, found)),
                (_, schema) => keywords(schema, found),
            }
        }
    }

    #[test]
    fn whatever_our_schemas_say_means_the_same_in_both_drafts_or_is_said_in_another_way() {
        const SAME: [&str; 20] = [
            "additionalProperties",
            "anyOf",
            "default",
            "description",
            "enum",
            "items",
            "maxItems",
            "maxLength",
            "maxProperties",
            "maximum",
            "minItems",
            "minLength",
            "minProperties",
            "minimum",
            "not",
            "pattern",
            "patternProperties",
            "properties",
            "required",
            "title",
        ];
        let mut used = BTreeSet::new();
        for (_, schema) in modules() {
            keywords(&schema, &mut used);
        }
        let known: BTreeSet<String> =
            SAME.into_iter().chain(["type", "uniqueItems", "$schema", "dependencies"]).map(str::to_owned).collect();
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "does `in_2020_12` know {unknown:?}?");
    }
}
