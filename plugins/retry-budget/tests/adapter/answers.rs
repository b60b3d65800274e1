//! Failing answers: who may be retried, and what the client sees.

use crate::support::{GET, STRICT, Tries, entry, envoy, healthy, up, vetoed, worker};

#[test]
fn one_retry_for_five_requests_whichever_worker_they_come_to() {
    let proxy = envoy();
    let [a, b] = [(); 2].map(|()| worker(&proxy, STRICT));
    healthy(&a, 3);
    assert!(Tries::of(&b).answer(1, "503"), "four requests have none");
    assert!(!Tries::of(&b).answer(1, "503"), "five have one");
    assert!(Tries::of(&a).answer(1, "503"), "and it was given in the other worker");
    healthy(&b, 3);
    assert!(!Tries::of(&a).answer(1, "500"), "ten have two");
    assert_eq!((up(&proxy, "requests_total"), up(&proxy, "granted_total")), (10, 2));
    assert_eq!(up(&proxy, "refused_total;cause=budget"), 2);
}

#[test]
fn a_granted_retry_asks_for_nothing_when_it_begins_and_for_the_next_when_it_fails() {
    let proxy = envoy();
    let plugin = worker(&proxy, STRICT);
    healthy(&plugin, 9);
    let tries = Tries::of(&plugin);
    assert!(!tries.answer(1, "503"));
    assert!(!tries.answer(2, "503"));
    assert_eq!((up(&proxy, "granted_total"), up(&proxy, "retries_total")), (2, 1));
    assert!(tries.answer(3, "503"), "ten requests have two");
    assert_eq!(tries.line(), "3,7,1,1,0");
}

#[test]
fn what_the_routes_dont_retry_asks_for_nothing() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream", "min_retries_per_second": 0, "ratio": 0}"#);
    for status in ["200", "204", "301", "404", "409", "429"] {
        assert!(!Tries::of(&plugin).answer(1, status), "{status}");
    }
    assert!(Tries::of(&plugin).answer(1, "500"));
    let picky = entry(
        plugin.host(),
        r#"{"chain": "upstream", "instance": "picky", "ratio": 0, "min_retries_per_second": 0, "retry_on": {"status": [409]}}"#,
    );
    assert!(Tries::of(&picky).answer(1, "409"));
    assert!(!Tries::of(&picky).answer(1, "500"));
}

#[test]
fn a_grpc_answer_is_judged_by_its_status() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 0}"#);
    let begin = || plugin.stream().with_body().attempt(1).request(GET);
    let with = |grpc: &str| {
        let mut call = begin();
        call.respond(&[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", grpc)], true);
        let vetoed = call.response_header("x-envoy-ratelimited").is_some();
        call.finish();
        vetoed
    };
    assert_eq!(
        ["0", "14", "8", "13", "4", "1", "5", "3"].map(with),
        [false, true, true, true, true, true, false, false]
    );
}

#[test]
fn a_service_may_ask_to_be_left_alone_for_a_while_or_for_ever() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream", "ratio": 1, "max_pushback": "10s"}"#);
    let answer = |more: &[(&'static str, &'static str)]| {
        let mut call = plugin.attempt(1, GET);
        let headers: Vec<(&str, &str)> = [(":status", "503")].into_iter().chain(more.iter().copied()).collect();
        call.respond(headers.as_slice(), true);
        let told = (call.response_header("x-holdfast-retry-in"), call.response_header("x-envoy-ratelimited").is_some());
        call.finish();
        told
    };
    assert_eq!(answer(&[]), (None, false));
    assert_eq!(answer(&[("retry-after", "3")]), (Some("3".into()), false));
    assert_eq!(answer(&[("retry-after", "0")]), (None, false));
    assert_eq!(answer(&[("grpc-retry-pushback-ms", "1500")]), (Some("2".into()), false));
    assert_eq!(answer(&[("retry-after", "11")]), (None, true), "no client waits that long");
    assert_eq!(answer(&[("grpc-retry-pushback-ms", "-1")]), (None, true));
    assert_eq!((up(&proxy, "granted_total"), up(&proxy, "refused_total;cause=pushback")), (4, 2));
}

#[test]
fn the_floor_lets_a_quiet_route_retry_at_all() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream", "ratio": 0, "min_retries_per_second": 1, "ttl": "5s"}"#);
    let granted = (0..20).filter(|_| !Tries::of(&plugin).answer(1, "503")).count();
    assert_eq!((granted, up(&proxy, "floor")), (5, 5));
}

#[test]
fn a_dry_run_touches_nothing_and_counts_what_it_would_have_done() {
    let proxy = envoy();
    let plugin = worker(&proxy, r#"{"chain": "upstream", "mode": "dry_run", "ratio": 0, "min_retries_per_second": 0}"#);
    let tries = Tries::of(&plugin);
    for nth in 1..=4 {
        let mut call = tries.begin(nth);
        call.respond(&[(":status", "503"), ("retry-after", "1"), ("x-holdfast-retry-in", "9")], true);
        assert_eq!(call.response_header("x-envoy-ratelimited"), None);
        assert_eq!(call.response_header("x-holdfast-retry-in").as_deref(), Some("9"), "theirs, as it came");
        call.finish();
    }
    assert_eq!((up(&proxy, "would_refuse_total;cause=budget"), up(&proxy, "granted_total")), (4, 0));
    assert_eq!(up(&proxy, "refused_total;cause=budget"), 0);
}

#[test]
fn a_share_of_the_requests_is_dry_run() {
    let proxy = envoy();
    let plugin =
        worker(&proxy, r#"{"chain": "upstream", "enforce_ratio": 0.5, "ratio": 0, "min_retries_per_second": 0}"#);
    let stopped = (0..400).filter(|_| Tries::of(&plugin).answer(1, "503")).count();
    assert!((140..260).contains(&stopped), "{stopped}");
    assert_eq!(up(&proxy, "refused_total;cause=budget") + up(&proxy, "would_refuse_total;cause=budget"), 400);
}

#[test]
fn disabled_does_nothing_at_all() {
    let plugin = worker(&envoy(), r#"{"chain": "upstream", "mode": "disabled"}"#);
    plugin.host().clear_calls();
    assert!(!Tries::of(&plugin).answer(1, "503"));
    assert!(plugin.host().calls().is_empty());
}

#[test]
fn the_log_tells_once_that_a_budget_is_empty_and_once_that_it_isnt() {
    let proxy = envoy();
    let plugin = worker(&proxy, STRICT);
    for _ in 0..20 {
        (0..5).for_each(|_| _ = vetoed(plugin.attempt(1, GET), &[(":status", "503")]));
        plugin.tick();
    }
    let told = |event: &str| plugin.host().logs().iter().filter(|log| log.line.contains(event)).count();
    assert_eq!((told(r#""event":"empty""#), told(r#""event":"refilled""#)), (1, 0));
    (0..=11).for_each(|_| plugin.tick());
    assert_eq!((told(r#""event":"empty""#), told(r#""event":"refilled""#)), (1, 1));
}
