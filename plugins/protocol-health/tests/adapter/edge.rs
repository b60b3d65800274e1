//! The listener's entry: deadlines, and what clients must not see.

use crate::support::{GET, GRPC, Plugin, counted, envoy, worker};
use sdk_shim::host::Reply;

const LIMITED: &str = r#"{"deadline": {"default": "15s", "max": "60s"}}"#;

fn header(reply: &Reply, name: &str) -> Option<String> {
    reply.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

fn send(plugin: &Plugin, base: &[(&str, &str)], more: &[(&str, &str)]) -> crate::support::Call {
    plugin.stream().with_body().request(&[base, more].concat()[..])
}

#[test]
fn the_router_is_told_and_the_service_in_its_own_words() {
    let plugin = worker(&envoy(), LIMITED);
    let router = |call: &crate::support::Call| call.request_header("x-envoy-upstream-rq-timeout-ms");
    assert_eq!(router(&send(&plugin, GET, &[])).as_deref(), Some("15000"));
    let rest = send(&plugin, GET, &[("x-request-timeout", "2s")]);
    assert_eq!(
        (router(&rest).as_deref(), rest.request_header("x-request-timeout").as_deref()),
        (Some("2000"), Some("2000ms"))
    );
    let long = send(&plugin, GET, &[("request-timeout", "100000")]);
    assert_eq!(
        (router(&long).as_deref(), long.request_header("request-timeout").as_deref()),
        (Some("60000"), Some("60000"))
    );
    let grpc = send(&plugin, GRPC, &[("grpc-timeout", "100m")]);
    assert_eq!(
        (router(&grpc).as_deref(), grpc.request_header("grpc-timeout").as_deref()),
        (Some("100"), Some("100000u"))
    );
    let stream = send(&plugin, GRPC, &[]);
    assert_eq!((router(&stream), stream.request_header("grpc-timeout")), (None, None));
    for more in [("accept", "text/event-stream"), ("upgrade", "websocket")] {
        assert_eq!(router(&send(&plugin, GET, &[more])), None, "{more:?}");
    }
}

#[test]
fn whose_time_is_over_is_answered_at_once() {
    let proxy = envoy();
    let plugin = worker(&proxy, LIMITED);
    let rest = send(&plugin, GET, &[("x-request-timeout", "0")]).reply().unwrap();
    assert_eq!(
        (rest.status, header(&rest, "x-holdfast-reject").as_deref()),
        (504, Some("protocol-health; cause=deadline"))
    );
    let grpc = send(&plugin, GRPC, &[("grpc-timeout", "0S")]).reply().unwrap();
    assert_eq!(grpc.grpc_status, Some(4));
    assert_eq!(counted(&proxy, "downstream", "refused_total", "deadline"), 2);
}

#[test]
fn what_cant_be_read_is_ignored_and_counted_or_refused() {
    let proxy = envoy();
    let plugin = worker(&proxy, LIMITED);
    let lenient = send(&plugin, GRPC, &[("grpc-timeout", "soon")]);
    assert!(lenient.passed());
    assert_eq!(counted(&proxy, "downstream", "malformed_deadlines_total", "grpc-timeout"), 1);
    let strict = worker(&proxy, r#"{"deadline": {"strict": true}}"#);
    let reply = send(&strict, GRPC, &[("grpc-timeout", "soon")]).reply().unwrap();
    assert_eq!((reply.status, reply.grpc_status), (400, Some(3)));
    let reply = send(&strict, GET, &[("x-request-timeout", "\u{ff}")]).reply().unwrap();
    assert_eq!((reply.status, reply.grpc_status), (400, None));
}

#[test]
fn a_dry_run_only_counts() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"mode": "dry_run", "deadline": {"default": "1s", "strict": true}}"#);
    let call = send(&plugin, GRPC, &[("grpc-timeout", "0S"), ("x-request-timeout", "x")]);
    assert!(call.passed() && call.request_header("x-envoy-upstream-rq-timeout-ms").is_none());
    assert_eq!(counted(&proxy, "downstream", "would_refuse_total", "malformed_deadline"), 1);
}

#[test]
fn clients_see_no_marks_and_no_status_that_we_promoted() {
    let plugin = worker(&envoy(), "{}");
    let answer = &[(":status", "200"), ("x-holdfast-outcome", "unreachable"), ("grpc-status", "14")];
    let seen = |state: &str| {
        let mut call = send(&plugin, GRPC, &[]);
        call.filter_state().set("holdfast.outcome", state.as_bytes());
        call.respond(answer, false);
        assert_eq!(call.response_header("x-holdfast-outcome"), None);
        call.response_header("grpc-status")
    };
    assert_eq!(seen("unreachable;promoted"), None);
    assert_eq!(seen("unreachable").as_deref(), Some("14"), "the service's own");
    assert_eq!(seen("").as_deref(), Some("14"));
}

#[test]
fn who_is_switched_off_does_nothing() {
    let plugin = worker(&envoy(), r#"{"mode": "disabled", "deadline": {"default": "1s"}}"#);
    plugin.host().clear_calls();
    let mut call = send(&plugin, GET, &[("x-request-timeout", "0")]);
    call.respond(&[(":status", "200"), ("x-holdfast-outcome", "partial")], true);
    assert!(plugin.host().calls().is_empty());
}
