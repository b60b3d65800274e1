//! Decisions, digests, seals and codecs as the WebAssembly that a proxy runs, in Node: `cargo xtask test` starts it.
//!
//! Here `usize` has 32 bits, floats are the engine's, and hashes and ciphers come out of another compiler backend: what nodes compare must be the
//! same bytes.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)]

use core::time::Duration;
use idempotency::canonical::{Pointers, canonical, read};
use idempotency::decide::{Cause, End, Heard, Next, end, next, seconds};
use idempotency::encoding::hex;
use idempotency::fingerprint::{Request, Selection};
use idempotency::protocol::{self, Answer, Claim, Fingerprint, Owner, Record, Stage, Write};
use idempotency::scope::Scope;
use idempotency::seal::{open, seal};
use idempotency::secret::Secrets;
use idempotency::store::{record, resp};
use idempotency::stored::{Kept, Stored};
use idempotency::{config, header};
use sdk_shim::headers::Headers;
use serde_json::Value;
use wasm_bindgen_test::wasm_bindgen_test;

// === decisions ===

#[wasm_bindgen_test]
fn a_stores_answer_leads_to_one_run_a_replay_or_a_refusal() {
    assert_eq!(next(Answer::Claimed { fence: u64::MAX }, Duration::ZERO, 0), Next::Forward { fence: u64::MAX });
    assert_eq!(next(Answer::Done(vec![1]), Duration::ZERO, 0), Next::Replay(vec![1]));
    let refused = Next::Refuse { cause: Cause::InFlight, retry_after: 18_446_744_073_709_552 };
    assert_eq!(next(Answer::InFlight { remaining: u64::MAX }, Duration::ZERO, 0), refused);
    let waits = Next::AskAgain(Duration::from_secs(1));
    assert_eq!(next(Answer::InFlight { remaining: 1 }, Duration::from_secs(9), u32::MAX), waits);
    assert_eq!((seconds(0), seconds(4_294_967_296_000)), (1, 4_294_967_296));
}

#[wasm_bindgen_test]
fn the_end_of_a_request_is_the_end_of_its_claim() {
    let heard = |by_service, attempts, flags| Heard { by_service, attempts, flags, status: 429, ..Heard::default() };
    assert_eq!(end(&heard(true, 1, 0), true, false), End::Release);
    assert_eq!(end(&heard(true, 2, 0), true, false), End::Store);
    // Flags are 64-bit numbers: NC alone, and something beyond 32 bits.
    assert_eq!(end(&heard(false, 1, 16_777_216), false, false), End::Release);
    assert_eq!(end(&heard(false, 1, 1 << 40), false, false), End::Keep);
}

#[wasm_bindgen_test]
fn the_protocol_counts_in_64_bits() {
    let fingerprint = Fingerprint { version: u64::MAX, digest: [7; 32] };
    let wish = |owner| Claim {
        owner: Owner(owner),
        fingerprint,
        others: vec![],
        lease: u64::MAX,
        ttl: u64::MAX,
        reexecute: true,
    };
    let now = 1_795_608_000_000;
    let (answer, Write::Put(first)) = protocol::claim::<Vec<u8>>(None, false, &wish(1 << 100), now) else { panic!() };
    assert_eq!((answer, first.expires), (Answer::Claimed { fence: now }, u64::MAX));
    let remaining = u64::MAX - now;
    assert_eq!(protocol::claim(Some(&first), false, &wish(2), now).0, Answer::InFlight { remaining });
    let (stored, Write::Put(done)) = protocol::complete(Some(&first), Owner(1 << 100), vec![9], 1, now) else {
        panic!()
    };
    assert!(stored);
    assert_eq!(protocol::claim(Some(&done), false, &wish(3), now).0, Answer::Done(vec![9]));
}

// === digests ===

