//! Hosts that lack something, `WasmX`.

use crate::support::{GET, call, envoy, kong, line, rest, sum, worker};
use metrics::Metrics;
use sdk_shim::fake::{FakeProxy, Worker};

#[test]
fn kong_counts_requests_and_has_no_gauges_that_count() {
    let proxy = kong();
    let plugin = worker(&proxy, "{}");
    for status in ["200", "404", "503"] {
        call(&plugin, status);
    }
    let outcomes = ["ok", "caller_fault", "server_fault"];
    assert_eq!(outcomes.map(|outcome| rest(&proxy, &format!("requests_total;outcome={outcome}"))), [1; 3]);
    assert_eq!(proxy.histogram(&crate::support::name("downstream", "rest", "request_duration_us;outcome=ok")).len(), 1);
    assert!(!proxy.metrics().keys().any(|name| name.contains("in_flight") || name.contains("streams_open")));
    assert!(plugin.host().logs().is_empty(), "{:?}", plugin.host().logs());
}

#[test]
fn kong_believes_a_header_that_a_word_within_the_request_bears_out() {
    let proxy = kong();
    let plugin = worker(&proxy, "{}");
    let refused = |state: bool| {
        let mut call = plugin.request(GET);
        if state {
            call.filter_state().set("holdfast.answered", b"circuit-breaker");
        }
        call.respond(&[(":status", "503"), ("x-holdfast-reject", "circuit-breaker; cause=open")], true);
        call.finish();
    };
    refused(true);
    refused(false);
    assert_eq!(rest(&proxy, "rejections_total;plugin=circuit-breaker;cause=open"), 1);
    assert_eq!(
        (rest(&proxy, "requests_total;outcome=local_reject"), rest(&proxy, "requests_total;outcome=server_fault")),
        (1, 1)
    );
    let mut replay = plugin.request(GET);
    replay.filter_state().set("holdfast.idempotency", b"replay");
    replay.filter_state().set("holdfast.answered", b"idempotency");
    replay.respond(&[(":status", "200"), ("idempotency-replayed", "true")], true);
    replay.finish();
    assert_eq!(rest(&proxy, "requests_total;outcome=replay"), 1);
}

/// When logs are written, the place of words is the next request's.
#[test]
fn kong_has_the_line_once_the_answers_headers_are_here_and_never_later() {
    let proxy = kong();
    let plugin = worker(&proxy, "{}");
    for (status, outcome) in [("200", "ok"), ("503", "server_fault")] {
        let mut long = plugin.request(GET);
        long.respond(&[(":status", status)], false);
        assert_eq!(line(&long), format!("outcome={outcome} attempts=0 breaker=closed replay=no cause=-"));
        long.body(b"a part, and no word of the end", false);
        long.finish();
    }
    plugin.request(GET).abort();
    let mut refused = plugin.unseen();
    refused.respond_locally(&[(":status", "503"), ("x-holdfast-reject", "circuit-breaker; cause=open")], false);
    refused.finish();
    assert_eq!(rest(&proxy, "rejections_total;plugin=circuit-breaker;cause=open"), 1);
    assert!(plugin.host().traps().is_empty());
}

#[test]
fn a_chain_of_attempts_is_refused_where_there_is_none() {
    let faults = Worker::<Metrics>::start(&kong().worker(), r#"{"chain": "upstream"}"#).err();
    assert!(faults.is_some_and(|faults| faults.to_string().contains("upstream_chain")));
    let faults = Worker::<Metrics>::start(&kong().worker(), r#"{"canary": {"cluster": true}}"#).err();
    assert!(faults.is_some_and(|faults| faults.to_string().contains("$.canary.cluster")));
}

#[test]
fn what_a_host_can_do_is_seen() {
    for (proxy, expected) in [(FakeProxy::envoy(), 1), (FakeProxy::wasmx(), 0)] {
        call(&worker(&proxy, "{}"), "200");
        assert_eq!(proxy.metric("holdfast_host_capability;capability=upstream_chain"), expected);
        assert!(proxy.metrics().contains_key("holdfast_host_capability;capability=upstream_chain"));
    }
    let older = FakeProxy::envoy_before_1_39_1();
    worker(&older, "{}");
    assert_eq!(older.metric("holdfast_host_capability;capability=holds_responses"), 0);
}

#[test]
fn workers_add_up() {
    let proxy = envoy();
    let workers = [(); 2].map(|()| worker(&proxy, "{}"));
    let open: Vec<_> = workers.iter().map(|plugin| plugin.request(GET)).collect();
    assert_eq!(rest(&proxy, "requests_in_flight"), 2);
    for mut call in open {
        call.respond(&[(":status", "200")], true);
        call.finish();
    }
    assert_eq!((rest(&proxy, "requests_in_flight"), sum(&proxy, "requests_total")), (0, 2));
}
