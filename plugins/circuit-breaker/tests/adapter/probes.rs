//! Probes and their leases: whoever holds one gives it back, or loses it.

use crate::support::{
    BRISK, GET, Plugin, SECOND, answer, break_it, brisk, call, cause, envoy, kong, metric, stored, worker,
};
use circuit_breaker::state::Phase;
use core::time::Duration;
use sdk_shim::fake::FakeProxy;

/// A breaker whose open time is over.
fn ready_to_probe(proxy: &FakeProxy, config: &str) -> Plugin {
    let plugin = worker(proxy, config);
    break_it(&plugin);
    proxy.advance(SECOND);
    plugin
}

fn phase(plugin: &Plugin, config: &str) -> &'static str {
    stored(plugin, config).unwrap().phase.as_str()
}

#[test]
fn while_a_probe_is_out_all_others_are_refused() {
    for proxy in [envoy(), kong()] {
        let plugin = ready_to_probe(&proxy, BRISK);
        let probe = plugin.request(GET);
        assert!(probe.passed());
        assert_eq!(cause(&plugin).as_deref(), Some("half_open"));
        assert!(answer(probe, "200"));
        assert_eq!(phase(&plugin, BRISK), "recovering");
    }
}

#[test]
fn a_request_that_meets_a_breaker_that_isnt_closed_says_so_in_filter_state() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    let told = |call: &sdk_shim::fake::InFlight<circuit_breaker::CircuitBreaker>| {
        call.filter_state().get("holdfast.circuit_breaker.phase").map(|phase| String::from_utf8(phase).unwrap())
    };
    let first = plugin.request(GET);
    assert_eq!(told(&first), None, "closed goes without saying");
    answer(first, "200");
    break_it(&plugin);
    proxy.advance(SECOND);
    let probe = plugin.request(GET);
    assert_eq!(told(&probe).as_deref(), Some("half_open"));
    answer(probe, "200");
    let recovering = plugin.request(GET);
    assert_eq!(told(&recovering).as_deref(), Some("recovering"));
    recovering.finish();
}

#[test]
fn a_client_that_leaves_during_a_probe_gives_the_permit_back() {
    for proxy in [envoy(), kong()] {
        let plugin = ready_to_probe(&proxy, BRISK);
        plugin.request(GET).abort();
        assert_eq!(phase(&plugin, BRISK), "half_open");
        assert_eq!(metric(&proxy, "probes_total;result=unknown"), 1);
        assert!(call(&plugin, "200"), "the next one probes");
        assert_eq!(phase(&plugin, BRISK), "recovering");
    }
}

#[test]
fn a_probe_that_another_filter_answered_says_nothing_and_gives_the_permit_back() {
    let proxy = envoy();
    let plugin = ready_to_probe(&proxy, BRISK);
    for (status, flags) in [(200, 0), (429, 2048), (301, 0)] {
        let mut probe = plugin.request(GET);
        probe.local_reply(status, flags, "direct_response");
        probe.finish();
        assert_eq!(phase(&plugin, BRISK), "half_open", "{status} closed or opened it");
    }
    assert!(call(&plugin, "200"));
    assert_eq!(phase(&plugin, BRISK), "recovering");
}

#[test]
fn a_probe_that_finds_nobody_opens_again() {
    let proxy = envoy();
    let plugin = ready_to_probe(&proxy, BRISK);
    let mut probe = plugin.request(GET);
    probe.local_reply(503, 32, "upstream_reset_before_response_started{remote_connection_failure}");
    probe.finish();
    assert_eq!((phase(&plugin, BRISK), metric(&proxy, "probes_total;result=failure")), ("open", 1));
}

#[test]
fn the_worker_died_with_its_probe_and_the_lease_runs_out() {
    for proxy in [envoy(), kong()] {
        let [doomed, other] = [(); 2].map(|()| worker(&proxy, BRISK));
        break_it(&doomed);
        proxy.advance(SECOND);
        std::mem::forget(doomed.request(GET));
        proxy.advance(Duration::from_secs(59));
        other.tick();
        assert_eq!(cause(&other).as_deref(), Some("half_open"));
        proxy.advance(SECOND);
        other.tick();
        assert_eq!(phase(&other, BRISK), "open");
        proxy.advance(SECOND * 2);
        assert!(call(&other, "200"), "and it is probed again");
    }
}

