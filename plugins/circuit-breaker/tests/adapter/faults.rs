//! A host that fails: whatever becomes of shared data, requests go on and nothing hangs.

use crate::support::{
    BRISK, GET, SECOND, answer, break_it, call, cause, cell_name, count, envoy, kong, metric, stored, worker,
};
use core::time::Duration;
use sdk_shim::cell::MAX_TRIES;

#[test]
fn without_shared_data_requests_pass_and_the_errors_are_counted() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        assert!(call(&plugin, "200"));
        proxy.fail_shared(true);
        proxy.advance(SECOND);
        (0..10).for_each(|_| assert!(call(&plugin, "500")));
        assert_eq!(metric(&proxy, "store_errors_total"), 10);
        assert_eq!(metric(&proxy, "calls_total;outcome=failure"), 0, "what passed without a say is not judged");
        proxy.fail_shared(false);
        break_it(&plugin);
        assert_eq!(cause(&plugin).as_deref(), Some("open"), "and when it is back, all is well");
    }
}

#[test]
fn a_breaker_whose_cell_is_lost_from_sight_lets_requests_pass() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    break_it(&plugin);
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
    proxy.fail_shared(true);
    proxy.advance(Duration::from_millis(10));
    for millis in [0, 0, 3, 9, 1] {
        proxy.advance(Duration::from_millis(millis));
        assert_eq!(cause(&plugin), None, "nobody could ever close it again");
    }
}

#[test]
fn shared_data_that_goes_away_between_a_request_and_its_end_is_no_trouble() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        assert!(call(&plugin, "500"));
        let request = plugin.request(GET);
        proxy.fail_shared(true);
        assert!(answer(request, "500"), "the failure that would have opened it");
        assert!(metric(&proxy, "store_errors_total") > 0);
        plugin.tick();
    }
}

#[test]
fn from_the_very_first_request_on_without_shared_data() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        proxy.fail_shared(true);
        (0..5).for_each(|_| assert!(call(&plugin, "500")));
        plugin.tick();
        proxy.fail_shared(false);
        break_it(&plugin);
        assert_eq!(cause(&plugin).as_deref(), Some("open"));
    }
}

#[test]
fn the_log_says_so_five_times_a_second_and_then_how_much_it_left_out() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    call(&plugin, "200");
    proxy.fail_shared(true);
    proxy.advance(SECOND);
    (0..100).for_each(|_| assert!(call(&plugin, "200")));
    assert_eq!(plugin.host().logs().len(), 5);
    proxy.advance(SECOND);
    call(&plugin, "200");
    assert!(plugin.host().logs()[5].line.contains(r#""suppressed":95"#), "{:?}", plugin.host().logs()[5]);
}

// --- contention ---

#[test]
fn a_cell_that_others_keep_changing_is_given_up_after_a_few_tries() {
    for proxy in [envoy(), kong()] {
        let plugin = worker(&proxy, BRISK);
        break_it(&plugin);
        proxy.advance(SECOND);
        proxy.mismatch_next(1_000_000);
        plugin.host().clear_calls();
        assert_eq!(cause(&plugin).as_deref(), Some("half_open"), "somebody else probes then");
        assert_eq!(count(&plugin, "shared_set"), MAX_TRIES);
        proxy.mismatch_next(0);
        assert!(call(&plugin, "200"));
    }
}

#[test]
fn a_result_that_cannot_be_stored_is_dropped_and_the_next_one_opens() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    assert!(call(&plugin, "500"));
    proxy.mismatch_next(u32::try_from(MAX_TRIES).unwrap());
    assert!(call(&plugin, "500"));
    assert_eq!((cause(&plugin), metric(&proxy, "store_errors_total")), (None, 1));
    assert!(call(&plugin, "500"));
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
}

#[test]
fn losing_a_race_once_is_nothing() {
    let proxy = envoy();
    let plugin = worker(&proxy, BRISK);
    proxy.mismatch_next(3);
    break_it(&plugin);
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
}

/// Two workers see the failure that opens; one opens, the other finds it open.
#[test]
fn two_workers_that_open_at_one_moment_open_once() {
    for proxy in [envoy(), kong()] {
        let [a, b] = [(); 2].map(|()| worker(&proxy, BRISK));
        let pending = [a.request(GET), b.request(GET), a.request(GET)];
        let [first, second, third] = pending;
        assert!(answer(first, "500"));
        let racer = std::cell::RefCell::new(Some(second));
        proxy.on_next_set(Box::new(move || assert!(answer(racer.take().unwrap(), "500"))));
        assert!(answer(third, "500"));
        assert_eq!((metric(&proxy, "transitions_total;to=open"), stored(&a, BRISK).unwrap().opens), (1, 1));
    }
}

// --- cells that hold something else ---

#[test]
fn a_cell_that_nobody_can_read_is_taken_for_a_closed_breaker() {
    let name = cell_name(BRISK, "checkout");
    let header = [&u16::try_from(name.len()).unwrap().to_le_bytes()[..], name.as_bytes()].concat();
    for garbage in [&[][..], &[0xFF; 40], &[1], &[1, 9]] {
        for proxy in [envoy(), kong()] {
            proxy.put_shared(&name, &[header.as_slice(), garbage].concat());
            let plugin = worker(&proxy, BRISK);
            assert!(call(&plugin, "200"));
            break_it(&plugin);
            assert_eq!(cause(&plugin).as_deref(), Some("open"), "and overwritten");
        }
    }
}

#[test]
fn a_cell_that_is_not_ours_is_left_alone() {
    for proxy in [envoy(), kong()] {
        let name = cell_name(BRISK, "checkout");
        proxy.put_shared(&name, b"somebody else's");
        let plugin = worker(&proxy, BRISK);
        (0..5).for_each(|_| assert!(call(&plugin, "500")));
        assert_eq!(proxy.shared(&name).value.unwrap(), b"somebody else's");
        assert!(metric(&proxy, "store_errors_total") >= 5);
    }
}

/// `WasmX` drops the least used values when memory is short.
#[test]
fn an_evicted_cell_is_a_closed_breaker_that_can_open_again() {
    let proxy = kong();
    let plugin = worker(&proxy, BRISK);
    break_it(&plugin);
    proxy.evict_shared(&cell_name(BRISK, "checkout"));
    proxy.advance(Duration::from_millis(10));
    assert_eq!(cause(&plugin), None);
    plugin.tick();
    break_it(&plugin);
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
}

#[test]
fn a_probe_whose_cell_was_evicted_is_stale() {
    let proxy = kong();
    let plugin = worker(&proxy, BRISK);
    break_it(&plugin);
    proxy.advance(SECOND);
    let probe = plugin.request(GET);
    proxy.evict_shared(&cell_name(BRISK, "checkout"));
    assert!(answer(probe, "500"));
    assert_eq!((metric(&proxy, "stale_total"), cause(&plugin)), (1, None));
}
