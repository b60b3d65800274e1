//! An operator changes the breaker's configuration under traffic.
//!
//! The filter comes from a watched file (ECDS), as in our shipped configurations, so a push cuts no stream; and state is kept
//! wherever the counts keep their meaning.

mod story_b;

use std::time::Duration;

use integration::client::{Call, Sse, Storm};
use integration::{TestResult, Upstream, eventually, eventually_eq, throughout};
use serde_json::{Value, json};
use story_b::{SOON, breaker, is_refused, open_the_breaker, proxy, status};

/// Two seconds of events.
const STREAM: &str = "/sse?events=100&every_ms=20";

/// The stream went on to its end.
fn assert_whole(stream: Sse) -> TestResult {
    let transcript = stream.finish(SOON)?;
    assert_eq!((transcript.events.len(), transcript.cut), (100, None));
    Ok(())
}

#[test]
fn an_open_breaker_stays_open_over_a_push_and_no_stream_is_cut() -> TestResult {
    let orders = Upstream::start("orders")?;
    let filter = breaker(json!({}))?.dynamic()?;
    let (envoy, edge) = proxy(&[filter.filter()], &orders)?;
    let stream = Sse::open(edge, STREAM)?;
    open_the_breaker(edge, &orders)?;
    let (hits, opened) = (orders.hits(), story_b::turned(&envoy, "open")?);
    let crowd = Storm::new(Call::get(edge, "/")).concurrency(4).total(100_000).per_second(200.0).start();
    eventually("the crowd is refused by the former policy", SOON, || !crowd.tally().is_empty())?;

    // Other waits, other answers, other probes: none of them changes what the counts mean.
    let change = json!({"open": {"max": "61s"}, "half_open": {"permits": 3}, "minimum_calls": 4, "on_open": {"reply": {"status": 529}}});
    filter.update(&breaker(change)?.typed_config())?;
    eventually_eq("the new answer is given", SOON, &529, || status(edge))?;
    throughout("and only that one", Duration::from_millis(300), || status(edge).map(|status| status == 529))?;

    let tally = crowd.stop();
    assert_eq!(tally.by_status().into_keys().collect::<Vec<_>>(), [503, 529], "{:?}", tally.errors());
    assert_eq!(tally.rejected(), tally.len());
    assert_eq!((orders.hits(), story_b::turned(&envoy, "open")?), (hits, opened));
    assert_whole(stream)
}

#[test]
fn a_push_that_changes_what_counts_mean_starts_afresh() -> TestResult {
    let orders = Upstream::start("orders")?;
    let filter = breaker(json!({}))?.dynamic()?;
    let (_envoy, edge) = proxy(&[filter.filter()], &orders)?;
    let stream = Sse::open(edge, STREAM)?;
    let window = json!({"window": {"time": "2s"}});
    let key = json!({"key": ["route", "cluster"]});
    let failure_on = json!({"failure_on": {"status": [500, 503]}});
    for change in [window, key, failure_on] {
        open_the_breaker(edge, &orders)?;
        filter.update(&breaker(change.clone())?.typed_config())?;
        eventually_eq(&format!("{change} is served"), SOON, &200, || status(edge))?;
    }
    open_the_breaker(edge, &orders)?;
    assert_whole(stream)
}

#[test]
fn what_was_open_under_the_former_meaning_is_open_again_after_a_roll_back() -> TestResult {
    let orders = Upstream::start("orders")?;
    let filter = breaker(json!({}))?.dynamic()?;
    let (_envoy, edge) = proxy(&[filter.filter()], &orders)?;
    open_the_breaker(edge, &orders)?;
    filter.update(&breaker(json!({"window": {"time": "2s"}}))?.typed_config())?;
    eventually_eq("the new window is served", SOON, &200, || status(edge))?;
    filter.update(&breaker(json!({}))?.typed_config())?;
    eventually_eq("the old window is back", SOON, &503, || status(edge))
}

#[test]
fn a_refused_push_leaves_the_old_configuration_and_its_state_in_place() -> TestResult {
    let orders = Upstream::start("orders")?;
    let filter = breaker(json!({}))?.dynamic()?;
    let (envoy, edge) = proxy(&[filter.filter()], &orders)?;
    let stream = Sse::open(edge, STREAM)?;
    open_the_breaker(edge, &orders)?;
    let refuse = |change: Value, told: &str| -> TestResult {
        filter.update(&breaker(change)?.typed_config())?;
        envoy.wait_for_log(told, SOON)?;
        throughout("the old one refuses", Duration::from_millis(300), || is_refused(edge))
    };
    refuse(json!({"failure_ratio": 2}), "bad configuration: $.failure_ratio: found 2, allowed: ")?;
    refuse(json!({"window": {"time": "2s", "calls": 7}}), "bad configuration: $.window: found not exactly one of")?;

    filter.update(&breaker(json!({"on_open": {"reply": {"status": 529}}}))?.typed_config())?;
    eventually_eq("a good push is taken, and finds the state", SOON, &529, || status(edge))?;
    assert_whole(stream)
}
