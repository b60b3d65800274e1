//! "200, and errors": protocol-health says what answers mean, and is believed by filter state alone.

use crate::support::{BRISK, GET, Plugin, brisk, call, count, envoy, worker};
use sdk_shim::fake::FakeProxy;
use sdk_shim::notice::Notice;
use sdk_shim::outcome::TELLS;

/// A proxy in which protocol-health tells what answers mean.
fn told() -> FakeProxy {
    let proxy = envoy();
    Notice::new(TELLS).say(&proxy.worker(), true);
    proxy
}

/// A 200 that protocol-health says this of, in the header and in filter state.
fn judged(plugin: &Plugin, header: Option<&str>, state: Option<&str>) -> bool {
    let mut call = plugin.request(GET);
    if !call.passed() {
        call.finish();
        return false;
    }
    let mut headers = vec![(":status", "200")];
    headers.extend(header.map(|word| ("x-holdfast-outcome", word)));
    if let Some(word) = state {
        call.filter_state().set("holdfast.outcome", word.as_bytes());
    }
    call.respond(&headers[..], true);
    call.finish();
    true
}

#[test]
fn errors_in_a_200_open_the_breaker() {
    for outcome in ["server_fault", "unreachable", "timeout", "overload"] {
        let plugin = worker(&told(), BRISK);
        assert!(judged(&plugin, Some(outcome), Some(outcome)) && judged(&plugin, Some(outcome), Some(outcome)));
        assert!(!call(&plugin, "200"), "{outcome}");
    }
}

/// Of tries without an answer nobody hears but the router: where the budget answers the next one, that is all that a breaker ever sees of them.
#[test]
fn a_retry_that_the_budget_refused_says_that_the_try_before_it_failed() {
    let refused = |plugin: &Plugin, word: &str| {
        let mut call = plugin.request(GET);
        assert!(call.passed());
        call.filter_state().set("holdfast.refused_attempt", word.as_bytes());
        call.respond_locally(&[(":status", "503"), ("x-holdfast-reject", "retry-budget; cause=budget")], true);
        call.finish();
    };
    let plugin = worker(&envoy(), BRISK);
    (0..10).for_each(|_| refused(&plugin, ""));
    refused(&plugin, "budget");
    refused(&plugin, "budget");
    assert!(!call(&plugin, "200"), "the breaker is open");
}

#[test]
fn a_bad_query_half_an_answer_and_what_nobody_knows_do_not() {
    for outcome in ["caller_fault", "partial", "unknown"] {
        let plugin = worker(&told(), BRISK);
        (0..10).for_each(|_| assert!(judged(&plugin, Some(outcome), Some(outcome)), "{outcome}"));
    }
}

#[test]
fn which_outcomes_are_failures_can_be_said() {
    let plugin = worker(&told(), &brisk(r#""failure_on": {"outcome": ["partial"]}"#));
    (0..5).for_each(|_| assert!(judged(&plugin, Some("server_fault"), Some("server_fault"))));
    assert!(
        judged(&plugin, Some("partial"), Some("partial;promoted")) && judged(&plugin, Some("partial"), Some("partial"))
    );
    assert!(!call(&plugin, "200"));
}

#[test]
fn a_services_own_header_is_not_believed() {
    let plugin = worker(&told(), BRISK);
    (0..10).for_each(|_| assert!(judged(&plugin, Some("server_fault"), None)));
    (0..10).for_each(|_| assert!(judged(&plugin, Some("server_fault"), Some("ok"))));
    (0..10).for_each(|_| assert!(judged(&plugin, Some("\u{ff}"), Some("nonsense"))));
}

#[test]
fn what_is_known_at_the_end_counts_where_calls_are_measured_to_their_end() {
    let plugin = worker(&told(), &brisk(r#""measure": "completion""#));
    assert!(judged(&plugin, None, Some("server_fault")) && judged(&plugin, None, Some("server_fault")));
    assert!(!call(&plugin, "200"));
}

#[test]
fn where_nobody_tells_nobody_asks() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    (0..3).for_each(|_| assert!(judged(&plugin, Some("server_fault"), Some("server_fault"))));
    assert_eq!(count(&plugin, "header"), 3, "the statuses");

    // Who comes later is heard with the next tick.
    Notice::new(TELLS).say(&proxy.worker(), true);
    plugin.tick();
    assert!(judged(&plugin, Some("server_fault"), Some("server_fault")));
    assert!(judged(&plugin, Some("server_fault"), Some("server_fault")));
    assert!(!call(&plugin, "200"));
}
