//! Dry runs, shares, off; and who may know what was decided.

use crate::shop::Shop;
use crate::support::{
    Ask, MEMORY, SHOWN, answered, count, envoy, header, is, keyless, memory, metric, pay, post, receipt, refused, runs,
    state, worker,
};

const DRY: &str = r#""mode": "dry_run""#;

#[test]
fn a_dry_run_counts_what_it_would_do_and_touches_nothing() {
    let proxy = envoy();
    let plugin = worker(&proxy, MEMORY, r#""mode": "dry_run", "required": true, "max_body": 100"#);
    let mut first = post("k").send(&plugin);
    assert!(first.passed());
    for name in ["x-holdfast-fence", "x-envoy-max-retries", "x-envoy-upstream-rq-per-try-timeout-ms"] {
        assert_eq!(first.request_header(name), None, "{name}");
    }
    assert_eq!(state(&first), "");
    for ask in [post("k"), post("k").body(b"{}"), keyless(), post("l").body(&[b'x'; 101])] {
        assert!(runs(&plugin, &ask));
    }
    first.respond(&[(":status", "200")], false);
    assert!(!first.paused(), "its answer isn't held");
    first.body(b"half", false);
    assert!(!first.paused());
    first.body(b"half", true);
    first.finish();
    assert!(runs(&plugin, &post("k")));
    for cause in ["in_flight", "mismatch", "key_missing", "too_large"] {
        assert_eq!(metric(&proxy, &format!("would_refuse_total;cause={cause}")), 1, "{cause}");
    }
    assert_eq!((metric(&proxy, "claimed_total"), metric(&proxy, "would_replay_total")), (1, 1));
    assert!(proxy.metrics().keys().all(|name| !name.contains("_refused_total") && !name.contains("_replayed_total")));
}

#[test]
fn a_dry_run_lets_everybody_pass_without_a_store() {
    let mut shop = Shop::redis(1, DRY);
    let call = post("k").send(shop.one());
    shop.silence();
    assert!(call.passed());
    assert_eq!(call.request_header("x-holdfast-idempotency"), None);
    answered(call, "200");
    assert_eq!(metric(&shop.proxy, "would_refuse_total;cause=store"), 1);
    shop.is_quiet();
}

#[test]
fn a_dry_run_holds_no_answer_for_the_store() {
    let mut shop = Shop::redis(1, DRY);
    let mut call = shop.send(&post("k"));
    call.respond(&[(":status", "200")], false);
    assert!(!call.paused());
    call.body(b"all", true);
    call.finish();
    shop.is_quiet();
    let again = shop.send(&post("k"));
    assert!(again.passed());
    assert_eq!((metric(&shop.proxy, "would_replay_total"), shop.store.ran("complete")), (1, 1));
}

/// All requests of one key, or none: or its second try would run what its first one was refused.
#[test]
fn a_share_of_the_keys_is_enforced() {
    let plugin = memory(r#""enforce_ratio": 0.5"#);
    let replays = (0..200).filter(|n| {
        let ask = post(&format!("k{n}"));
        let mut call = ask.send(&plugin);
        receipt(&mut call);
        call.finish();
        let three = [(); 3].map(|()| runs(&plugin, &ask));
        assert!(three.iter().all(|runs| *runs == three[0]), "{n}: {three:?}");
        !three[0]
    });
    let replays = replays.count();
    assert!((70..130).contains(&replays), "{replays}");
}

#[test]
fn a_share_of_none_refuses_nobody_for_anything() {
    let proxy = envoy();
    let plugin = worker(&proxy, MEMORY, r#""enforce_ratio": 0, "required": true, "max_body": 100"#);
    pay(&plugin, &post("k"));
    let long = post("l").body(&[b'x'; 101]);
    for ask in [post("k"), post("k").body(b"{}"), keyless(), long.clone(), long.with("content-length", "101")] {
        assert!(runs(&plugin, &ask));
    }
    assert!(proxy.metrics().keys().all(|name| !name.contains("_refused_total")), "{:?}", proxy.metrics());
}

#[test]
fn a_share_of_the_requests_that_are_too_long_is_refused() {
    let plugin = memory(r#""enforce_ratio": 0.5, "max_body": 1"#);
    let refused = (0..200).filter(|n| !runs(&plugin, &post(&format!("k{n}")))).count();
    assert!((70..130).contains(&refused), "{refused}");
}

#[test]
fn disabled_does_nothing_at_all() {
    let plugin = memory(r#""mode": "disabled", "required": true"#);
    plugin.host().clear_calls();
    for ask in [post("k"), post("k"), keyless()] {
        assert!(runs(&plugin, &ask));
    }
    plugin.tick();
    assert!(plugin.host().calls().is_empty());
    assert_eq!(plugin.tick_period(), None);
}

#[test]
fn who_has_the_token_is_told_what_was_decided() {
    let plugin = memory(SHOWN);
    let shown = |ask: Ask, token: &str| {
        let mut call = ask.with("x-holdfast-debug", token).send(&plugin);
        assert_eq!(call.request_header("x-holdfast-debug"), None, "the token goes no further");
        if call.passed() {
            receipt(&mut call);
        }
        let reply = call.reply().and_then(|reply| header(&reply, "x-holdfast-debug-idempotency"));
        let seen = call.response_header("x-holdfast-debug-idempotency");
        call.finish();
        assert!(reply.is_none() || reply == seen);
        seen.unwrap_or_default()
    };
    assert_eq!(shown(post("k"), "t"), "claimed");
    assert_eq!(shown(post("k"), "t"), "replay");
    assert_eq!(shown(post("k").body(b"{}"), "t"), "mismatch");
    assert_eq!(shown(keyless(), "t"), "no_key");
    assert_eq!(shown(keyless().with("idempotency-key", "\"a"), "t"), "key_malformed");
    assert_eq!(shown(post("k"), "wrong"), "");
}

#[test]
fn who_asks_nothing_is_told_nothing() {
    let plugin = memory(SHOWN);
    let mut call = post("k").send(&plugin);
    receipt(&mut call);
    assert_eq!(call.response_header("x-holdfast-debug-idempotency"), None);
    call.finish();
    is(post("k").body(b"{}").send(&plugin), 422, "mismatch");
}

/// An earlier filter answered: only response callbacks and the end run here.
#[test]
fn requests_that_were_never_seen_are_nobodys() {
    let plugin = memory("");
    plugin.host().clear_calls();
    let mut unseen = plugin.unseen();
    unseen.respond(&[(":status", "429")], false).body(b"no", true);
    unseen.finish();
    assert_eq!(count(&plugin, "increment") + count(&plugin, "shared_get"), 0);
    assert!(plugin.host().calls().is_empty(), "{:?}", plugin.host().call_lines());
}

#[test]
fn a_token_that_the_environment_lacks_is_refused_at_configure() {
    let config = format!(r#"{{{MEMORY}, "debug_token": {{"env": "TOKEN"}}}}"#);
    let faults = sdk_shim::fake::Worker::<idempotency::Idempotency>::start(&envoy().worker(), &config).unwrap_err();
    assert_eq!(faults.iter().next().unwrap().path, "$.debug_token");
}

#[test]
fn without_shared_data_there_is_no_store_in_memory() {
    let proxy = envoy();
    proxy.fail_shared(true);
    let faults = sdk_shim::fake::Worker::<idempotency::Idempotency>::start(&proxy.worker(), &format!("{{{MEMORY}}}"));
    assert_eq!(faults.unwrap_err().iter().next().unwrap().path, "$.store");
    proxy.fail_shared(false);
    let plugin = worker(&proxy, MEMORY, "");
    pay(&plugin, &post("k"));
    proxy.fail_shared(true);
    assert_eq!(refused(post("k").send(&plugin)), (503, "store".into()));
    proxy.fail_shared(false);
    is(post("k").body(b"{}").send(&plugin), 422, "mismatch");
}
