//! What becomes of a claim whose request is answered by the service, by the proxy, or by nobody.

use crate::shop::{Redis, Shop};
use crate::support::{
    Call, Plugin, answered, header, is, memory, metric, number, pay, post, receipt, replayed, runs, state,
};
use core::time::Duration;

/// The lease is over.
fn later(plugin: &Plugin) {
    plugin.host().proxy().advance(Duration::from_secs(30));
}

/// Another request with the same key, for what `claimed` was.
fn is_free(plugin: &Plugin) -> bool {
    let call = post("k").send(plugin);
    let free = state(&call) == "claimed";
    if free {
        call.abort()
    } else {
        call.finish()
    };
    free
}

/// The proxy answers in the service's place.
fn instead(mut call: Call, attempts: i64, status: u16, flags: i64, details: &str) {
    call.set_bytes("upstream.request_attempt_count", &number(attempts));
    call.local_reply(status, flags, details);
    call.finish();
}

#[test]
fn whatever_the_service_answers_is_its_answer() {
    for status in ["200", "201", "204", "301", "400", "404", "410", "422", "500", "502", "503", "504", "599"] {
        let plugin = memory("");
        answered(post("k").send(&plugin), status);
        let reply = post("k").send(&plugin).finish().reply.unwrap_or_else(|| panic!("{status}"));
        assert_eq!(reply.status.to_string(), status);
        assert_eq!(header(&reply, "idempotency-replayed").as_deref(), Some("true"));
    }
}

