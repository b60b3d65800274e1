//! Any bytes as stored slots and as a service's pushback: refused, or read exactly; and whatever is read, every decision can be taken on it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retry_budget::decide::{has_room, keeps, left, wait_of};
use retry_budget::policy::Budget;
use retry_budget::pushback;
use retry_budget::state::{ENCODING, Slots};
use sdk_shim::cell::Record;
use sdk_shim::time::Instant;
use sdk_shim::window::Totals;
use std::sync::LazyLock;
use std::time::Duration;

/// The ends of what can be configured.
static BUDGETS: LazyLock<Vec<Budget>> = LazyLock::new(|| {
    let configs = [
        "{}",
        r#"{"ratio": 0, "min_retries_per_second": 0}"#,
        r#"{"ratio": 1, "min_retries_per_second": 10000, "ttl": "1h"}"#,
        r#"{"percent": 3, "minRetryRate": {"count": 1, "interval": "1h"}}"#,
    ];
    configs.iter().filter_map(|config| retry_budget::config::read(config.as_bytes()).ok()).map(|policy| policy.budget).collect()
});

/// Numbers for everything that is not the state, taken from the front of the input.
fn take(bytes: &mut &[u8]) -> u64 {
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return 0 };
    *bytes = rest;
    u64::from_le_bytes(*head)
}

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let totals = Totals([(); 3].map(|()| take(&mut rest)));
    let now = Instant::from_nanos(take(&mut rest));
    let _ = wait_of(pushback::of(Some(rest), None, now), Duration::MAX);
    let _ = wait_of(pushback::of(None, Some(rest), now), Duration::MAX);
    let mut bent = rest.to_vec();
    bent.splice(0..bent.len().min(1), [ENCODING]);
    // Eleven starts behind a head of 18 bytes is the longest; cut to whole starts, which most inputs aren't.
    bent.truncate(18 + (bent.len().saturating_sub(18) / 24).min(11) * 24);
    for bytes in [rest, &bent] {
        let Some(slots) = Slots::decode(bytes) else { continue };
        assert_eq!(slots.encode(), bytes, "slots have one encoding");
        decide(&slots, totals);
    }
});

fn decide(slots: &Slots, totals: Totals<3>) {
    for next in [slots.next(totals), slots.rebased(totals), slots.overridden(None)] {
        assert_eq!(Slots::decode(&next.encode()), Some(next), "what is decided can be stored");
    }
    let window = slots.window(totals);
    for budget in BUDGETS.iter() {
        assert_eq!(has_room(budget, &window), left(budget, &window) > 0);
        assert!(keeps(budget, &window) || !has_room(budget, &window));
    }
}
