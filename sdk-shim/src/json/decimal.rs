//! A number as its digits.

/// A decimal number of as many digits as 64 bits hold: `mantissa * 10^exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Below zero, or `-0`.
    pub negative: bool,
    /// The digits, without zeros at either end.
    pub mantissa: u64,
    /// The power of ten; of a zero it means nothing.
    pub exponent: i32,
    /// Whether that is all. Digits that there was no room for count as zeros.
    pub whole: bool,
}

/// 10 to the power of 1, 2, 4, 8 and so on.
const POWERS: [f64; 9] = [1e1, 1e2, 1e4, 1e8, 1e16, 1e32, 1e64, 1e128, 1e256];

/// Beyond it, a double is nothing or infinite.
const MAX_EXPONENT: u32 = 511;

// === impl Decimal ===

impl Decimal {
    /// How many steps [`Self::to_f64`] may be off: one for the mantissa, and one for each power.
    pub const OFF: u64 = 10;

    /// Of a JSON number's text.
    pub fn of(text: &str) -> Self {
        let (digits, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mut number = Self { negative: text.starts_with('-'), mantissa: 0, exponent: 0, whole: true };
        let mut zeros = 0;
        for digit in whole.bytes().chain(fraction.bytes()).filter(u8::is_ascii_digit) {
            zeros = if number.append(digit - b'0', zeros) { 0 } else { zeros + 1 };
        }
        let beyond = if power.starts_with('-') { i32::MIN } else { i32::MAX };
        let [zeros, decimals] = [zeros as usize, fraction.len()].map(|count| i32::try_from(count).unwrap_or(i32::MAX));
        number.exponent = (zeros - decimals).saturating_add(power.parse().unwrap_or(beyond));
        number
    }

    /// One more digit behind so many zeros; false where it is a zero itself, or counts as one.
    fn append(&mut self, digit: u8, zeros: u32) -> bool {
        if digit == 0 {
            return false;
        }
        let shifted = match self.mantissa {
            0 => Some(0),
            mantissa => 10_u64.checked_pow(zeros + 1).and_then(|power| mantissa.checked_mul(power)),
        };
        let longer = shifted.and_then(|shifted| shifted.checked_add(u64::from(digit)));
        self.mantissa = longer.unwrap_or(self.mantissa);
        self.whole &= longer.is_some();
        longer.is_some()
    }

    /// A double that is at most [`Self::OFF`] steps away from the nearest one; whole numbers up to 2^53 are exact.
    #[allow(clippy::cast_precision_loss, reason = "the loss is one of those steps")]
    pub fn to_f64(self) -> f64 {
        let power = self.exponent.unsigned_abs();
        let mut double = match self.mantissa {
            mantissa if power <= MAX_EXPONENT => mantissa as f64,
            0 => 0.0,
            _ if self.exponent < 0 => 0.0,
            _ => f64::INFINITY,
        };
        for (bit, factor) in POWERS.iter().enumerate() {
            match power >> bit & 1 {
                1 if self.exponent < 0 => double /= factor,
                1 => double *= factor,
                _ => {}
            }
        }
        if self.negative { -double } else { double }
    }
}
