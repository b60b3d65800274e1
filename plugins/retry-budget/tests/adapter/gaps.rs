//! Attempts that end without an answer, and attempts that overlap.

use crate::support::{GET, STRICT, Tries, envoy, header, healthy, up, worker};
use core::time::Duration;
use retry_budget::state::Slots;
use sdk_shim::cell;
use sdk_shim::entry::Flow;
use sdk_shim::host::Host;
use sdk_shim::overrides::{Mode, Override};

#[test]
fn after_a_reset_the_next_attempt_asks_and_over_the_budget_it_is_answered_here() {
    let proxy = envoy();
    let plugin = worker(&proxy, STRICT);
    healthy(&plugin, 4);
    let tries = Tries::of(&plugin);
    tries.reset(1);
    tries.reset(2);
    assert_eq!(up(&proxy, "granted_total"), 1, "five requests, one retry");
    let refused = tries.begin(3);
    let reply = refused.reply().expect("an answer of our own");
    assert_eq!((reply.status, reply.grpc_status), (503, None));
    assert_eq!(header(&reply, "x-holdfast-reject").as_deref(), Some("retry-budget; cause=budget"));
    assert_eq!(header(&reply, "x-envoy-ratelimited").as_deref(), Some("true"));
    let after: u64 = header(&reply, "retry-after").unwrap().parse().unwrap();
    assert!((1..=8).contains(&after), "{after}");
    let told = refused.filter_state().get("holdfast.refused_attempt");
    assert_eq!(told.as_deref(), Some(&b"budget"[..]), "whoever saw it go by knows that it reached nobody");
    refused.finish();
    assert_eq!((up(&proxy, "granted_total"), up(&proxy, "refused_total;cause=budget")), (1, 1));
}

#[test]
fn a_grpc_call_that_is_refused_gets_trailers_only() {
    let plugin = worker(&envoy(), r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 0}"#);
    let headers: &[(&str, &str); 3] = &[(":method", "POST"), (":path", "/a.B/C"), ("content-type", "application/grpc")];
    let first = plugin.stream().with_body().attempt(1).request(headers);
    let state = first.filter_state();
    let _ = first.fail_upstream("");
    let second = plugin.stream().with_body().attempt(2).sharing(&state).request(headers);
    assert_eq!(second.reply().and_then(|reply| reply.grpc_status), Some(14));
    second.finish();
}

#[test]
fn a_hedged_attempt_passes_even_over_the_budget_and_is_owed() {
    let proxy = envoy();
    let plugin = worker(&proxy, STRICT);
    let tries = Tries::of(&plugin);
    let slow = tries.begin(1);
    let hedge = tries.begin(2);
    assert_eq!(hedge.flow(), Flow::Continue, "a refusal would be final for a request that may still succeed");
    assert_eq!((up(&proxy, "hedged_over_budget_total"), up(&proxy, "granted_total")), (1, 1));
    for mut call in [slow, hedge] {
        call.respond(&[(":status", "200")], true);
        call.finish();
    }
    healthy(&plugin, 4);
    assert!(Tries::of(&plugin).answer(1, "503"), "six requests have one, and it was used");
    healthy(&plugin, 4);
    assert!(!Tries::of(&plugin).answer(1, "503"), "eleven have two");
}

#[test]
fn hedging_counts_each_attempt_once_whoever_fails_first() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream", "ratio": 1, "min_retries_per_second": 0}"#);
    healthy(&plugin, 10);
    let tries = Tries::of(&plugin);
    let (mut first, mut second) = (tries.begin(1), tries.begin(2));
    first.respond(&[(":status", "503")], true);
    first.finish();
    assert_eq!(up(&proxy, "granted_total"), 1, "the second attempt is under way already");
    second.respond(&[(":status", "503")], true);
    second.finish();
    let mut third = tries.begin(3);
    third.respond(&[(":status", "200")], true);
    third.finish();
    assert_eq!((up(&proxy, "granted_total"), up(&proxy, "retries_total")), (2, 2));
}

/// A policy may retry a 200 (`retriable-headers`). The first such retry can't be told from a hedge; from then on answers leave a line.
#[test]
fn a_retry_of_what_looked_well_is_taken_for_a_hedge_once() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 0}"#);
    let tries = Tries::of(&plugin);
    assert!(!tries.answer(1, "200"));
    assert!(tries.begin(2).passed());
    let again = Tries::of(&plugin);
    assert!(!again.answer(1, "200"));
    assert!(again.begin(2).reply().is_some(), "now it is known that the first attempt was answered");
}

