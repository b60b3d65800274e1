//! One timer for all of them.

use crate::support::{DOWN, UP, envoy, worker};
use core::time::Duration;

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
