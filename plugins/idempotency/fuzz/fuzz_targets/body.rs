//! Any bytes as a request's body, content type and pointers: no JSON to us, or one canonical form, which is read as the same body again and which
//! has the same fingerprint. Never a panic.
#![no_main]

use idempotency::canonical::{Pointers, canonical, is_json, read};
use idempotency::fingerprint::{BodyForm, Request, Selection};
use idempotency::protocol::Fingerprint;
use idempotency::secret::Secrets;
use libfuzzer_sys::fuzz_target;
use sdk_shim::headers::Headers;
use std::sync::LazyLock;

static SECRETS: LazyLock<Secrets> = LazyLock::new(|| Secrets::new(&["a secret of more than 16 bytes"]).unwrap());

fuzz_target!(|input: &[u8]| {
    // JSON never holds a zero byte, so that an input without one is all body.
    let (pointers, body) = input.split_at(input.iter().position(|byte| *byte == 0).unwrap_or(0));
    let body = body.strip_prefix(b"\0").unwrap_or(body);
    let _ = is_json(input);
    let selection = selection(pointers);
    let (form, as_json) = fingerprint(&selection, b"application/json", body);
    let (bytes, as_bytes) = fingerprint(&selection, b"text/plain", body);
    assert_eq!(bytes, BodyForm::Bytes);
    assert_ne!(as_json == as_bytes, form == BodyForm::Json, "a form that is another gives another fingerprint");
    let Some(value) = read(body) else { return assert_eq!(form, BodyForm::Bytes) };
    assert_eq!(form, BodyForm::Json);
    let text = canonical(&value);
    let again = read(&text).expect("what is canonical can be read");
    assert_eq!(canonical(&again), text, "what is canonical stays as it is");
    let model: serde_json::Value = serde_json::from_slice(body).expect("JSON to serde_json too");
    assert_eq!(serde_json_canonicalizer::to_vec(&model).ok(), Some(text.clone()), "the library's form is another");
    assert_eq!(fingerprint(&selection, b"application/json", &text), (form, as_json), "it is the same request");
});

/// The text as pointers, one a line: the first line is excluded, the others chosen. What is none leaves the whole body.
fn selection(text: &[u8]) -> Selection {
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned());
    let excluded = lines.next().filter(|line| !line.is_empty()).into_iter().collect();
    let chosen: Vec<String> = lines.collect();
    let pointers = match chosen.is_empty() {
        true => Pointers::new(vec![String::new()], excluded),
        false => Pointers::new(chosen, excluded),
    };
    Selection::new(pointers.unwrap_or_default(), Vec::new(), Vec::new())
}

fn fingerprint(selection: &Selection, content_type: &[u8], body: &[u8]) -> (BodyForm, Fingerprint) {
    let headers = Headers::from(vec![(b"content-type".to_vec(), content_type.to_vec())]);
    let form = selection.form(&Request { method: b"POST", target: b"/", headers: &headers, body });
    (form.body(), form.fingerprints(&SECRETS)[0])
}
