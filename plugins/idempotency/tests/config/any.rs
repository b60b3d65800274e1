//! Whatever is configured, it is a policy or faults.

use idempotency::config::{read, read_and};
use proptest::prelude::*;
use sdk_shim::fake::FakeHost;
use serde_json::{Map, Value, json};

/// Values of every kind, those that some field takes among them.
fn value() -> impl Strategy<Value = Value> {
    let words = "memory redis memcached webdis store 10s 1h wait tenant x-a / /a POST 5xx -s KEY";
    let words: Vec<&str> = words.split(' ').chain([""]).collect();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u64..1_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(words).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner, 4).prop_map(Value::Object),
        ]
    })
}

/// Objects with fields that somebody knows, and others.
fn object(value: impl Strategy<Value = Value>, most: usize) -> impl Strategy<Value = Map<String, Value>> {
    let names = "store kind slots max_bytes cluster timeout cluster_mode max_new_connections accept_eviction username password database secret env literal methods paths \
                 header required strict derive ttl lease tenant fingerprint json exclude headers query on_in_flight wait release_on replay_headers \
                 max_body store_body mirror host_suffix home by map namespace per_tenant_in_flight insecure_literal chain mode key \
                 headers_stop_iteration accept_reply_before_store debug_token";
    let names: Vec<&str> = names.split(' ').collect();
    let name = prop_oneof![9 => proptest::sample::select(names).prop_map(str::to_owned), 1 => "\\PC{0,8}"];
    proptest::collection::vec((name, value), 0..most).prop_map(|fields| fields.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_configured_is_a_policy_or_faults(fields in object(value(), 12), usable in any::<bool>()) {
        let mut fields = fields;
        if usable {
            fields.insert("store".to_owned(), json!({"kind": "memory"}));
        }
        let text = Value::Object(fields).to_string();
        for host in [FakeHost::envoy(), FakeHost::wasmx()] {
            match read_and(text.as_bytes(), |policy| policy.check_on(&host)) {
                Ok(policy) => prop_assert!(policy.ttl > policy.lease && policy.check_on(&host).is_empty()),
                Err(faults) => prop_assert!(!faults.is_empty() && faults.iter().all(|fault| fault.path.starts_with('$'))),
            }
        }
    }

    #[test]
    fn whatever_bytes_are_configured_are_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Err(faults) = read(&bytes) {
            prop_assert!(!faults.is_empty());
        }
    }
}
