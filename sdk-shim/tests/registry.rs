//! Who is a key: one list for all workers, with an exact bound.
#![allow(missing_docs)]

use proptest::prelude::*;
use sdk_shim::cell::CellError;
use sdk_shim::fake::{FakeHost, FakeProxy};
use sdk_shim::registry::{Membership, Registry};
use std::rc::Rc;

/// One worker's view of the list.
#[derive(Clone)]
struct Worker(FakeHost, Rc<Registry>);

impl Worker {
    fn start(proxy: &FakeProxy, max: u32) -> Self {
        Self(proxy.worker(), Rc::new(Registry::new("keys".into(), max)))
    }

    fn admit(&self, name: &str) -> Membership {
        self.1.admit(&self.0, name, false)
    }

    fn admit_client(&self, name: &str) -> Membership {
        self.1.admit(&self.0, name, true)
    }

    fn learn(&self) -> Vec<String> {
        self.1.refresh(&self.0, u32::MAX)
    }
}

fn proxies() -> [FakeProxy; 2] {
    [FakeProxy::envoy(), FakeProxy::wasmx()]
}

fn workers<const N: usize>(proxy: &FakeProxy, max: u32) -> [Worker; N] {
    [(); N].map(|()| Worker::start(proxy, max))
}

/// The list as a worker sees it that has just started.
fn list(proxy: &FakeProxy, max: u32) -> Vec<String> {
    Worker::start(proxy, max).learn()
}

/// Fails the test at the `left`th write from now, so that a loop without an end has one.
fn at_most_writes(proxy: &FakeProxy, left: u32) {
    let again = proxy.clone();
    proxy.on_next_set(Box::new(move || {
        assert!(left > 0, "it writes without an end");
        at_most_writes(&again, left - 1);
    }));
}

#[test]
fn every_worker_gives_a_name_the_same_number() {
    for proxy in proxies() {
        let [a, b, c] = workers(&proxy, 10);
        assert_eq!(
            (a.admit("orders"), b.admit("stock"), a.admit("stock")),
            (Membership::Member(0), Membership::Member(1), Membership::Member(1))
        );
        assert_eq!(c.learn(), ["orders", "stock"]);
        assert_eq!((c.admit("stock"), c.1.len()), (Membership::Member(1), 2));
    }
}

#[test]
fn a_known_name_costs_no_host_call() {
    let [worker] = workers(&FakeProxy::envoy(), 10);
    worker.admit("orders");
    worker.0.clear_calls();
    assert_eq!(worker.admit("orders"), Membership::Member(0));
    assert!(worker.0.calls().is_empty());
}

#[test]
fn two_workers_that_add_at_one_moment_both_get_in() {
    for proxy in proxies() {
        let [a, b] = workers(&proxy, 10);
        proxy.on_next_set(Box::new(move || assert_eq!(b.admit("stock"), Membership::Member(0))));
        assert_eq!(a.admit("orders"), Membership::Member(1));
        assert_eq!(list(&proxy, 10), ["stock", "orders"]);
    }
}

#[test]
fn two_workers_that_add_the_same_name_add_it_once() {
    for proxy in proxies() {
        let [a, b] = workers(&proxy, 10);
        proxy.on_next_set(Box::new(move || assert_eq!(b.admit("orders"), Membership::Member(0))));
        assert_eq!(a.admit("orders"), Membership::Member(0));
        assert_eq!(list(&proxy, 10), ["orders"]);
    }
}

#[test]
fn the_last_place_is_given_once() {
    for proxy in proxies() {
        let [a, b] = workers(&proxy, 1);
        proxy.on_next_set(Box::new(move || assert_eq!(b.admit("stock"), Membership::Member(0))));
        assert_eq!(a.admit("orders"), Membership::Full);
        assert_eq!(list(&proxy, 1), ["stock"]);
    }
}

#[test]
fn clients_fill_half_of_it_and_leave_the_rest_to_routes() {
    for (max, quota) in [(1, 1), (2, 1), (5, 3), (10, 5)] {
        for proxy in proxies() {
            let [a, b] = workers(&proxy, max);
            let admitted =
                (0..20).filter(|n| [&a, &b][n % 2].admit_client(&format!("tenant-{n}")) != Membership::Full).count();
            assert_eq!(admitted, quota, "of {max}");
            let routes = (0..20).filter(|n| [&a, &b][n % 2].admit(&format!("route-{n}")) != Membership::Full).count();
            assert_eq!(routes, usize::try_from(max).unwrap() - quota);
        }
    }
}

