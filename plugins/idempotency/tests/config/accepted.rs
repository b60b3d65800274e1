//! What is accepted, and what it means.

use crate::{MEMORY, REDIS, accepted, in_memory, with};
use core::time::Duration;
use idempotency::canonical::Pointers;
use idempotency::fingerprint::Selection;
use idempotency::header::Syntax;
use idempotency::policy::{Home, HomeBy, Kind, Login, Remote, Store};
use sdk_shim::common::Secret;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_store_is_all_that_must_be_said() {
    let policy = accepted(&format!("{{{MEMORY}}}"));
    assert_eq!(policy.store, Store::Memory { slots: 4_096, max_bytes: 67_108_864, accept_eviction: false });
    assert_eq!((policy.methods, policy.paths), (vec!["POST".to_owned(), "PATCH".to_owned()], vec!["/".to_owned()]));
    assert_eq!((policy.header.as_str(), policy.required, policy.strict), ("idempotency-key", false, false));
    assert_eq!((policy.ttl, policy.lease, policy.wait), (seconds(86_400), seconds(30), Duration::ZERO));
    assert_eq!((policy.derive, policy.max_body, policy.store_body), (None, 262_144, true));
    assert_eq!(policy.selection, Selection::default());
    assert!(!policy.service_is_idempotent && !policy.reexecute && !policy.fail_open && !policy.pass_too_large);
    assert!(!policy.accept_reply_before_store && policy.mirror.is_none() && policy.home.is_none());
    assert!(policy.secrets.is_empty() && policy.tenant.is_empty() && policy.namespace.is_empty());
    assert_eq!(policy.per_tenant_in_flight, 0);
    let replayed = ["content-type", "content-language", "content-encoding", "location", "etag"];
    assert_eq!(policy.replay_headers, replayed);
    let released: Vec<u16> = (100..=599).filter(|status| policy.release_on.holds(*status)).collect();
    assert_eq!(released, [401, 403, 408, 409, 425, 429]);
}

#[test]
fn a_shared_store_needs_its_name_and_a_secret() {
    let policy = accepted(&format!("{{{REDIS}}}"));
    let remote = Remote {
        kind: Kind::Redis,
        cluster: "store".to_owned(),
        timeout: Duration::from_millis(250),
        cluster_mode: false,
        max_new_connections: 200,
        accept_eviction: false,
        login: Login::default(),
    };
    assert_eq!((policy.store, policy.secrets), (Store::Remote(remote), vec![Secret::Env("KEY".to_owned())]));
}

