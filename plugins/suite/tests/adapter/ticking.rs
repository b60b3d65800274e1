//! One timer for all of them.

use crate::support::{DOWN, Plugin, UP, envoy, worker};
use core::time::Duration;
use sdk_shim::fake::FakeProxy;

const TENTH: Duration = Duration::from_millis(100);

#[test]
fn the_timer_runs_as_the_quickest_part_wants_it_and_slows_down_again() {
    let proxy = envoy();
    let plugin = worker(&proxy, UP);
    let calm = plugin.tick_period().expect("the breaker's and the budget's windows");
    let query = &[(":method", "POST"), (":path", "/graphql"), ("content-type", "application/json")];
    let mut held = plugin.stream().attempt(1).with_body().request(query);
    held.request_body(b"{}", true);
    held.respond(&[(":status", "200"), ("content-type", "application/json")], false);
    assert_eq!(plugin.tick_period(), Some(Duration::from_millis(10)), "an answer is held");
    held.body(b"{\"data\": {}}", true);
    held.finish();
    proxy.advance(Duration::from_millis(10));
    plugin.tick();
    assert!(plugin.host().traps().is_empty(), "a tick can't change the timer");
    plugin.request(crate::support::GET).finish();
    assert_eq!(plugin.tick_period(), Some(calm), "the next callback can");
}

#[test]
fn a_part_is_never_ticked_sooner_than_it_asked_for() {
    let proxy = envoy();
    // The breaker's slot is 1 s, the budget's a tenth of its ttl.
    let plugin = worker(
        &proxy,
        r#"{"chain": "upstream", "circuit_breaker": {"window": {"time": "10s"}}, "retry_budget": {"ttl": "1s"}}"#,
    );
    let period = plugin.tick_period().unwrap();
    assert!(period <= TENTH, "{period:?}");
    plugin.request(crate::support::GET).finish();
    plugin.host().clear_calls();
    let mut ticks = 0;
    while ticks < 40 {
        proxy.advance(period);
        plugin.tick();
        ticks += 1;
    }
    assert!(plugin.host().traps().is_empty());
}

#[test]
fn a_clock_that_steps_back_stops_nobody() {
    let proxy = envoy();
    let plugin = worker(&proxy, DOWN);
    proxy.clock().step_back(Duration::from_secs(3_600));
    plugin.host().clear_calls();
    plugin.tick();
    assert!(plugin.host().calls().len() > 1, "the breaker was ticked at once: {:?}", plugin.host().call_lines());
}

const CLIENTS: &str = r#"{"retry_budget": {"client_retries": {"ratio": 0, "min_retries_per_second": 1}}}"#;

/// How many of these retries of clients pass.
fn retries(plugin: &Plugin, count: usize) -> usize {
    let retry = [(":method", "GET"), (":path", "/"), ("x-retry-attempt", "1")];
    (0..count).filter(|_| plugin.request(&retry).passed()).count()
}

/// A Kong whose worker's budget is spent.
fn spent() -> (FakeProxy, Plugin) {
    let proxy = FakeProxy::wasmx();
    let plugin = worker(&proxy, CLIENTS);
    assert_eq!(retries(&plugin, 20), 10, "one per second, for ten seconds");
    (proxy, plugin)
}

/// A VM that trapped is gone, and its timer goes on: it ticks the next one too.
#[test]
fn in_kong_a_former_vms_timer_makes_no_period_shorter() {
    for phase in [300, 500, 700] {
        let (proxy, plugin) = spent();
        let pass = |slots: usize| {
            for gap in [phase, 1_000 - phase].repeat(slots) {
                proxy.advance(Duration::from_millis(gap));
                plugin.tick();
            }
            retries(&plugin, 1)
        };
        assert_eq!((pass(9), pass(3)), (0, 1), "{phase} ms");
    }
}

#[test]
fn in_kong_a_tick_that_comes_too_early_is_one_look_at_the_clock() {
    let proxy = FakeProxy::wasmx();
    let plugin = worker(&proxy, r#"{"circuit_breaker": {}}"#);
    let period = plugin.tick_period().expect("the breaker's");
    plugin.request(crate::support::GET).finish();
    proxy.advance(period);
    plugin.tick();
    plugin.host().clear_calls();
    proxy.advance(period / 2);
    plugin.tick();
    assert_eq!(plugin.host().call_lines(), ["now()"]);
}

#[test]
fn in_kong_a_clock_that_steps_back_stops_nobody_either() {
    for back in [Duration::from_secs(3_600), Duration::from_millis(500)] {
        let (proxy, plugin) = spent();
        proxy.advance(Duration::from_secs(1));
        plugin.tick();
        proxy.clock().step_back(back);
        for _ in 0..12 {
            proxy.advance(Duration::from_secs(1));
            plugin.tick();
        }
        assert_eq!(retries(&plugin, 1), 1, "{back:?}");
    }
}
