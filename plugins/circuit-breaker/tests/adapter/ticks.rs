//! What ticks do when no call comes, and what they leave alone.

use crate::support::{GET, answer, call, count, envoy, kong, metric, stored, worker};
use core::time::Duration;

const SLOT: Duration = Duration::from_secs(1);

#[test]
fn a_key_with_too_few_calls_is_told_and_one_that_fell_silent_is_not() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, "{}");
        for _ in 0..12 {
            assert!(call(&plugin, "200"));
            proxy.advance(SLOT);
            plugin.tick();
        }
        assert_eq!(metric(&proxy, "thin"), 1, "one call a second never makes twenty in ten");
        for _ in 0..12 {
            proxy.advance(SLOT);
            plugin.tick();
        }
        assert_eq!(metric(&proxy, "thin"), 0);
    }
}

#[test]
fn a_window_trips_when_its_good_calls_have_left_it() {
    let config = r#"{"minimum_calls": 10}"#;
    let proxy = envoy();
    let plugin = worker(&proxy, config);
    (0..30).for_each(|_| assert!(call(&plugin, "200")));
    proxy.advance(5 * SLOT);
    plugin.tick();
    (0..20).for_each(|_| assert!(call(&plugin, "503")));
    assert!(call(&plugin, "200"), "20 failures of 51");
    for _ in 0..6 {
        proxy.advance(SLOT);
        plugin.tick();
    }
    assert_eq!(stored(&plugin, config).unwrap().phase.as_str(), "open", "20 of 21");
}

#[test]
fn a_tick_reads_no_state_of_a_key_that_is_idle() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    for n in 0..50 {
        proxy.set("xds.route_name", &format!("route-{n}"));
        assert!(call(&plugin, "200"));
    }
    for _ in 0..12 {
        proxy.advance(SLOT);
        plugin.tick();
    }
    plugin.host().clear_calls();
    proxy.advance(SLOT);
    plugin.tick();
    // The registry's next place, and whether protocol-health tells anything.
    assert_eq!(count(&plugin, "shared_get"), 2);
}

#[test]
fn the_former_policy_finishes_what_it_began_and_decides_nothing_more() {
    let proxy = envoy();
    let strict = worker(&proxy, r#"{"minimum_calls": 2}"#);
    let held = strict.request(GET);
    let mild = worker(&proxy, r#"{"minimum_calls": 1000}"#);
    strict.tick();
    (0..10).for_each(|_| assert!(call(&mild, "503")));
    assert!(answer(held, "503"));
    proxy.advance(SLOT);
    strict.tick();
    mild.tick();
    assert!(call(&mild, "503"), "the newest policy has not seen enough");
    assert_eq!(metric(&proxy, "calls_total;outcome=failure"), 12, "what was begun still counts");
}
