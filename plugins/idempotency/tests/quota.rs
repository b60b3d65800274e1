//! So many requests of a tenant under way, and no more, over all workers of a node.

use core::time::Duration;
use idempotency::protocol::Owner;
use idempotency::quota::{BUCKETS, Bucket, Lease, MOST_PER_BUCKET, cell_name, give_back, take, token};
use proptest::prelude::*;
use sdk_shim::cell::{CellError, Record};
use sdk_shim::fake::{FakeHost, FakeProxy};
use sdk_shim::host::{Host, HostError};
use sdk_shim::time::Instant;
use std::collections::BTreeMap;

const LEASE: Duration = Duration::from_secs(30);
const SHOP: u64 = 7;

fn takes(host: &FakeHost, tenant: u64, limit: u32, token: u64) -> Result<bool, CellError> {
    take(host, "i", tenant, limit, token, host.now(), LEASE)
}

#[test]
fn a_tenant_s_limit_counts_over_all_workers() {
    for proxy in [FakeProxy::envoy(), FakeProxy::wasmx()] {
        let [one, other] = [proxy.worker(), proxy.worker()];
        assert_eq!(takes(&one, SHOP, 2, 1), Ok(true));
        assert_eq!(takes(&other, SHOP, 2, 2), Ok(true));
        assert_eq!(takes(&one, SHOP, 2, 3), Ok(false));
        assert_eq!(give_back(&one, "i", SHOP, 2), Ok(true), "any worker may give it back");
        assert_eq!(takes(&other, SHOP, 2, 3), Ok(true));
    }
}

#[test]
fn tenants_do_not_count_for_each_other_even_in_one_bucket() {
    let host = FakeHost::envoy();
    let neighbour = SHOP + BUCKETS;
    assert_eq!(cell_name("i", SHOP), cell_name("i", neighbour));
    assert_eq!(takes(&host, SHOP, 1, 1), Ok(true));
    assert_eq!(takes(&host, neighbour, 1, 1), Ok(true));
    assert_eq!(give_back(&host, "i", neighbour, 1), Ok(true));
    assert_eq!(takes(&host, SHOP, 1, 2), Ok(false));
}

#[test]
fn a_worker_that_died_leaks_nothing_for_longer_than_a_lease() {
    let proxy = FakeProxy::envoy();
    let [dead, other] = [proxy.worker(), proxy.worker()];
    takes(&dead, SHOP, 1, 1).unwrap();
    proxy.advance(Duration::from_millis(29_999));
    assert_eq!(takes(&other, SHOP, 1, 2), Ok(false));
    proxy.advance(Duration::from_millis(1));
    assert_eq!(takes(&other, SHOP, 1, 2), Ok(true));
    assert_eq!(give_back(&dead, "i", SHOP, 1), Ok(false), "it was over");
    assert_eq!(takes(&other, SHOP, 1, 3), Ok(false), "and gave nobody else's back");
}

#[test]
fn a_clock_that_steps_back_makes_no_lease_longer() {
    let proxy = FakeProxy::envoy();
    let host = proxy.worker();
    takes(&host, SHOP, 2, 1).unwrap();
    proxy.clock().step_back(Duration::from_secs(3_600));
    assert_eq!(takes(&host, SHOP, 2, 2), Ok(true));
    assert_eq!(takes(&host, SHOP, 2, 3), Ok(false));
    proxy.advance(LEASE);
    assert_eq!(takes(&host, SHOP, 1, 4), Ok(true), "both are over");
}

#[test]
fn asking_again_for_the_same_request_is_no_second_lease() {
    let proxy = FakeProxy::envoy();
    let host = proxy.worker();
    assert_eq!(takes(&host, SHOP, 1, 1), Ok(true));
    proxy.advance(LEASE / 2);
    assert_eq!(takes(&host, SHOP, 1, 1), Ok(true));
    proxy.advance(LEASE / 2);
    assert_eq!(takes(&host, SHOP, 1, 2), Ok(false), "it began anew");
    assert_eq!(give_back(&host, "i", SHOP, 1), Ok(true));
    assert_eq!(give_back(&host, "i", SHOP, 1), Ok(false));
}

#[test]
fn a_limit_of_none_admits_none() {
    assert_eq!(takes(&FakeHost::envoy(), SHOP, 0, 1), Ok(false));
}

#[test]
fn of_two_workers_that_take_the_last_one_at_once_one_has_it() {
    for proxy in [FakeProxy::envoy(), FakeProxy::wasmx()] {
        let [one, other] = [proxy.worker(), proxy.worker()];
        let meanwhile = other.clone();
        proxy.on_next_set(Box::new(move || assert_eq!(takes(&meanwhile, SHOP, 1, 2), Ok(true))));
        assert_eq!(takes(&one, SHOP, 1, 1), Ok(false));
    }
}

#[test]
fn a_bucket_is_bounded() {
    let host = FakeHost::envoy();
    for token in 0..MOST_PER_BUCKET as u64 {
        assert_eq!(takes(&host, SHOP, u32::MAX, token), Ok(true));
    }
    assert_eq!(takes(&host, SHOP, u32::MAX, u64::MAX), Ok(false));
    assert_eq!(takes(&host, SHOP + BUCKETS, 1, 1), Ok(false), "nor for another tenant in it");
    assert_eq!(takes(&host, SHOP + 1, 1, 1), Ok(true));
    assert!(host.proxy().shared(&cell_name("i", SHOP)).value.unwrap().len() <= 33_000);
}

