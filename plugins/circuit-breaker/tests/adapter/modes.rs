//! Modes, the operator's override, dry runs, and throttling.

use crate::support::{
    BRISK, GET, Plugin, SECOND, answer, break_it, brisk, call, cause, cell_name, envoy, kong, metric, now_of, stored,
    worker,
};
use circuit_breaker::state::State;
use core::time::Duration;
use sdk_shim::cell;
use sdk_shim::fake::FakeProxy;
use sdk_shim::overrides::{Mode, Override};

/// What `holdfastctl override` does: from outside, by compare-and-set, without disturbing the rest.
fn set_override(proxy: &FakeProxy, mode: Mode, lasting: Duration) {
    let set = Override::new(mode, now_of(proxy), lasting);
    assert!(set.is_some());
    let change = |state: Option<State>| (Some(State { override_: set, ..state.unwrap_or_default() }), ());
    cell::update(&proxy.worker(), &cell_name(BRISK, "checkout"), change).unwrap();
}

#[test]
fn an_override_is_obeyed_within_state_refresh_and_expires_by_itself() {
    for proxy in [envoy(), kong()] {
        let [a, b] = [(); 2].map(|()| worker(&proxy, BRISK));
        assert!(call(&a, "200") && call(&b, "200"));
        set_override(&proxy, Mode::ForceOpen, SECOND * 60);
        proxy.advance(Duration::from_millis(10));
        assert_eq!([cause(&a).as_deref(), cause(&b).as_deref()], [Some("forced"); 2]);
        a.tick();
        assert_eq!(metric(&proxy, "override"), u64::from(Mode::ForceOpen.code()));
        proxy.advance(SECOND * 60);
        assert_eq!([cause(&a), cause(&b)], [None, None]);
        a.tick();
        assert_eq!(metric(&proxy, "override"), 0);
    }
}

#[test]
fn an_open_breaker_can_be_forced_closed_and_takes_up_where_it_was() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    break_it(&plugin);
    set_override(&proxy, Mode::ForceClosed, SECOND / 2);
    proxy.advance(Duration::from_millis(10));
    (0..10).for_each(|_| assert!(call(&plugin, "500")));
    plugin.tick();
    assert_eq!(metric(&proxy, "transitions_total;to=open"), 1);
    proxy.advance(SECOND / 2);
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
}

#[test]
fn an_override_outlives_transitions() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    assert!(call(&plugin, "200"));
    set_override(&proxy, Mode::DryRun, SECOND * 60);
    proxy.advance(Duration::from_millis(10));
    break_it(&plugin);
    assert_eq!((cause(&plugin), metric(&proxy, "would_reject_total;cause=open")), (None, 1));
    assert!(stored(&plugin, BRISK).unwrap().override_.is_some());
}

#[test]
fn an_override_from_a_future_that_was_taken_back_is_void() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    assert!(call(&plugin, "200"));
    set_override(&proxy, Mode::ForceOpen, SECOND * 60);
    proxy.clock().step_back(Duration::from_secs(86_400));
    assert_eq!(cause(&plugin), None);
}

// --- configured modes ---

#[test]
fn a_dry_run_lets_everything_pass_and_counts_what_it_would_have_done() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, &brisk(r#""mode": "dry_run""#));
        break_it(&plugin);
        (0..10).for_each(|_| assert!(call(&plugin, "500")));
        assert_eq!(metric(&proxy, "would_reject_total;cause=open"), 10);
        assert_eq!(metric(&proxy, "rejected_total;cause=open"), 0);
        assert_eq!(metric(&proxy, "calls_total;outcome=failure"), 2, "what would have been refused isn't judged");
        proxy.advance(SECOND);
        assert!(call(&plugin, "200"));
        assert_eq!(metric(&proxy, "transitions_total;to=recovering"), 1, "the machine runs its full course");
    }
}