#[test]
fn a_probe_that_ends_after_its_lease_opens_and_counts_as_stale() {
    let config = brisk(r#""half_open": {"timeout": "500ms"}"#);
    let proxy = envoy();
    let plugin = ready_to_probe(&proxy, &config);
    let late = plugin.request(GET);
    proxy.advance(SECOND);
    assert!(answer(late, "200"));
    assert_eq!((phase(&plugin, &config), metric(&proxy, "stale_total")), ("open", 1));
}

#[test]
fn one_failed_probe_opens_and_the_others_results_are_stale() {
    let config = brisk(r#""half_open": {"permits": 3, "successes": 1}"#);
    let proxy = envoy();
    let plugin = ready_to_probe(&proxy, &config);
    let [first, second, third] = [(); 3].map(|()| plugin.request(GET));
    assert!(answer(first, "500"));
    assert!(answer(second, "200") && answer(third, "500"));
    let state = stored(&plugin, &config).unwrap();
    assert_eq!((state.phase.as_str(), state.opens), ("open", 2));
    assert_eq!(metric(&proxy, "stale_total"), 2);
}

#[test]
fn a_result_from_before_the_opening_moves_nothing_after_it() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        let old = [(); 3].map(|()| plugin.request(GET));
        break_it(&plugin);
        let [success, failure, probing] = old;
        let before = stored(&plugin, BRISK);
        assert!(answer(success, "200") && answer(failure, "500"));
        assert_eq!(stored(&plugin, BRISK), before);
        proxy.advance(SECOND);
        let probe = plugin.request(GET);
        assert!(answer(probing, "500"), "not a probe: it opens nothing");
        assert_eq!(phase(&plugin, BRISK), "half_open");
        assert!(answer(probe, "200"));
        assert_eq!((metric(&proxy, "stale_total"), metric(&proxy, "calls_total;outcome=failure")), (3, 2));
    }
}

#[test]
fn a_grpc_probe_is_judged_by_its_trailers() {
    for (status, expected) in [("0", "recovering"), ("14", "open")] {
        let proxy = envoy();
        let plugin = ready_to_probe(&proxy, BRISK);
        let mut probe = plugin.stream().with_body().request(GET);
        probe.respond(&[(":status", "200"), ("content-type", "application/grpc")], false);
        assert_eq!(phase(&plugin, BRISK), "half_open");
        probe.trailers(&[("grpc-status", status)]);
        probe.finish();
        assert_eq!(phase(&plugin, BRISK), expected);
    }
}

#[test]
fn each_opening_in_a_row_waits_longer_up_to_the_most() {
    let config = r#"{"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 1,
        "open": {"base": "1s", "factor": 3, "max": "5s", "jitter": 0}, "recovery": {"over": 0}}"#;
    let proxy = envoy();
    let plugin = worker(&proxy, config);
    let wait = || match stored(&plugin, config).unwrap() {
        state @ circuit_breaker::state::State { phase: Phase::Open { until }, .. } => {
            until.since(state.since).as_secs()
        }
        state => panic!("{state:?}"),
    };
    assert!(call(&plugin, "500"));
    for expected in [1, 3, 5, 5] {
        assert_eq!(wait(), expected);
        proxy.advance(SECOND * 5);
        assert!(call(&plugin, "500"));
    }
    proxy.advance(SECOND * 5);
    assert!(call(&plugin, "200") && call(&plugin, "500"));
    assert_eq!(wait(), 1, "closing forgets");
}

#[test]
fn a_grpc_stream_that_still_sends_after_a_slow_calls_time_has_proved_its_service() {
    let proxy = envoy();
    let plugin = ready_to_probe(&proxy, BRISK);
    let mut stream = plugin.stream().with_body().request(GET);
    stream.request_body(b"watch", true);
    stream.set("response.code_details", "via_upstream");
    stream.respond(&[(":status", "200"), ("content-type", "application/grpc")], false);
    stream.body(b"first", false);
    assert_eq!(phase(&plugin, BRISK), "half_open", "a first message may still be followed by a bad status");
    proxy.advance(3 * SECOND);
    stream.body(b"next", false);
    assert_eq!(phase(&plugin, BRISK), "recovering");
    stream.trailers(&[("grpc-status", "14")]);
    stream.finish();
    assert_eq!((phase(&plugin, BRISK), metric(&proxy, "probes_total;result=success")), ("recovering", 1));
}
