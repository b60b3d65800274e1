//! Redis' protocol: what is cut short fails for exactly the commands that lack their reply, and no bytes make the decoder trap.

use idempotency::protocol::{Answer, Claim, Fingerprint, Owner, Settled};
use idempotency::store::redis::{
    ABANDON, CLAIM, COMPLETE, Call, Entry, claimed, completed, index, keeps, pieces, settle, slots,
};
use idempotency::store::resp::{MAX_DEPTH, Reply, command, replies};
use idempotency::store::{Failure, MAX_NAME, Name, Names};
use proptest::prelude::*;
use sha1_smol::Sha1;

/// A reply that owns its bytes, and how Redis writes it.
#[derive(Clone, Debug)]
enum Sent {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil(bool),
    Array(Vec<Sent>),
}

impl Sent {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => out.extend(format!("+{text}\r\n").bytes()),
            Self::Error(text) => out.extend(format!("-{text}\r\n").bytes()),
            Self::Integer(number) => out.extend(format!(":{number}\r\n").bytes()),
            Self::Bulk(bytes) => {
                out.extend(format!("${}\r\n", bytes.len()).bytes());
                out.extend(bytes);
                out.extend(b"\r\n");
            }
            Self::Nil(array) => out.extend(if *array { b"*-1\r\n" } else { b"$-1\r\n" }),
            Self::Array(elements) => {
                out.extend(format!("*{}\r\n", elements.len()).bytes());
                for element in elements {
                    element.write(out);
                }
            }
        }
    }

    fn as_reply(&self) -> Reply<'_> {
        match self {
            Self::Simple(text) => Reply::Simple(text.as_bytes()),
            Self::Error(text) => Reply::Error(text.as_bytes()),
            Self::Integer(number) => Reply::Integer(*number),
            Self::Bulk(bytes) => Reply::Bulk(bytes),
            Self::Nil(_) => Reply::Nil,
            Self::Array(elements) => Reply::Array(elements.iter().map(Self::as_reply).collect()),
        }
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let leaf = prop_oneof![
        "[ -~]{0,20}".prop_map(Sent::Simple),
        "[ -~]{0,20}".prop_map(Sent::Error),
        any::<i64>().prop_map(Sent::Integer),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Sent::Bulk),
        any::<bool>().prop_map(Sent::Nil),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Sent::Array))
}

/// A pipeline's replies, and where each of them ends.
fn body(pipeline: &[Sent]) -> (Vec<u8>, Vec<usize>) {
    let mut body = Vec::new();
    let ends = pipeline
        .iter()
        .map(|sent| {
            sent.write(&mut body);
            body.len()
        })
        .collect();
    (body, ends)
}

