//! What differs between hosts: the upstream chain, `WasmX`, and what each lacks.

use crate::support::{
    BRISK, GET, Plugin, SECOND, break_it, brisk, call, cause, envoy, kong, metric, metric_of, worker,
};
use circuit_breaker::CircuitBreaker;
use sdk_shim::fake::{FakeProxy, Worker};

/// The faults with which a host refuses a configuration, one line each.
fn refused(proxy: &FakeProxy, config: &str) -> Vec<String> {
    let started = Worker::<CircuitBreaker>::start(&proxy.worker(), config);
    started.err().map(|faults| faults.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

// --- capabilities ---

#[test]
fn what_kong_lacks_is_refused_by_name() {
    for (config, path, capability) in [
        (r#"{"failure_on": {"grpc_status": [14]}}"#, "$.failure_on.grpc_status", "response_trailers"),
        (r#"{"on_open": {"reroute": {}}}"#, "$.on_open.reroute", "reroute_by_header"),
        (r#"{"chain": "upstream"}"#, "$.chain", "upstream_chain"),
    ] {
        let faults = refused(&kong(), config);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(path) && faults[0].contains(capability), "{faults:?}");
        assert_eq!(refused(&envoy(), config), Vec::<String>::new());
    }
}

#[test]
fn all_that_kong_lacks_is_refused_at_once() {
    let config = r#"{"chain": "upstream", "failure_on": {"grpc_status": [14]}}"#;
    assert_eq!(refused(&kong(), config).len(), 2);
}

#[test]
fn grpc_statuses_may_be_degraded_to_those_in_headers() {
    let proxy = kong();
    assert!(refused(&proxy, r#"{"failure_on": {"grpc_status": [14]}, "allow_degraded": true}"#).is_empty());
    // The defaults name gRPC statuses too, but nobody asked for them.
    assert!(refused(&proxy, r#"{"failure_on": {"status": ["5xx"]}}"#).is_empty());
}

#[test]
fn a_degraded_host_still_counts_a_status_in_the_headers() {
    let proxy = kong();
    let plugin = worker(&proxy, BRISK);
    for _ in 0..2 {
        let mut request = plugin.request(GET);
        request.respond(&[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14")], true);
        request.finish();
    }
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
}

#[test]
fn degrading_is_no_way_to_what_can_never_work() {
    assert_eq!(refused(&kong(), r#"{"on_open": {"reroute": {}}, "allow_degraded": true}"#).len(), 1);
    assert_eq!(refused(&kong(), r#"{"chain": "upstream", "allow_degraded": true}"#).len(), 1);
}

// --- WasmX ---

#[test]
fn kong_is_never_asked_for_what_it_has_not() {
    let proxy = kong();
    let plugin = worker(&proxy, BRISK);
    break_it(&plugin);
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
    proxy.advance(SECOND);
    assert!(call(&plugin, "200"));
    plugin.request(GET).abort();
    let foreign = |line: &String| {
        line.contains("xds") || line.contains("response.flags") || line.contains("response.code_details")
    };
    let calls = plugin.host().call_lines();
    assert!(!calls.iter().any(foreign), "{calls:?}");
    assert!(plugin.host().logs().iter().all(|line| !line.line.contains("unknown property")));
    assert!(plugin.host().traps().is_empty());
}

/// Kong finds shared data by the CRC32 of its name alone, and these two have the same.
#[test]
fn names_that_collide_never_mix_their_state() {
    let [one, other] = ["7v8zb3yrkzlvtgl2", "py5dosfp93b8glu2"];
    let proxy = kong();
    let plugin = worker(&proxy, BRISK);
    let on = |route: &str| proxy.set("kong.route_id", route);
    on(one);
    break_it(&plugin);
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
    on(other);
    assert_eq!(cause(&plugin), None, "the other one's breaker is not its own");
    (0..10).for_each(|_| assert!(call(&plugin, "500")));
    assert!(metric_of(&proxy, other, "store_errors_total") >= 10, "it has none, and says so");
    on(one);
    proxy.advance(SECOND);
    assert!(call(&plugin, "200"));
    assert_eq!(metric_of(&proxy, one, "transitions_total;to=recovering"), 1);
}

#[test]
fn the_same_names_are_apart_on_envoy() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    for route in ["7v8zb3yrkzlvtgl2", "py5dosfp93b8glu2"] {
        proxy.set("xds.route_name", route);
        break_it(&plugin);
        assert_eq!(cause(&plugin).as_deref(), Some("open"));
        assert_eq!(metric_of(&proxy, route, "store_errors_total"), 0);
    }
}

// --- whose answer it is ---

/// The service fails, and says of itself that a plugin of ours answered.
fn failure_like_ours(proxy: &FakeProxy, says: (&str, &str), left_word: bool) -> bool {
    let plugin = worker(proxy, BRISK);
    for _ in 0..2 {
        let mut request = plugin.request(GET);
        if left_word {
            request.filter_state().set("holdfast.answered", b"retry-budget");
        }
        request.respond(&[(":status", "503"), says], true);
        request.finish();
    }
    cause(&plugin).is_some()
}

const SAYS: [(&str, &str); 2] =
    [("x-holdfast-reject", "retry-budget; cause=client_retry"), ("idempotency-replayed", "true")];

#[test]
fn a_service_cant_hide_its_failures_behind_our_headers() {
    for says in SAYS {
        assert!(failure_like_ours(&envoy(), says, false) && failure_like_ours(&kong(), says, false));
        assert!(!failure_like_ours(&kong(), says, true), "here a plugin has left word that it answered");
    }
    assert!(failure_like_ours(&envoy(), SAYS[0], true), "Envoy knows by itself whose answer it is");
}

/// Kong before 3.6 tells no version, and keeps no words between filters: there our headers are all there is.
#[test]
fn an_old_kong_has_only_our_headers_to_go_by() {
    let old = kong();
    old.set("kong.version", "");
    assert!(SAYS.iter().all(|says| !failure_like_ours(&old, *says, false)));
    assert!(failure_like_ours(&old, ("server", "orders"), false));
}

// --- errors that Kong makes itself, of which its filters hear nothing ---

/// A request of HTTP/1 with such a body.
fn post(more: (&'static str, &'static str)) -> [(&'static str, &'static str); 3] {
    [(":method", "POST"), (":path", "/pay"), more]
}

#[test]
fn a_service_that_kong_cant_reach_opens_it() {
    let proxy = kong();
    let plugin = worker(&proxy, BRISK);
    plugin.request(GET).forget();
    let mut upload = plugin.request(&post(("content-length", "2")));
    upload.request_body(b"{}", true);
    upload.forget();
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
    assert_eq!(metric(&proxy, "calls_total;outcome=failure"), 2);
}

/// A client that stops within its request is told so by an error page, too.
#[test]
fn a_client_that_never_says_all_opens_nothing() {
    let proxy = kong();
    let plugin = worker(&proxy, BRISK);
    for length in [("content-length", "2"), ("transfer-encoding", "chunked")] {
        plugin.request(&post(length)).forget();
    }
    // Of HTTP/2 nobody knows whether more was to come.
    proxy.set("request.protocol", "HTTP/2");
    plugin.request(GET).forget();
    plugin.tick();
    assert_eq!(metric(&proxy, "calls_total;outcome=failure"), 0);
    assert_eq!(cause(&plugin), None);
}

#[test]
fn a_probe_that_ends_without_a_word_gives_its_permit_back() {
    for (protocol, next) in [("HTTP/1.1", Some("open")), ("HTTP/2", None)] {
        let proxy = kong();
        let plugin = worker(&proxy, BRISK);
        break_it(&plugin);
        proxy.advance(SECOND);
        proxy.set("request.protocol", protocol);
        let probe = plugin.request(GET);
        assert!(probe.passed());
        assert_eq!(cause(&plugin).as_deref(), Some("half_open"));
        probe.forget();
        plugin.tick();
        assert_eq!(cause(&plugin).as_deref(), next, "{protocol}");
    }
}

/// However many there are between two ticks, and whatever becomes of those that are heard of.
#[test]
fn what_is_left_to_be_heard_of_is_bounded() {
    let proxy = kong();
    let plugin = worker(&proxy, r#"{"minimum_calls": 1000, "consecutive_failures": 0}"#);
    let calls: Vec<_> = (0..300).map(|_| plugin.request(GET)).collect();
    for call in calls {
        call.forget();
    }
    plugin.tick();
    assert!(call(&plugin, "200"));
    plugin.tick();
    assert_eq!(counted_by_kong(&proxy), [1, 256]);
}

fn counted_by_kong(proxy: &FakeProxy) -> [u64; 2] {
    ["success", "failure"].map(|outcome| metric(proxy, &format!("calls_total;outcome={outcome}")))
}

// --- the upstream chain ---

fn upstream(proxy: &FakeProxy, more: &str) -> Plugin {
    worker(proxy, &brisk(&format!(r#""chain": "upstream"{more}"#)))
}

fn counted(proxy: &FakeProxy) -> [u64; 2] {
    ["success", "failure"].map(|outcome| {
        let labels = "chain=upstream;instance=default;key=checkout";
        proxy.metric(&format!("holdfast_circuit_breaker_calls_total;{labels};outcome={outcome}"))
    })
}

#[test]
fn each_attempt_counts_for_itself() {
    let proxy = envoy();
    let plugin = upstream(&proxy, "");
    plugin.attempt(1, GET).fail_upstream("delayed connect error: Connection refused");
    assert_eq!(counted(&proxy), [0, 1]);
    let mut second = plugin.attempt(2, GET);
    second.respond(&[(":status", "200")], true);
    second.finish();
    assert_eq!(counted(&proxy), [1, 1]);
}

#[test]
fn a_reset_or_a_timeout_is_a_failure_but_a_client_abort_and_a_hedges_loser_are_not() {
    let proxy = envoy();
    let plugin = upstream(&proxy, "");
    plugin.attempt(1, GET).fail_upstream("");
    assert_eq!(counted(&proxy), [0, 1]);
    plugin.attempt(1, GET).abort();
    let mut loser = plugin.attempt(1, GET);
    loser.set("response.code_details", "via_upstream");
    loser.fail_upstream("");
    assert_eq!(counted(&proxy), [0, 1]);
}

#[test]
fn both_chains_keep_their_own_counts_and_state() {
    let proxy = envoy();
    let (down, up) = (worker(&proxy, BRISK), upstream(&proxy, ""));
    up.attempt(1, GET).fail_upstream("refused");
    up.attempt(2, GET).fail_upstream("refused");
    assert!(up.attempt(3, GET).reply().is_some());
    assert_eq!(cause(&down), None);
}

#[test]
fn a_host_of_the_upstream_is_only_observed() {
    let proxy = envoy();
    proxy.set("upstream.address", "10.0.0.7:8080");
    let plugin = upstream(&proxy, r#", "key": ["upstream_host"], "mode": "dry_run""#);
    for attempt in 1..=5 {
        plugin.attempt(attempt, GET).fail_upstream("refused");
    }
    assert!(plugin.attempt(6, GET).passed());
    let would = proxy
        .metrics()
        .into_iter()
        .filter(|(name, _)| name.contains("would_reject_total"))
        .map(|(_, total)| total)
        .sum::<u64>();
    assert_eq!(would, 4);
}

// --- errors that Kong makes itself: how much they say ---

/// 60 of 100 calls find no service, far above the ratio of 0.5.
#[test]
fn a_sick_service_of_many_calls_opens_it() {
    for each in [100, 1000] {
        let proxy = kong();
        let plugin = worker(&proxy, "{}");
        let mut open = false;
        for _ in 0..20 {
            for n in 0..each {
                if n % 10 < 6 {
                    plugin.request(GET).forget();
                } else {
                    open |= !call(&plugin, "200");
                }
            }
            proxy.advance(SECOND);
            plugin.tick();
        }
        assert!(open, "{each} calls a second");
    }
}

/// A service of which each 200th call fails, never two in a row, is healthy.
#[test]
fn failures_with_successes_between_are_no_run() {
    let proxy = kong();
    let plugin = worker(&proxy, r#"{"failure_ratio": null, "slow_ratio": null, "consecutive_failures": 5}"#);
    let mut refused = 0;
    for _ in 0..5 {
        for n in 0..1000 {
            if n % 200 == 0 {
                plugin.request(GET).forget();
            } else if !call(&plugin, "200") {
                refused += 1;
            }
        }
        proxy.advance(SECOND);
        plugin.tick();
    }
    assert_eq!(refused, 0);
}

/// A service that hangs until Kong gives up.
#[test]
fn a_service_that_hangs_until_kong_gives_up_is_slow() {
    let proxy = kong();
    let plugin = worker(&proxy, r#"{"failure_ratio": null, "slow_call": "3s", "slow_ratio": 0.5}"#);
    for _ in 0..3 {
        let calls: Vec<_> = (0..20).map(|_| plugin.request(GET)).collect();
        for _ in 0..60 {
            proxy.advance(SECOND);
            plugin.tick();
        }
        for call in calls {
            call.forget();
        }
        plugin.tick();
    }
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
}
