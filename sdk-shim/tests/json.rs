//! JSON as it was written: what is read, what is refused, and what is written, with `serde_json` as the reference model.
#![allow(missing_docs)]

use proptest::prelude::*;
use sdk_shim::json::{Decimal, Fields, MAX_DEPTH, Value, read, read_with};

fn again(text: &str) -> Result<String, String> {
    read(text.as_bytes()).map(|value| value.to_string())
}

#[test]
fn what_is_written_is_what_was_read_without_white_space() {
    for text in [
        "null",
        "true",
        "false",
        "\"\"",
        "[]",
        "{}",
        "[1,[2,{\"a\":[]}],\"b\"]",
        r#""\b\t\n\f\r\"\\\u0000\u001f/ é 😀""#,
        "[-0,-1.50,1E+2,1e-400,123456789012345678901234567890]",
    ] {
        assert_eq!(again(text).as_deref(), Ok(text));
        let spaced = text.replace(',', " \n,\t").replace(':', " : ").replace('[', "[\r ").replace(']', " ]");
        assert_eq!(again(&format!(" {spaced} ")).as_deref(), Ok(text), "{spaced}");
    }
}

#[test]
fn escapes_are_the_characters_that_they_stand_for() {
    assert_eq!(again(r#""\u0041\/\u00e9\ud83d\ude00\uD7FF""#).unwrap(), "\"A/é😀\u{d7ff}\"");
    for bad in
        [r#""\x""#, r#""\u00e""#, r#""\u+123""#, r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud800x""#]
    {
        assert!(again(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_error_says_what_and_where() {
    for (text, error) in [
        ("", "expected a value and not the end at line 1 column 1"),
        ("{", "expected \" and not the end at line 1 column 2"),
        ("[1,\n 2,]", "expected a value at line 2 column 4"),
        ("{} {}", "trailing characters at line 1 column 4"),
        ("{\"é\" 1}", "expected : at line 1 column 6"),
        ("01", "trailing characters at line 1 column 2"),
        ("[-]", "expected a digit at line 1 column 3"),
        ("\"a\tb\"", "expected \\ at line 1 column 3"),
        (r#""\q""#, "no such escape at line 1 column 4"),
        ("{\"a\":1,\n\"a\":1}", "the field \"a\" is there twice at line 2 column 7"),
    ] {
        assert_eq!(again(text).as_ref().map_err(String::as_str), Err(error), "{text}");
    }
    assert_eq!(read(b"\"\xff\"").unwrap_err(), "no UTF-8");
}

#[test]
fn a_field_is_there_once_however_it_is_written() {
    assert!(again(r#"{"b":{"a":1,"\u0061":2}}"#).is_err());
    assert_eq!(again(r#"{"b":1,"a":{"b":1},"":2}"#).unwrap(), r#"{"":2,"a":{"b":1},"b":1}"#);
}

#[test]
fn fields_are_sorted_by_utf16_code_units() {
    let sorted = "{\"a\":1,\"\u{1f602}\":1,\"\u{fb33}\":1}";
    assert_eq!(again("{\"\u{fb33}\":1,\"\u{1f602}\":1,\"a\":1}").unwrap(), sorted);
    let Value::Object(fields) = read(sorted.as_bytes()).unwrap() else { panic!("an object") };
    assert!(fields.keys().all(|name| fields.get(name).is_some()) && fields.get("b").is_none());
}

#[test]
fn nesting_ends_before_the_stack_does() {
    let nested = |levels: u32| "[".repeat(levels as usize) + &"]".repeat(levels as usize);
    assert!(again(&nested(MAX_DEPTH)).is_ok() && again(&nested(MAX_DEPTH + 1)).is_err());
    assert!(again(&nested(1_000_000)).is_err() && again(&"{\"a\":".repeat(1_000_000)).is_err());
}

#[test]
fn numbers_may_be_written_otherwise_or_refused() {
    let whole = |text: &str| (!text.contains('.')).then(|| format!("<{text}>"));
    assert_eq!(read_with(b"[1,{\"a\":-2}]", &whole).unwrap().to_string(), r#"[<1>,{"a":<-2>}]"#);
    assert_eq!(read_with(b"[1,2.0]", &whole).unwrap_err(), "a number that is none here at line 1 column 7");
}

#[test]
fn a_line_is_written_field_by_field() {
    let mut line = Fields::default();
    line.add("b", &Value::from("\"\n"));
    line.add("a", &Value::from(7));
    assert_eq!(line.end(), r#"{"b":"\"\n","a":7}"#);
}

#[test]
fn pointers_lead_to_values() {
    let mut value = read(br#"{"a":[0,{"b/c":1,"d~e":2}],"":3}"#).unwrap();
    let mut at = |pointer: &str| value.pointer_mut(pointer).map(|value| value.to_string());
    assert_eq!(at("/a/0").as_deref(), Some("0"));
    assert_eq!(at("/a/1/b~1c").as_deref(), Some("1"));
    assert_eq!(at("/a/1/d~0e").as_deref(), Some("2"));
    assert_eq!(at("/").as_deref(), Some("3"));
    assert!(at("").unwrap().starts_with('{'));
    for nothing in ["/b", "/a/2", "/a/01", "/a/+1", "/a/-", "/a/", "/a/0/0"] {
        assert_eq!(at(nothing), None, "{nothing}");
    }
}

fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?"
}

proptest! {
    #[test]
    fn any_names_are_sorted_as_utf16(names in prop::collection::vec("[a\u{7f}\u{80}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,3}|\\PC{0,3}", 0..9)) {
        let mut sorted: Vec<String> = names.clone();
        sorted.sort_by_key(|name| name.encode_utf16().collect::<Vec<_>>());
        sorted.dedup();
        let unique = names.iter().enumerate().filter(|(n, name)| !names[..*n].contains(name));
        let fields: Vec<String> = unique.map(|(_, name)| format!("{}:1", Value::from(name.as_str()))).collect();
        let Value::Object(object) = read(format!("{{{}}}", fields.join(",")).as_bytes()).unwrap() else { panic!("an object") };
        prop_assert_eq!(object.keys().collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn what_is_read_is_json_and_the_same_value(text in "[\\[\\]{}\",:0-9eE+.\\\\a-cu -]{0,12}|[\\[\\]{},:1\"\n]{0,12}|\\PC{0,4}") {
        match (again(&text), serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(again), Ok(value)) => prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&again).unwrap(), value),
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("number out of range"), "{text}: {error}"),
            (Err(error), Ok(_)) => prop_assert!(error.contains("twice"), "{text}: {error}"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn any_text_survives(text in "\\PC{0,9}|[\u{0}-\u{ff}]{0,9}") {
        let written = Value::from(text.as_str()).to_string();
        prop_assert_eq!(&written, &serde_json::to_string(&text).unwrap());
        prop_assert_eq!(read(written.as_bytes()).unwrap(), Value::from(text));
    }

    #[test]
    fn a_number_is_at_most_a_few_steps_from_its_double(text in number()) {
        let nearest: f64 = text.parse().unwrap();
        let near = Decimal::of(&text).to_f64();
        let steps = nearest.to_bits().abs_diff(near.to_bits());
        prop_assert!(steps <= Decimal::OFF, "{text}: {near:e} and not {nearest:e}");
    }

    #[test]
    fn a_whole_number_is_exact(number in 0u64..=1 << 53, zeros in 0usize..4) {
        #[allow(clippy::cast_precision_loss)]
        let double = number as f64;
        for text in [number.to_string(), format!("{number}.{}", "0".repeat(zeros + 1)), format!("{number}{}e-{zeros}", "0".repeat(zeros))] {
            prop_assert_eq!(Decimal::of(&text).to_f64().to_bits(), double.to_bits(), "{}", text);
        }
    }
}