#[test]
fn a_store_that_is_down_or_contended_says_so() {
    let proxy = FakeProxy::envoy();
    let host = proxy.worker();
    proxy.fail_shared(true);
    assert_eq!(takes(&host, SHOP, 1, 1), Err(CellError::Unavailable(HostError::Status(10))));
    assert_eq!(give_back(&host, "i", SHOP, 1), Err(CellError::Unavailable(HostError::Status(10))));
    proxy.fail_shared(false);
    proxy.mismatch_next(u32::MAX);
    assert_eq!(takes(&host, SHOP, 1, 1), Err(CellError::Contended));
}

#[test]
fn a_bucket_that_can_not_be_read_counts_as_empty() {
    let proxy = FakeProxy::envoy();
    let host = proxy.worker();
    takes(&host, SHOP, 1, 1).unwrap();
    let name = cell_name("i", SHOP);
    let mut bytes = proxy.shared(&name).value.unwrap();
    bytes.pop();
    proxy.put_shared(&name, &bytes);
    assert_eq!(takes(&host, SHOP, 1, 2), Ok(true));
}

#[test]
fn taking_and_giving_back_are_a_read_and_a_write_and_a_refusal_is_a_read() {
    let host = FakeHost::envoy();
    let now = host.now();
    let calls = |verb: &dyn Fn()| {
        host.clear_calls();
        verb();
        host.calls().iter().map(|call| call.name).collect::<Vec<_>>()
    };
    assert_eq!(calls(&|| _ = take(&host, "i", SHOP, 1, 1, now, LEASE)), ["shared_get", "shared_set"]);
    assert_eq!(calls(&|| _ = take(&host, "i", SHOP, 1, 2, now, LEASE)), ["shared_get"]);
    assert_eq!(calls(&|| _ = give_back(&host, "i", SHOP, 1)), ["now", "shared_get", "shared_set"]);
    assert_eq!(calls(&|| _ = give_back(&host, "i", SHOP, 1)), ["now", "shared_get"]);
}

#[test]
fn owners_that_differ_in_either_half_have_different_tokens() {
    let tokens = [1, 2, 1 << 64, 2 << 64].map(|owner| token(Owner(owner)));
    assert_eq!(tokens[0], 1);
    assert_ne!(tokens[0], tokens[1]);
    assert_ne!(tokens[2], tokens[3]);
}

/// What may happen to a bucket; times in milliseconds.
#[derive(Clone, Debug)]
enum Deed {
    Take { tenant: u64, token: u64, limit: u32, length: u64 },
    GiveBack { tenant: u64, token: u64 },
    Wait(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        5 => (0..3u64, 0..6u64, 0..4u32, 1..100u64)
            .prop_map(|(tenant, token, limit, length)| Deed::Take { tenant, token, limit, length }),
        2 => (0..3u64, 0..6u64).prop_map(|(tenant, token)| Deed::GiveBack { tenant, token }),
        3 => (0..60u64).prop_map(Deed::Wait),
    ]
}

proptest! {
    /// The model knows each lease by its tenant and token, and until when it counts.
    #[test]
    fn a_bucket_says_what_a_list_of_deadlines_would(deeds in prop::collection::vec(deed(), 1..80)) {
        let mut model = BTreeMap::new();
        let mut bucket = Bucket::default();
        let mut now = 1_000;
        for deed in deeds {
            match deed {
                Deed::Wait(time) => now += time,
                Deed::Take { tenant, token, limit, length } => {
                    model.retain(|_, until| now < *until);
                    let others = model.keys().filter(|(of, which)| *of == tenant && *which != token).count();
                    let free = others < limit as usize;
                    let lease = Lease { tenant, token, since: Instant::from_millis(now), length: Duration::from_millis(length) };
                    let (after, taken) = bucket.clone().take(lease, limit);
                    prop_assert_eq!(taken, free);
                    if taken {
                        bucket = after;
                        model.insert((tenant, token), now + length);
                    }
                }
                Deed::GiveBack { tenant, token } => {
                    let known = model.remove(&(tenant, token)).is_some();
                    let (after, found) = bucket.clone().give_back(tenant, token, Instant::from_millis(now));
                    prop_assert!(!known || found, "a lease that is over may still be there, and one that isn't must be");
                    bucket = after;
                    model.retain(|_, until| now < *until);
                }
            }
            prop_assert_eq!(Bucket::decode(&bucket.encode()), Some(bucket.clone()));
        }
    }

    /// No lease counts for longer than its length after anybody looked, however the clock jumps.
    #[test]
    fn no_clock_makes_a_lease_last(jumps in prop::collection::vec(0..10_000u64, 1..20), last in 0..10_000u64) {
        let length = Duration::from_millis(100);
        let lease = |token, now| Lease { tenant: SHOP, token, since: Instant::from_millis(now), length };
        let mut bucket = Bucket::default();
        for (token, now) in (0..).zip(jumps) {
            bucket = bucket.take(lease(token, now), u32::MAX).0;
        }
        bucket = bucket.take(lease(99, last), u32::MAX).0;
        bucket = bucket.give_back(SHOP, 99, Instant::from_millis(last + 100)).0;
        prop_assert_eq!(bucket.count(SHOP), 0);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&[1], &bytes[..]].concat();
        if let Some(bucket) = Bucket::decode(&bytes) {
            prop_assert_eq!(bucket.encode(), bytes);
        }
    }
}
