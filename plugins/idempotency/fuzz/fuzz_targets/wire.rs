//! Any bytes as what a store answers through the tunnel, whole or cut, and as the key that a client sends. The first byte says as which of them.
#![no_main]

use idempotency::header::{self, MAX_KEY, Refusal, Syntax};
use idempotency::store::memcached::text::{self, Reply as Line, Value};
use idempotency::store::resp::{self, MAX_DEPTH, MAX_ELEMENTS, Reply};
use idempotency::store::{Failure, MAX_VALUE, redis};
use libfuzzer_sys::fuzz_target;
use std::fmt::Debug;

fuzz_target!(|input: &[u8]| {
    let [what, wanted, rest @ ..] = input else { return };
    let wanted = usize::from(*wanted % 8);
    match what % 4 {
        0 => redis_replies(rest, wanted),
        1 => memcached_replies(rest, wanted),
        2 => commands(rest),
        _ => key(rest),
    }
});

fn redis_replies(body: &[u8], wanted: usize) {
    let replies = resp::replies(body, wanted);
    is_fair(body, &replies, |body| resp::replies(body, wanted));
    let whole: Vec<_> = replies.into_iter().flatten().collect();
    let mut written = Vec::new();
    for reply in &whole {
        write(reply, MAX_DEPTH, &mut written);
        let _ = (redis::claimed(reply), redis::completed(reply), redis::released(reply));
    }
    let again = resp::replies(&written, whole.len());
    assert_eq!(again, whole.iter().cloned().map(Ok).collect::<Vec<_>>(), "what was read can be written");
}

fn write(reply: &Reply<'_>, depth: usize, out: &mut Vec<u8>) {
    let mut line = |kind: char, text: &[u8]| out.extend([kind.to_string().as_bytes(), text, b"\r\n"].concat());
    match reply {
        Reply::Simple(text) => line('+', text),
        Reply::Error(text) => line('-', text),
        Reply::Integer(number) => line(':', number.to_string().as_bytes()),
        Reply::Nil => line('$', b"-1"),
        Reply::Bulk(bytes) => {
            assert!(bytes.len() <= MAX_VALUE);
            line('$', bytes.len().to_string().as_bytes());
            out.extend([bytes, &b"\r\n"[..]].concat());
        }
        Reply::Array(elements) => {
            assert!(depth > 0 && elements.len() <= MAX_ELEMENTS, "arrays have bounds");
            line('*', elements.len().to_string().as_bytes());
            elements.iter().for_each(|element| write(element, depth - 1, out));
        }
    }
}

fn memcached_replies(body: &[u8], wanted: usize) {
    let replies = text::replies(body, wanted);
    is_fair(body, &replies, |body| text::replies(body, wanted));
    let whole: Vec<_> = replies.into_iter().flatten().collect();
    let written: Vec<u8> = whole.iter().flat_map(line).collect();
    assert_eq!(text::replies(&written, whole.len()), whole.into_iter().map(Ok).collect::<Vec<_>>());
}

fn line(reply: &Line<'_>) -> Vec<u8> {
    match reply {
        Line::Stored => b"STORED\r\n".to_vec(),
        Line::NotStored => b"NOT_STORED\r\n".to_vec(),
        Line::Exists => b"EXISTS\r\n".to_vec(),
        Line::NotFound => b"NOT_FOUND\r\n".to_vec(),
        Line::End => b"END\r\n".to_vec(),
        Line::Error(message) => [message, &b"\r\n"[..]].concat(),
        Line::Value(Value { key, data, unique }) => {
            let tail = format!(" 0 {} {unique}\r\n", data.len());
            [b"VALUE ", *key, tail.as_bytes(), data, b"\r\nEND\r\n"].concat()
        }
    }
}

/// As many results as were asked for; none that is whole behind one that isn't; and a body that is cut takes away what it cuts, nothing else.
fn is_fair<'a, R: PartialEq + Debug>(
    body: &'a [u8],
    replies: &[Result<R, Failure>],
    read: impl Fn(&'a [u8]) -> Vec<Result<R, Failure>>,
) {
    let whole = replies.iter().take_while(|reply| reply.is_ok()).count();
    assert!(replies.iter().skip(whole).all(Result::is_err));
    if replies.contains(&Err(Failure::Surplus)) {
        return assert_eq!(whole, 0);
    }
    for at in [body.len() / 3, body.len() / 2, body.len().saturating_sub(1)] {
        let cut = read(&body[..at]);
        assert_eq!(cut.len(), replies.len());
        let left = cut.iter().take_while(|reply| reply.is_ok()).count();
        assert!(left <= whole && cut[..left] == replies[..left], "cut at {at}: {cut:?} of {replies:?}");
    }
}

/// What is sent to Redis is read back as what it was made of, whatever the parts hold.
fn commands(bytes: &[u8]) {
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b' ').take(MAX_ELEMENTS).collect();
    let mut out = Vec::new();
    resp::command(&mut out, parts.iter().copied());
    resp::command(&mut out, [&b"PING"[..]]);
    let expected =
        [Ok(Reply::Array(parts.into_iter().map(Reply::Bulk).collect())), Ok(Reply::Array(vec![Reply::Bulk(b"PING")]))];
    assert_eq!(resp::replies(&out, 2), expected);
}

/// A key, or why it is none; a key can be written as the draft has it, and is the same one then.
fn key(value: &[u8]) {
    let [strict, lenient] = [true, false].map(|strict| header::parse(value, Syntax::Structured { strict }));
    match (&strict, &lenient) {
        (Ok(one), Ok(other)) => assert!(one == other && !one.bare),
        (Err(Refusal::Unquoted), Ok(key)) => assert!(key.bare && !key.text.contains(['"', ';', ',', ' '])),
        (Err(Refusal::Unquoted), Err(why)) => assert_eq!(*why, Refusal::Malformed),
        (one, other) => assert_eq!(one, other),
    }
    let plain = header::parse(value, Syntax::Plain);
    for key in [strict, lenient, plain].into_iter().flatten() {
        assert!((1..=MAX_KEY).contains(&key.text.len()) && key.text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let quoted = format!("\"{}\"", key.text.replace('\\', "\\\\").replace('"', "\\\""));
        let again = header::parse(quoted.as_bytes(), Syntax::Structured { strict: true });
        assert_eq!(again.map(|again| again.text), Ok(key.text));
    }
    assert_eq!(header::read([value, value], Syntax::Plain), Err(Refusal::Several));
}
