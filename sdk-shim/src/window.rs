//! Sliding windows over counters that only go up, without a lock and without a write.
//!
//! A window that every call writes to needs a lock, or lives in one worker and sees a part of the traffic. Proxies offer
//! something better: counters that are process-wide atomics. Each VM keeps a [`Ring`] of snapshots of their totals, one per
//! slot (a tenth of the window); a window is the difference of two snapshots. All workers read the same totals, so all
//! see the same window, to one slot.
//!
//! A window reaches back at least its length and at most one slot more. Slots are numbered by whatever the window is
//! long in: time divided by the slot's length, or calls divided by calls per slot.

use std::collections::VecDeque;

/// Slots per window (Hystrix and Linkerd use 10 as well). A window of few calls may have fewer.
pub const SLOTS: u64 = 10;

/// `N` counter totals read together. Components never go down, except by a reset, when all start at 0 again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals<const N: usize>(pub [u64; N]);

impl<const N: usize> Default for Totals<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Totals<N> {
    /// What was added since `base`; 0 where a reset came between.
    #[must_use]
    pub fn since(&self, base: &Self) -> Self {
        let mut delta = *self;
        delta.0.iter_mut().zip(&base.0).for_each(|(now, then)| *now = now.saturating_sub(*then));
        delta
    }

    /// What they were when `part` of `whole` of the way to `later` was gone, if they went up evenly.
    #[allow(clippy::cast_possible_truncation, reason = "a part of a u64 is no larger than it")]
    fn between(&self, later: &Self, part: u64, whole: u64) -> Self {
        let mut totals = *self;
        totals.0.iter_mut().zip(&later.0).for_each(|(now, then)| {
            let rise = u128::from(then.saturating_sub(*now)) * u128::from(part) / u128::from(whole.max(1));
            *now = now.saturating_add(rise as u64);
        });
        totals
    }

    /// Whether a counter went back since `earlier`: it was reset.
    pub fn was_reset_since(&self, earlier: &Self) -> bool {
        self.0.iter().zip(&earlier.0).any(|(now, then)| now < then)
    }
}

/// Snapshots of the totals at the start of the last slots.
#[derive(Clone, Debug)]
pub struct Ring<const N: usize> {
    /// Slots that the window is long.
    slots: u64,
    /// (slot, totals when it began), oldest first; slots follow each other without a gap.
    starts: VecDeque<(u64, Totals<N>)>,
}

impl<const N: usize> Ring<N> {
    /// A ring of a window `slots` long that reaches back to where `totals` were read, in `slot`, and not behind it.
    pub fn starting(slots: u64, slot: u64, totals: Totals<N>) -> Self {
        Self { slots, starts: VecDeque::from([(slot, totals)]) }
    }

    /// Notes that in `slot` the totals are `totals`. To be called before a call's own counts are added, and on each tick.
    ///
    /// Slots that nobody observed count as having begun with what is seen now. A slot that lies back (the clock stepped) is
    /// taken for the newest one; if it lies back by more than the window, the window starts anew. So it does, at
    /// zero, where a counter was reset.
    pub fn observe(&mut self, slot: u64, totals: Totals<N>) {
        match self.starts.back() {
            None => *self = Self::starting(self.slots, slot, totals),
            Some((_, last)) if totals.was_reset_since(last) => {
                *self = Self::starting(self.slots, slot, Totals::default());
            }
            Some((newest, _)) if slot.saturating_add(self.slots) < *newest => {
                *self = Self::starting(self.slots, slot, totals);
            }
            Some((newest, _)) => self.fill(*newest, slot, totals),
        }
    }

    /// The same where slots are counted in calls, which pass by unseen in other workers between two looks: what the totals were when those slots
    /// began lies between what was seen then and what is seen now, in proportion.
    pub fn observe_calls(&mut self, slot: u64, totals: Totals<N>) {
        match self.starts.back() {
            Some((newest, last)) if slot > newest.saturating_add(1) && !totals.was_reset_since(last) => {
                let (newest, last) = (*newest, *last);
                let step = |at: u64| (at, last.between(&totals, at - newest, slot - newest));
                self.extend(newest, slot, step);
            }
            _ => self.observe(slot, totals),
        }
    }

