//! What can be configured, what is refused, and how that is said.

use core::time::Duration;
use protocol_health::config::read;
use protocol_health::deadline::Limits;
use protocol_health::drain::Source;
use protocol_health::policy::{GrpcMethods, Policy, Signal};
use protocol_health::probe::Ask;
use protocol_health::protocol::Protocol;
use sdk_shim::outcome::Outcome;

fn policy(json: &str) -> Policy {
    read(json.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The paths of all faults, in order.
fn faults(json: &str) -> Vec<String> {
    let faults = read(json.as_bytes()).err();
    faults.iter().flatten().map(|fault| fault.path.clone()).collect()
}

#[test]
fn nothing_is_a_configuration() {
    for empty in ["", "{}", " {} "] {
        let policy = policy(empty);
        assert_eq!((policy.protocol, policy.signal, policy.status), (None, Signal::Marker, 503));
        assert_eq!((policy.hold.time, policy.hold.max_bytes), (Duration::from_millis(250), 24_576));
        assert!(policy.hold.grpc_methods.is_empty() && policy.predicate.is_none() && policy.deadline.is_none());
        assert_eq!((policy.graphql.paths, policy.graphql.scan_bytes), (vec!["/graphql".to_owned()], 65_536));
        assert_eq!(
            (policy.healthz.as_deref(), policy.probes.len(), policy.drain),
            (Some("/healthz"), 0, Source::Nobody)
        );
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let json = r#"{"chain": "upstream", "protocol": "soap", "signal": "smoke", "status": 499,
        "hold": {"time": "61s", "max_bytes": 63, "grpc_methods": ["a.B/C", "/a.B/", "//C", "/a.B/*", 7]},
        "graphql": {"paths": ["graphql", "/a?b"], "scan_bytes": 2000000, "codes": {"X": "ok", "": "timeout"}, "identity": 1},
        "predicate": {"paths": ["x"], "header": {"in": []}, "json": {"pointer": "status", "in": [{}]}, "absent": "partial", "outcome": "ok"},
        "colour": 1}"#;
    assert_eq!(
        faults(json),
        [
            "$.protocol",
            "$.signal",
            "$.status",
            "$.hold.time",
            "$.hold.max_bytes",
            "$.hold.grpc_methods[0]",
            "$.hold.grpc_methods[1]",
            "$.hold.grpc_methods[2]",
            "$.hold.grpc_methods[4]",
            "$.graphql.paths[0]",
            "$.graphql.paths[1]",
            "$.graphql.scan_bytes",
            "$.graphql.codes",
            "$.graphql.codes.X",
            "$.graphql.identity",
            "$.predicate.header",
            "$.predicate.json.pointer",
            "$.predicate.json.in[0]",
            "$.predicate.json.in",
            "$.predicate.paths[0]",
            "$.predicate.absent",
            "$.predicate.outcome",
            "$.colour",
        ]
    );
}

#[test]
fn the_edges_faults_are_told_at_once_too() {
    let json = r#"{"healthz": "live", "draining": "yes", "drain_cluster": "", "deadline": {"default": "2m", "max": "1m", "grpc": {"max": 0}, "strict": null},
        "probes": [{"path": "p", "clusters": []}, {"path": "/q", "clusters": ["a", "a"], "timeout": "31s", "fresh": "2s", "stale": "1s", "combine": "most"},
                   {"path": "/r", "clusters": ["a"], "protocol": "grpc", "target": "/x"}, {"path": "/r", "clusters": ["a"], "status": ["6xx"]}, 7, {"path": "/s", "clusters": ["a"], "status": []}]}"#;
    assert_eq!(
        faults(json),
        [
            "$.healthz",
            "$.deadline.default",
            "$.deadline.grpc.max",
            "$.deadline.strict",
            "$.probes[0].path",
            "$.probes[0].clusters",
            "$.probes[1].clusters",
            "$.probes[1].timeout",
            "$.probes[1].stale",
            "$.probes[1].combine",
            "$.probes[2].target",
            "$.probes[3].status[0]",
            "$.probes[3].status",
            "$.probes[4]",
            "$.probes[5].status",
            "$.probes",
            "$.drain_cluster",
            "$.draining",
        ]
    );
}

#[test]
fn each_entry_has_its_own_fields() {
    assert_eq!(faults(r#"{"signal": "status", "hold": {}, "predicate": null, "status": 503}"#).len(), 4);
    assert_eq!(
        faults(r#"{"chain": "upstream", "probes": [], "healthz": "/h", "drain_cluster": "x", "draining": true}"#).len(),
        4
    );
    assert_eq!(faults(r#"{"chain": "upstream", "deadline": {"max": "1s"}}"#), ["$.deadline.max"]);
    assert_eq!(faults(r#"{"mode": "force_open"}"#), ["$.mode"]);
}

#[test]
fn a_probe_on_healthz_would_never_be_asked() {
    assert_eq!(faults(r#"{"probes": [{"path": "/healthz", "clusters": ["a"]}]}"#), ["$.probes"]);
    assert_eq!(faults(r#"{"healthz": null, "probes": [{"path": "/healthz", "clusters": ["a"]}]}"#), [""; 0]);
}

#[test]
fn codes_of_ones_own_win() {
    let policy =
        policy(r#"{"graphql": {"codes": {"UNAUTHENTICATED": "server_fault", "OUT_OF_STOCK": "caller_fault"}}}"#);
    let of = |code: &str| {
        let body = format!(r#"{{"errors": [{{"path": [], "extensions": {{"code": "{code}"}}}}]}}"#);
        let mut scan = protocol_health::graphql::Scan::new(1_000);
        scan.feed(body.as_bytes(), &policy.graphql.codes);
        protocol_health::graphql::verdict(200, &scan.end())
    };
    assert_eq!(of("UNAUTHENTICATED"), Outcome::ServerFault);
    assert_eq!(of("OUT_OF_STOCK"), Outcome::CallerFault);
    assert_eq!(of("FORBIDDEN"), Outcome::CallerFault, "the known ones stay");
}

#[test]
fn limits_are_inherited() {
    let (seconds, min) = (|n| Some(Duration::from_secs(n)), Duration::from_millis(100));
    let deadlines = policy(r#"{"deadline": {"default": "3s", "graphql": {"max": "9s"}, "grpc": {"default": "1s"}}}"#)
        .deadline
        .unwrap();
    assert_eq!(deadlines.rest, Limits { default: seconds(3), max: seconds(60), min });
    assert_eq!(deadlines.graphql, Limits { default: seconds(3), max: seconds(9), min });
    assert_eq!(deadlines.grpc, Limits { default: seconds(1), max: seconds(60), min });
    let brief = policy(r#"{"deadline": {"max": "50ms"}}"#).deadline.unwrap();
    assert_eq!(brief.rest.min, Duration::from_millis(50), "never above max");
    assert_eq!(faults(r#"{"deadline": {"max": "50ms", "min": "60ms"}}"#), ["$.deadline.min"]);
    let without = policy(r#"{"deadline": {"default": "3s", "max": null}}"#).deadline.unwrap();
    assert_eq!((without.rest.max, without.grpc.default), (None, None), "a call without a deadline may be a stream");
}

#[test]
fn methods_and_probes_are_read() {
    let policy = policy(
        r#"{"chain": "upstream", "protocol": "grpc_web", "hold": {"grpc_methods": ["/shop.Orders/Place", "/shop.Stock/*"]}}"#,
    );
    assert_eq!(policy.protocol, Some(Protocol::GrpcWeb));
    assert_eq!(policy.hold.grpc_methods[1], GrpcMethods::All("/shop.Stock/".into()));
    assert!(policy.hold.is_unary(b"/shop.Orders/Place") && policy.hold.is_unary(b"/shop.Stock/Count"));
    assert!(!policy.hold.is_unary(b"/shop.Orders/Watch") && !policy.hold.is_unary(b"/shop.StockX/Count"));
    let probes = self::policy(
        r#"{"probes": [{"path": "/a", "clusters": ["x"]}, {"path": "/b", "clusters": ["x", "y"], "protocol": "graphql", "combine": "any"}]}"#,
    )
    .probes;
    assert_eq!(probes[0].ask, Ask::Rest { path: "/".into(), status: vec![200..=299], predicate: None });
    assert_eq!(
        (probes[0].timeout, probes[0].fresh, probes[0].stale),
        (Duration::from_secs(1), Duration::from_secs(1), Duration::from_secs(10))
    );
    assert!(!probes[0].any && probes[1].any);
}
