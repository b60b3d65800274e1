//! Any bytes as a GraphQL answer, whole and in pieces, compared with a full parse. The first byte says how large the pieces are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol_health::graphql::{Codes, Data, Found, Scan, verdict};
use sdk_shim::outcome::Outcome;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let [size, body @ ..] = input else { return };
    let codes = Codes::default();
    let scan = |size: usize, most: usize| {
        let mut scan = Scan::new(most);
        body.chunks(size.max(1)).for_each(|piece| scan.feed(piece, &codes));
        scan.end()
    };
    let found = scan(body.len(), usize::MAX);
    assert_eq!(scan(usize::from(*size), usize::MAX), found, "in pieces");
    let capped = scan(usize::from(*size), body.len() / 2);
    assert!(!capped.whole || capped == found, "what is looked at in part is unknown");
    if !found.whole {
        assert_eq!(verdict(200, &found), Outcome::Unknown);
    }
    if let Ok(Value::Object(answer)) = serde_json::from_slice(body) {
        compare(&answer, &found);
    }
});

/// A name may come twice: the parser keeps the last one, the scanner counts both.
fn compare(answer: &serde_json::Map<String, Value>, found: &Found) {
    let errors = match answer.get("errors") {
        None | Some(Value::Null) => 0,
        Some(Value::Array(errors)) => errors.len(),
        Some(_) => return assert!(!found.whole),
    };
    if !found.whole {
        // Of two `errors` the first wasn't a list.
        return;
    }
    assert!(found.errors as usize >= errors && found.worst.is_some() == (found.errors > 0));
    match answer.get("data") {
        None => assert_eq!(found.data, Data::Absent),
        Some(Value::Null) => assert_eq!(found.data, Data::Null),
        Some(_) => assert_ne!(found.data, Data::Absent),
    }
}
