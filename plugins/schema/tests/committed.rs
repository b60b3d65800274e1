//! The files that are made of the types and of the tables, as they are committed.
//!
//! `HOLDFAST_BLESS=1 cargo test -p config-schema --test committed` writes them anew.

use config_schema::meta::{meta_json, modules};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kong-configs")
}

/// Compares a file with what it should be, or writes it where that is asked for.
fn is_up_to_date(name: &str, wanted: &str) {
    let path = folder().join(name);
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
