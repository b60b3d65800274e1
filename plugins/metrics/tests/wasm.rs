//! Configurations as real wasm, in Node: 32-bit, another compiler backend, the same answers.
#![cfg(target_arch = "wasm32")]

use metrics::config::read;
use metrics::local::{error_of, is_retry_overflow};
use metrics::spoken::Spoken;
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn every_fault_is_told() {
    let faults =
        read(br#"{"max_series": 100001, "labels": {"x": 1}, "canary": {"cluster": false}, "region": {}, "y": 0}"#);
    assert_eq!(faults.unwrap_err().len(), 6);
}

#[wasm_bindgen_test]
fn flags_beyond_32_bits_are_read() {
    assert_eq!(error_of(1 << 40), None);
    assert_eq!((error_of(1 << 40 | 128), is_retry_overflow(1 << 40 | 128)), (Some("pool_overflow"), true));
    assert_eq!(error_of(8_388_608), Some("protocol"));
}

#[wasm_bindgen_test]
fn protocols_have_words() {
    assert_eq!((Spoken::GraphQl.as_str(), Spoken::WebSocket.as_str()), ("graphql", "websocket"));
}