proptest! {
    #[test]
    fn every_prefix_fails_for_the_missing_replies_alone(pipeline in prop::collection::vec(sent(), 1..6)) {
        let (body, ends) = body(&pipeline);
        for cut in 0..=body.len() {
            let read = replies(&body[..cut], pipeline.len());
            prop_assert_eq!(read.len(), pipeline.len());
            for ((reply, sent), end) in read.iter().zip(&pipeline).zip(&ends) {
                let expected = if *end <= cut { Ok(sent.as_reply()) } else { Err(Failure::Missing) };
                prop_assert_eq!(reply, &expected);
            }
        }
    }

    #[test]
    fn one_reply_too_many_puts_all_in_doubt(pipeline in prop::collection::vec(sent(), 1..6)) {
        let (body, _) = body(&pipeline);
        let read = replies(&body, pipeline.len() - 1);
        prop_assert!(read.iter().all(|reply| *reply == Err(Failure::Surplus)), "{:?}", read);
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_trap(bytes in "[-+:$*0-9a-z\r\n]{0,60}", noise in prop::collection::vec(any::<u8>(), 0..60), wanted in 0..4_usize) {
        prop_assert_eq!(replies(bytes.as_bytes(), wanted).len(), wanted);
        prop_assert_eq!(replies(&noise, wanted).len(), wanted);
    }

    #[test]
    fn what_is_wrong_spoils_what_follows_and_not_what_came_before(before in sent(), after in sent()) {
        for wrong in [&b"?\r\n"[..], b"$x\r\n", b"$-2\r\n", b"$+3\r\nabc\r\n", b":1a\r\n", b":\r\n", b"$3\r\nabcd\r\n", b"+a\nb\r\n", b"$99999999999\r\n", b"*2000\r\n", b"_\r\n"] {
            let mut body = Vec::new();
            before.write(&mut body);
            body.extend(wrong);
            after.write(&mut body);
            let read = replies(&body, 3);
            prop_assert_eq!(&read[0], &Ok(before.as_reply()));
            let failures = (read[1].clone(), read[2].clone());
            prop_assert_eq!(failures, (Err(Failure::Malformed), Err(Failure::Malformed)), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..6)) {
        let mut out = Vec::new();
        command(&mut out, parts.iter().map(Vec::as_slice));
        let expected = Reply::Array(parts.iter().map(|part| Reply::Bulk(part)).collect());
        prop_assert_eq!(replies(&out, 1), vec![Ok(expected)]);
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
    assert!(replies(&nested(MAX_DEPTH), 1)[0].is_ok());
    for depth in [MAX_DEPTH + 1, 100_000] {
        assert_eq!(replies(&nested(depth), 1)[0], Err(Failure::Malformed));
    }
}

#[test]
fn a_script_is_known_by_its_digest() {
    let single = [CLAIM, COMPLETE, ABANDON, keeps::SCRIPT, pieces::SCRIPT, slots::SCRIPT];
    for script in single.into_iter().chain(index::SCRIPTS).chain(settle::SCRIPTS) {
        let end = script.text.lines().last();
        assert_eq!(Sha1::from(script.text).digest().to_string(), script.sha1, "the script that ends in {end:?}");
    }
}

#[test]
fn a_claim_names_all_keys() {
    let names = Names::new(["{1a}new".into(), "{1a}old".into()]).unwrap();
    let fingerprint = Fingerprint { version: 255, digest: *b"0123456789abcdef0123456789abcdef" };
    let others = vec![*b"ghijklmnopqrstuvghijklmnopqrstuv"];
    let claim = Claim { owner: Owner(10), fingerprint, others, lease: 30_000, ttl: 86_400_000, reexecute: true };
    let mut out = Vec::new();
    Call::claim(&names, &claim).by_digest(&mut out);
    let owner = "0000000000000000000000000000000a";
    let digests = "0123456789abcdef0123456789abcdefghijklmnopqrstuvghijklmnopqrstuv";
    let (keys, fixed) = (["{1a}new", "{1a}old"], ["EVALSHA", CLAIM.sha1, "2"]);
    let arguments = [owner, "00000000000000ff", digests, "30000", "86400000", "1"];
    let parts = [&fixed[..], &keys, &arguments].concat();
    assert_eq!(replies(&out, 1)[0], Ok(Reply::Array(parts.iter().map(|part| Reply::Bulk(part.as_bytes())).collect())));
}

#[test]
fn replies_that_the_scripts_never_give_are_failures() {
    let array =
        |word: &'static str, more: &[Reply<'static>]| Reply::Array([&[Reply::Bulk(word.as_bytes())], more].concat());
    assert_eq!(claimed(&array("claimed", &[Reply::Bulk(b"7")])), Ok(Answer::Claimed { fence: 7 }));
    let wrong = [
        Reply::Nil,
        Reply::Integer(1),
        Reply::Array(Vec::new()),
        array("claimed", &[]),
        array("claimed", &[Reply::Bulk(b"-1")]),
        array("claimed", &[Reply::Bulk(b"")]),
        array("claimed", &[Reply::Bulk(b"1e12")]),
        array("uncertain", &[Reply::Bulk(b"99999999999999999999")]),
        array("in_flight", &[Reply::Integer(7)]),
        array("done", &[Reply::Nil]),
        array("mismatch", &[Reply::Integer(1)]),
        array("stolen", &[]),
    ];
    for reply in wrong {
        assert_eq!(claimed(&reply), Err(Failure::Unexpected), "{reply:?}");
    }
    assert_eq!(completed(&Reply::Integer(2)), Err(Failure::Unexpected));
    assert_eq!(completed(&Reply::Error(b"NOSCRIPT No matching script.")), Err(Failure::UnknownScript));
    let refused = Failure::Refused("OOM command not allowed".into());
    assert_eq!(claimed(&Reply::Error(b"OOM command not allowed")), Err(refused));
}

/// What a tool lists must be whole JSON, whatever a route is called.
#[test]
fn a_line_of_the_index_is_compact_json() {
    let names = Names::from(Name::new("{1a}n").unwrap());
    let entry = Entry { names: &names, fence: 7, route: "pay", tenant: "5e" };
    assert_eq!(entry.line(), r#"{"id":"{1a}n","fence":7,"route":"pay","tenant":"5e"}"#);
    let names = Names::new(["{1a}n".into(), r#"{1a}"o\"#.into()]).unwrap();
    let long = "\u{e9}\"\\\n".repeat(100);
    let line = Entry { names: &names, route: &long, ..entry }.line();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let cut: String = long.chars().take(index::MAX_ROUTE).collect();
    assert_eq!((line["route"].as_str(), line["also"][0].as_str()), (Some(cut.as_str()), Some(r#"{1a}"o\"#)));
}

#[test]
fn a_name_is_visible_ascii_of_bounded_length() {
    for wrong in [String::new(), "a b".into(), "a\r\nflush_all".into(), "\u{e9}".into(), "x".repeat(MAX_NAME + 1)] {
        assert_eq!(Name::new(wrong.clone()), None, "{wrong:?}");
        assert_eq!(Names::new(["a".into(), wrong]), None);
    }
    assert!(Name::new("x".repeat(MAX_NAME)).is_some());
    assert_eq!(Names::new([]), None);
}

#[test]
fn what_an_operator_sees_of_a_record_is_read_whole_or_not_at_all() {
    use settle::{Found, Look, Seen, Stage, look, settled};
    let array = |parts: &[&'static str]| Reply::Array(parts.iter().map(|part| Reply::Bulk(part.as_bytes())).collect());
    let owner = "0000000000000000000000000000000a";
    let claimed = ["9", "claimed", "{1a}k", owner, "7", "50", "8", "0", ""];
    let seen = Seen {
        name: Name::new("{1a}k").unwrap(),
        owner: Owner(10),
        fence: 7,
        expires: 50,
        stage: Stage::Claimed { lease: 8 },
        note: None,
    };
    let told = |seen: &Seen| Ok(Look { now: 9, found: Found::Record(Box::new(seen.clone())) });
    assert_eq!(look(&array(&claimed)), told(&seen));
    let done = ["9", "done", "{1a}k", owner, "7", "50", "0", "33", "8 failed the bank says no"];
    let note = Some((8, "failed the bank says no".to_owned()));
    assert_eq!(look(&array(&done)), told(&Seen { stage: Stage::Done { length: 33 }, note, ..seen }));
    assert_eq!(look(&array(&["9", "gone"])), Ok(Look { now: 9, found: Found::Gone }));
    for (at, wrong) in [(0, "x"), (1, "x"), (2, ""), (3, "x"), (4, "-1"), (6, "")] {
        let mut parts = claimed;
        parts[at] = wrong;
        assert_eq!(look(&array(&parts)), Err(Failure::Unexpected), "{parts:?}");
    }
    assert_eq!(look(&array(&claimed[..8])), Err(Failure::Unexpected));
    assert_eq!(settled(&array(&["settled", "9"])), Ok(Settled::Yes { now: 9 }));
    assert_eq!(settled(&array(&["running", "1"])), Ok(Settled::Running { remaining: 1 }));
    assert_eq!(settled(&array(&["moved"])), Ok(Settled::MovedOn));
    assert_eq!(settled(&array(&["settled"])), Err(Failure::Unexpected));
    assert_eq!(settled(&Reply::Error(b"NOSCRIPT")), Err(Failure::UnknownScript));
}
