//! Waiting for the first run's end, and tenants that have too much under way.

use crate::shop::Shop;
use crate::support::{
    Ask, Call, MEMORY, Plugin, SECOND, answered, envoy, header, is, leave, memory, metric, post, receipt, replayed,
    runs, state, worker,
};
use core::time::Duration;

const WAIT: &str = r#""on_in_flight": "wait", "wait": "2s""#;
const TICK: Duration = Duration::from_millis(25);

/// Time passes in a worker whose store is memory.
fn pass(plugin: &Plugin, time: Duration) {
    for _ in 0..time.as_millis() / TICK.as_millis() {
        plugin.host().proxy().advance(TICK);
        plugin.tick();
    }
}

#[test]
fn who_waits_gets_the_first_answer_when_it_is_there() {
    let proxy = envoy();
    let [one, other] = [(); 2].map(|()| worker(&proxy, MEMORY, WAIT));
    let mut first = post("k").send(&one);
    let waiting = [post("k").send(&one), post("k").send(&other)];
    assert!(waiting.iter().all(Call::paused));
    pass(&other, SECOND);
    receipt(&mut first);
    first.finish();
    for (plugin, waiting) in [one, other].iter().zip(waiting) {
        assert!(waiting.paused());
        pass(plugin, SECOND / 2);
        replayed(waiting);
    }
    assert_eq!(proxy.worker().hung(), []);
}

#[test]
fn who_waited_for_long_enough_is_told_to_come_again() {
    let plugin = memory(WAIT);
    let first = post("k").send(&plugin);
    let waiting = post("k").send(&plugin);
    pass(&plugin, Duration::from_millis(1_975));
    assert!(waiting.paused());
    pass(&plugin, Duration::from_millis(50));
    let reply = waiting.finish().reply.unwrap();
    assert_eq!((reply.status, header(&reply, "retry-after").as_deref()), (409, Some("28")));
    first.abort();
}

#[test]
fn who_waits_for_a_request_that_is_given_up_runs_in_its_place() {
    let plugin = memory(WAIT);
    let first = post("k").send(&plugin);
    let mut waiting = post("k").send(&plugin);
    answered(first, "429");
    pass(&plugin, SECOND / 2);
    assert_eq!(state(&waiting), "claimed");
    assert!(waiting.request_header("x-holdfast-fence").is_some());
    receipt(&mut waiting);
    waiting.finish();
    replayed(post("k").send(&plugin));
}

#[test]
fn another_payload_does_not_wait() {
    let plugin = memory(WAIT);
    let first = post("k").send(&plugin);
    is(post("k").body(b"{}").send(&plugin), 422, "mismatch");
    first.abort();
}

