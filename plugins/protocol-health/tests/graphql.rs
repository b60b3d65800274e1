//! GraphQL answers: what is found in them, compared with a full parse, and what it means.

use proptest::prelude::*;
use protocol_health::graphql::scan::MOST_KEPT;
use protocol_health::graphql::{Codes, Data, Found, Scan, verdict};
use sdk_shim::outcome::Outcome;
use serde_json::{Value, json};

fn scan(body: &[u8]) -> Found {
    in_pieces([body], usize::MAX)
}

fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, most: usize) -> Found {
    let (mut scan, codes) = (Scan::new(most), curious());
    pieces.into_iter().for_each(|piece| scan.feed(piece, &codes));
    scan.end()
}

/// Codes that are asked of hollow data too.
fn curious() -> Codes {
    let mut codes = Codes::default();
    codes.null_is_no_data = true;
    codes
}

fn says(status: u16, body: &Value) -> Outcome {
    verdict(status, &scan(body.to_string().as_bytes()))
}

// --- what it means ---

#[test]
fn a_service_that_answers_is_well() {
    assert_eq!(says(200, &json!({"data": {"orders": []}})), Outcome::Ok);
    assert_eq!(
        says(200, &json!({"data": {"errors": [1]}, "errors": null, "extensions": {"errors": [1]}})),
        Outcome::Ok
    );
    assert_eq!(says(200, &json!({"errors": [], "data": {}})), Outcome::Ok);
}

#[test]
fn a_service_that_answers_in_part_is_not_sick() {
    let failed = json!({"message": "no stock", "path": ["orders", 0, "stock"]});
    assert_eq!(says(200, &json!({"data": {"orders": [null]}, "errors": [failed]})), Outcome::Partial);
    assert_eq!(says(294, &json!({"data": {"a": 1}, "errors": [failed]})), Outcome::Partial);
    assert_eq!(says(294, &json!({"data": {"a": 1}})), Outcome::Partial);
}

