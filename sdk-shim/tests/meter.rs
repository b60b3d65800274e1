//! Metrics as plugins see them: names, kinds, and what hosts can't do.
#![allow(missing_docs)]

use sdk_shim::fake::FakeProxy;
use sdk_shim::host::Host;
use sdk_shim::labels::Label;
use sdk_shim::meter::Meter;

#[test]
fn a_name_has_the_plugin_then_the_scope_then_its_labels() {
    let host = FakeProxy::envoy().worker();
    let meter = Meter::new(&host, "circuit_breaker", "downstream", "eu", 10);
    assert_eq!(
        meter.name("calls_total", &[(Label::Key, "pay"), (Label::Outcome, "ok")]),
        "holdfast_circuit_breaker_calls_total;chain=downstream;instance=eu;key=pay;outcome=ok"
    );
    let own = Meter::new(&host, "", "upstream", "eu", 10);
    assert_eq!(own.name("attempts_total", &[]), "holdfast_attempts_total;chain=upstream;instance=eu");
}

#[test]
fn gauges_of_two_workers_add_up_and_histograms_keep_every_value() {
    let proxy = FakeProxy::envoy();
    let workers = [(); 2].map(|()| proxy.worker());
    for (worker, value) in workers.iter().zip([7, 9]) {
        let meter = Meter::new(worker, "", "downstream", "default", 10);
        meter.gauge(worker, "open", &[]).adjust(worker, 2);
        meter.gauge(worker, "open", &[]).adjust(worker, -1);
        meter.histogram(worker, "time_us", &[]).record(worker, value);
    }
    assert_eq!(proxy.metric("holdfast_open;chain=downstream;instance=default"), 2);
    assert_eq!(proxy.histogram("holdfast_time_us;chain=downstream;instance=default"), [7, 9]);
}

#[test]
fn nothing_is_never_added() {
    let host = FakeProxy::envoy().worker();
    let counter = Meter::new(&host, "", "downstream", "default", 10).counter(&host, "bytes_total", &[]);
    host.clear_calls();
    counter.add_many(&host, 0);
    assert!(host.calls().is_empty(), "hosts refuse it");
    counter.add_many(&host, 5);
    assert_eq!(counter.read(&host), 5);
}

#[test]
fn who_cant_count_a_gauge_says_so() {
    assert!(FakeProxy::envoy().worker().capabilities().gauges_count);
    assert!(!FakeProxy::wasmx().worker().capabilities().gauges_count);
    let named = FakeProxy::wasmx().worker().capabilities().named();
    assert!(named.contains(&("gauges_count", false)) && named.contains(&("upstream_chain", false)));
}

#[test]
#[should_panic(expected = "increment on a gauge")]
fn who_does_it_all_the_same_dies() {
    let host = FakeProxy::wasmx().worker();
    host.pretend_request(&[(":path", "/")]);
    Meter::new(&host, "", "downstream", "default", 10).gauge(&host, "open", &[]).adjust(&host, 1);
}
