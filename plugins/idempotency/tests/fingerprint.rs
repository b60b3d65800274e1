//! The promise: two requests have the same fingerprint exactly if all that was chosen of them is the same, and fingerprints of different
//! selections are never compared. `vectors.json` is the same as a table, for other implementations too.

use idempotency::canonical::{Pointers, canonical, read};
use idempotency::encoding::hex;
use idempotency::fingerprint::{BodyForm, FORM, Form, Request, Selection};
use idempotency::scope::Scope;
use idempotency::secret::Secrets;
use proptest::prelude::*;
use sdk_shim::headers::Headers;
use serde_json::Value;

fn secrets() -> Secrets {
    Secrets::new(&["a secret of more than 16 bytes", "another one of the same length"]).unwrap()
}

fn own(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn selection(chosen: &[&str], excluded: &[&str], headers: &[&str], query: &[&str]) -> Selection {
    Selection::new(Pointers::new(own(chosen), own(excluded)).unwrap(), own(headers), own(query))
}

/// A request, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    method: Vec<u8>,
    target: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

impl Sent {
    fn json(target: &str, body: &str) -> Self {
        let headers = vec![(b"content-type".to_vec(), b"application/json".to_vec())];
        Self { method: b"POST".to_vec(), target: target.into(), headers, body: body.into() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn form(&self, selection: &Selection) -> Form {
        let headers = Headers::from(self.headers.clone());
        selection.form(&Request { method: &self.method, target: &self.target, headers: &headers, body: &self.body })
    }

    fn is_like(&self, other: &Self, selection: &Selection) -> bool {
        let (a, b) = (self.form(selection), other.form(selection));
        let same = a.fingerprints(&secrets()) == b.fingerprints(&secrets());
        assert_eq!(same, a.derived_key() == b.derived_key());
        same
    }
}

#[test]
fn reordered_fields_and_parameters_are_the_same_request() {
    let selection = selection(&[""], &[], &[], &["a", "b"]);
    let first = Sent::json("/p?a=1&b=2&a=3", r#"{"amount":10,"to":{"iban":"x","name":"y"}}"#);
    let again = Sent::json("/p?b=2&a=1&trace=9&a=3", r#"{ "to": {"name": "y", "iban": "x"}, "amount": 10.0 }"#);
    assert!(first.is_like(&again, &selection));
    assert!(
        !first.is_like(&Sent { target: b"/p?a=3&b=2&a=1".to_vec(), ..first.clone() }, &selection),
        "the order of one's values"
    );
    assert!(
        !first.is_like(&Sent { target: b"/p?a=%31&b=2&a=3".to_vec(), ..first.clone() }, &selection),
        "bytes stay bytes"
    );
    assert!(!first.is_like(
        &Sent { body: br#"{"amount":11,"to":{"iban":"x","name":"y"}}"#.to_vec(), ..first.clone() },
        &selection
    ));
}

#[test]
fn only_what_was_chosen_counts() {
    let sent = Sent::json("/p?a=1", "{}").with("x-kind", "card").with("traceparent", "00-1");
    let retry = Sent::json("/p?a=2", "{}").with("X-Kind", "card").with("traceparent", "00-2");
    assert!(sent.is_like(&retry, &selection(&[""], &[], &["X-KIND"], &[])));
    assert!(!sent.is_like(&retry, &selection(&[""], &[], &["traceparent"], &[])));
    assert!(!sent.is_like(&retry, &selection(&[""], &[], &[], &["a"])));
    let absent = Sent::json("/p?a=1", "{}");
    assert!(
        !absent.is_like(&absent.clone().with("x-kind", ""), &selection(&[""], &[], &["x-kind"], &[])),
        "absent is not empty"
    );
}

#[test]
fn a_body_that_is_not_json_to_us_counts_as_bytes() {
    let all = Selection::default();
    let twice = |body: &str| Sent::json("/p", body);
    assert_eq!(twice(r#"{"a":1}"#).form(&all).body(), BodyForm::Json);
    for body in [r#"{"a":1,"a":2}"#, r#"{"a":9007199254740993}"#, "NaN", "", "\u{1f}\u{8b}"] {
        assert_eq!(twice(body).form(&all).body(), BodyForm::Bytes, "{body}");
        assert!(twice(body).is_like(&twice(body), &all));
        assert!(!twice(body).is_like(&twice(&format!(" {body}")), &all));
    }
    let text = Sent { headers: vec![], ..twice("{}") };
    assert_eq!(text.form(&all).body(), BodyForm::Bytes, "nobody said that it is JSON");
    assert!(!text.is_like(&twice("{}"), &all), "bytes are never alike to JSON");
}

#[test]
fn a_changed_selection_is_another_version() {
    let versions = [
        selection(&[""], &[], &[], &[]),
        selection(&[], &[], &[], &[]),
        selection(&["/a"], &[], &[], &[]),
        selection(&["/a", "/b"], &[], &[], &[]),
        selection(&["/a/b"], &[], &[], &[]),
        selection(&["/a"], &["/b"], &[], &[]),
        selection(&[""], &["/a"], &[], &[]),
        selection(&[""], &["/a"], &["a"], &[]),
        selection(&[""], &[], &["a"], &[]),
        selection(&[""], &[], &[], &["a"]),
        selection(&[""], &[], &[], &["A"]),
        selection(&[""], &[], &["a", "b"], &[]),
        selection(&[""], &[], &["a"], &["b"]),
    ]
    .map(|selection| selection.version());
    assert_eq!(versions.iter().collect::<std::collections::HashSet<_>>().len(), versions.len());
    let reordered = selection(&["/b", "/a", "/b"], &["/d", "/c"], &["X", "y"], &["q", "p"]);
    assert_eq!(selection(&["/a", "/b"], &["/c", "/d"], &["y", "x"], &["p", "q"]).version(), reordered.version());
}

#[test]
fn there_is_one_for_each_secret_in_the_order_of_the_names() {
    let form = Sent::json("/p", "{}").form(&Selection::default());
    let fingerprints = form.fingerprints(&secrets());
    assert_ne!(fingerprints[0].digest, fingerprints[1].digest);
    assert_eq!(fingerprints[0].version, fingerprints[1].version);
    assert_eq!(form.fingerprint(secrets().iter().nth(1).unwrap()), fingerprints[1]);
}

// === vectors.json ===

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn selection_of(value: &Value) -> Selection {
    let chosen = if value["json"].is_null() { vec![String::new()] } else { strings(&value["json"]) };
    Selection::new(
        Pointers::new(chosen, strings(&value["exclude"])).unwrap(),
        strings(&value["headers"]),
        strings(&value["query"]),
    )
}

fn sent_of(value: &Value) -> Sent {
    let text = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"));
    let pair = |pair: &Value| (pair[0].as_str().unwrap().into(), pair[1].as_str().unwrap().into());
    let headers = value["headers"].as_array().unwrap().iter().map(pair).collect();
    Sent { method: text("method").into(), target: text("target").into(), headers, body: text("body").into() }
}

#[test]
fn pairs_of_requests_are_the_same_or_different() {
    let vectors = vectors();
    let pairs = vectors["pairs"].as_array().unwrap();
    for pair in pairs {
        let (selection, a, b) = (selection_of(&pair["selection"]), sent_of(&pair["a"]), sent_of(&pair["b"]));
        assert_eq!(a.is_like(&b, &selection), pair["same"].as_bool().unwrap(), "{}", pair["name"]);
    }
    assert!(pairs.len() >= 20);
}

#[test]
fn digests_are_pinned() {
    let vectors = vectors();
    assert_eq!(vectors["form"], FORM, "another form needs other digests");
    for pinned in vectors["pinned"].as_array().unwrap() {
        let secrets = Secrets::new(&[pinned["secret"].as_str().unwrap()]).unwrap();
        let (selection, sent) = (selection_of(&pinned["selection"]), sent_of(&pinned["request"]));
        let form = sent.form(&selection);
        assert_eq!(format!("{:016x}", selection.version()), pinned["version"], "{}", pinned["name"]);
        assert_eq!(hex(&form.fingerprints(&secrets)[0].digest), pinned["digest"], "{}", pinned["name"]);
        assert_eq!(form.derived_key(), pinned["derived_key"], "{}", pinned["name"]);
        let (tenant, key) = (strings(&pinned["tenant"]), pinned["key"].as_str().unwrap().as_bytes());
        let tenant: Vec<&[u8]> = tenant.iter().map(String::as_bytes).collect();
        let namespace = pinned["namespace"].as_str().unwrap();
        let scope = Scope { namespace, tenant: &tenant, method: &sent.method, target: &sent.target, key };
        assert_eq!(scope.names(&secrets)[0], pinned["store_key"], "{}", pinned["name"]);
    }
}

// === all that counts, and nothing else ===

/// Of few letters, so that shifted boundaries are likely.
fn sent() -> impl Strategy<Value = Sent> {
    let bytes = |most| prop::collection::vec(prop::sample::select(&b"a1\0\x01"[..]), 0..most);
    let target = prop::collection::vec(prop::sample::select(&b"a?&=b1"[..]), 0..9);
    let name = prop::sample::select(vec![b"x".to_vec(), b"X".to_vec(), b"y".to_vec(), b"z".to_vec()]);
    let kind = prop::sample::select(vec![&b"application/json"[..], b"text/plain"]);
    let body = prop_oneof![
        bytes(4),
        "\\[?[12],? ?\"?a?\"?\\]?".prop_map(String::into_bytes),
        "\\{ ?\"[ab]\":[12],\"[ab]\":[12]\\}".prop_map(String::into_bytes),
    ];
    let headers = prop::collection::vec((name, bytes(3)), 0..4);
    (bytes(3), target, kind, headers, body).prop_map(|(method, target, kind, mut headers, body)| {
        headers.push((b"content-type".to_vec(), kind.to_vec()));
        Sent { method, target, headers, body }
    })
}

/// What counts of a request, with `x`, `y`, `a` and `b` chosen: the naive model.
fn meaning(sent: &Sent) -> impl PartialEq + std::fmt::Debug {
    let text = String::from_utf8(sent.target.clone()).unwrap();
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    let pairs: Vec<_> = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let values =
        |name| pairs.iter().filter(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()).collect::<Vec<_>>();
    let of = |wanted: &str| {
        let same = |(name, _): &&(Vec<u8>, Vec<u8>)| name.to_ascii_lowercase() == wanted.as_bytes();
        sent.headers.iter().filter(same).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let says_json = of("content-type") == [b"application/json"];
    let json = if says_json { read(&sent.body).map(|value| canonical(&value)) } else { None };
    let bytes = json.is_none().then(|| sent.body.clone());
    (sent.method.clone(), path.to_owned(), values("a"), values("b"), of("x"), of("y"), json, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn two_requests_are_alike_exactly_if_all_that_counts_is_the_same(a in sent(), b in sent(), take in 0..6usize) {
        // Mostly the same, so that what differs is one thing, or nothing.
        let b = match take {
            0 => Sent { method: b.method, ..a.clone() },
            1 => Sent { target: b.target, ..a.clone() },
            2 => Sent { headers: b.headers, ..a.clone() },
            3 => Sent { body: b.body, ..a.clone() },
            4 => Sent { method: b.method, target: b.target, ..a.clone() },
            _ => b,
        };
        let chosen = selection(&[""], &[], &["x", "y"], &["a", "b"]);
        prop_assert_eq!(meaning(&a) == meaning(&b), a.is_like(&b, &chosen), "{:?} {:?}", a, b);
    }
}