#[test]
fn redis_may_want_a_password_and_have_more_than_one_database() {
    let login = |more: &str| {
        let store = format!(r#""store": {{"kind": "redis", "cluster": "s"{more}}}, "secret": [{{"env": "KEY"}}]"#);
        let Store::Remote(remote) = accepted(&format!("{{{store}}}")).store else { panic!("no remote store") };
        remote.login
    };
    let password = Some(Secret::Env("REDIS_PASSWORD".to_owned()));
    let alone = Login { password: password.clone(), ..Login::default() };
    assert_eq!(login(r#", "password": {"env": "REDIS_PASSWORD"}"#), alone);
    let named = Login { username: "edge".to_owned(), password, database: 3 };
    assert_eq!(login(r#", "username": "edge", "password": {"env": "REDIS_PASSWORD"}, "database": 3"#), named);
}

#[test]
fn everything_can_be_said() {
    let policy = accepted(
        r#"{"store": {"kind": "redis", "cluster": "store", "timeout": "1s", "cluster_mode": true, "max_new_connections": 50, "accept_eviction": true},
            "secret": [{"env": "NEW"}, {"literal": "old"}], "insecure_literal": true, "methods": ["PUT"], "paths": ["/pay"], "header": "x-idempotency-key",
            "derive": {"ttl": "45s"}, "ttl": "720h", "lease": "40s", "tenant": ["x-tenant"],
            "fingerprint": {"json": ["/amount"], "exclude": ["/time"], "headers": ["x-version"], "query": ["currency"]},
            "service_is_idempotent": true, "on_in_flight": "wait", "wait": "5s", "on_uncertain": "reexecute", "on_store_error": "open", "too_large": "pass",
            "max_body": 0, "release_on": [503, "4xx"], "store_body": false, "per_tenant_in_flight": 10, "replay_headers": ["etag"], "namespace": "shop.v2",
            "mirror": {}, "home": {"by": "tenant", "map": {"eu": "store-eu", "us": "store-us"}}}"#,
    );
    assert_eq!((policy.derive, policy.lease, policy.wait), (Some(seconds(45)), seconds(40), seconds(5)));
    assert_eq!((policy.max_body, policy.per_tenant_in_flight, policy.namespace.as_str()), (0, 10, "shop.v2"));
    assert!(policy.release_on.holds(503) && policy.release_on.holds(422) && !policy.release_on.holds(500));
    let pointers = Pointers::new(vec!["/amount".to_owned()], vec!["/time".to_owned()]).unwrap();
    let selection = Selection::new(pointers, vec!["x-version".to_owned()], vec!["currency".to_owned()]);
    assert_eq!(policy.selection, selection);
    assert_eq!(policy.mirror.as_deref(), Some("-shadow"), "what Envoy appends");
    let map = [("eu", "store-eu"), ("us", "store-us")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    assert_eq!(policy.home, Some(Home { by: HomeBy::Tenant, map }));
    assert!(policy.fail_open && policy.pass_too_large && policy.reexecute && policy.service_is_idempotent);
}

#[test]
fn a_path_covers_whole_segments() {
    let policy = in_memory(r#""paths": ["/pay", "/refund/"], "methods": ["POST"]"#);
    for covered in ["/pay", "/pay/", "/pay/1", "/refund/", "/refund/1"] {
        assert!(policy.covers(b"POST", covered.as_bytes()), "{covered}");
    }
    for other in ["/payments", "/pay%2F1", "/", "", "/refund", "/refunds/1", "/x/pay", "/Pay"] {
        assert!(!policy.covers(b"POST", other.as_bytes()), "{other}");
    }
    assert!(!policy.covers(b"PATCH", b"/pay") && !policy.covers(b"post", b"/pay"));
    assert!(in_memory(r#""mode": "dry_run""#).covers(b"POST", b"/anything"));
}

#[test]
fn only_the_drafts_header_has_quoted_keys() {
    let syntax = |more: &str| in_memory(more).syntax();
    assert_eq!(syntax(r#""strict": true"#), Syntax::Structured { strict: true });
    assert_eq!(syntax(r#""strict": false"#), Syntax::Structured { strict: false });
    assert_eq!(syntax(r#""header": "x-idempotency-key""#), Syntax::Plain);
}

#[test]
fn no_push_forgets_what_is_in_memory() {
    let usual = accepted(&format!("{{{MEMORY}}}")).meaning();
    for more in [r#""ttl": "1h""#, r#""lease": "1s""#, r#""tenant": ["x-t"]"#, r#""fingerprint": {"json": ["/a"]}"#] {
        assert_eq!(in_memory(more).meaning(), usual, "{more}");
    }
    let store = r#""store": {"kind": "memory", "slots": 8, "max_bytes": 262144, "accept_eviction": true}"#;
    assert_eq!(accepted(&format!("{{{store}}}")).meaning(), usual);
    assert_ne!(accepted(&format!("{{{REDIS}}}")).meaning(), usual, "another store's cells");
}

#[test]
fn both_ends_of_every_bound_are_within_it() {
    for (base, more) in [
        (MEMORY, r#""lease": "1s", "ttl": 1001"#),
        (MEMORY, r#""lease": "1h", "ttl": "720h", "max_body": 524288, "per_tenant_in_flight": 1000"#),
        (MEMORY, r#""derive": {"ttl": "60s"}, "tenant": ["x-tenant"]"#),
        (MEMORY, r#""derive": {"ttl": 1001}, "lease": "1s", "tenant": ["x-tenant"]"#),
        (MEMORY, r#""on_in_flight": "wait", "wait": "1ms""#),
        (MEMORY, r#""on_in_flight": "wait", "wait": "30s""#),
        (MEMORY, r#""on_in_flight": "reject", "wait": 0"#),
        (MEMORY, r#""release_on": [], "replay_headers": [], "fingerprint": {"json": []}, "mode": "disabled""#),
        (MEMORY, r#""release_on": [400, 599, "5xx", "400-599"], "mirror": {"host_suffix": ".s"}"#),
        (r#""store": {"kind": "memory", "slots": 1, "max_bytes": 1024}"#, r#""max_body": 1024"#),
        (r#""store": {"kind": "memory", "slots": 1048576, "max_bytes": 268435456}"#, r#""store_body": false"#),
        (
            r#""store": {"kind": "memory", "max_bytes": 4294967296}"#,
            r#""max_body": 15728640, "key": ["method", "path:1"]"#,
        ),
        (r#""store": {"kind": "redis", "cluster": "s", "timeout": "10ms"}"#, r#""secret": [{"env": "A"}]"#),
        (r#""store": {"kind": "webdis", "cluster": "s", "timeout": "10s"}"#, r#""secret": [{"env": "A"}]"#),
        (
            r#""store": {"kind": "redis", "cluster": "s", "max_new_connections": 1}"#,
            r#""secret": [{"env": "A"}, {"env": "B"}, {"env": "C"}, {"env": "D"}]"#,
        ),
        (r#""store": {"kind": "redis", "cluster": "s", "max_new_connections": 10000}"#, r#""secret": [{"env": "A"}]"#),
    ] {
        accepted(&with(base, more));
    }
}