#[test]
fn who_is_in_stays_in_when_it_is_full() {
    let [worker] = workers(&FakeProxy::envoy(), 2);
    worker.admit_client("tenant");
    worker.admit("route");
    assert_eq!(worker.admit_client("tenant"), Membership::Member(0));
    assert_eq!([worker.admit("other"), worker.admit_client("other")], [Membership::Full; 2]);
}

#[test]
fn a_full_list_costs_no_host_call() {
    let [worker] = workers(&FakeProxy::envoy(), 1);
    worker.admit("route");
    worker.0.clear_calls();
    assert_eq!(worker.admit("another"), Membership::Full);
    assert!(worker.0.calls().is_empty(), "{:?}", worker.0.call_lines());
}

#[test]
fn a_tick_learns_a_limited_number() {
    let proxy = FakeProxy::envoy();
    let [a, b] = workers(&proxy, 100);
    (0..7).for_each(|n| assert_ne!(a.admit(&format!("route-{n}")), Membership::Full));
    assert_eq!([b.1.refresh(&b.0, 5).len(), b.1.refresh(&b.0, 5).len(), b.1.refresh(&b.0, 5).len()], [5, 2, 0]);
}

#[test]
fn without_shared_data_nobody_is_a_key_until_it_is_back() {
    for proxy in proxies() {
        let [worker] = workers(&proxy, 10);
        proxy.fail_shared(true);
        assert!(matches!(worker.admit("orders"), Membership::Unavailable(CellError::Unavailable(_))));
        assert!(worker.learn().is_empty());
        proxy.fail_shared(false);
        assert_eq!(worker.admit("orders"), Membership::Member(0));
    }
}

#[test]
fn lists_of_other_prefixes_are_other_lists() {
    let proxy = FakeProxy::envoy();
    let host = proxy.worker();
    let [one, other] = ["a", "b"].map(|prefix| Registry::new(prefix.into(), 1));
    assert_eq!([one.admit(&host, "x", false), other.admit(&host, "y", false)], [Membership::Member(0); 2]);
}

/// A place that holds what nobody can read: of a newer version, or emptied by hand.
#[test]
fn a_place_that_cant_be_read_is_no_reason_to_hang() {
    for value in [&b"\x05\x00keys0\x02newer"[..], b"\x05\x00keys0", b""] {
        for proxy in proxies() {
            let [worker] = workers(&proxy, 10);
            proxy.put_shared("keys0", b"something");
            proxy.put_shared("keys0", value);
            at_most_writes(&proxy, 100);
            assert_ne!(worker.admit("orders"), Membership::Full);
        }
    }
}

#[test]
fn a_place_that_holds_no_name_is_used_again() {
    for proxy in proxies() {
        let [first, second] = workers(&proxy, 10);
        // A name of another version: the place's own name, then bytes that are no entry.
        proxy.put_shared("keys0", b"\x05\x00keys0\x02newer");
        assert_eq!(first.admit("orders"), Membership::Member(0));
        assert_eq!(second.admit("payments"), Membership::Member(1));
        assert_eq!(second.admit("orders"), Membership::Member(0));
    }
}

proptest! {
    /// Workers come in any order, and between each other's look and write.
    #[test]
    fn the_bound_is_exact_and_the_list_is_one(
        max in 1u32..8,
        turns in prop::collection::vec((0usize..4, 0u8..12, prop::option::of((0usize..4, 0u8..12))), 1..60),
        kong: bool,
    ) {
        let proxy = if kong { FakeProxy::wasmx() } else { FakeProxy::envoy() };
        let all: [Worker; 4] = workers(&proxy, max);
        // Names from 6 on are clients'.
        let admit = |worker: &Worker, name: u8| worker.1.admit(&worker.0, &format!("name-{name}"), name >= 6);
        for (worker, name, between) in turns {
            if let Some((other, its)) = between {
                let other = all[other].clone();
                proxy.on_next_set(Box::new(move || {
                    admit(&other, its);
                }));
            }
            admit(&all[worker], name);
        }
        let names = list(&proxy, max);
        prop_assert!(names.len() <= max as usize);
        let clients = names.iter().filter(|name| name[5..].parse::<u8>().unwrap() >= 6).count();
        prop_assert!(clients <= max.div_ceil(2) as usize, "{names:?}");
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        prop_assert_eq!(distinct.len(), names.len());
        for worker in &all {
            worker.learn();
            for (number, name) in names.iter().enumerate() {
                prop_assert_eq!(worker.admit(name), Membership::Member(u32::try_from(number).unwrap()));
            }
        }
    }
}