#[test]
fn an_answer_by_which_the_service_says_that_it_did_nothing_frees_the_key() {
    for status in ["401", "403", "408", "409", "425", "429"] {
        let plugin = memory("");
        answered(post("k").send(&plugin), status);
        assert!(is_free(&plugin), "{status}");
        assert_eq!(metric(plugin.host().proxy(), "released_total;cause=status"), 1);
    }
    let plugin = memory(r#""release_on": [503]"#);
    answered(post("k").send(&plugin), "503");
    pay(&plugin, &post("k").body(b"another payment"));
    is(post("k").send(&plugin), 422, "mismatch");
    answered(post("j").send(&plugin), "429");
    assert_eq!(post("j").send(&plugin).finish().status, Some(429), "the default ones are replaced");
}

/// What the first try did isn't known from what the second was told.
#[test]
fn it_says_nothing_of_an_earlier_try() {
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    call.set_bytes("upstream.request_attempt_count", &number(2));
    answered(call, "429");
    assert_eq!(post("k").send(&plugin).finish().status, Some(429), "stored, as any other answer");
    let plugin = memory(r#""service_is_idempotent": true"#);
    let mut call = post("k").send(&plugin);
    call.set_bytes("upstream.request_attempt_count", &number(2));
    answered(call, "429");
    assert!(is_free(&plugin), "a second try of an idempotent service does no harm");
}

#[test]
fn a_request_that_never_left_the_proxy_frees_its_key() {
    for (flags, details) in [
        (2, "no_healthy_upstream"),
        (256, "route_not_found"),
        (16_777_216, "cluster_not_found"),
        (32, "upstream_reset_before_response_started{remote_connection_failure}"),
        (32_768 | 32, "upstream_reset_before_response_started{remote_connection_failure}"),
    ] {
        let plugin = memory("");
        instead(post("k").send(&plugin), 1, 503, flags, details);
        assert!(is_free(&plugin), "{flags} {details}");
        assert_eq!(metric(plugin.host().proxy(), "released_total;cause=not_sent"), 1);
    }
}

#[test]
fn a_filter_behind_us_that_answers_frees_it_too() {
    for (status, flags, details) in
        [(429, 2_048, "request_rate_limited"), (403, 4_096, "ext_authz_denied"), (200, 0, "direct_response")]
    {
        let plugin = memory("");
        instead(post("k").send(&plugin), 0, status, flags, details);
        assert!(is_free(&plugin), "{details}");
    }
}

/// T17: after a first try that ran and was cut, a second one that nobody accepted has these flags.
#[test]
fn a_second_try_that_was_never_sent_says_nothing_of_the_first() {
    for (attempts, flags) in [(2, 32), (2, 2), (3, 32_768 | 32)] {
        let plugin = memory("");
        instead(
            post("k").send(&plugin),
            attempts,
            503,
            flags,
            "upstream_reset_before_response_started{remote_connection_failure}",
        );
        is(post("k").send(&plugin), 409, "in_flight");
        later(&plugin);
        is(post("k").send(&plugin), 409, "uncertain");
        assert_eq!(metric(plugin.host().proxy(), "uncertain_total;cause=no_answer"), 1);
    }
}

#[test]
fn a_request_that_was_sent_and_not_answered_is_uncertain() {
    for (flags, details) in [
        (4, "response_timeout"),
        (4, "upstream_per_try_timeout"),
        (64, "upstream_reset_before_response_started{connection_termination}"),
        (8_388_608, "upstream_reset_before_response_started{protocol_error}"),
        (128, "upstream_reset_before_response_started{connection_termination}"),
        (65_536, "stream_idle_timeout"),
        (0, "max_duration_timeout"),
    ] {
        let plugin = memory("");
        instead(post("k").send(&plugin), 1, 504, flags, details);
        is(post("k").send(&plugin), 409, "in_flight");
        later(&plugin);
        is(post("k").send(&plugin), 409, "uncertain");
        is(post("k").body(b"{}").send(&plugin), 422, "mismatch");
    }
}

/// Nobody could tell before: the flag also says that a retry had no room, after an attempt that was sent. Its details don't.
#[test]
fn an_attempt_that_had_no_room_in_the_pool_frees_the_key() {
    for (attempts, frees) in [(1, true), (2, false)] {
        let plugin = memory("");
        instead(post("k").send(&plugin), attempts, 503, 128, "upstream_reset_before_response_started{overflow}");
        assert_eq!(is_free(&plugin), frees, "{attempts}");
    }
}

/// The circuit breaker in the upstream chain answers an attempt that the service never saw; its filter state tells us so.
#[test]
fn an_attempt_that_our_own_breaker_refused_frees_the_key() {
    for (attempts, frees) in [(1, true), (2, false)] {
        let plugin = memory("");
        let mut call = post("k").send(&plugin);
        call.set("holdfast.circuit_breaker.refused_attempt", "open");
        instead(call, attempts, 503, 0, "");
        assert_eq!(is_free(&plugin), frees, "{attempts}");
    }
}

/// The breaker's refusal of the request may have sent it to another service, which isn't heard of any more.
#[test]
fn a_request_that_our_own_breaker_rerouted_was_sent() {
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    call.set("holdfast.circuit_breaker", "open");
    instead(call, 1, 504, 4, "response_timeout");
    assert!(!is_free(&plugin));
}

#[test]
fn a_status_that_frees_keys_frees_none_when_the_proxy_says_it() {
    let plugin = memory(r#""release_on": [504]"#);
    instead(post("k").send(&plugin), 1, 504, 4, "response_timeout");
    is(post("k").send(&plugin), 409, "in_flight");
}

#[test]
fn the_owner_may_answer_after_its_lease_is_over() {
    let plugin = memory("");
    let mut slow = post("k").send(&plugin);
    later(&plugin);
    is(post("k").send(&plugin), 409, "uncertain");
    receipt(&mut slow);
    slow.finish();
    replayed(post("k").send(&plugin));
}

#[test]
fn what_nobody_knows_may_be_run_again_with_a_higher_fence() {
    let plugin = memory(r#""on_uncertain": "reexecute""#);
    let fence = |call: &Call| call.request_header("x-holdfast-fence").unwrap().parse::<u64>().unwrap();
    let mut lost = post("k").send(&plugin);
    is(post("k").send(&plugin), 409, "in_flight");
    later(&plugin);
    let mut again = post("k").send(&plugin);
    assert!(again.passed() && fence(&again) > fence(&lost));
    receipt(&mut again);
    again.finish();
    lost.respond(&[(":status", "500")], true);
    assert_eq!(lost.finish().status, Some(500), "its client gets what its service said");
    assert_eq!(metric(plugin.host().proxy(), "not_stored_total;cause=claim_lost"), 1);
    replayed(post("k").send(&plugin));
}

#[test]
fn a_released_key_has_a_higher_fence_in_the_same_millisecond() {
    let plugin = memory("");
    let fence = |call: &Call| call.request_header("x-holdfast-fence").unwrap().parse::<u64>().unwrap();
    let first = post("k").send(&plugin);
    let before = fence(&first);
    answered(first, "429");
    assert!(fence(&post("k").send(&plugin)) > before);
}

/// A client that is told 429 may try again at once, and must not meet itself.
#[test]
fn in_a_store_that_is_called_a_key_is_free_before_its_client_is_told() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "429")], true);
    assert!(call.paused());
    shop.serve();
    assert_eq!((call.paused(), shop.store.ran("abandon")), (false, 1));
    assert_eq!(call.finish().status, Some(429));
    let again = shop.send(&post("k"));
    assert_eq!(state(&again), "claimed");
    let mut unsent = again;
    unsent.set_bytes("upstream.request_attempt_count", &number(1));
    unsent.local_reply(503, 2, "no_healthy_upstream");
    assert!(unsent.paused(), "the proxy's own answer waits as well");
    shop.serve();
    assert_eq!(unsent.finish().status, Some(503));
    let call = shop.send(&post("k"));
    shop.receipt(call);
    shop.is_quiet();
}

