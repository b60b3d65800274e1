//! The decisions as real wasm, in Node: 32-bit, another compiler backend, the same answers.
#![cfg(target_arch = "wasm32")]

use core::time::Duration;
use retry_budget::decide::{Pushback, has_room, keeps, left, retry_after, wait_of};
use retry_budget::state::{Slots, Window};
use retry_budget::{config, pushback};
use sdk_shim::cell::Record;
use sdk_shim::time::Instant;
use sdk_shim::window::Totals;
use wasm_bindgen_test::wasm_bindgen_test;

fn budget(text: &str) -> retry_budget::policy::Budget {
    config::read(text.as_bytes()).unwrap().budget
}

#[wasm_bindgen_test]
fn the_bound_is_exact_for_every_ratio() {
    for percent in 0..=100u64 {
        let budget = budget(&format!(r#"{{"percent": {percent}, "minRetryRate": {{"count": 0}}}}"#));
        assert!(keeps(&budget, &Window { requests: 100, retries: percent }));
        assert!(!keeps(&budget, &Window { requests: 100, retries: percent + 1 }));
        assert_eq!(left(&budget, &Window { requests: 100, retries: 0 }), percent);
    }
}

#[wasm_bindgen_test]
fn no_number_overflows() {
    let budget = budget(r#"{"ratio": 1, "min_retries_per_second": 10000, "ttl": "1h"}"#);
    let most = Window { requests: u64::MAX, retries: u64::MAX };
    assert!(keeps(&budget, &most) && has_room(&budget, &most));
}

#[wasm_bindgen_test]
fn slots_move_and_are_stored() {
    let mut slots = Slots::starting(Totals([0, 0, 0]));
    for n in 1..=30 {
        slots = slots.next(Totals([n * 10, n, n * 2]));
        assert_eq!(Slots::decode(&slots.encode()), Some(slots.clone()));
    }
    assert_eq!(slots.window(Totals([300, 30, 60])), Window { requests: 90, retries: 10 });
    assert!(slots.rebased(Totals([0, 0, 0])).is_frozen());
}

#[wasm_bindgen_test]
fn waits_are_read_and_spread() {
    let now = Instant::from_millis(1_795_608_000_000);
    assert_eq!(
        pushback::of(Some(b"Wed, 25 Nov 2026 12:00:30 GMT"), None, now),
        Pushback::Wait(Duration::from_secs(30))
    );
    assert_eq!(wait_of(Pushback::Wait(Duration::from_millis(1_001)), Duration::from_secs(5)), Some(2));
    assert_eq!(wait_of(Pushback::Never, Duration::MAX), None);
    assert_eq!((retry_after(1, 0), retry_after(9, u64::MAX)), (1, 60));
}
