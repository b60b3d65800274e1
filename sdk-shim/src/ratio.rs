//! Exact ratios: integer parts per million, so that a policy is `Eq` and no threshold is off by a rounding.
//!
//! tower's budget truncates `1/ratio`, which lets a ratio of 0.6 pass every retry; nothing here divides by a ratio.

/// One million: the denominator of every [`Ratio`].
pub const PPM: u32 = 1_000_000;

/// A share between 0 and 1 in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

impl Ratio {
    /// Everything.
    pub const ONE: Self = Self(PPM);
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `ppm` parts per million; `None` above one million.
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if ppm <= PPM { Some(Self(ppm)) } else { None }
    }

    /// Parts per million.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// Whether `part` of `whole` has reached this share (`>=`). Never for an empty whole.
    pub const fn reached(self, part: u64, whole: u64) -> bool {
        whole > 0 && part as u128 * PPM as u128 >= whole as u128 * self.0 as u128
    }

    /// Whether `draw` (uniform in `0..2^64`) falls inside this share: always for 1, never for 0.
    pub const fn takes(self, draw: u64) -> bool {
        ((draw as u128 * PPM as u128) >> 64) < self.0 as u128
    }

    /// This share of `whole`, rounded down.
    #[allow(clippy::cast_possible_truncation, reason = "a share of a u64 is no larger than it")]
    pub const fn of(self, whole: u64) -> u64 {
        (whole as u128 * self.0 as u128 / PPM as u128) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_are_exact() {
        assert!(Ratio::ONE.takes(u64::MAX));
        assert!(!Ratio::ZERO.takes(0));
        assert!(!Ratio::ZERO.reached(0, 0));
        assert_eq!(Ratio::from_ppm(PPM + 1), None);
    }

    proptest! {
        #[test]
        fn reached_agrees_with_fractions(ppm in 0..=PPM, part in 0u64..1_000_000, rest in 0u64..1_000_000) {
            let (ratio, whole) = (Ratio(ppm), part + rest);
            let expected = whole > 0 && u128::from(part) * 1_000_000 >= u128::from(ppm) * u128::from(whole);
            prop_assert_eq!(ratio.reached(part, whole), expected);
        }
    }
}
