//! What is stored is read back, and nothing else is taken for it.

use core::time::Duration;
use proptest::prelude::*;
use retry_budget::state::{ENCODING, Slots};
use sdk_shim::cell::Record;
use sdk_shim::overrides::{Mode, Override};
use sdk_shim::time::Instant;
use sdk_shim::window::Totals;

fn slots() -> impl Strategy<Value = Slots> {
    let totals = || (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(a, b, c)| Totals([a, b, c]));
    (totals(), prop::collection::vec(totals(), 0..30), any::<bool>()).prop_map(|(first, later, overridden)| {
        let slots = later.into_iter().fold(Slots::starting(first), |slots, totals| slots.next(totals));
        let set = Override::new(Mode::DryRun, Instant::from_millis(5), Duration::from_secs(9));
        if overridden { slots.overridden(set) } else { slots }
    })
}

proptest! {
    #[test]
    fn slots_are_read_as_they_were_written_and_stay_small(slots in slots()) {
        let bytes = slots.encode();
        prop_assert!(bytes.len() <= 400, "{}", bytes.len());
        prop_assert_eq!(Slots::decode(&bytes), Some(slots));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_trap(bytes in prop::collection::vec(any::<u8>(), 0..500), ours in any::<bool>()) {
        let mut bytes = bytes;
        if let (true, Some(first)) = (ours, bytes.first_mut()) {
            *first = ENCODING;
        }
        if let Some(slots) = Slots::decode(&bytes) {
            let _ = slots.window(Totals([1, 2, 3]));
            let _ = slots.next(Totals([u64::MAX; 3]));
            prop_assert_eq!(Slots::decode(&slots.encode()), Some(slots));
        }
    }
}
