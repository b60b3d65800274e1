//! Which version and which configuration a proxy runs, as its gauges say.
#![allow(missing_docs)]

use proptest::prelude::*;
use sdk_shim::config::Faults;
use sdk_shim::entry::Plugin;
use sdk_shim::fake::{FakeHost, FakeProxy, Worker};
use sdk_shim::host::Host;
use sdk_shim::identity::config_hash;

/// A plugin that takes every configuration without the field `bad`.
struct Any;

impl<H: Host + 'static> Plugin<H> for Any {
    type Call = ();
    const NAME: &'static str = "any";

    fn configure(_: &H, bytes: &[u8]) -> Result<Self, Faults> {
        let text = String::from_utf8_lossy(bytes);
        if text.contains("bad") { Err(Faults::one("$.bad", "it", "nothing")) } else { Ok(Self) }
    }
    fn call(&self) {}
}

fn push(host: &FakeHost, config: &str) -> Option<Worker<Any>> {
    Worker::start(host, config).ok()
}

fn info(proxy: &FakeProxy, config: &str) -> Option<u64> {
    let hash = config_hash(config.as_bytes()).unwrap();
    let name = format!("holdfast_config_info;chain=downstream;instance=default;plugin=any;config={hash}");
    proxy.metrics().get(&name).copied()
}

#[test]
fn the_module_says_its_version() {
    let proxy = FakeProxy::envoy();
    push(&proxy.worker(), "");
    let names: Vec<String> =
        proxy.metrics().into_keys().filter(|name| name.starts_with("holdfast_build_info")).collect();
    assert_eq!(names, [format!("holdfast_build_info;version={};git=unknown", env!("CARGO_PKG_VERSION"))]);
}

#[test]
fn the_configuration_in_force_is_the_only_one_at_one() {
    let proxy = FakeProxy::envoy();
    let workers = [(); 2].map(|()| proxy.worker());
    let [a, b] = [r#"{"x": 1}"#, r#"{"x": 2}"#];
    for (pushed, in_force) in [(a, [Some(1), None]), (b, [Some(0), Some(1)]), (a, [Some(1), Some(0)])] {
        for worker in &workers {
            push(worker, pushed);
            // A worker that is trapped and starts anew changes nothing.
            push(worker, pushed);
        }
        assert_eq!([info(&proxy, a), info(&proxy, b)], in_force, "after {pushed}");
    }
    assert!(push(&workers[0], r#"{"bad": 1}"#).is_none());
    assert_eq!([info(&proxy, a), info(&proxy, b)], [Some(1), Some(0)], "a refused one changes nothing");
}

#[test]
fn a_push_in_the_midst_of_another_ends_well() {
    let proxy = FakeProxy::envoy();
    let workers = [(); 2].map(|()| proxy.worker());
    let [a, b] = [r#"{"x": 1}"#, r#"{"x": 2}"#];
    // The second worker is slow: it takes the first push when the other one has taken the second.
    for (worker, pushed) in [(0, a), (0, b), (1, a), (1, b)] {
        push(&workers[worker], pushed);
    }
    assert_eq!([info(&proxy, a), info(&proxy, b)], [Some(0), Some(1)]);
}

#[test]
fn without_shared_data_the_new_one_is_shown_all_the_same() {
    let proxy = FakeProxy::envoy();
    proxy.fail_shared(true);
    push(&proxy.worker(), "{}");
    assert_eq!(info(&proxy, "{}"), Some(1));
}

#[test]
fn instances_and_chains_have_gauges_of_their_own() {
    let proxy = FakeProxy::envoy();
    push(&proxy.worker(), r#"{"chain": "upstream", "instance": "eu"}"#);
    let name = proxy.metrics().into_keys().find(|name| name.starts_with("holdfast_config_info")).unwrap();
    assert!(name.starts_with("holdfast_config_info;chain=upstream;instance=eu;plugin=any;config="), "{name}");
}

#[test]
fn what_is_written_differently_and_means_the_same_has_one_hash() {
    let same = [
        r#"{"ratio": 0.2, "calls": 20, "open": {"base": "5s", "max": null}, "list": [1, "a"]}"#,
        r#"{"list":[1.0,"a"],"open":{"max":null,"base":"5s"},"calls":2e1,"ratio":0.20}"#,
        "{ \"calls\" : 20.0,\n \"ratio\" : \"0.2\", \"list\": [ 1, \"a\" ], \"open\": {\"base\": \"5s\", \"max\": null} }",
    ];
    let hash = config_hash(same[0].as_bytes());
    assert!(same.iter().all(|text| config_hash(text.as_bytes()) == hash));
    assert_eq!(hash.unwrap().len(), 8);
    assert_eq!(config_hash(b""), config_hash(b" {} "));
    for other in
        [r#"{"ratio": 0.3}"#, r#"{"ratio": 2}"#, r#"{"ratio": -0.2}"#, r#"{"ratio": "0.2s"}"#, r#"{"ratio": [0.2]}"#]
    {
        assert_ne!(config_hash(other.as_bytes()), config_hash(br#"{"ratio": 0.2}"#), "{other}");
    }
    assert_eq!(config_hash(b"{"), None);
}

/// A protobuf Struct of texts, its fields in this order.
fn as_struct(fields: &[(String, String)]) -> Vec<u8> {
    let part = |number: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[number << 3 | 2, length][..], bytes].concat()
    };
    let entry = |(name, value): &(String, String)| {
        let value = part(2, &part(3, value.as_bytes()));
        part(1, &[part(1, name.as_bytes()), value].concat())
    };
    fields.iter().flat_map(entry).collect()
}

proptest! {
    #[test]
    fn a_structs_fields_may_come_in_any_order(
        fields in prop::collection::btree_map("[a-z]{1,8}", "[a-z0-9 .]{0,8}", 1..6),
        turn in 0_usize..6,
    ) {
        let mut fields: Vec<(String, String)> = fields.into_iter().collect();
        let json = serde_json::to_string(&fields.iter().cloned().collect::<std::collections::BTreeMap<_, _>>()).unwrap();
        let turn = turn % fields.len();
        fields.rotate_left(turn);
        prop_assert_eq!(config_hash(&as_struct(&fields)), config_hash(json.as_bytes()));
    }
}
