//! What the fake host reproduces of docs/hosts.md besides streams: properties, shared data, metrics, callouts.
#![allow(missing_docs)]

mod fake_support;

use fake_support::{Event, ask_first, callout, start, start_idle};
use sdk_shim::entry::Flow;
use sdk_shim::fake::{FakeHost, FakeProxy};
use sdk_shim::flavor::{ENVOY, ENVOY_BEFORE_1_39_1, Flavor, WASMX, detect};
use sdk_shim::host::{Callout, CalloutId, Direction, Expect, Host, HostError, Map, MetricKind};
use std::time::Duration;

const GET: &[(&str, &str); 2] = &[(":method", "GET"), (":path", "/pay")];

#[test]
fn each_flavor_is_detected_by_its_properties() {
    let old = FakeProxy::envoy_before_1_39_1().worker();
    for (host, capabilities) in [(FakeHost::envoy(), &ENVOY), (old, &ENVOY_BEFORE_1_39_1), (FakeHost::wasmx(), &WASMX)]
    {
        assert_eq!(detect(|path| host.property(path)), capabilities);
        assert_eq!(host.capabilities(), capabilities);
    }
    assert_eq!(detect(|_| None), &ENVOY_BEFORE_1_39_1, "one that tells nothing");
}

#[test]
fn a_property_is_asked_under_its_own_name() {
    let host = FakeHost::envoy();
    host.set("xds.route_name", "checkout");
    host.set("route_name", "checkout");
    host.pretend_request(GET);
    assert_eq!(host.property(&["xds", "route_name"]).unwrap(), b"checkout");
    assert_eq!(host.property(&["route_name"]), None);
    assert_eq!(host.property(&["upstream", "local_address"]), None);
    host.pretend_response(&[(":status", "200")]);
    assert_eq!(host.property(&["request", "path"]), None);
    assert_eq!(host.property(&["response", "code"]), None);
}

#[test]
fn wasmx_logs_an_error_for_each_foreign_property() {
    let host = FakeHost::wasmx();
    host.set("kong.route_id", "r-1");
    host.set("upstream.address", "10.0.0.1:80");
    host.pretend_request(GET);
    assert_eq!(host.property(&["kong", "route_id"]).unwrap(), b"r-1");
    assert_eq!((host.property(&["xds", "route_name"]), host.property(&["upstream", "address"])), (None, None));
    assert_eq!(host.logs().len(), 1);
    host.pretend_response(&[(":status", "200")]);
    assert_eq!(host.property(&["upstream", "address"]).unwrap(), b"10.0.0.1");
    assert_eq!(host.property(&["response", "code"]).unwrap(), b"200");
}

#[test]
fn an_attempt_knows_its_number_and_shares_filter_state() {
    let worker = start(&FakeHost::envoy(), |event, host| {
        if matches!(event, Event::RequestHeaders { .. }) {
            let number = host.property(&["upstream", "request_attempt_count"]).unwrap();
            host.set_property(&["holdfast"], &number);
            host.set_property(&["filter_state", "dead end"], b"x");
        }
        Flow::Continue
    });
    let down = worker.request(GET);
    assert_eq!(down.filter_state().get("holdfast").unwrap(), 0_i64.to_le_bytes());
    let up = worker.stream().attempt(3).sharing(&down.filter_state()).request(GET);
    assert_eq!(down.filter_state().get("holdfast").unwrap(), 3_i64.to_le_bytes());
    up.fail_upstream("");
}

#[test]
fn workers_share_metrics_and_shared_data_but_not_their_seed() {
    let proxy = FakeProxy::envoy();
    let [a, b, apart] = [proxy.worker(), proxy.worker(), proxy.worker_in("apart")];
    for host in [&a, &b, &apart] {
        host.increment(host.define_metric(MetricKind::Counter, "calls_total").unwrap(), 2);
    }
    assert_eq!(proxy.metric("calls_total"), 6);
    a.shared_set("k", b"1", Expect::Absent).unwrap();
    assert_eq!(b.shared_get("k").unwrap().value.unwrap(), b"1");
    assert_eq!(apart.shared_get("k").unwrap().value, None);
    assert_ne!(a.seed(), b.seed());
    proxy.reset_counters();
    assert_eq!(proxy.metric("calls_total"), 0);
}

#[test]
fn only_one_worker_creates_on_either_host() {
    for proxy in [FakeProxy::envoy(), FakeProxy::wasmx()] {
        let [a, b] = [proxy.worker(), proxy.worker()];
        assert_eq!(a.shared_set("k", b"a", Expect::Absent), Ok(()));
        assert_eq!(b.shared_set("k", b"b", Expect::Absent), Err(HostError::CasMismatch));
        assert_eq!(proxy.shared("k").value.unwrap(), b"a");
    }
}

