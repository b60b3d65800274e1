//! What a host lacks is said at configure, by name.

use crate::support::{GET, Plugin, QUERY, UP, up};
use protocol_health::ProtocolHealth;
use sdk_shim::fake::{FakeProxy, Worker};

fn faults(proxy: &FakeProxy, config: &str) -> Vec<String> {
    let started: Result<Plugin, _> = Worker::<ProtocolHealth>::start(&proxy.worker(), config);
    started.map_or_else(|faults| faults.iter().map(ToString::to_string).collect(), |_| Vec::new())
}

#[test]
fn without_the_flag_nothing_can_be_held() {
    let told = faults(&FakeProxy::envoy(), r#"{"chain": "upstream", "hold": {"grpc_methods": ["/a.B/*"]}}"#);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("$.graphql.paths: found") && told[0].contains("allow_on_headers_stop_iteration"));
    assert!(told[1].starts_with("$.hold.grpc_methods: found"));
    for fine in [
        r#"{"chain": "upstream", "allow_degraded": true}"#,
        r#"{"chain": "upstream", "signal": "observe"}"#,
        r#"{"chain": "upstream", "graphql": {"paths": []}}"#,
        r#"{"chain": "upstream", "protocol": "rest"}"#,
        "{}",
        UP,
    ] {
        assert_eq!(faults(&FakeProxy::envoy(), fine), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn an_older_envoy_loses_and_dies_of_held_answers() {
    let old = FakeProxy::envoy_before_1_39_1();
    let told = faults(&old, UP);
    assert!(told.iter().all(|fault| fault.contains("holds_responses")) && told.len() == 2, "{told:?}");
    assert_eq!(faults(&old, &up(r#""allow_degraded": true"#)), Vec::<String>::new());
}

#[test]
fn kong_has_no_attempts_and_limits_no_request() {
    let kong = FakeProxy::wasmx();
    assert!(faults(&kong, UP)[0].contains("upstream_chain"));
    assert!(faults(&kong, r#"{"deadline": {}}"#)[0].contains("limits_by_header"));
    assert_eq!(faults(&kong, r#"{"deadline": {}, "allow_degraded": true}"#), Vec::<String>::new());
    assert_eq!(faults(&kong, "{}"), Vec::<String>::new());
    assert!(faults(&kong, r#"{"drain_cluster": "drain"}"#)[0].contains("named_clusters"));
    let grpc = r#"{"probes": [{"path": "/p", "clusters": ["127.0.0.1:1"], "protocol": "grpc"}]}"#;
    assert!(
        faults(&kong, grpc)[0].starts_with("$.probes[0].protocol: found")
            && faults(&kong, grpc)[0].contains("grpc_callouts")
    );
}

#[test]
fn in_kong_requests_are_judged_as_far_as_status_and_body_tell() {
    let kong = FakeProxy::wasmx();
    let plugin: Plugin = Worker::start(&kong.worker(), "{}").unwrap();
    let outcomes = |protocol: &str, outcome: &str| {
        let name = "holdfast_protocol_health_attempts_total;chain=downstream;instance=default";
        kong.metric(&format!("{name};protocol={protocol};outcome={outcome}"))
    };
    for (status, outcome) in [("200", "ok"), ("503", "server_fault"), ("404", "caller_fault")] {
        let mut call = plugin.request(GET);
        call.respond(&[(":status", status), ("x-holdfast-outcome", "forged")], false).body(b"{}", true);
        assert_eq!((call.response_header("x-holdfast-outcome"), outcomes("rest", outcome)), (None, 1));
        call.finish();
    }
    let mut errors = plugin.stream().with_body().request(QUERY);
    errors.request_body(b"{}", true);
    let json = &[(":status", "200"), ("content-type", "application/json")];
    errors.respond(json, false).body(br#"{"errors": [{"path": ["orders"]}]}"#, true);
    assert_eq!((errors.status(), outcomes("graphql", "server_fault")), (Some(200), 1), "counted, and passed on");
    errors.finish();
    // In pieces, of which none is told to be the last.
    let text = br#"{"data": null, "errors": [{"path": ["orders"]}]}"#;
    let length = text.len().to_string();
    let mut pieces = plugin.stream().with_body().request(QUERY);
    let json = [(":status", "200"), ("content-type", "application/json"), ("content-length", length.as_str())];
    pieces.request_body(b"{}", true).respond(&json, false);
    for part in text.chunks(20) {
        pieces.body(part, false);
    }
    assert_eq!(outcomes("graphql", "server_fault"), 2);
    pieces.finish();
    assert!(plugin.host().traps().is_empty());
}
