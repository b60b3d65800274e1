//! Secrets: where they come from, what is wrong with them, and that nobody sees them.

use crate::{MEMORY, accepted, envoy, paths, refused, refuses, with, with_key};
use sdk_shim::fake::FakeProxy;
use serde_json::{Value, json};

fn redis_with(secrets: &Value) -> String {
    let store = json!({"kind": "redis", "cluster": "store"});
    json!({"store": store, "headers_stop_iteration": true, "insecure_literal": true, "secret": secrets}).to_string()
}

#[test]
fn secrets_come_from_the_environment_in_the_order_of_the_configuration() {
    let proxy = FakeProxy::envoy();
    proxy.set_env("NEW", "fedcba9876543210");
    let host = with_key(&proxy);
    let secrets = |list: &Value| accepted(&redis_with(list)).secrets(&host).unwrap();
    let both = secrets(&json!([{"env": "NEW"}, {"env": "KEY"}]));
    assert_eq!(both.iter().count(), 2);
    assert_eq!(both, secrets(&json!([{"literal": "fedcba9876543210"}, {"env": "KEY"}])));
    assert_ne!(both, secrets(&json!([{"env": "KEY"}, {"env": "NEW"}])));
}

#[test]
fn every_unusable_secret_is_told_by_its_place() {
    let secrets =
        json!([{"env": "NOWHERE"}, {"literal": "fifteen letters"}, {"env": "KEY"}, {"literal": "0123456789abcdef"}]);
    let expected = [
        ("$.secret[0]", "no variable NOWHERE"),
        ("$.secret[1]", "a secret of 15 bytes"),
        ("$.secret[3]", "there already"),
    ];
    refuses(&envoy(), &redis_with(&secrets), &expected);
    let unusable = accepted(&redis_with(&secrets)).secrets(&envoy()).unwrap_err();
    assert_eq!(paths(&unusable), ["$.secret[0]", "$.secret[1]", "$.secret[3]"]);
}

#[test]
fn no_secret_is_blamed_for_another_one() {
    let secrets = json!([{}, {"literal": "short"}]);
    refuses(&envoy(), &redis_with(&secrets), &[("$.secret[0]", "not exactly one of env, literal")]);
}

/// A short one is filled up with zeros by HMAC, so these two are one.
#[test]
fn a_secret_and_the_same_one_with_a_zero_are_one() {
    let secrets = json!([{"literal": "0123456789abcdef"}, {"literal": "0123456789abcdef\u{0}"}]);
    refuses(&envoy(), &redis_with(&secrets), &[("$.secret[1]", "there already")]);
}

#[test]
fn no_fault_and_no_debug_text_shows_a_secret() {
    let secret = "tell-nobody-5523";
    let long = secret.repeat(300);
    for list in [
        json!([secret]),
        json!(secret),
        json!([{"literal": secret}, {"literal": secret}]),
        json!([{"literal": [secret]}]),
        json!([{"literal": long}]),
        json!([{"literal": secret, "env": "KEY"}]),
    ] {
        for told in refused(&envoy(), &redis_with(&list)) {
            assert!(!told.contains("5523"), "{told}");
        }
        assert!(!refused(&envoy(), &redis_with(&list)).is_empty(), "{list}");
    }
    let policy = accepted(&redis_with(&json!([{"literal": secret}])));
    assert!(!format!("{policy:?}").contains("5523"));
}

#[test]
fn a_debug_token_is_looked_for_too() {
    let more = r#""headers_stop_iteration": true, "debug_token": {"env": "NOWHERE"}"#;
    refuses(&envoy(), &with(MEMORY, more), &[("$.debug_token", "no variable NOWHERE")]);
}
