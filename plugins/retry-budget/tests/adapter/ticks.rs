//! Slots begin with ticks; in Kong the timer of a VM that has trapped may tick the next one too.

use crate::support::{Plugin, SECOND, envoy, kong, worker};
use core::time::Duration;
use sdk_shim::fake::FakeProxy;

/// One per second, whatever comes: ten in a window.
const FLOOR: &str = r#"{"client_retries": {"ratio": 0, "min_retries_per_second": 1}}"#;

fn passes(plugin: &Plugin) -> bool {
    plugin.request(&[(":method", "GET"), (":path", "/"), ("x-retry-attempt", "1")]).passed()
}

/// A worker that has nothing left.
fn spent(proxy: &FakeProxy) -> Plugin {
    let plugin = worker(proxy, FLOOR);
    assert_eq!((0..20).filter(|_| passes(&plugin)).count(), 10);
    plugin
}

/// Time passes from tick to tick.
fn ticks(proxy: &FakeProxy, plugin: &Plugin, gaps: impl IntoIterator<Item = u64>) {
    for gap in gaps {
        proxy.advance(Duration::from_millis(gap));
        plugin.tick();
    }
}

#[test]
fn a_second_timer_doesnt_halve_the_window() {
    for phase in [1, 300, 500, 700, 980] {
        let proxy = kong();
        let plugin = spent(&proxy);
        ticks(&proxy, &plugin, [phase, 1_000 - phase].repeat(9));
        assert!(!passes(&plugin), "9 s later, the other timer {phase} ms behind");
        ticks(&proxy, &plugin, [phase, 1_000 - phase].repeat(3));
        assert!(passes(&plugin), "12 s later, the other timer {phase} ms behind");
    }
}

#[test]
fn nor_do_many_of_them() {
    let proxy = kong();
    let plugin = spent(&proxy);
    ticks(&proxy, &plugin, [50].repeat(9 * 20));
    assert!(!passes(&plugin));
    ticks(&proxy, &plugin, [50].repeat(3 * 20));
    assert!(passes(&plugin));
}

/// The clock shows milliseconds, and somebody keeps it right.
#[test]
fn a_timer_that_is_a_little_early_by_the_clock_counts() {
    let proxy = kong();
    let plugin = spent(&proxy);
    ticks(&proxy, &plugin, [995].repeat(12));
    assert!(passes(&plugin));
}

#[test]
fn a_clock_that_is_set_back_freezes_nothing() {
    for by in [Duration::from_secs(3_600), SECOND / 2] {
        let proxy = kong();
        let plugin = spent(&proxy);
        ticks(&proxy, &plugin, [1_000].repeat(2));
        proxy.clock().step_back(by);
        ticks(&proxy, &plugin, [1_000].repeat(11));
        assert!(passes(&plugin), "{by:?}");
    }
}

/// There the timer's word is enough: no clock is in it.
#[test]
fn envoys_timer_is_believed_whatever_the_clock_says() {
    let proxy = envoy();
    let plugin = spent(&proxy);
    ticks(&proxy, &plugin, [0].repeat(12));
    assert!(passes(&plugin));
}
