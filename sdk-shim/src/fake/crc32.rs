//! The checksum by which `WasmX` finds shared data and metrics.

/// CRC-32 (IEEE 802.3) of `bytes`, as nginx computes it.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| shift(sum)))
}

const fn shift(sum: u32) -> u32 {
    (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_standard_comes_out() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn two_names_seen_in_the_wild_collide() {
        assert_eq!(crc32(b"rl:7v8zb3yrkzlvtgl2"), crc32(b"rl:py5dosfp93b8glu2"));
    }
}
