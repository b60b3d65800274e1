//! A store that fails: who is told what, who is given up, and that nothing waits for ever.

use crate::shop::{Redis, Shop};
use crate::stores::Store;
use crate::support::{SECOND, answered, cause_of, header, is, leave, metric, post, replayed, state};
use core::time::Duration;
use sdk_shim::host::CalloutId;

const OPEN: &str = r#""on_store_error": "open""#;

/// The call under way that was sent last.
fn last(shop: &Redis) -> (CalloutId, sdk_shim::host::Callout) {
    shop.one().host().pending_callouts().pop().expect("a call under way")
}

#[test]
fn closed_a_request_is_refused_and_its_claim_given_up() {
    let mut shop = Shop::wide(1, "");
    let call = post("k").send(shop.one());
    let (_, claim) = last(&shop);
    shop.silence();
    let reply = call.finish().reply.unwrap();
    assert_eq!(
        (reply.status, cause_of(&reply), header(&reply, "retry-after").as_deref()),
        (503, "store".into(), Some("1"))
    );
    shop.store.answer(&claim);
    shop.turn();
    assert_eq!(shop.store.did, ["claim", "abandon"], "it had run all the same");
    assert_eq!(metric(&shop.proxy, "refused_total;cause=store"), 1);
    shop.pay(&post("k"));
    replayed(shop.send(&post("k")));
    shop.is_quiet();
}

#[test]
fn open_a_request_passes_unprotected_and_its_claim_is_given_up_too() {
    let mut shop = Shop::wide(1, OPEN);
    let call = post("k").send(shop.one());
    shop.silence();
    assert_eq!((call.passed(), state(&call)), (true, "unprotected".into()));
    assert_eq!(call.request_header("x-holdfast-idempotency").as_deref(), Some("unprotected"));
    assert_eq!((call.request_header("x-holdfast-fence"), call.request_header("x-envoy-max-retries")), (None, None));
    let mut late = call;
    late.respond(&[(":status", "200")], false);
    assert!(!late.paused(), "nobody stores it");
    late.body(b"", true);
    late.finish();
    assert_eq!(metric(&shop.proxy, "unprotected_total;cause=store"), 1);
    shop.turn();
    assert_eq!(shop.store.ran("abandon"), 1);
    shop.is_quiet();
}

/// T6, F4: a timeout has no headers; a refused connection is a 503 of the proxy's; a half-closed one has no body.
#[test]
fn whatever_is_no_answer_is_a_store_failure() {
    let answers: [(Option<&str>, &[u8]); 7] = [
        (None, b""),
        (Some("503"), b"upstream connect error"),
        (Some("504"), b""),
        (Some("200"), b""),
        (Some("200"), b"+PONG\r\n+OK\r\n"),
        (Some("200"), b"HTTP/1.1 400 Bad Request\r\n"),
        (Some("200"), b"*2\r\n$7\r\nclaimed\r\n$2\r\n17\r\n"),
    ];
    for (n, (status, body)) in answers.into_iter().enumerate() {
        let mut shop = Shop::wide(1, "");
        let call = post("k").send(shop.one());
        let (id, _) = last(&shop);
        match status {
            None => shop.one().answer_nothing(id),
            Some(status) => shop.one().answer(id, &[(":status", status)], body),
        };
        if n == 6 {
            assert_eq!(state(&call), "claimed", "only what came after it is missing");
            call.abort();
        } else {
            is(call, 503, "store");
        }
        shop.is_quiet();
    }
}

