//! The same breaker in Kong with its counts in metrics, and in cells where the file's name (`circuit-breaker.wasm`) leaves it none.

use crate::support::{BRISK, GET, Plugin, SECOND, break_it, call, cause, counted, hyphenated, kong, stored, worker};
use sdk_shim::fake::FakeProxy;

fn both() -> [FakeProxy; 2] {
    [kong(), hyphenated()]
}

/// Two workers that have each seen a request.
fn pair(proxy: &FakeProxy, config: &str) -> [Plugin; 2] {
    let workers = [(); 2].map(|()| worker(proxy, config));
    for worker in &workers {
        worker.request(GET).abort();
    }
    workers
}

#[test]
fn every_outcome_is_counted_alike() {
    for proxy in both() {
        let [a, b] = pair(&proxy, r#"{"minimum_calls": 1000}"#);
        for (n, status) in ["200", "204", "302", "404", "429", "500", "502", "503"].into_iter().enumerate() {
            let mut request = [&a, &b][n % 2].request(GET);
            if status == "200" {
                proxy.advance(SECOND * 3);
            }
            request.respond(&[(":status", status)], true);
            request.finish();
        }
        a.request(GET).abort();
        assert_eq!(counted(&proxy), [5, 3, 1, 0]);
        assert!(a.host().traps().is_empty() && b.host().traps().is_empty());
    }
}

#[test]
fn it_opens_probes_and_closes_in_all_workers() {
    for proxy in both() {
        let [a, b] = pair(&proxy, BRISK);
        break_it(&a);
        for worker in [&a, &b] {
            proxy.advance(SECOND / 50);
            assert_eq!(cause(worker).as_deref(), Some("open"));
        }
        proxy.advance(SECOND);
        assert!(call(&b, "200"), "the probe");
        proxy.advance(SECOND * 11);
        (0..3).for_each(|_| [&a, &b].into_iter().for_each(|worker| _ = call(worker, "200")));
        assert_eq!(stored(&a, BRISK).unwrap().phase.as_str(), "closed");
    }
}

#[test]
fn a_window_is_what_both_workers_saw_and_forgets() {
    let config = r#"{"minimum_calls": 10, "failure_ratio": 0.5, "window": {"time": "10s"}}"#;
    for proxy in both() {
        let [a, b] = pair(&proxy, config);
        (0..8).for_each(|n| assert!(call([&a, &b][n % 2], "500")));
        // Eight failures are forgotten, to one slot.
        for _ in 0..12 {
            proxy.advance(SECOND);
            a.tick();
            b.tick();
        }
        (0..9).for_each(|n| assert!(call([&a, &b][n % 2], "500"), "{n} of the window that counts"));
        assert_eq!((cause(&a), call(&b, "500")), (None, true));
        proxy.advance(SECOND / 50);
        assert_eq!((cause(&a).as_deref(), cause(&b).as_deref()), (Some("open"), Some("open")));
    }
}

#[test]
fn a_window_of_calls_works_too() {
    for proxy in both() {
        let [a, b] = pair(&proxy, r#"{"window": {"calls": 10}, "minimum_calls": 10, "failure_ratio": 0.5}"#);
        (0..20).for_each(|n| assert!(call([&a, &b][n % 2], "200")));
        let passed = (0..20).take_while(|n| call([&a, &b][n % 2], "500")).count();
        assert!((5..=7).contains(&passed), "{passed}");
    }
}

/// What the cell held is gone, and with it the window; nothing older comes back.
#[test]
fn counts_that_are_evicted_open_nothing() {
    let proxy = hyphenated();
    let plugin = worker(&proxy, r#"{"minimum_calls": 10, "failure_ratio": 0.5}"#);
    (0..9).for_each(|_| assert!(call(&plugin, "500")));
    proxy.evict_shared("holdfast_circuit_breaker_calls;chain=downstream;instance=default;key=checkout");
    assert!(call(&plugin, "200") && call(&plugin, "500"));
    assert_eq!((counted(&proxy), cause(&plugin)), ([1, 1, 0, 0], None));
    (0..8).for_each(|_| assert!(call(&plugin, "500")));
    assert_eq!(cause(&plugin).as_deref(), Some("open"));
}

/// A store that says nothing for a while is no window that begins anew, and none that brings back what was forgotten.
#[test]
fn counts_that_cant_be_read_change_nothing() {
    let proxy = hyphenated();
    let plugin = worker(&proxy, r#"{"minimum_calls": 10, "failure_ratio": 0.5}"#);
    (0..30).for_each(|_| assert!(call(&plugin, "200")));
    proxy.fail_shared(true);
    (0..5).for_each(|_| assert!(call(&plugin, "500"), "without its state nobody is refused"));
    proxy.advance(SECOND);
    plugin.tick();
    proxy.fail_shared(false);
    assert_eq!(counted(&proxy), [30, 0, 0, 0]);
    let passed = (0..40).take_while(|_| call(&plugin, "500")).count();
    assert_eq!(passed, 30, "the thirty successes are still in the window");
}

#[test]
fn without_metrics_nothing_is_defined_and_the_log_says_so() {
    let proxy = hyphenated();
    let plugin = worker(&proxy, BRISK);
    break_it(&plugin);
    (0..3).for_each(|_| plugin.tick());
    assert!(proxy.metrics().is_empty(), "{:?}", proxy.metrics());
    let told = plugin.host().logs().into_iter().filter(|line| line.line.contains("no metrics")).count();
    assert_eq!(told, 1);
}