#[test]
fn a_share_of_requests_is_enforced_on() {
    let proxy = envoy();
    let plugin = worker(&proxy, &brisk(r#""enforce_ratio": 0.3"#));
    break_it(&plugin);
    let refused = (0..2_000).filter(|_| !call(&plugin, "500")).count();
    assert!((500..700).contains(&refused), "{refused} of 2000");
    let count = |what| usize::try_from(metric(&proxy, what)).unwrap();
    assert_eq!(
        (count("rejected_total;cause=open"), count("would_reject_total;cause=open")),
        (refused, 2_000 - refused)
    );
}

#[test]
fn disabled_costs_nothing_and_does_nothing() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, &brisk(r#""mode": "disabled""#));
        assert!(call(&plugin, "500"));
        plugin.host().clear_calls();
        (0..10).for_each(|_| assert!(call(&plugin, "500")));
        plugin.tick();
        assert_eq!(plugin.host().call_lines(), Vec::<String>::new());
    }
}

#[test]
fn forced_modes_refuse_or_admit_everything() {
    let proxy = envoy();
    let open = worker(&proxy, &brisk(r#""mode": "force_open", "instance": "a""#));
    assert_eq!(cause(&open).as_deref(), Some("forced"));
    let closed = worker(&proxy, &brisk(r#""mode": "force_closed""#));
    (0..10).for_each(|_| assert!(call(&closed, "500")));
    closed.tick();
    assert_eq!((metric(&proxy, "calls_total;outcome=failure"), metric(&proxy, "transitions_total;to=open")), (10, 0));
}

/// A lease that is out when an operator forces the breaker closed is still given back.
#[test]
fn a_probe_that_succeeds_while_forced_closed_is_not_held_against_the_service_later() {
    let proxy = envoy();
    let plugin = worker(&proxy, &brisk(r#""half_open": {"timeout": "2s"}"#));
    break_it(&plugin);
    proxy.advance(SECOND);
    let probe = plugin.request(GET);
    set_override(&proxy, Mode::ForceClosed, SECOND * 5);
    proxy.advance(Duration::from_millis(10));
    assert!(answer(probe, "200"));
    proxy.advance(SECOND * 5);
    plugin.tick();
    assert_ne!(stored(&plugin, BRISK).unwrap().phase.as_str(), "open", "its lease ran out though the probe succeeded");
}

// --- throttling ---

fn throttling(proxy: &FakeProxy) -> Plugin {
    let plugin = worker(proxy, r#"{"failure_ratio": null, "slow_ratio": null, "throttle": {"k": 2}}"#);
    (0..100).for_each(|_| assert!(call(&plugin, "200")));
    plugin
}

#[test]
fn a_service_that_mostly_works_is_not_throttled() {
    let plugin = throttling(&envoy());
    (0..100).for_each(|_| assert!(call(&plugin, "500"), "requests are within twice the accepts"));
}

#[test]
fn a_brown_out_is_throttled_in_proportion() {
    for proxy in [envoy(), kong()] {
        let plugin = throttling(&proxy);
        proxy.advance(SECOND * 11);
        plugin.tick();
        // A service that can take one in ten of them: K = 2 lets through twice as many, so that it shows when it is better.
        let mut capacity = 0.0;
        let mut send = || {
            capacity = f64::min(capacity + 0.1, 10.0);
            let works = capacity >= 1.0;
            let passed = call(&plugin, if works { "200" } else { "500" });
            capacity -= f64::from(u8::from(works && passed));
            passed
        };
        let passed = (0..4_000).filter(|_| send()).count();
        assert!((700..1_100).contains(&passed), "{passed}");
        let throttled = usize::try_from(metric(&proxy, "throttled_total")).unwrap();
        assert_eq!((throttled, metric(&proxy, "rejected_total;cause=throttle")), (4_000 - passed, throttled as u64));
    }
}

// --- what is too thin to trip ---

#[test]
fn a_key_with_too_few_calls_to_ever_trip_is_shown() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let quiet_seconds = |plugin: &Plugin| {
        for _ in 0..12 {
            proxy.advance(SECOND);
            plugin.tick();
            assert!(call(plugin, "200"));
        }
        plugin.tick();
    };
    quiet_seconds(&plugin);
    assert_eq!(metric(&proxy, "thin"), 1);
    (0..20).for_each(|_| assert!(call(&plugin, "200")));
    plugin.tick();
    assert_eq!(metric(&proxy, "thin"), 0);
}