#[test]
fn the_shared_state_is_down_and_nothing_is_retried_but_everything_is_served() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream", "ratio": 1}"#);
    assert!(!Tries::of(&plugin).answer(1, "503"));
    proxy.fail_shared(true);
    proxy.advance(Duration::from_millis(10));
    assert!(Tries::of(&plugin).answer(1, "503"), "a veto: nobody knows how many there were");
    assert!(!Tries::of(&plugin).answer(1, "200"));
    plugin.tick();
    assert!(up(&proxy, "store_errors_total") >= 2);
    proxy.fail_shared(false);
    proxy.advance(Duration::from_millis(10));
    assert!(!Tries::of(&plugin).answer(1, "503"));
}

#[test]
fn a_push_keeps_the_window_unless_it_changes_what_is_counted() {
    let proxy = envoy();
    let host = proxy.worker();
    let budget = |more: &str| {
        crate::support::entry(&host, &format!(r#"{{"chain": "upstream", "min_retries_per_second": 0{more}}}"#))
    };
    let old = budget("");
    healthy(&old, 9);
    assert!(!Tries::of(&old).answer(1, "503"));
    let new = budget(r#", "ratio": 0.1"#);
    assert!(Tries::of(&new).answer(1, "503"), "eleven requests, and one retry before the push");
    let other = budget(r#", "ttl": "20s""#);
    assert!(Tries::of(&other).answer(1, "503"), "what was before isn't known in windows of this length");
}

#[test]
fn contexts_that_never_saw_their_request_count_for_nothing() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    plugin.host().clear_calls();
    let mut unseen = plugin.unseen();
    unseen.respond(&[(":status", "409"), ("x-envoy-ratelimited", "true")], true);
    assert!(unseen.response_header("x-envoy-ratelimited").is_some());
    unseen.finish();
    assert!(plugin.host().calls().is_empty());
}

#[test]
fn headers_of_any_bytes_are_data() {
    let plugin = worker(&envoy(), r#"{"chain": "upstream", "key": ["route", "header:x-tenant"]}"#);
    let mut call = plugin.stream().attempt(1).request(GET);
    call.respond(sdk_shim::fake::Headers::default(), true);
    call.finish();
    assert!(plugin.host().traps().is_empty());
}

/// `{mode, until}` in the key's cell, as an operator's tool writes it: obeyed by every worker within `state_refresh`, shown, and over by itself.
#[test]
fn an_operators_word_is_obeyed_and_expires() {
    let proxy = envoy();
    let config = r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 0}"#;
    let [a, b] = [(); 2].map(|()| worker(&proxy, config));
    assert!(Tries::of(&a).answer(1, "503") && Tries::of(&b).answer(1, "503"));
    let policy = retry_budget::config::read(config.as_bytes()).unwrap();
    let prefix = retry_budget::upstream::keys::<()>(&policy).prefix().to_owned();
    let cell = retry_budget::account::cell_name(&prefix, "checkout");
    let set = Override::new(Mode::DryRun, a.host().now(), Duration::from_secs(60));
    cell::update(a.host(), &cell, |slots: Option<Slots>| (slots.map(|slots| slots.overridden(set)), ())).unwrap();
    proxy.advance(Duration::from_millis(10));
    assert!(!Tries::of(&a).answer(1, "503") && !Tries::of(&b).answer(1, "503"));
    a.tick();
    assert_eq!((up(&proxy, "override"), up(&proxy, "would_refuse_total;cause=budget")), (2, 2));
    proxy.advance(Duration::from_secs(60));
    assert!(Tries::of(&b).answer(1, "503"));
}

/// A veto makes the router send the answer on at once; while a slow first attempt may still succeed, that would end its request.
#[test]
fn nothing_final_is_said_while_another_attempt_is_under_way() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 0}"#);
    let tries = Tries::of(&plugin);
    let mut slow = tries.begin(1);
    assert!(!tries.answer(2, "503"), "no veto");
    tries.reset(3);
    assert!(tries.begin(4).passed(), "no refusal");
    slow.respond(&[(":status", "200")], true);
    slow.finish();
    assert_eq!(up(&proxy, "refused_total;cause=budget"), 0);
}

/// Envoy 1.36: an attempt that a full pool refused runs the filters when the request has been answered already.
#[test]
fn a_request_that_is_over_gets_no_second_answer() {
    let plugin = worker(&envoy(), r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 0}"#);
    let tries = Tries::of(&plugin);
    tries.reset(1);
    let dead = plugin
        .stream()
        .attempt(2)
        .sharing(&tries.state)
        .property("response.code_details", "upstream_reset_before_response_started{overflow}")
        .request(GET);
    assert!(dead.reply().is_none());
}
