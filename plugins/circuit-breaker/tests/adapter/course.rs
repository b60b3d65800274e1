//! The whole course of a breaker, told from outside.

use crate::support::{
    BRISK, GET, SECOND, break_it, brisk, call, cause, count, envoy, kong, metric, now_of, stored, worker,
};
use core::time::Duration;

#[test]
fn a_breaker_opens_probes_recovers_and_closes() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        break_it(&plugin);
        proxy.advance(Duration::from_millis(999));
        assert_eq!(cause(&plugin).as_deref(), Some("open"));
        proxy.advance(Duration::from_millis(1));
        assert!(call(&plugin, "200"), "the probe");
        proxy.advance(SECOND * 5);
        let admitted = (0..1_000).filter(|_| call(&plugin, "200")).count();
        assert!((400..600).contains(&admitted), "{admitted} of 1000 half-way up the ramp");
        proxy.advance(SECOND * 5);
        plugin.tick();
        assert!((0..100).all(|_| call(&plugin, "200")));
        for (to, times) in [("open", 1), ("half_open", 1), ("recovering", 1), ("closed", 1)] {
            assert_eq!(metric(&proxy, &format!("transitions_total;to={to}")), times, "{to}");
        }
        assert_eq!((metric(&proxy, "state"), stored(&plugin, BRISK).unwrap().opens), (0, 0));
    }
}

#[test]
fn a_failed_probe_waits_twice_as_long_and_old_failures_never_reopen() {
    let proxy = envoy();
    let config = r#"{"minimum_calls": 4, "open": {"base": "1s", "jitter": 0}, "recovery": {"over": 0}}"#;
    let plugin = worker(&proxy, config);
    (0..4).for_each(|_| assert!(call(&plugin, "500")));
    proxy.advance(SECOND);
    assert!(call(&plugin, "500"));
    proxy.advance(SECOND);
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
    proxy.advance(SECOND);
    assert!(call(&plugin, "200"));
    // All those failures are within the ten seconds of the window, but behind the line.
    assert!(call(&plugin, "500") && call(&plugin, "200") && call(&plugin, "200"));
    plugin.tick();
    assert_eq!(stored(&plugin, config).unwrap().phase.as_str(), "closed");
}

#[test]
fn what_was_logged_tells_the_story() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    break_it(&plugin);
    let lines = plugin.host().logs();
    let line: serde_json::Value = serde_json::from_str(&lines.last().unwrap().line).unwrap();
    let field = |name: &str| line[name].clone();
    assert_eq!(
        (field("event"), field("cause"), field("key")),
        ("open".into(), "consecutive_failures".into(), "checkout".into())
    );
    assert_eq!((field("failures"), field("open_ms"), lines.len()), (2.into(), 1_000.into(), 1));
}

#[test]
fn an_idle_breaker_closes_by_its_tick() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    break_it(&plugin);
    proxy.advance(SECOND);
    assert!(call(&plugin, "200"));
    proxy.advance(SECOND * 10);
    plugin.tick();
    assert_eq!(stored(&plugin, BRISK).unwrap().phase.as_str(), "closed");
    plugin.host().clear_calls();
    plugin.tick();
    assert_eq!(count(&plugin, "shared_set"), 0);
}

#[test]
fn the_ramp_trips_as_the_closed_breaker_does_and_then_waits_longer() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    break_it(&plugin);
    proxy.advance(SECOND);
    assert!(call(&plugin, "200"));
    proxy.advance(SECOND * 9);
    while call(&plugin, "500") || stored(&plugin, BRISK).unwrap().phase.as_str() == "recovering" {}
    let state = stored(&plugin, BRISK).unwrap();
    assert_eq!((state.phase.as_str(), state.opens), ("open", 2));
}

#[test]
fn a_new_vm_finds_the_breaker_as_it_was() {
    for proxy in [envoy(), kong()] {
        break_it(&worker(&proxy, BRISK));
        let reloaded = worker(&proxy, BRISK);
        assert_eq!(cause(&reloaded).as_deref(), Some("open"));
    }
}

#[test]
fn a_pushed_policy_keeps_the_state_unless_counts_mean_something_else_now() {
    let proxy = envoy();
    let host = proxy.worker();
    let start = |config: &str| sdk_shim::fake::Worker::start(&host, config).unwrap();
    break_it(&start(BRISK));
    let newer = start(&brisk(r#""minimum_calls": 5, "half_open": {"permits": 2}"#));
    assert_eq!(cause(&newer).as_deref(), Some("open"));
    let other = start(&brisk(r#""window": {"time": "30s"}"#));
    assert_eq!(cause(&other), None);
}

#[test]
fn a_clock_set_back_neither_traps_nor_keeps_it_open_longer() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        break_it(&plugin);
        proxy.clock().step_back(Duration::from_secs(86_400));
        assert_eq!(cause(&plugin).as_deref(), Some("open"));
        plugin.tick();
        proxy.advance(SECOND);
        let probe = plugin.request(GET);
        assert!(probe.passed());
        proxy.clock().step_back(Duration::from_secs(3_600));
        assert_eq!(cause(&plugin).as_deref(), Some("half_open"));
        // The lease can't outlast one that is given now.
        proxy.advance(Duration::from_secs(60));
        plugin.tick();
        assert_eq!(cause(&plugin).as_deref(), Some("open"));
        probe.finish();
    }
}

#[test]
fn a_closed_breaker_survives_a_clock_that_jumps_about() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"minimum_calls": 3}"#);
    for days in [400, 1, 90] {
        proxy.clock().step_back(Duration::from_secs(86_400 * days));
        plugin.tick();
        assert!(call(&plugin, "200"));
        proxy.advance(Duration::from_secs(86_400 * days / 2));
        assert!(call(&plugin, "200"));
        plugin.tick();
    }
    assert!((0..20).any(|_| !call(&plugin, "500")), "and it still trips");
    assert!(now_of(&proxy).as_millis() > 0);
}

#[test]
fn counters_reset_in_the_middle_neither_open_it_nor_blind_it() {
    let config = r#"{"minimum_calls": 10}"#;
    let proxy = envoy();
    let plugin = worker(&proxy, config);
    (0..9).for_each(|_| assert!(call(&plugin, "500")));
    proxy.reset_counters();
    plugin.tick();
    (0..9).for_each(|_| assert!(call(&plugin, "500")));
    assert_eq!(metric(&proxy, "transitions_total;to=open"), 0, "nine since the reset");
    assert!(call(&plugin, "500"));
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
    proxy.reset_counters();
    proxy.advance(Duration::from_secs(10));
    assert!(call(&plugin, "200"), "the probe");
}
