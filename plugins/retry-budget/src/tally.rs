//! What the attempts of one request tell each other, and the downstream entry: a line in filter state.
//!
//! Each attempt is a context of its own, which knows nothing of the others. An attempt that nothing is wrong with leaves no line.

use sdk_shim::host::Host;

/// The filter state's name; access logs show it as `%FILTER_STATE(wasm.holdfast.retry_budget:PLAIN)%`.
const NAME: &[&str] = &["holdfast.retry_budget"];

/// What is known of a request's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The last attempt that was let go: by a grant, or because it was the first.
    pub covered: u32,
    /// The slot in which the grant for it was taken; `None` where it needed none, or got none.
    pub slot: Option<u64>,
    /// The last attempt that is known to have ended, or to have been answered.
    pub ended: u32,
    /// The upstream entry put headers on an answer that are not for the client.
    pub marked: bool,
    /// The downstream entry told the router not to retry this request.
    pub steered: bool,
    /// It is a client's retry already.
    pub is_client_retry: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self { covered: 1, slot: None, ended: 0, marked: false, steered: false, is_client_retry: false }
    }
}

// === impl Tally ===

impl Tally {
    /// What stands there; `None` where no attempt left a line.
    pub fn read<H: Host>(host: &H) -> Option<Self> {
        host.property(NAME).filter(|line| !line.is_empty()).map(|line| Self::parse(&line))
    }

    /// Leaves the line.
    pub fn write<H: Host>(self, host: &H) {
        host.set_property(NAME, self.line().as_bytes());
    }

    fn line(self) -> String {
        let slot = self.slot.map_or(0, |slot| slot.saturating_add(1));
        // Not retried: 1, and 2 where it is a client's retry.
        let steered = u8::from(self.steered) + u8::from(self.is_client_retry);
        format!("{},{},{slot},{},{steered}", self.covered, self.ended, u8::from(self.marked))
    }

    /// What can't be read is nothing.
    fn parse(line: &[u8]) -> Self {
        let text = core::str::from_utf8(line).unwrap_or_default();
        let mut numbers = text.split(',').map(|number| number.parse::<u64>().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let [covered, ended, slot, marked, steered] = [(); 5].map(|()| next());
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            covered: small(covered).max(1),
            ended: small(ended),
            slot: slot.checked_sub(1),
            marked: marked > 0,
            steered: steered > 0,
            is_client_retry: steered > 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_nonsense_is_nothing() {
        for (slot, marked, steered) in [(None, true, false), (Some(0), false, true), (Some(7), false, false)] {
            let tally = Tally { covered: 3, ended: 2, slot, marked, steered, is_client_retry: steered };
            assert_eq!(Tally::parse(tally.line().as_bytes()), tally);
        }
        for nonsense in [&b""[..], b"x", b"\xFF", b",,,", b"-1"] {
            assert_eq!(Tally::parse(nonsense), Tally::default(), "{nonsense:?}");
        }
    }
}
