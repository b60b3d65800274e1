//! The canonical form: the vectors of RFC 8785, `serde_json_canonicalizer` as the reference model, and what is not JSON to us.

use idempotency::canonical::{canonical, is_json, read};
use proptest::prelude::*;
use serde_json::{Map, Value};

fn form(body: &str) -> Option<String> {
    read(body.as_bytes()).map(|value| String::from_utf8(canonical(&value)).unwrap())
}

/// RFC 8785, 3.2.2 and 3.2.4.
const EXAMPLE: &str = r#"{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}"#;

#[test]
fn the_rfcs_example_comes_out_byte_for_byte() {
    let hex = "7b 22 6c 69 74 65 72 61 6c 73 22 3a 5b 6e 75 6c 6c 2c 74 72 75 65 2c 66 61 6c 73 65 5d 2c 22 6e 75 6d 62 65 72 73 22 3a
        5b 33 33 33 33 33 33 33 33 33 2e 33 33 33 33 33 33 33 2c 31 65 2b 33 30 2c 34 2e 35 2c 30 2e 30 30 32 2c 31 65 2d 32 37
        5d 2c 22 73 74 72 69 6e 67 22 3a 22 e2 82 ac 24 5c 75 30 30 30 66 5c 6e 41 27 42 5c 22 5c 5c 5c 5c 5c 22 2f 22 7d";
    let expected: Vec<u8> = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    assert_eq!(read(EXAMPLE.as_bytes()), None, "333333333.33333329 is 333333333.3333333 to a double: bytes to us");
    assert_eq!(
        form(&EXAMPLE.replace("329,", "33,")).unwrap().as_bytes(),
        expected,
        "and nothing else is wrong with it"
    );
}

#[test]
fn fields_are_sorted_by_utf16_code_units() {
    // RFC 8785, 3.2.3.
    let body = r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
        "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}"#;
    let canonical = form(body).unwrap();
    let names = ["\\r", "1", "\u{80}", "\u{f6}", "\u{20ac}", "\u{1f600}", "\u{fb33}"];
    let places: Vec<_> = names.iter().map(|name| canonical.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{canonical}");
    let nested = r#"{"1": {"f": {"f": "hi", "F": 5}, "\n": 56.0}, "10": {}, "": "empty", "a": {}, "111": [{"e": "yes", "E": "no"}], "A": {}}"#;
    let expected =
        r#"{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}"#;
    assert_eq!(form(nested).as_deref(), Some(expected));
}

#[test]
fn numbers_are_written_as_appendix_b_has_them() {
    let samples = [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ];
    for (bits, text) in samples {
        let double = f64::from_bits(bits);
        assert_eq!(form(text).as_deref(), Some(text), "what is canonical is read, and stays as it is");
        let otherwise = serde_json::to_string(&double).unwrap();
        assert_eq!(form(&otherwise).as_deref(), Some(text), "as serde_json writes {bits:x}: {otherwise}");
    }
}

#[test]
fn the_same_said_otherwise_is_the_same() {
    for (a, b) in [
        (r#"{"a":1,"b":[true,null]}"#, " {\"b\" : [ true , null ],\r\n\t\"a\" : 1 } "),
        (r#""\u0041\/\u00e9""#, "\"A/\u{e9}\""),
        ("[1.0, 1e0, 10E-1, -0, 0.10, 1E+2]", "[1, 1, 1, 0, 0.1, 100]"),
        ("[\"1e400 \\\" 9007199254740993\"]", " [\"1e400 \\u0022 9007199254740993\"]"),
    ] {
        assert!(form(a).is_some() && form(a) == form(b), "{a} {b}: {:?} {:?}", form(a), form(b));
    }
    for (a, b) in [
        ("[1,2]", "[2,1]"),
        ("1", "\"1\""),
        ("null", "{}"),
        ("\"\u{e9}\"", "\"e\u{301}\""),
        ("0.1", "0.10000000000000002"),
    ] {
        assert!(form(a).is_some() && form(b).is_some() && form(a) != form(b), "{a} {b}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_not_json_to_us() {
    let bad = [
        r#"{"a":1,"a":1}"#,
        r#"{"b":{"a":1,"\u0061":2}}"#,
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e400",
        "-1e400",
        "1e-400",
        "3e-324",
        "9007199254740993",
        "-9007199254740993",
        "9007199254740993.0",
        "90071992547409930e-1",
        "18446744073709551615",
        "18446744073709551617",
        "[{\"a\": 100000000000000000001}]",
        "0.10000000000000001",
        "90071992547409.931",
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        "\"\t\"",
        "{'a':1}",
        "[1,]",
        "01",
        "+1",
        "1 2",
        "",
        " ",
        "\u{feff}{}",
        "// a\n1",
    ];
    for body in bad {
        assert_eq!(form(body), None, "{body}");
    }
    assert_eq!(read(b"\"\xFF\""), None);
    assert_eq!(read(b"\"\xED\xA0\x80\""), None, "a surrogate in UTF-8");
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(form(&nested(127)).is_some() && form(&nested(128)).is_none());
    assert_eq!(form(&nested(100_000)), None, "and nothing overflows");
}

#[test]
fn json_is_what_says_so() {
    for kind in ["application/json", "Application/JSON; charset=utf-8", " application/merge-patch+JSON ;a", "a/b+json"]
    {
        assert!(is_json(kind.as_bytes()), "{kind}");
    }
    for kind in
        ["", "json", "text/plain", "application/jsonl", "application/x-ndjson", "text/plain; a=application/json"]
    {
        assert!(!is_json(kind.as_bytes()), "{kind}");
    }
}

// === the reference model ===

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-(1i64 << 53)..(1i64 << 53)).prop_map(Value::from),
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |double| double.is_finite()).prop_map(Value::from),
        "\\PC{0,6}|[\u{0}-\u{7f}]{0,6}|[\u{d7ff}\u{e000}-\u{ffff}\u{10000}-\u{10ffff}]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = "[a-c]{0,2}|[\u{e000}-\u{ffff}\u{10000}-\u{10ffff}]{1,2}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((name, inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn it_is_what_the_library_says(value in value()) {
        prop_assert_eq!(form(&value.to_string()).unwrap(), serde_json_canonicalizer::to_string(&value).unwrap());
    }

    #[test]
    fn what_is_canonical_is_read_and_stays_as_it_is(value in value()) {
        let once = form(&value.to_string()).expect("read");
        prop_assert_eq!(form(&once), Some(once));
    }

    #[test]
    fn two_numbers_are_alike_only_if_they_are_one(a in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,6})?", steps in -3i128..=3) {
        // The same number, some steps up or down in its last place.
        let point = a.find('.').map_or(0, |at| a.len() - at - 1);
        let number: i128 = a.replace('.', "").parse().unwrap();
        let other = number + steps;
        let sign = if other < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", other.unsigned_abs(), width = point + 1);
        let (whole, fraction) = digits.split_at(digits.len() - point);
        let b = if point > 0 { format!("{sign}{whole}.{fraction}") } else { format!("{sign}{whole}") };
        if let (Some(x), Some(y)) = (form(&a), form(&b)) {
            prop_assert_eq!(x == y, number == other, "{} {}", a, b);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in "[\\[\\]{}\",:0-9eE+.\\\\a-c -]{0,40}") {
        if let Some(value) = read(body.as_bytes()) {
            prop_assert_eq!(read(&canonical(&value)).map(|again| canonical(&again)), Some(canonical(&value)));
        }
    }
}
