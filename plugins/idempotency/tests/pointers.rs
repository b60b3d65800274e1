//! Which values of a body count: JSON Pointers (RFC 6901) that choose and exclude.

use idempotency::canonical::{BadPointer, Pointers, read};
use idempotency::encoding::Encoding;

fn selected(chosen: &[&str], excluded: &[&str], body: &str) -> Vec<u8> {
    let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let mut encoding = Encoding::of("test");
    Pointers::new(own(chosen), own(excluded)).unwrap().encode(read(body.as_bytes()).unwrap(), &mut encoding);
    encoding.as_bytes().to_vec()
}

#[test]
fn pointers_choose_what_counts() {
    // RFC 6901, 5.
    let document = r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}"#;
    let vectors = [
        ("/foo/0", "\"bar\""),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ];
    for (pointer, value) in vectors {
        assert_eq!(selected(&[pointer], &[], document), selected(&[""], &[], value), "{pointer}");
    }
    for absent in ["/bar", "/foo/2", "/foo/00", "/foo/-", "/foo/bar", "/m~0n/0"] {
        assert_eq!(selected(&[absent], &[], document), selected(&["/x"], &[], "{}"), "{absent}");
    }
    assert_ne!(selected(&["/a"], &[], "{}"), selected(&["/a"], &[], r#"{"a":null}"#), "absent is not null");
    assert_eq!(
        selected(&["/a", "/b"], &[], r#"{"a":1,"b":2}"#),
        selected(&["/b", "/a", "/b"], &[], r#"{"b":2,"a":1}"#)
    );
    assert_ne!(selected(&["/a", "/b"], &[], r#"{"a":1}"#), selected(&["/a", "/b"], &[], r#"{"b":1}"#));
    assert_eq!(selected(&[], &[], "1"), selected(&[], &[], "[]"), "nothing chosen, nothing counts");
}

#[test]
fn what_is_excluded_does_not_count() {
    let same = |excluded: &[&str], a: &str, b: &str| selected(&[""], excluded, a) == selected(&[""], excluded, b);
    assert!(same(&["/sent_at"], r#"{"sent_at":1,"a":2}"#, r#"{"a":2,"sent_at":"x"}"#));
    assert!(same(&["/sent_at"], r#"{"sent_at":1,"a":2}"#, r#"{"a":2}"#), "nor does its absence");
    assert!(!same(&["/sent_at"], r#"{"b":{"sent_at":1}}"#, r#"{"b":{"sent_at":2}}"#));
    assert!(same(&["/a~1b/m~0n"], r#"{"a/b":{"m~n":1}}"#, r#"{"a/b":{}}"#));
    assert!(same(&["/0", "/1"], "[1,2,3]", "[4,5,3]"), "items keep their places");
    assert!(!same(&["/0"], "[1,2,3]", "[1,3]"));
    assert_eq!(
        selected(&["/a"], &["/a/b"], r#"{"a":{"b":1}}"#),
        selected(&["/a"], &[], r#"{"a":{}}"#),
        "before the choice"
    );
}

#[test]
fn a_bad_pointer_is_told() {
    for bad in ["a", "#/a", "/a~", "/~2", "/~01~"] {
        assert_eq!(Pointers::new(vec![bad.into()], vec![]), Err(BadPointer(bad.into())));
        assert_eq!(Pointers::new(vec![], vec!["/a".into(), bad.into()]), Err(BadPointer(bad.into())));
    }
    assert_eq!(Pointers::new(vec![], vec![String::new()]), Err(BadPointer(String::new())), "nothing would be left");
    assert_eq!(Pointers::new(vec![String::new()], vec![]), Ok(Pointers::default()));
}
