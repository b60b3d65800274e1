//! The budget of clients' retries in Kong where its counts are in cells: the file's name (`retry-budget.wasm`) leaves it no metrics.

use crate::support::{Plugin, SECOND, header, kong, worker};
use sdk_shim::cell::MAX_TRIES;
use sdk_shim::fake::FakeProxy;

/// One retry for five first tries, and none besides.
const FIFTH: &str = r#"{"client_retries": {"ratio": 0.2, "min_retries_per_second": 0}}"#;
/// One per second, whatever comes.
const FLOOR: &str = r#"{"client_retries": {"ratio": 0, "min_retries_per_second": 1}}"#;
const COUNTS: &str = "holdfast_retry_budget_client_counts;chain=downstream;instance=default;key=checkout";

fn hyphenated() -> FakeProxy {
    let proxy = kong();
    proxy.set("plugin_name", "retry-budget");
    proxy
}

fn workers(proxy: &FakeProxy, config: &str) -> [Plugin; 3] {
    [(); 3].map(|()| worker(proxy, config))
}

/// First tries, one worker after the other.
fn first_tries(workers: &[Plugin], count: usize) {
    workers.iter().cycle().take(count).for_each(|worker| assert!(ask(worker, &[])));
}

/// A request comes. Gives whether it passed.
fn ask(worker: &Plugin, more: &[(&str, &str)]) -> bool {
    let headers: Vec<(&str, &str)> = [(":method", "GET"), (":path", "/")].into_iter().chain(more.to_vec()).collect();
    let call = worker.request(headers.as_slice());
    let passed = call.passed();
    call.finish();
    passed
}

/// How many of these retries pass, one worker after the other.
fn passing(workers: &[Plugin], count: usize) -> usize {
    workers.iter().cycle().take(count).filter(|worker| ask(worker, &[("x-retry-attempt", "1")])).count()
}

/// So many slots pass.
fn slots(proxy: &FakeProxy, workers: &[Plugin], count: u32) {
    for _ in 0..count {
        proxy.advance(SECOND);
        workers.iter().for_each(Plugin::tick);
    }
}

#[test]
fn all_workers_together_keep_the_bound() {
    let proxy = hyphenated();
    let workers = workers(&proxy, FIFTH);
    first_tries(&workers, 50);
    assert_eq!(passing(&workers, 30), 10);
    first_tries(&workers[..1], 5);
    assert_eq!(passing(&workers[2..], 3), 1, "what one earns another one may spend");
}

#[test]
fn the_floor_is_there_without_any_first_try() {
    let proxy = hyphenated();
    let workers = workers(&proxy, FLOOR);
    assert_eq!(passing(&workers, 30), 10, "one per second, for ten seconds");
    slots(&proxy, &workers, 12);
    assert_eq!(passing(&workers, 30), 10);
}

#[test]
fn what_was_granted_is_forgotten_when_its_window_ends_and_not_before() {
    let proxy = hyphenated();
    let workers = workers(&proxy, FLOOR);
    assert_eq!(passing(&workers, 10), 10);
    slots(&proxy, &workers, 9);
    assert_eq!(passing(&workers, 3), 0);
    slots(&proxy, &workers, 3);
    assert_eq!(passing(&workers, 1), 1);
}

/// The worker that came late, and the one whose VM was made anew.
#[test]
fn a_worker_that_comes_late_sees_what_was_granted() {
    let proxy = hyphenated();
    let early = workers(&proxy, FLOOR);
    assert_eq!(passing(&early, 10), 10);
    assert_eq!(passing(&workers(&proxy, FLOOR), 9), 0);
}

#[test]
fn a_retry_too_many_is_shed_with_the_reason_and_the_log_says_why_nothing_is_shown() {
    let proxy = hyphenated();
    let workers = workers(&proxy, r#"{"client_retries": {"ratio": 0, "min_retries_per_second": 0}}"#);
    for worker in &workers {
        first_tries(core::slice::from_ref(worker), 3);
        let shed = worker.request(&[(":method", "GET"), (":path", "/"), ("x-retry-attempt", "1")]);
        let reply = shed.reply().expect("shed");
        let cause = header(&reply, "x-holdfast-reject");
        assert_eq!((reply.status, cause.as_deref()), (503, Some("retry-budget; cause=client_retry")));
        assert!(header(&reply, "retry-after").is_some());
        let grpc = [("content-type", "application/grpc"), ("grpc-previous-rpc-attempts", "1")];
        let reply = worker.request(&grpc).reply().expect("shed");
        assert_eq!(header(&reply, "grpc-retry-pushback-ms").as_deref(), Some("-1"));
        let told = worker.host().logs().into_iter().filter(|line| line.line.contains("no metrics")).count();
        assert_eq!(told, 1);
        assert!(worker.host().traps().is_empty());
    }
    assert!(proxy.metrics().is_empty(), "{:?}", proxy.metrics());
}

/// Memory was short: nobody knows what was granted.
#[test]
fn after_its_counts_were_evicted_nothing_is_granted_for_a_window() {
    let proxy = hyphenated();
    let workers = workers(&proxy, FLOOR);
    first_tries(&workers, 30);
    assert_eq!(passing(&workers, 10), 10);
    proxy.evict_shared(COUNTS);
    assert_eq!(passing(&workers, 6), 0);
    slots(&proxy, &workers, 10);
    assert_eq!(passing(&workers, 6), 0);
    slots(&proxy, &workers, 3);
    assert_eq!(passing(&workers, 1), 1);
}

/// Nobody knows how many there were: a client's retry is a request all the same. But it is counted, as soon as that can be.
#[test]
fn a_retry_that_cant_be_counted_passes_and_is_owed() {
    let proxy = hyphenated();
    let workers = workers(&proxy, FLOOR);
    assert_eq!(passing(&workers, 6), 6);
    proxy.mismatch_next(u32::try_from(MAX_TRIES).unwrap());
    assert_eq!(passing(&workers[..1], 1), 1);
    let told = |worker: &Plugin| worker.host().logs().iter().any(|line| line.line.contains("contended"));
    assert!(told(&workers[0]), "{:?}", workers[0].host().logs());
    first_tries(&workers[..1], 1);
    assert_eq!(passing(&workers, 6), 3, "six, and the one that was owed");
}

#[test]
fn the_store_says_nothing_and_everybody_passes() {
    let proxy = hyphenated();
    let workers = workers(&proxy, r#"{"client_retries": {"ratio": 0, "min_retries_per_second": 0}}"#);
    first_tries(&workers, 3);
    assert_eq!(passing(&workers, 3), 0);
    proxy.fail_shared(true);
    proxy.advance(SECOND);
    assert_eq!(passing(&workers, 3), 3);
    proxy.fail_shared(false);
    proxy.advance(SECOND);
    assert_eq!(passing(&workers, 3), 0);
}
