//! Estimates with intervals, from few rounds and with outliers.
//!
//! The estimate of a difference is the mean of the middle half of the rounds (the interquartile mean): like the median it doesn't see
//! the round in which a neighbour compiled something, but it varies less. Its 95 % interval is the percentile bootstrap: rounds are
//! drawn anew, with replacement, some thousand times; a ratio's numerator and denominator come from the same
//! draw, so what disturbed both cancels out.

/// Draws of the bootstrap.
const DRAWS: usize = 4_000;

/// An estimate and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Vigna's SplitMix64 with a fixed seed: the same figures give the same intervals.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(pub(crate) u64);

/// Estimates `statistic`, which sees a list of rounds by their numbers.
pub(crate) fn bootstrap(rounds: usize, statistic: impl Fn(&[usize]) -> f64) -> Estimate {
    let all: Vec<usize> = (0..rounds).collect();
    let mut random = SplitMix(2);
    let mut draw = || statistic(&all.iter().map(|_| random.below(rounds)).collect::<Vec<_>>());
    let mut values: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
    values.sort_by(f64::total_cmp);
    Estimate { value: statistic(&all), low: values[DRAWS / 40], high: values[DRAWS - DRAWS / 40 - 1] }
}

/// The mean of the middle half.
pub(crate) fn midmean(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let cut = values.len() / 4;
    mean(&values[cut..values.len() - cut])
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let (upper, lower) = (values.len() / 2, values.len().saturating_sub(1) / 2);
    f64::midpoint(values[lower], values[upper])
}

/// The mean; NaN of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let (sum, count) = values.iter().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

// === impl SplitMix ===

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform below `bound`, up to a bias that nobody can measure at such bounds.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap_or(0) % bound
    }

    /// Fisher and Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn an_outlier_moves_nothing() {
        assert!(near(midmean([1.0, 2.0, 3.0, 4.0, 900.0, 3.0, 2.0, -900.0]), 2.5));
        assert!(near(median(&[3.0, 1.0, 900.0]), 3.0) && near(median(&[1.0, 2.0]), 1.5));
    }

    #[test]
    fn an_interval_holds_its_estimate_and_narrows() {
        let noisy = |n: usize| (0..n).map(|i| if i % 2 == 0 { 1.0 } else { 2.0 }).collect::<Vec<f64>>();
        let width = |values: Vec<f64>| {
            let estimate = bootstrap(values.len(), |draw| mean(&draw.iter().map(|i| values[*i]).collect::<Vec<_>>()));
            assert!(estimate.low <= estimate.value && estimate.value <= estimate.high, "{estimate:?}");
            estimate.high - estimate.low
        };
        assert!(width(noisy(100)) < width(noisy(8)));
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut items: Vec<u8> = (0..50).collect();
        SplitMix(7).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<u8>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<u8>>());
    }
}
