//! Chance as a value: a generator that TAKES its seed.
//!
//! Only the live host asks the system for entropy, once per VM. Decisions never hold a generator; they take a `draw`,
//! uniform in `0..2^64`, and so give the same answer to the same question.

/// Steele, Lea and Flood's `SplitMix64` (OOPSLA 2014): eight bytes of state, no lock, good enough to spread load. Not for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator that starts at `seed`; two VMs need two seeds.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next draw, uniform in `0..2^64`.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Where `draw` falls in `0..bound`, uniformly (Lemire's multiplication, bias below 2^-64 x bound). 0 for a bound of 0.
#[allow(clippy::cast_possible_truncation, reason = "the high half of the product fits")]
pub const fn below(draw: u64, bound: u64) -> u64 {
    ((draw as u128 * bound as u128) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence_comes_out() {
        let mut rng = SplitMix64::new(1_234_567);
        assert_eq!(rng.draw(), 6_457_827_717_110_365_317);
        assert_eq!(rng.draw(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_draw_covers_its_bound() {
        assert_eq!(below(0, 10), 0);
        assert_eq!(below(u64::MAX, 10), 9);
        assert_eq!(below(u64::MAX, 0), 0);
    }
}
