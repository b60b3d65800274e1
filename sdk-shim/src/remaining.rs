//! How much of an answer's body is still to come, on a host that tells its end only now and then.
//!
//! `WasmX` takes an answer that says its length for ended with a part that is as long as all of it: told in several parts, it has no end, and the last, empty
//! buffer that nginx ends it with isn't shown. (Without a length that buffer is shown, and tells the end.) So the parts are counted here, and plugins are told
//! the end with the last of them, as on other hosts.

use crate::headers::number;

/// What is left of the answer's body, where its length is known and the host wouldn't tell its end.
#[derive(Debug, Default)]
pub(crate) struct Remaining(Option<usize>);

// === impl Remaining ===

impl Remaining {
    /// Of an answer with this `content-length`, which no plugin has changed yet.
    pub(crate) fn of(length: Option<&[u8]>) -> Self {
        Self(length.and_then(number).and_then(|length| usize::try_from(length).ok()))
    }

    /// A part of so many bytes goes by: whether it is the last one. `told` is what the host says.
    pub(crate) fn ends(&mut self, size: usize, told: bool) -> bool {
        self.0 = self.0.map(|left| left.saturating_sub(size));
        told || self.0 == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_completes_the_length_is_the_last() {
        let mut remaining = Remaining::of(Some(b"10"));
        assert_eq!([4, 5, 1].map(|size| remaining.ends(size, false)), [false, false, true]);
        assert!(Remaining::of(Some(b"10")).ends(10, true));
    }

    #[test]
    fn without_a_length_the_host_tells() {
        for length in [None, Some(&b"ten"[..]), Some(b"99999999999999999999")] {
            let mut remaining = Remaining::of(length);
            assert_eq!([(4, false), (0, true)].map(|(size, told)| remaining.ends(size, told)), [false, true]);
        }
    }
}
