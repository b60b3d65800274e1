//! The key out of a header: structured-field strings (the vectors of httpwg/structured-field-tests, string.json and string-generated.json, written
//! down again), and what clients send instead.

use idempotency::header::{Key, MAX_KEY, Refusal, Syntax, parse, read};
use proptest::prelude::*;

const LENIENT: Syntax = Syntax::Structured { strict: false };
const STRICT: Syntax = Syntax::Structured { strict: true };

fn quoted(text: &str) -> Key {
    Key { text: text.to_owned(), bare: false }
}

fn bare(text: &str) -> Key {
    Key { text: text.to_owned(), bare: true }
}

#[test]
fn strings_of_the_structured_field_vectors_are_keys() {
    let long = "foo ".repeat(60);
    let vectors: &[(&str, &str)] = &[
        (r#""foo""#, "foo"),
        (&format!(r#""{long}""#), &long),
        (r#""   ""#, "   "),
        (r#""foo \"bar\" \\ baz""#, r#"foo "bar" \ baz"#),
        (r#""\"""#, "\""),
        (r#""\\""#, r"\"),
        (r#""a,b""#, "a,b"),
        (r#""~ !""#, "~ !"),
        (r#"  "foo"  "#, "foo"),
        (r#""foo";a=1"#, "foo"),
        (r#""foo";a;b=?0; c="x""#, "foo"),
        (r#""foo";a=*t:/x"#, "foo"),
    ];
    for (raw, key) in vectors {
        for syntax in [LENIENT, STRICT] {
            assert_eq!(parse(raw.as_bytes(), syntax), Ok(quoted(key)), "{raw}");
        }
    }
}

#[test]
fn what_the_vectors_fail_is_refused() {
    let vectors: &[(&[u8], Refusal)] = &[
        (b"\"\"", Refusal::Empty),
        ("\"f\u{fc}\u{fc}\"".as_bytes(), Refusal::Character),
        (b"\"\t\"", Refusal::Character),
        (b"\" \n \"", Refusal::Character),
        (b"\"\x00\"", Refusal::Character),
        (b"\"\x7F\"", Refusal::Character),
        (b"\"\xFF\"", Refusal::Character),
        (b"\"foo", Refusal::Malformed),
        (b"\"foo \\,\"", Refusal::Malformed),
        (b"\"foo \\a\"", Refusal::Malformed),
        (b"\"foo \\\"", Refusal::Malformed),
        (b"\"foo \\", Refusal::Malformed),
        (b"\"foo\"bar", Refusal::Malformed),
        (b"\"foo\" \"bar\"", Refusal::Malformed),
        (b"\"foo\";", Refusal::Malformed),
        (b"\"foo\";A=1", Refusal::Malformed),
        (b"\"foo\";a=@1", Refusal::Malformed),
        (b"\"foo\", \"bar\"", Refusal::Several),
        (b"\"foo\";a=1 , \"bar\"", Refusal::Several),
    ];
    for (raw, refusal) in vectors {
        for syntax in [LENIENT, STRICT] {
            assert_eq!(parse(raw, syntax), Err(*refusal), "{:?}", String::from_utf8_lossy(raw));
        }
    }
    for raw in ["'foo'", "foo", "*foo", "12", "1.5", "?1", ":Zm9v:", "8e03978e-40d5-43dd-bc93-6894a57f9324"] {
        assert_eq!(parse(raw.as_bytes(), STRICT), Err(Refusal::Unquoted), "{raw}");
    }
}

#[test]
fn what_clients_send_bare_is_the_same_key_and_is_reported() {
    for raw in ["8e03978e-40d5-43dd-bc93-6894a57f9324", "KG5LxwFBepaKHyUD", "a+b/c==", "?1", "'foo'", ":Zm9v:", "{1}"] {
        assert_eq!(parse(raw.as_bytes(), LENIENT), Ok(bare(raw)));
        assert_eq!(parse(format!("\t {raw} ").as_bytes(), LENIENT), Ok(bare(raw)));
        assert_eq!(parse(format!("\"{raw}\"").as_bytes(), STRICT), Ok(quoted(raw)));
    }
    for (raw, refusal) in [
        ("", Refusal::Empty),
        (" \t ", Refusal::Empty),
        ("foo bar", Refusal::Character),
        ("foo, bar", Refusal::Several),
        ("foo,\"bar\"", Refusal::Several),
        ("foo;a=1", Refusal::Malformed),
        ("foo\"", Refusal::Malformed),
    ] {
        assert_eq!(parse(raw.as_bytes(), LENIENT), Err(refusal), "{raw:?}");
    }
}

#[test]
fn a_plain_header_is_its_own_key() {
    assert_eq!(parse(b" \"foo\";1 ", Syntax::Plain), Ok(quoted("\"foo\";1")));
    assert_eq!(parse(b"a, b", Syntax::Plain), Err(Refusal::Several));
    assert_eq!(parse(b"a b", Syntax::Plain), Err(Refusal::Character));
    assert_eq!(parse(b"  ", Syntax::Plain), Err(Refusal::Empty));
}

#[test]
fn a_key_has_bounds_without_its_quotes() {
    let (longest, too_long) = ("k".repeat(MAX_KEY), "k".repeat(MAX_KEY + 1));
    for (long, accepted) in [(longest, true), (too_long, false)] {
        for (raw, syntax) in [(format!("\"{long}\""), STRICT), (long.clone(), LENIENT), (long.clone(), Syntax::Plain)] {
            let key = parse(raw.as_bytes(), syntax).map(|key| key.text);
            assert_eq!(key, if accepted { Ok(long.clone()) } else { Err(Refusal::TooLong) });
        }
    }
    let escaped = format!("\"{}\"", "\\\"".repeat(MAX_KEY));
    assert_eq!(parse(escaped.as_bytes(), STRICT), Ok(quoted(&"\"".repeat(MAX_KEY))));
}

#[test]
fn one_header_is_one_key_and_none_is_none() {
    assert_eq!(read([], LENIENT), Ok(None));
    assert_eq!(read([&b"\"a\""[..]], LENIENT), Ok(Some(quoted("a"))));
    assert_eq!(read([&b"\"a\""[..], b"\"a\""], LENIENT), Err(Refusal::Several), "not even the same one twice");
}

#[test]
fn a_key_is_not_shown() {
    let shown = format!("{:?}", parse(b"secret", LENIENT));
    assert!(!shown.contains("secret") && shown.contains("6 bytes"), "{shown}");
}

proptest! {
    #[test]
    fn any_text_survives_being_quoted(text in "[ -~]{1,255}") {
        let raw = format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
        prop_assert_eq!(parse(raw.as_bytes(), STRICT), Ok(quoted(&text)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(raw in prop::collection::vec(any::<u8>(), 0..300), quote in any::<bool>()) {
        let raw = if quote { [b"\"", &raw[..], b"\""].concat() } else { raw };
        for syntax in [LENIENT, STRICT, Syntax::Plain] {
            if let Ok(key) = parse(&raw, syntax) {
                prop_assert!((1..=MAX_KEY).contains(&key.text.len()) && key.text.bytes().all(|b| (b' '..=b'~').contains(&b)));
                prop_assert!(!(key.bare && syntax == STRICT));
            }
        }
    }
}
