//! The decisions, as pure functions: no clock, no randomness, no store, no host.

use crate::policy::Budget;
use crate::state::Window;
use core::time::Duration;
use sdk_shim::random::below;
use sdk_shim::ratio::PPM;

/// Longest time that a refused request is sent away for, in seconds.
pub const MAX_RETRY_AFTER: u64 = 60;

/// Why a retry doesn't happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The budget is used up.
    Budget,
    /// The service asked not to be asked again soon.
    Pushback,
    /// The method isn't idempotent.
    Unsafe,
    /// The request is a client's retry already.
    ClientRetry,
}

impl Cause {
    /// As labels, logs and `x-holdfast-reject` spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Pushback => "pushback",
            Self::Unsafe => "unsafe",
            Self::ClientRetry => "client_retry",
        }
    }
}

/// Whether a window with these retries in it keeps the bound: `retries <= ratio * requests + floor * ttl`, exactly, for every ratio.
///
/// ```
/// use retry_budget::{config, decide::keeps, state::Window};
/// let budget = config::read(br#"{"ratio": 0.6, "min_retries_per_second": 0}"#).unwrap().budget;
/// assert!(keeps(&budget, &Window { requests: 10, retries: 6 }));
/// assert!(!keeps(&budget, &Window { requests: 10, retries: 7 }));
/// ```
pub const fn keeps(budget: &Budget, window: &Window) -> bool {
    window.retries as u128 * PPM as u128 <= budget.allowance_ppm(window.requests)
}

/// Whether there is room for one retry more.
pub const fn has_room(budget: &Budget, window: &Window) -> bool {
    left(budget, window) > 0
}

/// How many more retries there is room for.
#[allow(clippy::cast_possible_truncation, reason = "cut to what fits")]
pub const fn left(budget: &Budget, window: &Window) -> u64 {
    let left = (budget.allowance_ppm(window.requests) / PPM as u128).saturating_sub(window.retries as u128);
    if left > u64::MAX as u128 { u64::MAX } else { left as u64 }
}

/// Whole seconds after which a client whose `nth` try (from 1) was refused may ask again: full jitter, exponential, from 1 s to
/// [`MAX_RETRY_AFTER`] (Brooker, "Exponential Backoff and Jitter", AWS 2015). Never 0, which would mean at once.
pub const fn retry_after(nth: u32, draw: u64) -> u64 {
    let exponent = if nth > 6 { 6 } else { nth };
    let cap = if 1 << exponent > MAX_RETRY_AFTER { MAX_RETRY_AFTER } else { 1 << exponent };
    1 + below(draw, cap)
}

/// What a service says about being asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushback {
    /// Nothing.
    None,
    /// Not before this time has passed.
    Wait(Duration),
    /// Not at all.
    Never,
}

/// What to do with it: the whole seconds to wait (0: the route's own back-off), or nothing, for no retry.
pub fn wait_of(pushback: Pushback, max: Duration) -> Option<u64> {
    match pushback {
        Pushback::None => Some(0),
        Pushback::Wait(wait) if wait <= max => Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        Pushback::Wait(_) | Pushback::Never => None,
    }
}