#[test]
fn who_waits_when_the_lease_ends_is_told_that_nobody_knows() {
    let plugin = memory(r#""on_in_flight": "wait", "wait": "5s", "lease": "2s""#);
    let first = post("k").send(&plugin);
    let waiting = post("k").send(&plugin);
    pass(&plugin, Duration::from_secs(4));
    is(waiting, 409, "uncertain");
    first.abort();
}

#[test]
fn a_request_that_waits_asks_less_and_less_often() {
    let plugin = memory(r#""on_in_flight": "wait", "wait": "30s""#);
    let first = post("k").send(&plugin);
    let waiting = post("k").send(&plugin);
    plugin.host().clear_calls();
    pass(&plugin, Duration::from_secs(10));
    let asked =
        plugin.host().call_lines().iter().filter(|line| line.starts_with("shared_get") && line.contains(";s")).count();
    assert!((10..20).contains(&asked), "{asked}");
    waiting.abort();
    first.abort();
}

/// Virtual or real: a wait that is measured by a clock that steps back must not begin anew for ever.
#[test]
fn a_clock_that_steps_back_makes_nobody_wait_much_longer() {
    let plugin = memory(WAIT);
    let first = post("k").send(&plugin);
    let waiting = post("k").send(&plugin);
    pass(&plugin, SECOND);
    plugin.host().proxy().clock().step_back(Duration::from_secs(3_600));
    pass(&plugin, Duration::from_secs(4));
    is(waiting, 409, "in_flight");
    first.abort();
}

#[test]
fn many_wait_and_no_callback_wakes_more_than_a_stack_bears() {
    let plugin = memory(r#""on_in_flight": "wait", "wait": "5s""#);
    let mut first = post("k").send(&plugin);
    let waiting: Vec<_> = (0..300).map(|_| post("k").send(&plugin)).collect();
    receipt(&mut first);
    first.finish();
    plugin.host().proxy().advance(SECOND);
    for woken in [64, 128, 192, 256, 300] {
        plugin.tick();
        assert_eq!(waiting.iter().filter(|call| !call.paused()).count(), woken);
    }
    for call in waiting {
        replayed(call);
    }
}

#[test]
fn in_a_store_that_is_called_one_waits_as_well() {
    let mut shop = Shop::redis(2, WAIT);
    let first = shop.send(&post("k"));
    let waiting = post("k").send(&shop.workers[1]);
    shop.serve();
    assert!(waiting.paused());
    shop.rest(SECOND);
    shop.receipt(first);
    shop.rest(SECOND);
    replayed(waiting);
    let (first, late) = (shop.send(&post("j")), post("j").send(shop.one()));
    shop.rest(Duration::from_millis(2_200));
    is(late, 409, "in_flight");
    first.abort();
    shop.is_quiet();
}

/// T14: what is asked in a tick is the root's, and doesn't die with one of those that wait.
#[test]
fn who_waits_asks_again_by_the_root() {
    let mut shop = Shop::redis(1, WAIT).warm();
    let first = shop.send(&post("k"));
    let waiting = [(); 2].map(|()| post("k").send(shop.one()));
    shop.serve();
    shop.wait(Duration::from_millis(55));
    let [one, other] = waiting;
    assert_eq!(shop.one().host().pending_callouts().len(), 1);
    one.abort();
    assert_eq!(shop.one().host().pending_callouts().len(), 1);
    shop.receipt(first);
    shop.rest(SECOND);
    replayed(other);
    shop.is_quiet();
}

#[test]
fn who_waits_when_the_store_goes_down_is_told_so() {
    let mut shop = Shop::redis(1, WAIT);
    let first = shop.send(&post("k"));
    let waiting = post("k").send(shop.one());
    shop.serve();
    for _ in 0..200 {
        shop.tick();
        shop.silence();
    }
    is(waiting, 503, "store");
    first.abort();
    shop.rest(Duration::from_secs(10));
    shop.is_quiet();
}

// === per_tenant_in_flight ===

const TWO: &str = r#""per_tenant_in_flight": 2, "tenant": ["x-tenant"]"#;

fn of(tenant: &str, key: &str) -> Ask {
    post(key).with("x-tenant", tenant)
}

#[test]
fn a_tenant_has_so_many_requests_under_way_over_all_workers() {
    let proxy = envoy();
    let [one, other] = [(); 2].map(|()| worker(&proxy, MEMORY, TWO));
    let first = of("a", "1").send(&one);
    let second = of("a", "2").send(&other);
    let refused = of("a", "3").send(&one).finish().reply.unwrap();
    assert_eq!((refused.status, header(&refused, "retry-after").as_deref()), (429, Some("1")));
    let another = of("b", "1").send(&other);
    assert_eq!(state(&another), "claimed", "others are no worse off");
    answered(first, "200");
    let third = of("a", "3").send(&other);
    assert_eq!(state(&third), "claimed", "there is room again, and nothing was claimed before");
    is(of("a", "4").send(&one), 429, "tenant_busy");
    assert_eq!(metric(&proxy, "refused_total;cause=tenant_busy"), 2);
    leave([second, third, another]);
    assert_eq!(state(&of("a", "5").send(&one)), "claimed");
}

#[test]
fn however_a_request_ends_it_counts_no_longer() {
    let ends: [fn(Call); 4] = [
        |call| _ = call.abort(),
        |call| _ = answered(call, "500"),
        |mut call| {
            call.local_reply(504, 4, "response_timeout");
            call.finish();
        },
        |mut call| {
            call.respond(&[(":status", "200"), ("content-type", "text/event-stream")], false);
            call.cut(64);
        },
    ];
    let plugin = memory(r#""per_tenant_in_flight": 1"#);
    for (n, end) in ends.into_iter().enumerate() {
        let call = post(&n.to_string()).send(&plugin);
        assert!(call.passed(), "{n}");
        is(post("other").send(&plugin), 429, "tenant_busy");
        end(call);
    }
    assert!(runs(&plugin, &post("last")));
}

#[test]
fn a_repeat_that_is_answered_at_once_leaves_no_trace() {
    let plugin = memory(r#""per_tenant_in_flight": 2"#);
    let first = post("k").send(&plugin);
    for _ in 0..10 {
        is(post("k").send(&plugin), 409, "in_flight");
    }
    first.abort();
}

/// Its worker died without a word.
#[test]
fn who_is_never_heard_of_again_counts_for_a_lease() {
    let plugin = memory(r#""per_tenant_in_flight": 1"#);
    let lost = post("1").send(&plugin);
    core::mem::forget(lost);
    plugin.host().proxy().advance(Duration::from_secs(29));
    is(post("2").send(&plugin), 429, "tenant_busy");
    plugin.host().proxy().advance(SECOND);
    assert_eq!(state(&post("2").send(&plugin)), "claimed");
}

#[test]
fn without_shared_data_to_count_in_nobody_is_refused_for_a_number() {
    let mut shop = Shop::redis(1, r#""per_tenant_in_flight": 1"#);
    shop.proxy.fail_shared(true);
    let calls = [shop.send(&post("1")), shop.send(&post("2"))];
    assert!(calls.iter().all(Call::passed));
    leave(calls);
}