#[test]
fn where_every_field_may_be_null_codes_tell_a_sick_service_from_an_order_that_isnt_there() {
    let error = |code: Option<&str>| json!({"message": "no", "path": ["orders"], "extensions": {"code": code}});
    let hollow = |code| says(200, &json!({"data": {"orders": null, "me": null}, "errors": [error(code)]}));
    assert_eq!(hollow(Some("INTERNAL_SERVER_ERROR")), Outcome::ServerFault);
    assert_eq!(hollow(Some("UNAVAILABLE")), Outcome::Unreachable);
    assert_eq!(
        (hollow(Some("NOT_FOUND")), hollow(Some("ODD")), hollow(None)),
        (Outcome::Partial, Outcome::Partial, Outcome::Partial)
    );
    let mut incurious = Scan::new(usize::MAX);
    let hollow = json!({"data": {"orders": null}, "errors": [error(Some("INTERNAL_SERVER_ERROR"))]});
    incurious.feed(hollow.to_string().as_bytes(), &Codes::default());
    assert_eq!(verdict(200, &incurious.end()), Outcome::Partial, "only where that is wanted");
    let filled = json!({"data": {"orders": null, "me": {"a": null}}, "errors": [error(Some("INTERNAL_SERVER_ERROR"))]});
    assert_eq!(says(200, &filled), Outcome::Partial);
    assert_eq!(says(200, &json!({"data": {"order": null}})), Outcome::Ok, "it isn't there, and that is an answer");
    for data in [
        json!({"a": "null"}),
        json!({"a": null, "b": 0}),
        json!({"a": false}),
        json!({"a": []}),
        json!({}),
        json!({"a": -1}),
    ] {
        assert_eq!(scan(json!({"data": data}).to_string().as_bytes()).data, Data::Present, "{data}");
    }
    assert_eq!(scan(br#"{"data": {"a:,\"b" : null , "c":null} }"#).data, Data::Hollow);
}

#[test]
fn a_service_that_has_errors_and_no_data_is_sick() {
    let field = json!({"message": "connection refused", "locations": [{"line": 1, "column": 2}], "path": ["orders"]});
    for body in [json!({"data": null, "errors": [field]}), json!({"errors": [field]})] {
        assert_eq!(says(200, &body), Outcome::ServerFault, "{body}");
    }
}

#[test]
fn an_error_of_the_request_without_a_code_may_be_anybodys() {
    // What async-graphql says of two operations without a name, and others of a database that is gone.
    let body = json!({"data": null, "errors": [{"message": "Operation name required in request."}]});
    assert_eq!(says(200, &body), Outcome::Unknown);
    let mixed = json!({"errors": [{"message": "?"}, {"message": "down", "path": ["orders"]}]});
    assert_eq!(says(200, &mixed), Outcome::ServerFault);
    let mut codes = Codes::default();
    codes.request_errors = Outcome::ServerFault;
    let mut scan = Scan::new(usize::MAX);
    scan.feed(body.to_string().as_bytes(), &codes);
    assert_eq!(verdict(200, &scan.end()), Outcome::ServerFault, "where that is said");
}

#[test]
fn whoever_asks_nonsense_is_told_so_and_the_service_is_well() {
    let unknown_field = json!({"message": "Unknown field", "locations": [{"line": 1, "column": 2}]});
    let apollo = json!({"message": "Syntax Error", "extensions": {"code": "GRAPHQL_PARSE_FAILED", "stacktrace": []}});
    let both = json!({"message": "no", "path": ["me"], "extensions": {"code": "UNAUTHENTICATED"}});
    for errors in [json!([unknown_field]), json!([apollo]), json!([both, unknown_field, apollo])] {
        assert_eq!(says(200, &json!({"errors": errors})), Outcome::CallerFault, "{errors}");
        assert_eq!(says(200, &json!({"data": null, "errors": errors})), Outcome::CallerFault, "{errors}");
    }
}

#[test]
fn of_several_errors_the_worst_counts() {
    let with = |code: &str| json!({"message": "", "extensions": {"code": code}});
    let of = |codes: &[&str]| says(200, &json!({"errors": codes.iter().map(|code| with(code)).collect::<Vec<_>>()}));
    assert_eq!(of(&["FORBIDDEN", "RESOURCE_EXHAUSTED"]), Outcome::Overload);
    assert_eq!(of(&["DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"]), Outcome::Timeout);
    assert_eq!(of(&["UNAVAILABLE", "DEADLINE_EXCEEDED"]), Outcome::Unreachable);
    assert_eq!(of(&["FORBIDDEN", "INTERNAL_SERVER_ERROR", "UNAVAILABLE"]), Outcome::ServerFault);
    assert_eq!(of(&["who knows", "FORBIDDEN"]), Outcome::CallerFault, "an unknown code says nothing");
}

#[test]
fn a_users_own_codes_win() {
    let codes = Codes::with([
        ("OUT_OF_STOCK".to_owned(), Outcome::CallerFault),
        ("FORBIDDEN".to_owned(), Outcome::ServerFault),
    ]);
    let of = |code: &str| {
        let mut scan = Scan::new(usize::MAX);
        scan.feed(json!({"errors": [{"extensions": {"code": code}}]}).to_string().as_bytes(), &codes);
        verdict(200, &scan.end())
    };
    assert_eq!(
        (of("OUT_OF_STOCK"), of("FORBIDDEN"), of("BAD_USER_INPUT")),
        (Outcome::CallerFault, Outcome::ServerFault, Outcome::CallerFault)
    );
}

#[test]
fn a_status_speaks_for_itself() {
    let well = json!({"data": {}});
    assert_eq!(
        [400, 429, 500, 504].map(|status| says(status, &well)),
        [Outcome::CallerFault, Outcome::Overload, Outcome::ServerFault, Outcome::Timeout]
    );
}

#[test]
fn what_is_not_whole_or_not_graphql_is_unknown_and_never_ok() {
    for body in [
        "",
        "{",
        "{\"data\":{}",
        "{\"data\":{}}x",
        "{\"data\":{}},",
        "[]",
        "\"data\"",
        "null",
        "{}",
        "{\"a\":1}",
        "{\"data\":null}",
        "<html>",
        "{\"data\" {}}",
        "{data:{}}",
        "{\"errors\":{}, \"data\":{}}",
        "{\"data\":{},}",
        "{\"data\":nul}",
    ] {
        assert_eq!(verdict(200, &scan(body.as_bytes())), Outcome::Unknown, "{body}");
    }
}

#[test]
fn beyond_the_cap_nothing_is_looked_at() {
    let body = json!({"data": {"a": "x".repeat(100)}}).to_string();
    let capped = |most: usize| verdict(200, &in_pieces(body.as_bytes().chunks(7), most));
    assert_eq!(
        (capped(body.len()), capped(body.len() - 1), capped(0)),
        (Outcome::Ok, Outcome::Unknown, Outcome::Unknown)
    );
}

#[test]
fn names_count_however_they_are_written_and_as_often_as_they_come() {
    let escaped = br#"{"d\u0061ta": null, "\u0065\u0072\u0072\u006f\u0072\u0073": [{"\u0065xtensions": {"\u0063ode": "FORB\u0049DDEN"}}]}"#;
    assert_eq!(
        scan(escaped),
        Found {
            data: Data::Null,
            errors: 1,
            worst: Some(Outcome::CallerFault),
            named: Some(Outcome::CallerFault),
            whole: true
        }
    );
    let twice = br#"{"errors": [{"message": "boom"}], "data": {}, "errors": [], "data": null}"#;
    assert_eq!(
        scan(twice),
        Found { data: Data::Null, errors: 1, worst: Some(Outcome::Unknown), named: None, whole: true }
    );
}

#[test]
fn a_code_that_is_too_long_is_none() {
    let of = |length: usize| {
        let codes = Codes::with([("c".repeat(length), Outcome::CallerFault)]);
        let mut scan = Scan::new(usize::MAX);
        scan.feed(
            json!({"errors": [{"path": [], "extensions": {"code": "c".repeat(length)}}]}).to_string().as_bytes(),
            &codes,
        );
        verdict(200, &scan.end())
    };
    assert_eq!((of(MOST_KEPT), of(MOST_KEPT + 1)), (Outcome::CallerFault, Outcome::ServerFault));
}

// --- compared with a full parse ---

/// The same from a parsed text.
fn expected(value: &Value) -> Option<Found> {
    let object = value.as_object()?;
    let data = match object.get("data") {
        None => Data::Absent,
        Some(Value::Null) => Data::Null,
        Some(Value::Object(fields)) if !fields.is_empty() && fields.values().all(Value::is_null) => Data::Hollow,
        Some(_) => Data::Present,
    };
    let none = Vec::new();
    let errors = match object.get("errors") {
        None | Some(Value::Null) => &none,
        Some(Value::Array(errors)) => errors,
        Some(_) => return None,
    };
    let rank = |outcome: &Outcome| {
        [Outcome::CallerFault, Outcome::Overload, Outcome::Timeout, Outcome::Unreachable, Outcome::ServerFault]
            .iter()
            .position(|known| known == outcome)
    };
    let worst = errors.iter().map(judged).max_by_key(rank);
    let named = errors.iter().filter_map(named).max_by_key(rank);
    Some(Found { data, errors: u32::try_from(errors.len()).unwrap(), worst, named, whole: true })
}

fn named(error: &Value) -> Option<Outcome> {
    match error["extensions"]["code"].as_str()? {
        "FORBIDDEN" => Some(Outcome::CallerFault),
        "UNAVAILABLE" => Some(Outcome::Unreachable),
        "RATE_LIMITED" => Some(Outcome::Overload),
        "DEADLINE_EXCEEDED" => Some(Outcome::Timeout),
        _ => None,
    }
}

fn judged(error: &Value) -> Outcome {
    match named(error) {
        Some(outcome) => outcome,
        _ if error.get("locations").is_some_and(|it| !it.is_null()) && error.get("path").is_none_or(Value::is_null) => {
            Outcome::CallerFault
        }
        _ if error.is_object() && error.get("path").is_none_or(Value::is_null) => Outcome::Unknown,
        _ => Outcome::ServerFault,
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        prop::sample::select(vec!["data", "errors", "extensions", "code", "path", "locations", "message"])
            .prop_map(String::from),
        ".{0,4}",
        Just("\"\\\"\u{1f600}\n".to_owned()),
    ];
    let code = prop::sample::select(vec![
        "FORBIDDEN",
        "UNAVAILABLE",
        "RATE_LIMITED",
        "DEADLINE_EXCEEDED",
        "x",
        "}",
        "]\\",
        "\"",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        code.prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Mostly what a GraphQL service would say.
fn any_answer() -> impl Strategy<Value = Value> {
    let error = (any_value(), any_value(), any_value(), any::<[bool; 4]>()).prop_map(|(code, path, locations, has)| {
        let mut error = json!({"message": "}]\"{["});
        if has[0] {
            error["extensions"] = json!({"a": [1], "code": code});
        }
        if has[1] {
            error["path"] = path;
        }
        if has[2] {
            error["locations"] = locations;
        }
        if has[3] { error } else { Value::from(1) }
    });
    let errors = prop_oneof![Just(Value::Null), prop::collection::vec(error, 0..4).prop_map(Value::from)];
    let answer = (any_value(), errors, any::<[bool; 2]>()).prop_map(|(data, errors, has)| {
        let mut answer = json!({"extensions": {"cost": 1}});
        if has[0] {
            answer["data"] = data;
        }
        if has[1] {
            answer["errors"] = errors;
        }
        answer
    });
    prop_oneof![3 => answer, 1 => any_value()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_finds_what_a_full_parse_finds(answer in any_answer(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&answer) } else { serde_json::to_string(&answer) }.unwrap();
        let found = scan(text.as_bytes());
        match expected(&answer) {
            Some(expected) => prop_assert_eq!(found, expected, "{}", text),
            None => prop_assert!(!found.whole, "{}", text),
        }
    }

    #[test]
    fn how_it_is_cut_into_pieces_changes_nothing(answer in any_answer(), noise in prop::option::of((any::<prop::sample::Index>(), any::<u8>())), size in 1..9_usize, most in 0..200_usize) {
        let mut text = answer.to_string().into_bytes();
        if let Some((at, byte)) = noise {
            let at = at.index(text.len());
            text[at] = byte;
        }
        for most in [most, usize::MAX] {
            prop_assert_eq!(in_pieces(text.chunks(size), most), in_pieces([&text[..]], most), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn what_a_full_parse_takes_for_an_object_is_whole(text in prop::collection::vec(prop::sample::select(br#"{}[]":,\n1tdaerorsxu "#.to_vec()), 0..24)) {
        let found = scan(&text);
        if let Ok(value) = serde_json::from_slice::<Value>(&text)
            && expected(&value).is_some()
        {
            prop_assert!(found.whole, "{}", String::from_utf8_lossy(&text));
        }
    }
}
