//! What a client does that didn't get what it wanted.

use std::time::Duration;

use super::super::Kind;
use super::answer::Judged;

/// Attempts of a well-behaved client.
const PATIENT: u32 = 4;
/// A storm: the first one, and five more.
const STORM: u32 = 6;
const AT_ONCE: Duration = Duration::from_millis(20);
/// Before a payment is sent again.
const LATER: Duration = Duration::from_millis(300);

/// How clients behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Where there was no answer they try the other gateway; a payment without a good answer is repeated, a little later.
    Usual,
    /// Whatever fails is tried again, five times, at once.
    Storm,
}

// === impl Manner ===

impl Manner {
    /// By its name on a command line.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Usual, Self::Storm].into_iter().find(|manner| manner.name() == name)
    }

    /// Its name there.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Storm => "storm",
        }
    }

    /// How long to wait before the next attempt; `None` where there is none.
    pub(super) fn pause(self, kind: Kind, judged: &Judged, attempts: u32) -> Option<Duration> {
        let most = if self == Self::Storm { STORM } else { PATIENT };
        if judged.ok || attempts >= most {
            return None;
        }
        match (self, judged.status) {
            (Self::Storm, _) => Some(Duration::ZERO),
            (Self::Usual, None) => Some(AT_ONCE),
            // In flight at the other gateway, or the service or a gateway failed.
            (Self::Usual, Some(409 | 429 | 500..)) if kind == Kind::Pay => Some(LATER),
            (Self::Usual, Some(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: Option<u16>, ok: bool) -> Judged {
        Judged { status, ok, by: None, paid: None, said: None }
    }

    #[test]
    fn a_patient_client_repeats_what_had_no_answer_and_payments() {
        let pause = |kind, status, attempts| Manner::Usual.pause(kind, &judged(status, false), attempts);
        assert_eq!(pause(Kind::Read, None, 1), Some(AT_ONCE));
        assert_eq!(pause(Kind::Read, Some(503), 1), None);
        assert_eq!(pause(Kind::Pay, Some(503), 1), Some(LATER));
        assert_eq!((pause(Kind::Pay, Some(422), 1), pause(Kind::Pay, None, PATIENT)), (None, None));
        assert_eq!(Manner::Usual.pause(Kind::Pay, &judged(Some(201), true), 1), None);
    }

    #[test]
    fn a_storm_is_five_retries_at_once() {
        let pauses = (1..9).filter_map(|attempts| Manner::Storm.pause(Kind::Read, &judged(Some(503), false), attempts));
        assert_eq!(pauses.collect::<Vec<_>>(), [Duration::ZERO; 5]);
    }
}
