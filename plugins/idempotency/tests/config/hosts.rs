//! What a host lacks.

use crate::{MEMCACHED, MEMORY, REDIS, envoy, kong, refuses, with};

#[test]
fn envoy_must_hold_headers_and_says_with_which_field() {
    let flag = ("$.headers_stop_iteration", "allow_on_headers_stop_iteration: true");
    refuses(&envoy(), &format!("{{{MEMORY}}}"), &[flag]);
    for store in [MEMORY, REDIS, MEMCACHED] {
        refuses(&envoy(), &with(store, r#""headers_stop_iteration": true"#), &[]);
    }
}

#[test]
fn envoy_stores_before_it_replies_and_has_no_use_for_less() {
    let early = r#""headers_stop_iteration": true, "accept_reply_before_store": true"#;
    refuses(&envoy(), &with(MEMORY, early), &[("$.accept_reply_before_store", "pause_response_headers")]);
}

#[test]
fn what_kong_lacks_must_be_accepted_or_is_refused_by_name() {
    let late = ("$.accept_reply_before_store", "pause_response_headers");
    let evicts = ("$.store.accept_eviction", "keeps_shared");
    let tunnel = ("$.store.kind", "tcp_tunnel");
    let address = ("$.store.cluster", "named_clusters");
    refuses(&kong(), &format!("{{{MEMORY}}}"), &[late, evicts]);
    refuses(&kong(), &format!("{{{REDIS}}}"), &[late, tunnel, address]);
    refuses(&kong(), &format!("{{{MEMCACHED}}}"), &[late, tunnel, address]);
    let upstream = with(MEMORY, r#""chain": "upstream""#);
    refuses(&kong(), &upstream, &[("$.chain", "once per request"), ("$.chain", "upstream_chain"), late, evicts]);
}

#[test]
fn kong_runs_with_memory_or_webdis() {
    for store in [
        r#""store": {"kind": "memory", "accept_eviction": true}"#,
        r#""store": {"kind": "webdis", "cluster": "10.0.0.7:7379"}, "secret": [{"env": "KEY"}]"#,
    ] {
        refuses(&kong(), &with(store, r#""accept_reply_before_store": true"#), &[]);
    }
}

#[test]
fn kong_reaches_a_store_by_host_and_port_alone() {
    for cluster in ["webdis", "webdis:", ":7379", "webdis:0", "webdis:65536", "webdis:http"] {
        let store = format!(r#""store": {{"kind": "webdis", "cluster": "{cluster}"}}, "secret": [{{"env": "KEY"}}]"#);
        let text = with(&store, r#""accept_reply_before_store": true"#);
        refuses(&kong(), &text, &[("$.store.cluster", "named_clusters")]);
    }
    let home = r#""accept_reply_before_store": true, "home": {"by": {"header": "x-region"}, "map": {"eu": "webdis:80", "u s": "store-us"}}"#;
    let store = r#""store": {"kind": "webdis", "cluster": "webdis:80"}, "secret": [{"env": "KEY"}]"#;
    refuses(&kong(), &with(store, home), &[("$.home.map[\"u s\"]", "named_clusters")]);
}

#[test]
fn a_missing_store_is_the_only_fault_that_it_causes() {
    refuses(&kong(), r#"{"accept_reply_before_store": true}"#, &[("$.store", "nothing")]);
    refuses(&envoy(), r#"{"headers_stop_iteration": true}"#, &[("$.store", "nothing")]);
}
