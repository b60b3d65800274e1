//! Any bytes as a configuration: a policy, or faults that say where. Never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retry_budget::config::read;

fuzz_target!(|bytes: &[u8]| {
    let first = read(bytes);
    assert_eq!(first, read(bytes), "the same text gave two answers");
    match first {
        Ok(policy) => assert!(policy.budget.allowance_ppm(u64::MAX) >= policy.budget.floor_ppm()),
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(faults.iter().all(|fault| fault.path.starts_with('$') && !fault.allowed.is_empty()));
        }
    }
});
