//! Reading a configuration: one form for each kind of value, and every fault at once.
#![allow(missing_docs)]

use core::time::Duration;
use proptest::prelude::*;
use sdk_shim::common::read_secret;
use sdk_shim::config::{Bounds, Faults, Reader, duration, parse, shown, whole};
use sdk_shim::json::Value;
use serde_json::json;

/// A value as its text is read.
fn value(json: &serde_json::Value) -> Value {
    parse(json.to_string().as_bytes()).unwrap()
}

/// What `read` makes of an object, or the paths of its faults.
fn read<T>(json: &serde_json::Value, read: impl FnOnce(&mut Reader<'_>) -> T) -> Result<T, Vec<String>> {
    Reader::root(&value(json), read).map_err(|faults| faults.iter().map(|fault| fault.path.clone()).collect())
}

fn paths(faults: &[&str]) -> Vec<String> {
    faults.iter().map(|&path| path.to_owned()).collect()
}

#[test]
fn bounds_belong_to_what_they_bound() {
    let number = |n: u64| read(&json!({"n": n}), |read| read.integer("n", 5, Bounds::new(2, 4)));
    assert_eq!([number(2), number(4)], [Ok(2), Ok(4)]);
    assert_eq!(
        [number(1), number(5)],
        [const { Err(Vec::new()) }; 2].map(|_: Result<u64, Vec<String>>| Err(paths(&["$.n"])))
    );
}

#[test]
fn what_is_absent_is_the_default_and_what_is_null_is_not() {
    assert_eq!(
        read(&json!({}), |read| read.integer("n", 99, Bounds::new(1, 2))),
        Ok(99),
        "a default is beyond all bounds"
    );
    assert_eq!(read(&json!({"n": null}), |read| read.integer("n", 1, Bounds::new(1, 2))), Err(paths(&["$.n"])));
    assert_eq!(read(&json!({"o": null}), |read| read.object("o", |_| ())), Ok(None));
}

#[test]
fn faults_of_all_depths_are_told_together_and_in_order() {
    let value = json!({"a": {"b": {"c": 1, "odd key": 2}, "n": "x"}, "z": 1});
    let found = read(&value, |read| {
        read.object("a", |read| {
            read.integer("n", 1, Bounds::new(1, 2));
            read.object("b", |read| read.bool("c", false))
        })
    });
    assert_eq!(found, Err(paths(&["$.a.n", "$.a.b.c", r#"$.a.b["odd key"]"#, "$.z"])));
}

#[test]
fn an_unknown_field_is_told_what_there_is() {
    let faults = Reader::root(&value(&json!({"colour": 1})), |read| read.bool("on", false)).unwrap_err();
    assert_eq!(faults.to_string(), "$.colour: found an unknown field, allowed: one of on");
    let faults = Reader::root(&value(&json!({"x": 1})), |_| ()).unwrap_err();
    assert_eq!(faults.to_string(), "$.x: found an unknown field, allowed: no field here");
}

#[test]
fn each_bad_item_of_a_list_is_a_fault_of_its_own() {
    let value = json!({"list": [1, "x", 2, null]});
    assert_eq!(
        read(&value, |read| read.list("list", vec![], "a number", whole)),
        Err(paths(&["$.list[1]", "$.list[3]"]))
    );
    assert_eq!(read(&json!({"list": 1}), |read| read.list("list", vec![], "a number", whole)), Err(paths(&["$.list"])));
}

#[test]
fn each_object_of_a_list_is_read_for_itself() {
    let objects = |value: &serde_json::Value| {
        read(value, |read| read.objects("list", "an object", |read| read.integer("n", 7, Bounds::new(1, 9))))
    };
    assert_eq!(objects(&json!({"list": [{"n": 1}, {}]})), Ok(vec![1, 7]));
    assert_eq!(objects(&json!({})), Ok(vec![]));
    assert_eq!(
        objects(&json!({"list": [{"n": 0}, 5, {"m": 1}]})),
        Err(paths(&["$.list[0].n", "$.list[1]", "$.list[2].m"]))
    );
    for bad in [json!({"list": null}), json!({"list": {}})] {
        assert_eq!(objects(&bad), Err(paths(&["$.list"])), "{bad}");
    }
}

#[test]
fn no_fault_shows_a_secret() {
    let long = "hush".repeat(1_025);
    for secret in [json!(["hush"]), json!({"hush": 1}), json!(long), json!("hush")] {
        let value = json!({"token": {"literal": secret}, "tokens": ["hush", {"literal": secret}]});
        let faults = Reader::root(&self::value(&value), |read| {
            read.object("token", |read| read_secret(read, false));
            read.objects("tokens", "a secret", |read| read_secret(read, false));
        })
        .unwrap_err();
        assert!(faults.len() >= 3 && !faults.to_string().contains("hush"), "{faults}");
    }
}

#[test]
fn an_absent_configuration_is_an_empty_object() {
    assert_eq!((parse(b""), parse(b" \n\t")), (Ok(value(&json!({}))), Ok(value(&json!({})))));
    for bad in [&b"{"[..], b"{}}", b"\xFF", b"{\"a\": 01}", b"NaN"] {
        let path = |faults: Faults| faults.iter().map(|fault| fault.path.clone()).collect::<Vec<_>>();
        assert_eq!(parse(bad).map_err(path), Err(paths(&["$"])));
    }
}

#[test]
fn nesting_without_end_is_a_fault_and_no_overflow() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert!(parse(&deep).is_err());
}

#[test]
fn a_long_value_is_shown_cut() {
    assert_eq!(shown(&Value::from("x")), "\"x\"");
    let cut = shown(&Value::from("\u{1F980}".repeat(100)));
    assert_eq!((cut.chars().count(), cut.ends_with("...")), (60, true));
}

proptest! {
    /// `^[0-9]+(ms|s|m|h)$`, and nothing else.
    #[test]
    fn a_duration_is_digits_and_a_unit(digits in "[0-9]{0,6}", unit in "(ms|s|m|h|d|us|| s|S|\u{b5}s)") {
        let scale = match unit.as_str() { "ms" => Some(1), "s" => Some(1_000), "m" => Some(60_000), "h" => Some(3_600_000), _ => None };
        let expected = digits.parse::<u64>().ok().zip(scale).map(|(n, scale)| Duration::from_millis(n * scale));
        prop_assert_eq!(duration(&Value::from(format!("{digits}{unit}"))), expected);
    }

    #[test]
    fn any_text_as_a_duration_is_harmless(text in "\\PC{0,12}") {
        let fits = |text: &str| text.trim_end_matches(['m', 's', 'h']).bytes().all(|b| b.is_ascii_digit());
        prop_assert!(duration(&Value::from(text.as_str())).is_none() || fits(&text), "{text:?}");
    }

    #[test]
    fn six_decimals_are_exact_and_seven_too_many(ppm in 0u64..=1_000_000, digit in 1u64..10) {
        let written = |text: String| {
            let object = parse(format!(r#"{{"r": {text}}}"#).as_bytes()).unwrap();
            let ppm = Reader::root(&object, |read| read.ppm("r", 0, Bounds::new(0, 2_000_000)));
            ppm.map_err(|faults| faults.iter().map(|fault| fault.path.clone()).collect())
        };
        let (whole, part) = (ppm / 1_000_000, ppm % 1_000_000);
        prop_assert_eq!(written(format!("{whole}.{part:06}")), Ok(ppm));
        prop_assert_eq!(written(format!("{whole}.{part:06}{digit}")), Err(paths(&["$.r"])));
    }

    #[test]
    fn whole_numbers_may_be_written_as_doubles(n in 0u64..=1 << 53, fraction in 0.001f64..0.999) {
        #[allow(clippy::cast_precision_loss)]
        let double = n as f64;
        let whole = |json: serde_json::Value| whole(&value(&json));
        prop_assert_eq!((whole(json!(n)), whole(json!(double))), (Some(n), Some(n)));
        prop_assert_eq!(whole(json!(-1.0 - double)), None);
        prop_assert_eq!(whole(json!((double / 1e6).floor() + fraction)), None);
    }
}
