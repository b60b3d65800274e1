//! What is refused, each with its path.

use crate::{MEMCACHED, MEMORY, REDIS, paths, with};
use idempotency::config::read;
use serde_json::{Map, Value, json};

/// Fields beside a store in memory, and the paths of their faults in order.
const FAULTY_IN_MEMORY: &[(&str, &[&str])] = &[
    (r#""colour": "red""#, &["$.colour"]),
    (r#""mode": "force_open""#, &["$.mode"]),
    (r#""mode": "force_closed""#, &["$.mode"]),
    (r#""chain": "upstream""#, &["$.chain"]),
    (r#""secret": [{"env": "KEY"}]"#, &["$.secret"]),
    (r#""methods": []"#, &["$.methods"]),
    (
        r#""methods": ["POST", "post", "GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", 1, ""]"#,
        &[
            "$.methods[1]",
            "$.methods[2]",
            "$.methods[3]",
            "$.methods[4]",
            "$.methods[5]",
            "$.methods[6]",
            "$.methods[7]",
            "$.methods[8]",
        ],
    ),
    (r#""methods": ["PUT", "PUT"]"#, &["$.methods"]),
    (r#""paths": []"#, &["$.paths"]),
    (
        r#""paths": ["pay", "/pay?x", "/a b", "/\u00e4", "/a#b"]"#,
        &["$.paths[0]", "$.paths[1]", "$.paths[2]", "$.paths[3]", "$.paths[4]"],
    ),
    (r#""header": "Idempotency-Key""#, &["$.header"]),
    (r#""header": ":path""#, &["$.header"]),
    (r#""required": "yes", "strict": 1"#, &["$.required", "$.strict"]),
    (r#""strict": true, "header": "x-idempotency-key""#, &["$.strict"]),
    (r#""derive": {}"#, &["$.derive"]),
    (r#""derive": {"ttl": "61s"}, "tenant": ["x-tenant"]"#, &["$.derive.ttl"]),
    (r#""derive": {"ttl": "999ms"}, "tenant": ["x-tenant"]"#, &["$.derive.ttl"]),
    (r#""derive": {"ttl": "30s"}, "tenant": ["x-tenant"]"#, &["$.derive"]),
    (r#""derive": {}, "tenant": ["x-tenant"], "required": true"#, &["$.required"]),
    (r#""ttl": "721h""#, &["$.ttl"]),
    (r#""ttl": "0s""#, &["$.ttl"]),
    (r#""ttl": "30s""#, &["$.ttl"]),
    (r#""lease": "999ms""#, &["$.lease"]),
    (r#""lease": "61m""#, &["$.lease"]),
    (r#""tenant": ["X-Tenant"]"#, &["$.tenant[0]"]),
    (r#""tenant": ["x-tenant", "x-tenant"]"#, &["$.tenant"]),
    (
        r#""fingerprint": {"json": ["", "amount", "/a~2"], "exclude": ["", "/a", "b"]}"#,
        &["$.fingerprint.json[1]", "$.fingerprint.json[2]", "$.fingerprint.exclude[0]", "$.fingerprint.exclude[2]"],
    ),
    (
        r#""fingerprint": {"headers": ["X"], "query": ["a=b", "a&b", "", "a b"], "body": true}"#,
        &[
            "$.fingerprint.query[0]",
            "$.fingerprint.query[1]",
            "$.fingerprint.query[2]",
            "$.fingerprint.query[3]",
            "$.fingerprint.headers[0]",
            "$.fingerprint.body",
        ],
    ),
    (r#""on_in_flight": "wait""#, &["$.wait"]),
    (r#""on_in_flight": "wait", "wait": "0s""#, &["$.wait"]),
    (r#""on_in_flight": "wait", "wait": "31s""#, &["$.wait"]),
    (r#""wait": "1s""#, &["$.wait"]),
    (r#""on_in_flight": "reject", "wait": "1s""#, &["$.wait"]),
    (
        r#""on_uncertain": "probe", "on_store_error": "pass", "too_large": "drop""#,
        &["$.on_uncertain", "$.on_store_error", "$.too_large"],
    ),
    (r#""max_body": 15728641"#, &["$.max_body"]),
    (r#""max_body": -1"#, &["$.max_body"]),
    (
        r#""release_on": [200, "2xx", 302, "399-400", 600, "abc", 101, 503]"#,
        &[
            "$.release_on[0]",
            "$.release_on[1]",
            "$.release_on[2]",
            "$.release_on[3]",
            "$.release_on[4]",
            "$.release_on[5]",
            "$.release_on[6]",
        ],
    ),
    (r#""per_tenant_in_flight": 1001"#, &["$.per_tenant_in_flight"]),
    (
        r#""replay_headers": ["etag", "set-cookie", "date", "connection", "traceparent", "ETag"]"#,
        &[
            "$.replay_headers[1]",
            "$.replay_headers[2]",
            "$.replay_headers[3]",
            "$.replay_headers[4]",
            "$.replay_headers[5]",
        ],
    ),
    (r#""namespace": "a b""#, &["$.namespace"]),
    (r#""mirror": {"host_suffix": "shadow"}"#, &["$.mirror.host_suffix"]),
    (r#""mirror": {"host_suffix": "-"}"#, &["$.mirror.host_suffix"]),
    (r#""mirror": {"host_suffix": "-Shadow"}"#, &["$.mirror.host_suffix"]),
    (r#""mirror": "-shadow""#, &["$.mirror"]),
    (r#""home": {"by": {"header": "x-region"}, "map": {"eu": "store-eu"}}"#, &["$.home"]),
    (r#""debug_token": {"literal": "s"}"#, &["$.debug_token.literal"]),
];

/// The same beside a Redis.
const FAULTY_IN_REDIS: &[(&str, &[&str])] = &[
    (r#""lease": "1s", "ttl": "1m", "store": {"kind": "redis", "cluster": "s", "timeout": "1s"}"#, &["$.lease"]),
    (r#""secret": []"#, &["$.secret"]),
    (r#""secret": null"#, &["$.secret"]),
    (r#""secret": {"env": "KEY"}"#, &["$.secret"]),
    (r#""secret": [{"env": "A"}, {"env": "B"}, {"env": "C"}, {"env": "D"}, {"env": "E"}]"#, &["$.secret"]),
    (r#""secret": ["in clear"]"#, &["$.secret[0]"]),
    (
        r#""secret": [{"env": "A"}, {}, {"env": "B", "literal": "x"}, {"literal": "x"}]"#,
        &["$.secret[1]", "$.secret[2]", "$.secret[3].literal"],
    ),
    (r#""secret": [{"env": ""}]"#, &["$.secret[0].env"]),
    (r#""secret": [{"env": "A", "file": "/etc/key"}]"#, &["$.secret[0].file"]),
    (r#""home": {}"#, &["$.home.by", "$.home.map"]),
    (r#""home": {"by": "region", "map": {}}"#, &["$.home.by", "$.home.map"]),
    (r#""home": {"by": {}, "map": {"eu": "s"}}"#, &["$.home.by.header"]),
    (r#""home": {"by": {"header": "X", "query": "q"}, "map": {"eu": "s"}}"#, &["$.home.by.header", "$.home.by.query"]),
    (r#""home": {"by": "tenant", "map": {"eu": "s"}}"#, &["$.home"]),
    (r#""home": {"by": "tenant", "map": {"eu": "s"}}, "tenant": ["x-a", "x-b"]"#, &["$.home"]),
    (
        r#""home": {"by": {"header": "x-region"}, "map": {"eu": "", "us": 1, "": "s", "a b": "a b"}}"#,
        &["$.home.map", "$.home.map[\"a b\"]", "$.home.map.eu", "$.home.map.us"],
    ),
];

/// Stores, with a secret where they need one.
const FAULTY_STORES: &[(&str, &[&str])] = &[
    ("{}", &["$.store"]),
    (r#"{"store": null}"#, &["$.store"]),
    (r#"{"store": "memory"}"#, &["$.store"]),
    (r#"{"store": {}}"#, &["$.store.kind"]),
    (
        r#"{"store": {"kind": "etcd", "cluster": "s", "slots": 0, "timeout": "1h", "colour": 1}}"#,
        &["$.store.kind", "$.store.slots", "$.store.timeout", "$.store.colour"],
    ),
    (r#"{"store": {"kind": "memory", "cluster": "s"}}"#, &["$.store.cluster"]),
    (r#"{"store": {"kind": "memory", "slots": 0, "max_bytes": 1023}}"#, &["$.store.slots", "$.store.max_bytes"]),
    (
        r#"{"store": {"kind": "memory", "slots": 1048577, "max_bytes": 4294967297}}"#,
        &["$.store.slots", "$.store.max_bytes"],
    ),
    (r#"{"store": {"kind": "memory", "slots": 32, "max_bytes": 262143}}"#, &["$.max_body"]),
    (r#"{"store": {"kind": "memory", "slots": 33, "max_bytes": 524287}}"#, &["$.max_body"]),
    (r#"{"store": {"kind": "memory", "max_bytes": 1048575}, "max_body": 0}"#, &["$.store.max_bytes"]),
    (r#"{"store": {"kind": "redis", "cluster": "s"}}"#, &["$.secret"]),
    (r#"{"store": {"kind": "redis"}, "secret": [{"env": "A"}]}"#, &["$.store.cluster"]),
    (r#"{"store": {"kind": "redis", "cluster": ""}, "secret": [{"env": "A"}]}"#, &["$.store.cluster"]),
    (
        r#"{"store": {"kind": "redis", "cluster": "a b", "slots": 1}, "secret": [{"env": "A"}]}"#,
        &["$.store.cluster", "$.store.slots"],
    ),
    (
        r#"{"store": {"kind": "redis", "cluster": "s", "timeout": "9ms", "max_new_connections": 0}, "secret": [{"env": "A"}]}"#,
        &["$.store.timeout", "$.store.max_new_connections"],
    ),
    (
        r#"{"store": {"kind": "redis", "cluster": "s", "timeout": "11s", "max_new_connections": 10001}, "secret": [{"env": "A"}]}"#,
        &["$.store.timeout", "$.store.max_new_connections"],
    ),
    (
        r#"{"store": {"kind": "webdis", "cluster": "s", "username": "u", "password": {"env": "P"}, "database": 1}, "secret": [{"env": "A"}]}"#,
        &["$.store.username", "$.store.password", "$.store.database"],
    ),
    (
        r#"{"store": {"kind": "redis", "cluster": "s", "username": "u", "database": 65536}, "secret": [{"env": "A"}]}"#,
        &["$.store.database", "$.store.username"],
    ),
    (
        r#"{"store": {"kind": "redis", "cluster": "s", "password": {"literal": "p"}, "cluster_mode": true, "database": 1}, "secret": [{"env": "A"}]}"#,
        &["$.store.password.literal", "$.store.database"],
    ),
    (
        r#"{"store": {"kind": "webdis", "cluster": "s", "cluster_mode": true}, "secret": [{"env": "A"}]}"#,
        &["$.store.cluster_mode"],
    ),
    (
        r#"{"store": {"kind": "memcached", "cluster": "s", "cluster_mode": true}, "secret": [{"env": "A"}]}"#,
        &["$.store.cluster_mode", "$.store.accept_eviction"],
    ),
    (
        r#"{"store": {"kind": "memcached", "cluster": "s", "accept_eviction": true}, "secret": [{"env": "A"}, {"env": "B"}]}"#,
        &["$.secret"],
    ),
    (
        r#"{"store": {"kind": "memcached", "cluster": "s", "accept_eviction": true}, "secret": [{"env": "A"}], "ttl": "720h"}"#,
        &["$.ttl"],
    ),
];

fn expect_faults(text: &str, expected: &[&str]) {
    let faults = read(text.as_bytes()).expect_err(text);
    assert_eq!(paths(&faults), expected, "{text}\n{faults}");
}

#[test]
fn every_fault_is_told_with_its_path() {
    for (more, expected) in FAULTY_IN_MEMORY {
        expect_faults(&with(MEMORY, more), expected);
    }
    for (text, expected) in FAULTY_STORES {
        expect_faults(text, expected);
    }
}

#[test]
fn every_fault_beside_a_shared_store_is_told_with_its_path() {
    for (more, expected) in FAULTY_IN_REDIS {
        let mut fields: Map<String, Value> = serde_json::from_str(&format!("{{{REDIS}}}")).unwrap();
        fields.extend(serde_json::from_str::<Map<String, Value>>(&format!("{{{more}}}")).unwrap());
        expect_faults(&Value::Object(fields).to_string(), expected);
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = r#"{"chain": "upstream", "store": {"kind": "memcached", "timeout": "1m"}, "secret": [{"env": "A"}, {"literal": "b"}], "methods": ["GET"],
        "paths": ["x"], "ttl": "1s", "lease": "2s", "wait": "1s", "release_on": [200], "derive": {}, "headers": []}"#;
    let expected = [
        "$.chain",
        "$.store.timeout",
        "$.store.cluster",
        "$.store.accept_eviction",
        "$.secret",
        "$.secret[1].literal",
        "$.methods[0]",
        "$.paths[0]",
        "$.wait",
        "$.release_on[0]",
        "$.derive",
        "$.ttl",
        "$.headers",
    ];
    expect_faults(text, &expected);
}

#[test]
fn memcached_keeps_a_key_for_a_month_less_a_second() {
    let ttl = |ttl: u64| read(with(MEMCACHED, &format!(r#""ttl": {ttl}"#)).as_bytes()).is_ok();
    assert_eq!([ttl(30 * 86_400_000 - 1_000), ttl(30 * 86_400_000 - 999)], [true, false]);
}

#[test]
fn a_list_has_an_end() {
    let paths =
        |n: usize| json!({"store": {"kind": "memory"}, "paths": (0..n).map(|n| format!("/{n}")).collect::<Vec<_>>()});
    assert!(read(paths(64).to_string().as_bytes()).is_ok());
    expect_faults(&paths(65).to_string(), &["$.paths"]);
    let statuses = json!({"store": {"kind": "memory"}, "release_on": (400..465).collect::<Vec<_>>()});
    expect_faults(&statuses.to_string(), &["$.release_on"]);
    let homes: Map<String, Value> = (0..65).map(|n| (format!("r{n}"), json!("s"))).collect();
    let home = json!({"by": {"header": "x-region"}, "map": homes});
    expect_faults(&with(REDIS, &format!(r#""home": {home}"#)), &["$.home.map"]);
}