#[test]
fn what_redis_refuses_is_a_store_failure_and_says_why_in_the_log() {
    let mut shop = Shop::wide(1, "");
    shop.store.error = Some("OOM command not allowed when used memory > 'maxmemory'");
    is(shop.send(&post("k")), 503, "store");
    assert_eq!(metric_of_failures(&shop, "refused"), 1);
    let logged = shop.one().host().logs().iter().any(|log| log.line.contains(r#""event":"store_failed""#));
    assert!(logged, "{:?}", shop.one().host().logs());
    shop.store.error = None;
    shop.rest(SECOND);
    assert_eq!(state(&shop.send(&post("k"))), "claimed");
}

fn metric_of_failures(shop: &Redis, cause: &str) -> u64 {
    let name = format!("holdfast_idempotency_store_failures_total;chain=downstream;instance=default;cause={cause}");
    shop.proxy.metric(&name)
}

/// A cut reply comes with status 200: those whose part is whole have their answer.
#[test]
fn of_a_shared_reply_that_is_cut_exactly_the_cut_commands_fail() {
    for cut in 0..6 {
        let mut shop = Shop::wide(1, "");
        let blockers: Vec<_> = (0..8).map(|n| post(&format!("blocker {n}")).send(shop.one())).collect();
        let calls: Vec<_> = (0..5).map(|n| post(&n.to_string()).send(shop.one())).collect();
        shop.tick();
        let (id, shared) = last(&shop);
        let whole = shop.store.answer(&shared);
        let parts: Vec<_> = whole.split_inclusive(|byte| *byte == b'*').collect();
        let short: Vec<u8> = parts[..=cut].concat();
        let short = short.strip_suffix(b"*").unwrap_or(&short);
        shop.one().answer(id, &[(":status", "200")], short);
        for (n, call) in calls.into_iter().enumerate() {
            if n < cut {
                assert_eq!(state(&call), "claimed", "{n} of {cut}");
                call.abort();
            } else {
                is(call, 503, "store");
            }
        }
        shop.serve();
        shop.rest(SECOND);
        assert_eq!(shop.store.ran("abandon"), 5 - cut.min(5), "those that failed are given up");
        leave(blockers);
        shop.is_quiet();
    }
}

#[test]
fn a_reply_too_many_is_nobodys() {
    let mut shop = Shop::wide(1, "");
    let call = post("k").send(shop.one());
    let (id, claim) = last(&shop);
    let said = [shop.store.answer(&claim), b"+OK\r\n".to_vec()].concat();
    shop.one().answer(id, &[(":status", "200")], &said);
    is(call, 503, "store");
    shop.is_quiet();
}

#[test]
fn a_shared_call_without_an_answer_refuses_all_who_wait_for_it() {
    let mut shop = Shop::wide(1, "");
    let calls: Vec<_> = (0..20).map(|n| post(&n.to_string()).send(shop.one())).collect();
    shop.tick();
    shop.silence();
    shop.tick();
    for call in calls {
        is(call, 503, "store");
    }
    shop.rest(Duration::from_secs(2));
    assert_eq!(shop.store.ran("abandon"), 20);
    shop.is_quiet();
}

/// Its connections are used up, or the root is late: whoever waits is told so.
#[test]
fn whoever_waits_in_the_line_has_a_deadline() {
    let base = r#""store": {"kind": "redis", "cluster": "store", "max_new_connections": 1, "timeout": "100ms"},
        "secret": [{"env": "KEY"}], "headers_stop_iteration": true"#;
    let mut shop = Shop::of_redis(1, base, "");
    let first = post("first").send(shop.one());
    let second = post("second").send(shop.one());
    shop.serve();
    assert_eq!((state(&first), second.paused()), ("claimed".into(), true));
    shop.wait(Duration::from_millis(195));
    assert!(second.paused());
    shop.wait(Duration::from_millis(10));
    is(second, 503, "store");
    first.abort();
    shop.rest(Duration::from_secs(10));
    shop.is_quiet();
}

#[test]
fn a_store_that_the_proxy_does_not_know_is_a_store_failure() {
    let mut shop = Shop::wide(1, "");
    shop.proxy.forget_upstream("store");
    is(post("k").send(shop.one()), 503, "store");
    shop.wait(SECOND);
    assert!(shop.one().hung().is_empty());
    let open = Shop::redis(1, OPEN);
    open.proxy.forget_upstream("store");
    assert!(answered(post("k").send(open.one()), "200").reply.is_none());
    shop.serve();
}
