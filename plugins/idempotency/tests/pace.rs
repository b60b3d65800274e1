//! So many new connections a second, over all workers of the proxy.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the numbers of these stories are small"
)]

use core::time::Duration;
use idempotency::pace::{PATIENCE, Pace};
use proptest::prelude::*;
use sdk_shim::time::Instant;

const SECOND: u64 = 1_000_000_000;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(1_700_000_000 * SECOND + nanos)
}

/// VMs that add to one counter.
struct Proxy {
    vms: Vec<Pace>,
    total: u64,
    /// When connections were opened.
    opened: Vec<u64>,
}

impl Proxy {
    fn new(vms: usize, per_second: u32) -> Self {
        Self { vms: vec![Pace::new(per_second); vms], total: 0, opened: Vec::new() }
    }

    /// A VM wants a connection.
    fn wants(&mut self, vm: usize, now: u64) -> bool {
        let may = self.vms[vm].may_open(at(now), self.total);
        if may {
            self.total += 1;
            self.opened.push(now);
        }
        may
    }

    /// The most that were opened in any time of that length.
    fn most_within(&self, length: u64) -> usize {
        let mut most = 0;
        let mut first = 0;
        for (last, now) in self.opened.iter().enumerate() {
            while self.opened[first] + length <= *now {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }
}

fn bucket(per_second: u32) -> f64 {
    (f64::from(per_second) / 50.0).max(1.0)
}

#[test]
fn one_worker_that_always_wants_one_gets_the_rate() {
    for per_second in [1, 3, 49, 50, 75, 200, 10_000] {
        let mut proxy = Proxy::new(1, per_second);
        // The host's clock is looked at 100,000 times a second.
        for step in 0..300_000 {
            proxy.wants(0, step * SECOND / 100_000);
        }
        let opened = proxy.opened.len() as f64;
        let (least, most) = (3.0 * f64::from(per_second), 3.0 * f64::from(per_second) + bucket(per_second));
        assert!(least * 0.98 <= opened && opened <= most, "{opened} in three seconds at {per_second}");
    }
}

#[test]
fn a_tick_of_ten_milliseconds_is_often_enough() {
    let mut proxy = Proxy::new(1, 200);
    for tick in 0..100 {
        while proxy.wants(0, tick * SECOND / 100) {}
    }
    assert!((198..=204).contains(&proxy.opened.len()), "{}", proxy.opened.len());
}

#[test]
fn who_asks_seldom_gets_a_bucket_each_time() {
    let mut proxy = Proxy::new(1, 200);
    for tick in 0..10 {
        let before = proxy.total;
        while proxy.wants(0, tick * SECOND) {}
        assert_eq!(proxy.total - before, 4);
    }
}

#[test]
fn a_worker_sees_what_the_others_opened() {
    let mut proxy = Proxy::new(2, 200);
    assert!(proxy.wants(1, 0), "it read the counter");
    while proxy.wants(0, 0) {}
    assert_eq!(proxy.total, 4 + 1, "the one that was there before its first look doesn't count");
    assert!(!proxy.wants(1, 0));
    assert!(!proxy.wants(1, SECOND / 200 - 1));
    assert!(proxy.wants(1, SECOND / 200));
}

#[test]
fn who_may_and_does_not_has_taken_nothing() {
    let mut pace = Pace::new(1);
    assert!((0..100).all(|_| pace.may_open(at(0), 0)));
    assert!(!pace.may_open(at(0), 1));
}

#[test]
fn workers_that_ask_less_often_get_something_too() {
    for slow in [3, 7, 20] {
        let mut proxy = Proxy::new(2, 200);
        let mut got = [0; 2];
        for milli in 0..10_000 {
            got[0] += u64::from(proxy.wants(0, milli * 1_000_000));
            if milli % slow == 0 {
                got[1] += u64::from(proxy.wants(1, milli * 1_000_000 + 500_000));
            }
        }
        assert!(got[1] >= 20, "{got:?} in ten seconds, asking every {slow} ms");
    }
}

/// Their timers fire one after the other, always in the same order: who is first could take all.
#[test]
fn nobody_is_starved() {
    for (workers, period) in [(2, 1), (2, 5), (5, 1), (5, 5), (5, 10)] {
        let mut proxy = Proxy::new(workers, 200);
        let mut got = vec![0; workers];
        for tick in 0..10_000 / period {
            for (vm, got) in got.iter_mut().enumerate() {
                *got += u64::from(proxy.wants(vm, tick * period * 1_000_000 + vm as u64));
            }
        }
        let fair = 10 * 200 / PATIENCE;
        assert!(got.iter().all(|got| *got >= fair * 9 / 10), "{got:?} in ten seconds, every {period} ms");
        assert!(proxy.most_within(SECOND) <= 287, "{}", proxy.most_within(SECOND));
    }
}

#[test]
fn a_rate_of_none_is_one() {
    let mut proxy = Proxy::new(1, 0);
    assert!(proxy.wants(0, 0));
    assert!(!proxy.wants(0, SECOND - 1));
    assert!(proxy.wants(0, SECOND));
}

#[test]
fn a_reset_counter_does_not_wedge_it() {
    let mut proxy = Proxy::new(1, 200);
    for milli in 0..1_000 {
        proxy.wants(0, milli * 1_000_000);
    }
    proxy.total = 0;
    assert!(proxy.wants(0, SECOND));
    for milli in 1_001..2_000 {
        proxy.wants(0, milli * 1_000_000);
    }
    assert!((195..=204).contains(&proxy.total), "{}", proxy.total);
}

#[test]
fn what_others_opened_since_a_reset_counts() {
    let mut proxy = Proxy::new(2, 200);
    proxy.total = 1_000_000;
    assert!(proxy.vms[1].may_open(at(0), proxy.total));
    proxy.total = 0;
    while proxy.wants(0, 0) {}
    assert_eq!(proxy.total, 4);
    assert!(!proxy.wants(1, 0));
}

#[test]
fn a_clock_that_steps_back_keeps_no_starved_worker_waiting() {
    let mut proxy = Proxy::new(2, 200);
    while proxy.wants(0, 0) {}
    assert!(proxy.wants(1, 0) && !proxy.wants(0, 0));
    let before = |milli: u64| Instant::from_nanos(1_000_000_000 * SECOND + milli * 1_000_000);
    // The other one always takes what there is.
    let got = (0..200).find(|milli| proxy.vms[0].may_open(before(*milli), 5 + milli));
    assert_eq!(got, Some(80), "16 connections' time");
}

#[test]
fn a_clock_that_steps_back_does_not_wedge_it_nor_give_anything_away() {
    let mut proxy = Proxy::new(1, 200);
    while proxy.wants(0, 3_600 * SECOND) {}
    assert_eq!(proxy.total, 4);
    assert!(!proxy.wants(0, 0));
    assert!(proxy.wants(0, SECOND / 200), "as long as it ever takes");
    assert!(!proxy.wants(0, SECOND / 200));
}

#[test]
fn a_clock_that_steps_forward_fills_the_bucket_once() {
    let mut proxy = Proxy::new(1, 200);
    while proxy.wants(0, 0) {}
    while proxy.wants(0, 3_600 * SECOND) {}
    assert_eq!(proxy.total, 8);
}

/// Who wants one, and how long after the one before, in microseconds.
fn wishes() -> impl Strategy<Value = Vec<(usize, u64)>> {
    let pause = prop_oneof![6 => 0..50u64, 3 => 0..2_000u64, 1 => 0..300_000u64];
    prop::collection::vec((0..6usize, pause), 1..3_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The bound that the module's documentation tells.
    #[test]
    fn no_time_sees_more_than_the_rate_and_a_share_per_worker(
        wishes in wishes(),
        per_second in prop_oneof![1..50u32, 50..1_000u32],
        workers in 1..6usize,
    ) {
        let mut proxy = Proxy::new(workers, per_second);
        let mut now = 0;
        for (vm, pause) in wishes {
            now += pause * 1_000;
            proxy.wants(vm % workers, now);
        }
        for length in [SECOND / 100, SECOND / 10, SECOND, 5 * SECOND] {
            let rate = f64::from(per_second) * length as f64 / SECOND as f64;
            let workers = workers as f64;
            let most = rate * (1.0 + workers / PATIENCE as f64) + workers * (bucket(per_second) + 1.0);
            prop_assert!(proxy.most_within(length) as f64 <= most + 1e-6, "{} within {length} ns", proxy.most_within(length));
        }
    }

    /// A counter that was reset costs no more than one bucket per worker, and wedges nobody.
    #[test]
    fn resets_and_a_jumping_clock_wedge_nobody(
        wishes in prop::collection::vec((0..3usize, 0..10_000_000_000u64, prop::bool::weighted(0.05)), 1..300),
        per_second in 1..1_000u32,
    ) {
        let mut proxy = Proxy::new(3, per_second);
        let mut last = 0;
        for (vm, now, reset) in wishes {
            proxy.total *= u64::from(!reset);
            last = now;
            proxy.wants(vm, now);
        }
        // Nobody opens any for as long as one takes.
        let wait = Duration::from_secs(1).as_nanos() as u64 / u64::from(per_second) + 1;
        for vm in 0..3 {
            let total = proxy.total;
            proxy.vms[vm].may_open(at(last), total);
            prop_assert!(proxy.vms[vm].may_open(at(last + wait), total));
        }
    }
}
