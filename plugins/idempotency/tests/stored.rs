//! The promise: a repeat gets the status, the chosen headers and the body of the first run, byte for byte, or is told that the body is gone; and
//! nothing of what was meant for the first client only.

use idempotency::stored::{Kept, MAX_HEADER_BYTES, MAX_HEADERS, Stored, may_be_replayed};
use proptest::prelude::*;
use sdk_shim::headers::Headers;

fn headers(list: &[(&str, &str)]) -> Headers {
    Headers::from(
        list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect::<Vec<_>>(),
    )
}

fn chosen(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// What was captured, as text.
fn captured(status: u16, list: &[(&str, &str)], names: &[&str]) -> Vec<(String, String)> {
    let stored = Stored::capture(status, &headers(list), &chosen(names)).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    stored.headers.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// A receipt, with a body of which this is kept.
fn receipt(status: u16, body: Kept) -> Stored {
    let answer = headers(&[
        ("content-type", "application/json"),
        ("content-language", "fr"),
        ("content-encoding", "gzip"),
        ("location", "/payments/7"),
        ("etag", "\"7\""),
    ]);
    let names = chosen(&["content-type", "content-language", "content-encoding", "location", "etag"]);
    Stored { body, ..Stored::capture(status, &answer, &names).unwrap() }
}

/// A replay's headers as one would see them.
fn seen(stored: &Stored) -> Vec<String> {
    stored.reply().headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

#[test]
fn a_repeat_gets_what_the_first_client_got_and_is_told_that_it_is_a_replay() {
    let stored = receipt(201, Kept::Whole(b"{\"id\":7}".to_vec()));
    let reply = stored.reply();
    assert_eq!((reply.status, &*reply.body, reply.grpc_status), (201, &b"{\"id\":7}"[..], None));
    let all = [
        "content-type: application/json",
        "content-language: fr",
        "content-encoding: gzip",
        "location: /payments/7",
        "etag: \"7\"",
        "idempotency-replayed: true",
    ];
    assert_eq!(seen(&stored), all);
}

#[test]
fn without_its_body_an_answer_says_so_and_does_not_describe_it() {
    for gone in [Kept::Nothing, Kept::digest(b"{\"id\":7}")] {
        let stored = receipt(201, gone);
        assert_eq!((stored.reply().status, stored.reply().body), (201, Vec::new()));
        let rest = ["location: /payments/7", "idempotency-replayed: true", "x-holdfast-idempotency: body-not-stored"];
        assert_eq!(seen(&stored), rest);
    }
}

#[test]
fn a_body_that_was_empty_is_not_missed() {
    for status in [204, 205, 304] {
        assert_eq!(seen(&receipt(status, Kept::Nothing)), seen(&receipt(status, Kept::Whole(Vec::new()))), "{status}");
    }
    for empty in [Kept::Whole(Vec::new()), Kept::digest(b"")] {
        let stored = receipt(200, empty);
        assert_eq!(stored.reply().body, b"");
        assert!(seen(&stored).contains(&"content-type: application/json".to_owned()));
        assert!(!seen(&stored).iter().any(|line| line.contains("body-not-stored")));
    }
}

#[test]
fn only_what_is_chosen_is_kept_with_each_of_its_values() {
    let answer = [("X-Id", "1"), ("link", "</a>"), ("x-secret", "s"), ("link", "</b>")];
    let kept = [("link", "</a>"), ("link", "</b>"), ("x-id", "1")];
    assert_eq!(captured(200, &answer, &["link", "x-id", "x-absent"]), kept.map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(captured(200, &answer, &[]), []);
}

#[test]
fn what_belongs_to_one_exchange_is_never_replayed_even_where_it_is_chosen() {
    let never = [
        "set-cookie",
        "date",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "traceparent",
        "tracestate",
        "b3",
        "x-b3-traceid",
        "x-request-id",
        "idempotency-replayed",
        "x-holdfast-reject",
        ":status",
        "",
        "a b",
        "a:b",
    ];
    for name in never {
        assert!(!may_be_replayed(name) && !may_be_replayed(&name.to_ascii_uppercase()), "{name}");
        assert_eq!(captured(200, &[(name, "v")], &[name]), [], "{name}");
    }
    for name in ["content-type", "location", "etag", "x-b3", "dates", "link", "x-request-ids", "Retry-After"] {
        assert!(may_be_replayed(name), "{name}");
    }
}

#[test]
fn a_header_that_the_service_sends_to_the_next_hop_only_goes_no_further() {
    let answer = [("connection", "close, X-Hop"), ("x-hop", "1"), ("x-hops", "2")];
    assert_eq!(captured(200, &answer, &["x-hop", "x-hops"]), [("x-hops".to_owned(), "2".to_owned())]);
}

#[test]
fn a_header_that_can_not_be_sent_again_as_it_was_is_left_out() {
    let answer = Headers::from(vec![(b"x-name".to_vec(), vec![b'a', 0xFF]), (b"x-name".to_vec(), "é".into())]);
    let stored = Stored::capture(200, &answer, &chosen(&["x-name"])).unwrap();
    assert_eq!(seen(&stored), ["x-name: é", "idempotency-replayed: true", "x-holdfast-idempotency: body-not-stored"]);
}

#[test]
fn an_answer_that_is_not_final_is_never_stored() {
    for status in [0, 100, 101, 103, 199, 1000] {
        assert_eq!(Stored::capture(status, &headers(&[]), &[]), None, "{status}");
    }
    for status in [200, 204, 404, 503, 599, 999] {
        assert!(Stored::capture(status, &headers(&[]), &[]).is_some(), "{status}");
    }
}

#[test]
fn headers_have_bounds() {
    let many = vec![("link", "</a>"); MAX_HEADERS + 1];
    assert_eq!(captured(200, &many, &["link"]).len(), MAX_HEADERS);
    let (fits, long) = ("a".repeat(MAX_HEADER_BYTES - 4), "a".repeat(MAX_HEADER_BYTES - 3));
    assert_eq!(captured(200, &[("link", &long), ("link", &fits)], &["link"]), [("link".to_owned(), fits)]);
}

#[test]
fn the_log_is_not_told_what_the_service_said() {
    let shown =
        format!("{:?} {:?}", receipt(201, Kept::Whole(b"{\"id\":7}".to_vec())), receipt(201, Kept::digest(b"x")));
    assert_eq!(shown, "Stored(201, 5 headers, Whole(8 bytes)) Stored(201, 5 headers, Digest(1 bytes))");
}

/// Written out, so that a change of the form without a change of its number is noticed.
#[test]
fn the_form_is_this() {
    let head = |kind: u8| [&[1, kind, 201, 0, 1, 0, 0, 0, 1, 0, 0, 0][..], b"a", &[2, 0, 0, 0], b"bc"].concat();
    let of = |body| Stored { status: 201, headers: vec![(b"a".to_vec(), b"bc".to_vec())], body };
    let digest = Kept::Digest { sha256: [7; 32], len: 9 };
    assert_eq!(of(Kept::Nothing).encode(), head(0));
    assert_eq!(of(digest).encode(), [&head(1)[..], &[7; 32], &[9, 0, 0, 0, 0, 0, 0, 0]].concat());
    assert_eq!(of(Kept::Whole(b"body".to_vec())).encode(), [&head(2)[..], b"body"].concat());
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

fn stored() -> impl Strategy<Value = Stored> {
    let digest = (any::<[u8; 32]>(), any::<u64>()).prop_map(|(sha256, len)| Kept::Digest { sha256, len });
    let body = prop_oneof![Just(Kept::Nothing), digest, bytes(100).prop_map(Kept::Whole)];
    let headers = prop::collection::vec((bytes(10), bytes(20)), 0..5);
    (200..1000_u16, headers, body).prop_map(|(status, headers, body)| Stored { status, headers, body })
}

proptest! {
    #[test]
    fn an_answer_is_read_as_it_was_written(stored in stored()) {
        prop_assert_eq!(Stored::decode(&stored.encode()), Some(stored));
    }

    #[test]
    fn a_cut_answer_is_refused_or_has_a_shorter_body(stored in stored(), cut in any::<prop::sample::Index>()) {
        let bytes = stored.encode();
        let least = if let Kept::Whole(body) = &stored.body { bytes.len() - body.len() } else { bytes.len() };
        prop_assert_eq!(Stored::decode(&bytes[..cut.index(least)]), None);
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_trap(bytes in bytes(120), kind in 0..4_u8, count in 0..3_u8) {
        let mut bytes = bytes;
        let head = [1, kind, 200, 0, count, 0, 0, 0];
        let bent = bytes.len().min(head.len());
        bytes[..bent].copy_from_slice(&head[..bent]);
        if let Some(stored) = Stored::decode(&bytes) {
            prop_assert_eq!(stored.encode(), bytes);
            stored.reply();
        }
    }

    #[test]
    fn no_answer_makes_two_replays(a in stored(), b in stored()) {
        prop_assert_eq!(a == b, a.encode() == b.encode());
    }
}
