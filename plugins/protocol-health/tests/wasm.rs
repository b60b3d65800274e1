//! The decisions as real wasm, in Node: 32-bit, another compiler backend, the same answers.
#![cfg(target_arch = "wasm32")]

use core::time::Duration;
use protocol_health::config;
use protocol_health::deadline::{Deadline, Given, decide};
use protocol_health::graphql::{Codes, Scan, verdict};
use protocol_health::grpc_timeout::{parse, write};
use protocol_health::grpc_web::{End, Reader};
use protocol_health::probe::ask::{Health, Heard};
use protocol_health::protocol::Protocol;
use sdk_shim::outcome::Outcome;
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn an_answer_means_the_same_in_any_pieces() {
    let codes = Codes::default();
    let body = br#"{"data": null, "errors": [{"message": "\u00e9\"}", "path": ["a"], "extensions": {"code": "UNAVAILABLE"}}]}"#;
    for size in 1..body.len() {
        let mut scan = Scan::new(1_000);
        body.chunks(size).for_each(|piece| scan.feed(piece, &codes));
        assert_eq!(verdict(200, &scan.end()), Outcome::Unreachable, "{size}");
    }
}

#[wasm_bindgen_test]
fn frames_as_long_as_a_number_allows_overflow_nothing() {
    let mut reader = Reader::default();
    reader.feed(b"\0\xff\xff\xff\xffshort");
    assert_eq!((reader.end(), reader.begun()), (End::Cut, 1));
    let mut reader = Reader::default();
    reader.feed(b"\x80\xff\xff\xff\xffgrpc-status: 0");
    assert_eq!(reader.end(), End::Cut);
}

#[wasm_bindgen_test]
fn the_longest_timeouts_are_read_and_written() {
    let longest = parse(b"99999999H").unwrap();
    assert_eq!((longest, write(longest).as_str()), (Duration::from_secs(99_999_999 * 3_600), "99999999H"));
    assert_eq!(write(Duration::MAX), "99999999H");
}

#[wasm_bindgen_test]
fn deadlines_are_decided() {
    let policy = config::read(br#"{"deadline": {"default": "3s", "max": "4s"}}"#).unwrap();
    let deadlines = policy.deadline.unwrap();
    let said = |text: &str| Given { others: [Some(text.as_bytes().to_vec()), None], ..Given::default() };
    let of = |given: &Given| decide(&deadlines, Protocol::Rest, false, given).deadline;
    assert_eq!(of(&Given::default()), Deadline::Within(Duration::from_secs(3)));
    assert_eq!(of(&said("999999999999999")), Deadline::Within(Duration::from_secs(4)));
    assert_eq!(of(&said("0")), Deadline::Expired);
}

#[wasm_bindgen_test]
fn probes_are_read_and_judged() {
    let config = br#"{"probes": [{"path": "/p", "clusters": ["c"], "protocol": "grpc"}]}"#;
    let policy = config::read(config).unwrap();
    let serving = Heard { status: 200, grpc: Some(0), header: None, body: Some(b"\0\0\0\0\x02\x08\x01".to_vec()) };
    assert_eq!(policy.probes[0].ask.health(&serving), Health::Well);
    assert_eq!(policy.probes[0].ask.health(&Heard { body: None, ..serving }), Health::Ill("no health response"));
}

#[wasm_bindgen_test]
fn every_fault_is_told() {
    let faults = config::read(
        br#"{"chain": "upstream", "signal": 1, "status": 200, "probes": [], "hold": {"time": "1h"}, "x": 0}"#,
    );
    assert_eq!(faults.unwrap_err().len(), 5);
}
