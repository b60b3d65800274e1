//! The budgets that are compared, each as one node has it.
//!
//! Envoy's own is a gauge: retries under way now, compared to attempts under way now. Ours is a rate: retries of the last ten
//! seconds, compared to requests of the last ten seconds. Where attempts fail fast, or a node has little to do, a gauge hardly ever
//! shows anything, and its least of three lets nearly everything pass.

use core::fmt::Debug;
use core::time::Duration;

use retry_budget::decide::{has_room, keeps};
use retry_budget::policy::{Budget, Floor};
use retry_budget::state::{Counts, Slots};
use retry_budget::upstream::period;
use sdk_shim::config::Faults;
use sdk_shim::ratio::PPM;
use sdk_shim::time::nanos;

use super::outcome::share;

/// Of attempts under way, what share may be retries: Envoy's default `budget_percent`.
const ENVOYS_PERCENT: u64 = 20;
/// And so many always: Envoy's default `min_retry_concurrency`.
const ENVOYS_LEAST: u64 = 3;

/// What one node knows of its attempts, and whether it retries.
pub trait RetryBudget: Debug {
    /// An attempt begins, the `nth` of its request from 1.
    fn begins(&mut self, nth: u32);
    /// The `nth` attempt of a request is over.
    fn ends(&mut self, nth: u32);
    /// An attempt that is just over has failed: may it be retried?
    fn grants(&mut self) -> bool;
    /// A slot may begin.
    fn tick(&mut self) {}
}

/// Which budget the nodes have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// None: the route's number of tries is all that bounds retries.
    Unlimited,
    /// Envoy's, a cluster's `retry_budget`.
    Envoy,
    /// Ours.
    Holdfast(Budget),
}

/// No budget.
#[derive(Debug)]
struct Unlimited;

/// Envoy's `RetryBudgetImpl` (`resource_manager_impl.h`): retries granted and not over, against attempts under way.
#[derive(Debug, Default)]
struct Gauge {
    active: u64,
    retries: u64,
}

/// The plugin's account without a host: one worker, counters that nobody resets.
#[derive(Debug)]
struct Holdfast {
    budget: Budget,
    slots: Slots,
    counts: Counts,
}

// === impl Scheme ===

impl Scheme {
    /// Ours, by the plugin's configuration; what the plugin would say about it where it is wrong.
    pub fn configured(configuration: &str) -> Result<Self, Faults> {
        retry_budget::config::read(configuration.as_bytes()).map(|policy| Self::Holdfast(policy.budget))
    }

    /// The same budget without its floor.
    #[must_use]
    pub fn without_floor(&self) -> Self {
        match self {
            Self::Holdfast(budget) => Self::Holdfast(Budget { floor: Floor { count: 0, ..budget.floor }, ..*budget }),
            other => other.clone(),
        }
    }

    /// A node's budget at the beginning.
    pub(super) fn open(&self) -> Box<dyn RetryBudget> {
        match self {
            Self::Unlimited => Box::new(Unlimited),
            Self::Envoy => Box::new(Gauge::default()),
            Self::Holdfast(budget) => Box::new(Holdfast::new(*budget)),
        }
    }

    /// How often a node's timer fires.
    pub(super) fn tick_period(&self) -> Option<Duration> {
        match self {
            Self::Holdfast(budget) => Some(period(budget.ttl)),
            Self::Unlimited | Self::Envoy => None,
        }
    }

    /// As tables and the chart call it.
    pub fn name(&self) -> String {
        match self {
            Self::Unlimited => "no budget".to_owned(),
            Self::Envoy => "Envoy's retry_budget".to_owned(),
            Self::Holdfast(budget) => name(budget),
        }
    }
}

fn name(Budget { ratio, floor, .. }: &Budget) -> String {
    let ratio = share(ratio.ppm().into(), PPM.into());
    if floor.count == 0 {
        return format!("Holdfast, {ratio}");
    }
    format!("Holdfast, {ratio} + {}/s", share(floor.count.saturating_mul(1_000_000_000), nanos(floor.per)))
}

// === impl Unlimited ===

impl RetryBudget for Unlimited {
    fn begins(&mut self, _: u32) {}

    fn ends(&mut self, _: u32) {}

    fn grants(&mut self) -> bool {
        true
    }
}

// === impl Gauge ===

impl RetryBudget for Gauge {
    fn begins(&mut self, _: u32) {
        self.active += 1;
    }

    fn ends(&mut self, nth: u32) {
        self.active -= 1;
        self.retries -= u64::from(nth > 1);
    }

    fn grants(&mut self) -> bool {
        // The router decides on the response's headers, when the attempt itself is still under way; its back-off counts as a retry.
        let most = ((self.active + 1) * ENVOYS_PERCENT / 100).max(ENVOYS_LEAST);
        let granted = self.retries < most;
        self.retries += u64::from(granted);
        granted
    }
}

// === impl Holdfast ===

impl Holdfast {
    fn new(budget: Budget) -> Self {
        let counts = Counts::default();
        Self { budget, slots: Slots::starting(counts), counts }
    }

    /// `requests`, `returned`, `granted`: `account.rs` keeps them in the proxy's counters.
    const fn granted(&mut self) -> &mut u64 {
        let [_, _, granted] = &mut self.counts.0;
        granted
    }
}

impl RetryBudget for Holdfast {
    fn begins(&mut self, nth: u32) {
        let [requests, ..] = &mut self.counts.0;
        *requests += u64::from(nth == 1);
    }

    fn ends(&mut self, _: u32) {}

    fn grants(&mut self) -> bool {
        if self.slots.is_frozen() || !has_room(&self.budget, &self.slots.window(self.counts)) {
            return false;
        }
        *self.granted() += 1;
        // Where workers race, one that finds the bound broken gives its grant back. Here nobody does.
        debug_assert!(keeps(&self.budget, &self.slots.window(self.counts)), "room for one had room for one");
        true
    }

    fn tick(&mut self) {
        if !self.slots.is_idle(self.counts) {
            self.slots = self.slots.next(self.counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoys_gauge_grants_three_at_a_time_however_idle_the_node() {
        let mut gauge = Gauge::default();
        let granted = (0..5).filter(|_| gauge.grants()).count();
        assert_eq!(granted, 3);
        gauge.begins(2);
        gauge.ends(2);
        assert!(gauge.grants(), "one is over");
    }

    #[test]
    fn envoys_gauge_grants_a_fifth_of_what_is_under_way() {
        let mut gauge = Gauge { active: 100, retries: 0 };
        assert_eq!((0..50).filter(|_| gauge.grants()).count(), 20);
    }

    #[test]
    fn ours_grants_a_fifth_of_what_was_asked_for_and_no_more_until_it_has_left_the_window() {
        let mut ours = Holdfast::new(match Scheme::configured(r#"{"min_retries_per_second": 0}"#).unwrap() {
            Scheme::Holdfast(budget) => budget,
            other => panic!("{other:?}"),
        });
        (0..100).for_each(|_| ours.begins(1));
        assert_eq!((0..50).filter(|_| ours.grants()).count(), 20);
        (0..11).for_each(|_| ours.tick());
        (0..100).for_each(|_| ours.begins(1));
        assert_eq!((0..50).filter(|_| ours.grants()).count(), 20);
    }
}
