//! Several workers decide as one.

use crate::support::{
    BRISK, Call, GET, SECOND, answer, break_it, brisk, call, cause, envoy, kong, metric, stored, worker,
};
use core::time::Duration;

#[test]
fn one_workers_failures_open_the_breaker_for_all_within_state_refresh() {
    for proxy in [envoy(), kong()] {
        let [a, b] = [(); 2].map(|()| worker(&proxy, BRISK));
        assert!(call(&a, "200") && call(&b, "200"));
        break_it(&a);
        assert_eq!(cause(&a).as_deref(), Some("open"));
        proxy.advance(Duration::from_millis(10));
        assert_eq!(cause(&b).as_deref(), Some("open"));
        assert_eq!(metric(&proxy, "transitions_total;to=open"), 1);
        assert_eq!(metric(&proxy, "rejected_total;cause=open"), 2);
    }
}

#[test]
fn failures_spread_over_workers_add_up() {
    let config = r#"{"minimum_calls": 20, "failure_ratio": 0.5}"#;
    for proxy in [envoy(), kong()] {
        let workers = [(); 4].map(|()| worker(&proxy, config));
        assert!(workers.iter().all(|worker| call(worker, "200")));
        let passed = (0..100).take_while(|n| call(&workers[n % 4], "500")).count();
        // Sixteen would do for the worker that saw all four successes; the last one's window began after them.
        assert!((16..=20).contains(&passed), "{passed}");
        assert_eq!(metric(&proxy, "calls_total;outcome=failure") + metric(&proxy, "stale_total"), passed as u64);
        assert_eq!(metric(&proxy, "transitions_total;to=open"), 1);
    }
}

#[test]
fn a_worker_judges_by_what_the_others_saw() {
    let config = r#"{"minimum_calls": 10, "failure_ratio": 0.5}"#;
    for proxy in [envoy(), kong()] {
        let [busy, idle] = [(); 2].map(|()| worker(&proxy, config));
        assert!(call(&busy, "200"));
        // Kong's workers know what they may count with only from a request on.
        idle.request(GET).abort();
        idle.tick();
        for status in ["200", "500", "200", "500", "200", "500", "404", "500", "201"] {
            assert!(call(&busy, status));
            proxy.advance(SECOND / 2);
            idle.tick();
        }
        assert_eq!(metric(&proxy, "transitions_total;to=open"), 0, "four of ten failed");
        assert!(call(&idle, "500"));
        assert_eq!(metric(&proxy, "transitions_total;to=open"), 1, "one of five failures was here");
    }
}

/// The line of a transition is stored with it, so that who hears of it late counts from the same point.
#[test]
fn a_worker_that_hears_late_of_a_transition_counts_from_its_line() {
    let config = r#"{"minimum_calls": 10, "open": {"base": "1s", "jitter": 0}, "recovery": {"over": 0}}"#;
    for proxy in [envoy(), kong()] {
        let [a, b] = [(); 2].map(|()| worker(&proxy, config));
        assert!(call(&b, "200"));
        assert!((0..20).any(|_| !call(&a, "500")), "A opens it");
        proxy.advance(SECOND);
        assert!(call(&a, "200"), "the probe; now it is closed");
        (0..9).for_each(|_| assert!(call(&a, "500")));
        assert!(call(&b, "200"), "B doesn't yet know that it ever was open");
        assert!(call(&b, "500"), "the tenth or eleventh since the line");
        assert_eq!(metric(&proxy, "transitions_total;to=open"), 2);
    }
}

#[test]
fn two_workers_that_race_for_the_probe_send_one() {
    for proxy in [envoy(), kong()] {
        let [a, b] = [(); 2].map(|()| worker(&proxy, BRISK));
        break_it(&a);
        assert!(call(&b, "200") || cause(&b).is_some());
        proxy.advance(SECOND);
        let racer = b.clone();
        let second = std::rc::Rc::new(std::cell::Cell::new(None));
        let seen = second.clone();
        // B decides between A's look at the state and A's write.
        proxy.on_next_set(Box::new(move || {
            let call = racer.request(GET);
            seen.set(Some(call.passed()));
            std::mem::forget(call);
        }));
        assert_eq!(cause(&a).as_deref(), Some("half_open"), "A looks again, and sees B's probe");
        assert_eq!(second.get(), Some(true));
    }
}

#[test]
fn permits_hold_over_all_workers() {
    let config = brisk(r#""half_open": {"permits": 3, "successes": 3}"#);
    let proxy = envoy();
    let workers = [(); 4].map(|()| worker(&proxy, &config));
    break_it(&workers[0]);
    proxy.advance(SECOND);
    let calls: Vec<_> = (0..64).map(|n| workers[n % 4].request(GET)).collect();
    let (probes, refused): (Vec<_>, Vec<_>) = calls.into_iter().partition(Call::passed);
    assert_eq!((probes.len(), refused.len()), (3, 61));
    assert!(probes.into_iter().all(|probe| answer(probe, "200")));
    assert_eq!(stored(&workers[0], &config).unwrap().phase.as_str(), "recovering");
    assert_eq!(metric(&proxy, "probes_total;result=success"), 3);
}
