//! The suite's own parts as real wasm, in Node: 32-bit, another compiler backend, the same answers.
#![cfg(target_arch = "wasm32")]

use sdk_shim::host::Map;
use suite::config::read;
use suite::facts::{Facts, Place};
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn a_configuration_is_taken_apart() {
    let settings =
        read(br#"{"mode": "dry_run", "metrics": {}, "retry_budget": {"mode": "enforce", "ttl": "1s"}}"#).unwrap();
    let texts: Vec<&str> = settings.parts.iter().flatten().map(|part| part.text.as_str()).collect();
    assert_eq!(texts, [r#"{"mode":"dry_run"}"#, r#"{"mode":"enforce","ttl":"1s"}"#]);
    assert_eq!(read(br#"{"metrics": 1, "colour": 2, "retry_budget": []}"#).unwrap_err().len(), 3);
}

#[wasm_bindgen_test]
fn what_was_asked_is_remembered() {
    let (mut facts, place) = (Facts::default(), Place::Header(Map::RequestHeaders));
    facts.learn(place, &["a"], Some(b"1"));
    facts.learn(Place::Property, &["a", "b"], None);
    assert_eq!(
        (facts.recall(place, &["a"]), facts.recall(Place::Property, &["a", "b"])),
        (Some(Some(b"1".to_vec())), Some(None))
    );
}