/// RFC 8785, appendix B, and what the engine's floats must not spoil.
#[wasm_bindgen_test]
fn numbers_are_written_as_ecmascript_writes_them() {
    for (bits, expected) in [
        (0x0000_0000_0000_0001_u64, "5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    ] {
        let value = read(format!("{:?}", f64::from_bits(bits)).as_bytes()).unwrap();
        assert_eq!(String::from_utf8(canonical(&value)).unwrap(), expected);
    }
    assert!(read(b"9007199254740993").is_none() && read(b"{\"a\":1,\"a\":1}").is_none() && read(b"1e400").is_none());
    let (a, b) = (
        read(br#"{"b": [1.0, true], "a": "\u20ac"}"#).unwrap(),
        read("{\"a\":\"\u{20ac}\",\"b\":[1,true]}".as_bytes()),
    );
    assert_eq!(canonical(&a), canonical(&b.unwrap()));
}

/// The same file as `tests/fingerprint.rs` reads natively: what one node writes another one must find.
#[wasm_bindgen_test]
fn names_and_fingerprints_are_the_pinned_ones() {
    let vectors: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let pinned = vectors["pinned"].as_array().unwrap();
    assert!(pinned.len() >= 3);
    for pinned in pinned {
        let (chosen, sent) = (&pinned["selection"], &pinned["request"]);
        let pointers = if chosen["json"].is_null() { vec![String::new()] } else { texts(&chosen["json"]) };
        let pointers = Pointers::new(pointers, texts(&chosen["exclude"])).unwrap();
        let selection = Selection::new(pointers, texts(&chosen["headers"]), texts(&chosen["query"]));
        let pair = |pair: &Value| (bytes(&pair[0]).to_vec(), bytes(&pair[1]).to_vec());
        let headers = Headers::from(sent["headers"].as_array().unwrap().iter().map(pair).collect::<Vec<_>>());
        let (method, target, body) = (bytes(&sent["method"]), bytes(&sent["target"]), bytes(&sent["body"]));
        let form = selection.form(&Request { method, target, headers: &headers, body });
        let secrets = Secrets::new(&[bytes(&pinned["secret"])]).unwrap();
        assert_eq!(format!("{:016x}", selection.version()), pinned["version"], "{}", pinned["name"]);
        assert_eq!(hex(&form.fingerprints(&secrets)[0].digest), pinned["digest"], "{}", pinned["name"]);
        assert_eq!(form.derived_key(), pinned["derived_key"], "{}", pinned["name"]);
        let tenant = texts(&pinned["tenant"]);
        let tenant: Vec<&[u8]> = tenant.iter().map(String::as_bytes).collect();
        let namespace = pinned["namespace"].as_str().unwrap();
        let scope = Scope { namespace, tenant: &tenant, method, target, key: bytes(&pinned["key"]) };
        assert_eq!(scope.names(&secrets)[0], pinned["store_key"], "{}", pinned["name"]);
    }
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn bytes(value: &Value) -> &[u8] {
    value.as_str().unwrap().as_bytes()
}

// === seals ===

/// The blob of `tests/seal.rs`, which another program made.
#[wasm_bindgen_test]
fn a_seal_has_the_same_bytes_everywhere() {
    let secrets = Secrets::new(&["an old secret of 30 bytes, yes"]).unwrap();
    let name = format!("{{1a2b}}{}", "0123456789abcdef".repeat(4));
    let blob = seal(
        secrets.iter().next().unwrap(),
        &name,
        0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        b"what the service answered",
    );
    let expected = [
        "01ffeeddccbbaa99887766554433221100",
        "d57513018bd2301ec477caf3e771254d61eefc9179484af424",
        "bf6f705ae028b3f7effc520eab2073c8",
    ];
    assert_eq!(hex(&blob), expected.concat());
    assert_eq!(open(&secrets, core::iter::once(&*name), &blob).unwrap(), b"what the service answered");
    assert_eq!(open(&secrets, core::iter::once("another"), &blob), None);
    let changed: Vec<u8> = blob.iter().map(|byte| byte ^ 1).collect();
    assert_eq!(open(&secrets, core::iter::once(&*name), &changed), None);
}

#[wasm_bindgen_test]
fn a_long_answer_is_sealed_and_opened() {
    let secrets = Secrets::new(&[[7; 32]]).unwrap();
    let answer = Stored {
        status: 201,
        headers: vec![(b"etag".to_vec(), b"\"1\"".to_vec())],
        body: Kept::Whole(vec![0xA5; 262_144]),
    };
    let blob = seal(secrets.iter().next().unwrap(), "name", 1, &answer.encode());
    let opened = open(&secrets, core::iter::once("name"), &blob).unwrap();
    assert_eq!(Stored::decode(&opened), Some(answer));
}

// === codecs ===

#[wasm_bindgen_test]
fn a_record_comes_back_as_it_was_stored() {
    for stage in [Stage::Claimed { lease: u64::MAX }, Stage::Released, Stage::Done(vec![1, 2, 3])] {
        let fingerprint = Fingerprint { version: 3, digest: [4; 32] };
        let stored = Record { owner: Owner(u128::MAX - 1), fence: u64::MAX, fingerprint, stage, expires: 5 };
        assert_eq!(record::decode(&record::encode(&stored)), Some(stored));
    }
}

/// Lengths that don't fit 32 bits are no lengths.
#[wasm_bindgen_test]
fn a_length_beyond_memory_is_malformed() {
    for body in ["$4294967296\r\n", "$4294967295\r\n", "*4294967297\r\n", "$18446744073709551616\r\n"] {
        assert!(resp::replies(body.as_bytes(), 1)[0].is_err(), "{body}");
    }
    assert!(Stored::decode(&[1, 2, 200, 0, 1, 0, 0, 0, 255, 255, 255, 255]).is_none());
}

// === configuration and keys ===

#[wasm_bindgen_test]
fn configurations_are_read_or_refused_with_every_fault() {
    let policy =
        config::read(br#"{"store": {"kind": "memory", "max_bytes": 4294967296}, "ttl": "720h", "lease": "1h"}"#)
            .unwrap();
    assert_eq!((policy.ttl, policy.max_body), (Duration::from_secs(30 * 24 * 3_600), 262_144));
    let faults = config::read(br#"{"ttl": 0, "max_body": 4294967297, "colour": 1}"#).unwrap_err();
    let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths.len(), 4, "and there is no store: {paths:?}");
}

#[wasm_bindgen_test]
fn keys_are_read() {
    let syntax = header::Syntax::Structured { strict: false };
    let key = |value: &[u8]| header::parse(value, syntax).map(|key| key.text);
    assert_eq!(key(b" \"a \\\"b\\\"\";x=1 ").as_deref(), Ok("a \"b\""));
    assert_eq!(key(b"8e03978e-40d5").as_deref(), Ok("8e03978e-40d5"));
    assert_eq!(key(b"\"a\", \"b\""), Err(header::Refusal::Several));
    assert_eq!(key(b"\xFF"), Err(header::Refusal::Character));
}
