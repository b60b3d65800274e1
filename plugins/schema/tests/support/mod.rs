//! Shipped files, as tests read them.
#![allow(dead_code, reason = "each test takes what it needs")]

use config_schema::meta::modules;
use config_schema::sizing::Demand;
use serde::Deserialize as _;
use serde_json::Value;
use std::path::{Path, PathBuf};

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    Value::deserialize(serde_yaml_ng::Deserializer::from_str(&text)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn yaml_files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository().join(folder)).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let is_yaml = |name: &String| Path::new(name).extension().is_some_and(|end| end == "yml" || end == "yaml");
    let mut files: Vec<String> = names.filter(is_yaml).map(|name| format!("{folder}/{name}")).collect();
    files.sort();
    files
}

/// Every object in a value.
pub(crate) fn objects(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(fields) => [value].into_iter().chain(fields.values().flat_map(objects)).collect(),
        Value::Array(items) => items.iter().flat_map(objects).collect(),
        _ => Vec::new(),
    }
}

/// Filters and their configurations in a file of Kong's: as plugins, and in chains.
pub(crate) fn kongs(file: &Value) -> Vec<(String, Value)> {
    let lists = objects(file).into_iter().flat_map(|object| ["plugins", "filters"].map(|list| object.get(list)));
    let entries = lists.flatten().filter_map(Value::as_array).flatten();
    let named = entries.filter_map(|entry| Some((entry["name"].as_str()?.replace('-', "_"), entry["config"].clone())));
    named.filter(|(name, _)| modules().iter().any(|(module, _)| module == name)).collect()
}

/// What the filters of a file need together.
pub(crate) fn demand_of(file: &str, workers: u64) -> Demand {
    let filters = kongs(&yaml(file)).into_iter();
    filters.map(|(module, config)| Demand::of(&module, &config, workers)).fold(Demand::default(), Demand::and)
}

/// A size in `kong.conf`, in bytes; a number of buffers of that size counts all of them.
pub(crate) fn setting(name: &str) -> u64 {
    let text = std::fs::read_to_string(repository().join("kong-configs/kong.conf")).expect("a file");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('=')).expect("a setting");
    line.split_whitespace().map(size).product()
}

fn size(word: &str) -> u64 {
    let (digits, unit) = word.split_at(word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len()));
    let scale = match unit {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        other => panic!("a unit {other}"),
    };
    digits.parse::<u64>().expect("a number") * scale
}
