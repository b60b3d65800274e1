//! Draft-04, which is what Kong takes: a schema of another draft stops it.
//!
//! Everything is written where it is used, without references: Kong's answers name the path of what is wrong, and not that of a definition.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, ReplaceBoolSchemas, ReplaceConstValue, ReplaceUnevaluatedProperties};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// The dialect's name.
pub const DRAFT_04: &str = "http://json-schema.org/draft-04/schema#";

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