#[test]
fn a_release_that_fails_is_repeated_and_holds_nobody_up() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "429")], true);
    shop.silence();
    assert_eq!(call.finish().status, Some(429));
    shop.turn();
    assert_eq!((shop.store.ran("abandon"), state(&shop.send(&post("k")))), (1, "claimed".into()));
    shop.is_quiet();
}

#[test]
fn a_client_that_leaves_while_its_key_is_freed_leaves_it_free() {
    let mut shop = Shop::redis(1, "");
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "429")], true);
    call.abort();
    shop.turn();
    assert_eq!(state(&shop.send(&post("k"))), "claimed");
    shop.is_quiet();
}

#[test]
fn an_answer_that_goes_on_is_not_held_while_its_key_is_freed() {
    let mut shop = Shop::redis(1, r#""max_body": 100"#);
    let mut call = shop.send(&post("k").without_body());
    call.respond(&[(":status", "429")], false).body(&[b'x'; 100], false);
    assert!(!call.paused());
    call.body(b"x", true);
    call.finish();
    shop.turn();
    assert_eq!(state(&shop.send(&post("k").without_body())), "claimed");
    shop.is_quiet();
}

#[test]
fn in_a_store_that_is_called_a_lost_answer_is_uncertain_when_its_lease_is_over() {
    let mut shop = Shop::redis(1, "");
    let call = shop.send(&post("k"));
    instead(call, 1, 504, 4, "response_timeout");
    is(shop.send(&post("k")), 409, "in_flight");
    shop.proxy.advance(Duration::from_secs(30));
    is(shop.send(&post("k")), 409, "uncertain");
    assert_eq!(shop.store.ran("abandon"), 0);
    shop.is_quiet();
}

#[test]
fn uncertain_keys_in_a_store_that_is_called_may_be_run_again() {
    let mut shop = Shop::redis(1, r#""on_uncertain": "reexecute""#);
    let lost = shop.send(&post("k"));
    shop.proxy.advance(Duration::from_secs(31));
    let again = shop.send(&post("k"));
    assert!(again.request_header("x-holdfast-fence") > lost.request_header("x-holdfast-fence"));
    shop.receipt(again);
    lost.abort();
    shop.rest(Duration::from_millis(100));
    replayed(shop.send(&post("k")));
    assert!(!runs_now(&mut shop), "and never a third time");
}

fn runs_now(shop: &mut Redis) -> bool {
    let call = shop.send(&post("k"));
    let runs = call.passed();
    call.finish();
    runs
}

#[test]
fn one_request_more_after_everything_else() {
    let plugin = memory("");
    assert!(runs(&plugin, &post("k")) && !runs(&plugin, &post("k")));
}

/// The client has its answer; what couldn't be written is uncertain when the lease is over.
#[test]
fn shared_data_that_goes_away_before_the_answer_costs_the_client_nothing() {
    let plugin = memory("");
    let mut call = post("k").send(&plugin);
    plugin.host().proxy().fail_shared(true);
    receipt(&mut call);
    assert_eq!(call.finish().status, Some(201));
    plugin.host().proxy().fail_shared(false);
    is(post("k").send(&plugin), 409, "in_flight");
    later(&plugin);
    is(post("k").send(&plugin), 409, "uncertain");
}

#[test]
fn a_cell_that_others_keep_changing_is_given_up_after_a_few_tries() {
    let plugin = memory("");
    plugin.host().proxy().mismatch_next(1_000_000);
    is(post("k").send(&plugin), 503, "store");
    plugin.host().proxy().mismatch_next(0);
    pay(&plugin, &post("k"));
    plugin.host().proxy().mismatch_next(3);
    pay(&plugin, &post("j"));
    replayed(post("j").send(&plugin));
}
