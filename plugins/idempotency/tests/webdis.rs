//! Webdis: what is sent reaches Redis byte for byte, read as Webdis' source reads it (`integration/tests/stores_webdis.rs` asks a real one).

use idempotency::protocol::{Claim, Fingerprint, Owner};
use idempotency::store::redis::{CLAIM, Call};
use idempotency::store::resp::{Reply, replies};
use idempotency::store::webdis::{body, is_marked, path};
use idempotency::store::{Name, Names};
use proptest::prelude::*;

/// `cmd_select_format`, `cmd_run` and `decode_uri` of its `src/cmd.c`, for a POST.
fn as_webdis_reads_it(body: &[u8]) -> (Vec<Vec<u8>>, String) {
    let path = body.split(|byte| *byte == b'?').next().unwrap();
    let last = path.iter().rposition(|byte| matches!(byte, b'.' | b'/')).unwrap();
    assert_eq!(path[last], b'.', "no format");
    let format = String::from_utf8(path[last + 1..].to_vec()).unwrap();
    let words = path[..last].split(|byte| *byte == b'/');
    // The command itself is not decoded.
    (words.enumerate().map(|(index, word)| if index == 0 { word.to_vec() } else { decode(word) }).collect(), format)
}

fn decode(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = word;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let hex = [*high, *low];
                out.push(u8::from_str_radix(core::str::from_utf8(&hex).unwrap(), 16).unwrap());
                rest = tail;
            }
            _ => out.push(*byte),
        }
    }
    out
}

/// The same command as Redis gets it through the tunnel.
fn as_redis_reads_it(call: &Call, in_full: bool) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let write = if in_full { Call::in_full } else { Call::by_digest };
    write(call, &mut out);
    let Ok(Reply::Array(parts)) = replies(&out, 1).remove(0) else { panic!("no command") };
    let bytes = |part: Reply<'_>| if let Reply::Bulk(bytes) = part { bytes.to_vec() } else { panic!("no word") };
    parts.into_iter().map(bytes).collect()
}

fn names() -> Names {
    Names::new(["{1a}new".into(), "{1a}./?+%2f".into()]).unwrap()
}

proptest! {
    #[test]
    fn webdis_sends_redis_what_the_tunnel_would(answer in prop::collection::vec(any::<u8>(), 0..300), some in "[%/?+.a-f0-9]{0,40}", digest in any::<[u8; 32]>(), other in any::<[u8; 32]>()) {
        let fingerprint = Fingerprint { version: 1, digest };
        let claim = Claim { owner: Owner(1), fingerprint, others: vec![other], lease: 30_000, ttl: 86_400_000, reexecute: false };
        let complete = |answer| Call::complete(&names(), Owner(1), answer, 5);
        for call in [Call::claim(&names(), &claim), complete(answer), complete(some.into_bytes()), complete(Vec::new())] {
            for in_full in [false, true] {
                let read = as_webdis_reads_it(&body(&call, in_full));
                prop_assert_eq!(read, (as_redis_reads_it(&call, in_full), "raw".to_owned()));
            }
        }
    }
}

#[test]
fn a_body_is_words_between_slashes() {
    let names = Names::from(Name::new("{1a}n.").unwrap());
    let call = Call::abandon(&names, Owner(10), 5);
    let owner = "0000000000000000000000000000000a";
    let text = String::from_utf8(body(&call, false)).unwrap();
    let (_, after) = text.split_at("EVALSHA/".len() + 40);
    assert_eq!(after, format!("/1/{{1a}}n%2e/{owner}/5.raw"));
    assert!(body(&Call::claim(&names, &claim()), true).starts_with(b"EVAL/local call"));
    // What is encoded costs next to nothing.
    let answer: Vec<u8> = (0..=255).cycle().take(256 << 10).collect();
    assert!(body(&Call::complete(&names, Owner(1), answer, 5), false).len() < (256 << 10) * 105 / 100);
    assert_eq!(CLAIM.sha1.len(), 40);
}

fn claim() -> Claim {
    let fingerprint = Fingerprint { version: 1, digest: [1; 32] };
    Claim { owner: Owner(1), fingerprint, others: Vec::new(), lease: 1, ttl: 1, reexecute: false }
}

/// Webdis before 0.1.16 drops what WasmX (`connection: close`) doesn't send in one read of 4 KiB, headers included. Answers may be longer, but
/// at least the scripts can be sent, with two secrets.
#[test]
fn a_script_fits_one_read_of_an_old_webdis() {
    let names = Names::new(["{1a2b}", "{1a2b}"].map(|tag| format!("{tag}{}", "f".repeat(64)))).unwrap();
    let claim = Claim { others: vec![[b'/'; 32]], ttl: 86_400_000, lease: 30_000, ..claim() };
    let whole = body(&Call::claim(&names, &claim), true).len();
    assert!(whole + 250 < 4096, "{whole} bytes");
}

#[test]
fn an_answer_shows_which_call_it_is_for() {
    let shown = |mark: &str| format!("attachment; filename=\"{mark}\"").into_bytes();
    assert_eq!(path(1), "/?filename=0000000000000001");
    assert_eq!(path(u64::MAX), "/?filename=ffffffffffffffff");
    assert!(is_marked(&shown("0000000000000001"), 1));
    for other in [shown("0000000000000002"), shown(""), shown("1"), b"0000000000000001".to_vec(), Vec::new()] {
        assert!(!is_marked(&other, 1), "{other:?}");
    }
}