    fn fill(&mut self, newest: u64, slot: u64, totals: Totals<N>) {
        self.extend(newest, slot, |at| (at, totals));
    }

    fn extend(&mut self, newest: u64, slot: u64, start: impl Fn(u64) -> (u64, Totals<N>)) {
        let from = newest.saturating_add(1).max(slot.saturating_sub(self.slots));
        if from > newest.saturating_add(1) {
            self.starts.clear();
        }
        self.starts.extend((from..=slot).map(start));
        while self.starts.len() as u64 > self.slots + 1 {
            self.starts.pop_front();
        }
    }

    /// What was added within the window that ends now, where the counters show `totals`.
    pub fn window(&self, totals: Totals<N>) -> Totals<N> {
        let base = self.starts.front().map_or(totals, |(_, base)| *base);
        if totals.was_reset_since(&base) { totals } else { totals.since(&base) }
    }

    /// The slot observed last.
    pub fn newest(&self) -> Option<u64> {
        self.starts.back().map(|(slot, _)| *slot)
    }

    /// Whether the ring reaches back over a whole window.
    pub fn is_full(&self) -> bool {
        self.starts.len() as u64 > self.slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(n: u64) -> Totals<1> {
        Totals([n])
    }

    #[test]
    fn an_idle_week_costs_no_more_than_a_slot() {
        let mut ring = Ring::starting(SLOTS, 3, one(5));
        ring.observe(u64::MAX - 1, one(9));
        assert_eq!(ring.window(one(9)), one(0));
        assert!(ring.is_full());
    }

    #[test]
    fn a_reset_counter_starts_the_window_at_zero() {
        let mut ring = Ring::starting(SLOTS, 0, one(1_000));
        ring.observe(1, one(3));
        assert_eq!(ring.window(one(7)), one(7));
        assert_eq!(Ring::starting(SLOTS, 0, one(1_000)).window(one(2)), one(2));
    }

    #[test]
    fn a_clock_that_steps_back_a_little_loses_nothing_and_far_starts_anew() {
        let mut ring = Ring::starting(SLOTS, 100, one(0));
        ring.observe(99, one(4));
        assert_eq!(ring.window(one(4)), one(4));
        ring.observe(10, one(4));
        assert_eq!((ring.window(one(4)), ring.newest()), (one(0), Some(10)));
    }

    /// A worker that looks once in a while at what others count: failures and successes come in shares that it can't see one by one.
    #[test]
    fn calls_that_others_served_are_in_the_window_in_proportion() {
        let mut ring = Ring::<2>::starting(SLOTS, 0, Totals([0, 0]));
        ring.observe_calls(25, Totals([150, 100]));
        assert_eq!(ring.window(Totals([150, 100])), Totals([60, 40]), "the last hundred of 250, at ten calls a slot");
        ring.observe_calls(26, Totals([150, 110]));
        assert_eq!(ring.window(Totals([150, 110])).0.iter().sum::<u64>(), 100);
    }

    proptest! {
        /// A brute-force log of (time, count) agrees with the ring to one slot, whoever else counts in between.
        #[test]
        fn a_window_is_brute_force_to_one_slot(events in prop::collection::vec((0u64..400, any::<bool>()), 1..200), slot_len in 1u64..50) {
            let (mut now, mut total, mut log) = (1_000_000u64, 0u64, Vec::new());
            let mut ring = Ring::starting(SLOTS, now / slot_len, one(0));
            for (wait, counted) in events {
                // Ticks run at every slot's start in between, as they do in a VM.
                for slot in (now / slot_len + 1)..=((now + wait) / slot_len) {
                    ring.observe(slot, one(total));
                }
                now += wait;
                if counted {
                    total += 1;
                    log.push(now);
                }
                let seen = ring.window(one(total)).0[0];
                let within = |length: u64| log.iter().filter(|at| **at + length > now).count() as u64;
                let window = SLOTS * slot_len;
                prop_assert!(seen >= within(window), "{seen} < {}", within(window));
                prop_assert!(seen <= within(window + slot_len), "{seen} > {}", within(window + slot_len));
            }
        }
    }
}