#[test]
fn another_worker_writes_between_a_read_and_its_write() {
    let proxy = FakeProxy::envoy();
    let [a, b] = [proxy.worker(), proxy.worker()];
    a.shared_set("k", b"0", Expect::Absent).unwrap();
    proxy.on_next_set(Box::new(move || {
        let read = b.shared_get("k").unwrap();
        b.shared_set("k", b"b", read.expect()).unwrap();
    }));
    let read = a.shared_get("k").unwrap();
    assert_eq!(a.shared_set("k", b"a", read.expect()), Err(HostError::CasMismatch));
    assert_eq!(proxy.shared("k").value.unwrap(), b"b");
}

#[test]
fn faults_of_the_store_are_injected_and_taken_back() {
    let host = FakeHost::envoy();
    host.proxy().fail_shared(true);
    assert_eq!(host.shared_get("k"), Err(HostError::Status(10)));
    host.proxy().fail_shared(false);
    host.proxy().mismatch_next(1);
    assert_eq!(host.shared_set("k", b"1", Expect::Absent), Err(HostError::CasMismatch));
    assert_eq!(host.shared_set("k", b"1", Expect::Absent), Ok(()));
    host.proxy().put_shared("k", b"by hand");
    assert_eq!(host.proxy().shared("k").value.unwrap(), b"by hand");
    host.proxy().evict_shared("k");
    assert_eq!(host.shared_get("k").unwrap().version, None);
}

#[test]
fn time_is_shared_and_wasmx_only_sees_milliseconds() {
    for (proxy, step) in [(FakeProxy::envoy(), 1_500_000), (FakeProxy::wasmx(), 1_000_000)] {
        let host = proxy.worker();
        let start = host.now();
        proxy.advance(Duration::from_micros(1500));
        assert_eq!(proxy.worker().now().since(start), Duration::from_nanos(step));
    }
}

#[test]
fn calls_environment_and_logs_are_recorded() {
    let host = FakeHost::envoy();
    host.proxy().set_env("SECRET", "s");
    assert_eq!(host.env("SECRET").unwrap(), "s");
    host.log(log::Level::Info, "hello");
    let id = host.define_metric(MetricKind::Gauge, "g").unwrap();
    host.clear_calls();
    host.record(id, 4);
    let _ = host.shared_set("k", b"v", Expect::Version(7));
    assert_eq!(host.call_lines(), ["record(g 4)", "shared_set(k Version(7))"]);
    assert_eq!(host.logs()[0].line, "hello");
}

#[test]
fn a_callout_is_answered_once_with_all_it_has() {
    let worker = start(&FakeHost::envoy(), |event, host| {
        if let Event::Answer(answer) = event {
            assert_eq!((answer.headers, answer.body), (1, 2));
            assert_eq!(host.header(Map::CalloutHeaders, ":status").unwrap(), b"200");
            assert_eq!(host.header(Map::RequestHeaders, ":path").unwrap(), b"/pay");
            host.resume(Direction::Request);
        }
        ask_first(event, host)
    });
    let call = worker.request(GET);
    let (id, sent) = worker.host().pending_callouts().remove(0);
    assert_eq!((sent.upstream.as_str(), call.paused(), worker.hung().len()), ("store", true, 0));
    assert!(worker.answer(id, &[(":status", "200")], b"ok"));
    assert!(call.passed() && worker.host().pending_callouts().is_empty());
}

#[test]
fn a_callout_dies_with_its_stream() {
    let worker = start(&FakeHost::envoy(), ask_first);
    worker.request(GET).abort();
    assert!(!worker.answer(CalloutId(1), &[(":status", "200")], b""));
    assert!(!worker.plugin().seen().iter().any(|event| matches!(event, Event::Answer(_))));
}

#[test]
fn wasmx_says_why_there_was_no_answer_and_goes_on_by_itself() {
    let worker = start(&FakeHost::wasmx(), |event, host| {
        if let Event::Answer(answer) = event {
            assert_eq!(answer.headers, 0);
            assert_eq!(host.header(Map::CalloutHeaders, ":status"), None);
            assert_eq!(host.header(Map::CalloutHeaders, ":dispatch_status").unwrap(), b"timeout");
        }
        ask_first(event, host)
    });
    let call = worker.request(GET);
    worker.answer_nothing(CalloutId(1));
    assert!(call.passed());
}

#[test]
fn envoy_refuses_a_callout_to_nowhere() {
    let host = FakeHost::envoy();
    host.proxy().forget_upstream("gone");
    assert_eq!(host.dispatch(&callout("gone")), Err(HostError::BadArgument));
    assert_eq!(host.dispatch(&Callout { headers: Vec::new(), ..callout("store") }), Err(HostError::BadArgument));
}

#[test]
fn streams_of_all_workers_interleave() {
    let proxy = FakeProxy::envoy();
    let workers = [start_idle(&proxy.worker()), start_idle(&proxy.worker())];
    let mut calls: Vec<_> = (0..6).map(|n| workers[n % 2].request(GET)).collect();
    calls.reverse();
    for call in &mut calls {
        call.respond(&[(":status", "200")], true);
    }
    assert!(calls.into_iter().all(|call| call.finish().status == Some(200)));
    assert_eq!(workers[0].host().capabilities().flavor, Flavor::Envoy);
}
