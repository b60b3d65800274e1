//! The files that are made of the types and of the tables, as they are committed.
//!
//! `HOLDFAST_BLESS=1 cargo test -p config-schema --test committed` writes them anew.

mod support;

use config_schema::meta::{meta_json, modules};
use config_schema::{rules, sizing};
use sdk_shim::labels::Label;
use serde_json::{Value, json};
use support::{kongs, repository, yaml};

/// Compares a file with what it should be, or writes it where that is asked for.
fn is_up_to_date(name: &str, wanted: &str) {
    let path = repository().join("kong-configs").join(name);
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        std::fs::write(&path, wanted).expect("a file that can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == wanted, "{name} isn't what the types say: run this test with HOLDFAST_BLESS=1");
}

#[test]
fn every_modules_meta_file_is_what_the_types_say() {
    for (module, schema) in modules() {
        is_up_to_date(&format!("{module}.meta.json"), &meta_json(&schema));
    }
}

/// As Kong 3.9 reads it (`FILTER_META_SCHEMA` in its kong/runloop/wasm.lua).
#[test]
fn a_meta_file_has_the_shape_that_kong_reads() {
    for (module, schema) in modules() {
        let meta: Value = serde_json::from_str(&meta_json(&schema)).expect("JSON");
        assert_eq!(meta["config_schema"]["type"], "object", "{module}");
        let patterns = meta["metrics"]["label_patterns"].as_array().expect("a list");
        assert_eq!(patterns.len(), Label::ALL.len());
        assert_eq!(patterns[1], json!({"label": "holdfast_instance", "pattern": "(;instance=([^;]+))"}));
    }
}

/// Between two marks of the page.
fn part_is_up_to_date(mark: &str, wanted: &str) {
    let path = repository().join("kong-configs/README.md");
    let page = std::fs::read_to_string(path).expect("a page");
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let (head, rest) = page.split_once(&begin).expect("a mark");
    let (_, tail) = rest.split_once(&end).expect("an end");
    is_up_to_date("README.md", &[head, &begin, wanted, &end, tail].concat());
}

/// One test, since both write the same file.
#[test]
fn the_pages_tables_are_what_the_code_says() {
    part_is_up_to_date("rules", &rules::markdown());
    let defaults =
        ["circuit_breaker", "retry_budget", "protocol_health", "metrics"].map(|name| (name.to_owned(), json!({})));
    let memory = ("idempotency".to_owned(), json!({"store": {"kind": "memory"}}));
    let files = [
        ("[kong.yml](kong.yml)", kongs(&yaml("kong-configs/kong.yml"))),
        ("[filter-chains.yml](filter-chains.yml)", kongs(&yaml("kong-configs/filter-chains.yml"))),
        ("the breaker alone, with its defaults", defaults[..1].to_vec()),
        ("all five with their defaults", defaults.into_iter().chain([memory]).collect()),
    ];
    part_is_up_to_date("sizes", &sizing::markdown(&files));
}
