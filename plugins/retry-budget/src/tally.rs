//! What the attempts of one request tell each other, and the downstream entry: a line in filter state.
//!
//! Each attempt is a context of its own, which knows nothing of the others. An attempt that nothing is wrong with leaves no line.

use sdk_shim::host::Host;

/// The filter state's name in the instance `default`; access logs show it as `%FILTER_STATE(wasm.holdfast.retry_budget:PLAIN)%`. Other instances
/// append `.` and theirs.
const NAME: &str = "holdfast.retry_budget";
/// Attempts whose end is told apart; Envoy's policies make far fewer.
const TOLD_APART: u32 = 64;

/// Where an instance's line stands.
#[derive(Clone, Debug)]
pub struct Line(String);

/// What is known of a request's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The last attempt that was let go: by a grant, or because it was the first.
    pub covered: u32,
    /// The slot in which the grant for it was taken; `None` where it needed none, or got none.
    pub slot: Option<u64>,
    /// The attempts that are known to have ended, or to have been answered: one bit each.
    pub ended: u64,
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

// === impl Line ===

impl Line {
    /// The line of an instance.
    pub fn of(instance: &str) -> Self {
        Self(if instance == "default" { NAME.to_owned() } else { format!("{NAME}.{instance}") })
    }

    /// What stands there; `None` where no attempt left a line.
    pub fn read<H: Host>(&self, host: &H) -> Option<Tally> {
        host.property(&[&self.0]).filter(|line| !line.is_empty()).map(|line| Tally::parse(&line))
    }

    /// Leaves the line.
    pub fn write<H: Host>(&self, host: &H, tally: Tally) {
        host.set_property(&[&self.0], tally.text().as_bytes());
    }
}

// === impl Tally ===

impl Tally {
    /// The same after the attempt `nth` ended, or was answered.
    #[must_use]
    pub fn ended(self, nth: u32) -> Self {
        Self { ended: self.ended | bit(nth), ..self }
    }

    /// Whether an attempt other than `nth` is under way, as far as anybody knows: then nothing may be said that is final for the request.
    pub fn others_under_way(&self, nth: u32) -> bool {
        (1..=self.covered.min(TOLD_APART)).any(|other| other != nth && self.ended & bit(other) == 0)
    }

    fn text(self) -> String {
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
        Self {
            covered: u32::try_from(covered).unwrap_or(u32::MAX).max(1),
            ended,
            slot: slot.checked_sub(1),
            marked: marked > 0,
            steered: steered > 0,
            is_client_retry: steered > 1,
        }
    }
}

/// 0 for an attempt that isn't told apart.
fn bit(nth: u32) -> u64 {
    nth.checked_sub(1).and_then(|shift| 1u64.checked_shl(shift)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_nonsense_is_nothing() {
        for (slot, marked, steered) in [(None, true, false), (Some(0), false, true), (Some(7), false, false)] {
            let tally = Tally { covered: 3, ended: 2, slot, marked, steered, is_client_retry: steered };
            assert_eq!(Tally::parse(tally.text().as_bytes()), tally);
        }
        for nonsense in [&b""[..], b"x", b"\xFF", b",,,", b"-1"] {
            assert_eq!(Tally::parse(nonsense), Tally::default(), "{nonsense:?}");
        }
    }

    #[test]
    fn an_attempt_is_under_way_until_it_is_known_to_have_ended() {
        let tally = Tally { covered: 3, ..Tally::default() }.ended(2);
        assert!(tally.others_under_way(3), "the first");
        assert!(!tally.ended(1).others_under_way(3));
        assert!(!Tally { covered: u32::MAX, ended: u64::MAX, ..Tally::default() }.others_under_way(1_000));
    }
}
