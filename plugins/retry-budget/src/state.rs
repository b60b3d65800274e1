//! The window that all workers share about one key: what the counters showed when each of the last slots began.
//!
//! ```text
//!   slot n-10     n-9      n-8                         n-1      n    now
//!     |--------|--------|--------|---- . . . ----|--------|--------|--*
//!     ^        ^                                                      |
//!     |        '-- requests since here: at most one ttl ------------->|
//!     '-- retries since here: at least one ttl ----------------------->|
//! ```
//!
//! A slot is a tenth of `ttl`, and begins when a worker's timer says so: whichever worker's fires first begins it for all, and
//! none begins one less than a slot after the last began (`budget.rs`). So there is no clock in it that an operator or NTP could
//! set. Retries are looked for further back than requests, so that whatever lies between two slots errs on the side of fewer retries.
//!
//! Counters may be reset under us. What was granted before is unknown then, so nothing is granted until it must have left every window.

use sdk_shim::cell::Record;
use sdk_shim::overrides::{Mode, Override};
use sdk_shim::time::Instant;
use sdk_shim::window::{SLOTS, Totals};

/// The counters: requests, grants given back, grants. Read in this order, so that a grant under way is seen too often rather than not.
pub type Counts = Totals<3>;

/// The number of the encoding, part of every cell's name.
pub const ENCODING: u8 = 1;

/// Starts that are kept: of the slots that a window of retries reaches back over, and of the current one.
#[allow(clippy::cast_possible_truncation, reason = "a handful")]
const KEPT: usize = SLOTS as usize + 1;

/// What was counted within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// First tries, within at most one ttl.
    pub requests: u64,
    /// Retries granted and not given back, within at least one ttl.
    pub retries: u64,
}

/// The slots of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// The current slot's number.
    pub number: u64,
    /// Nothing is granted before this slot.
    pub frozen_until: u64,
    /// What the counters showed when the last slots began, oldest first; the last one is the current slot's.
    starts: Vec<Counts>,
    /// The operator's word.
    pub override_: Option<Override>,
}

// === impl Slots ===

impl Slots {
    /// The first slot. Where the counters show grants already, there was somebody before, of whose window nothing is known.
    pub fn starting(totals: Counts) -> Self {
        let [_, returned, granted] = totals.0;
        let frozen_until = if granted > returned { SLOTS + 1 } else { 0 };
        Self { number: 0, frozen_until, starts: vec![totals], override_: None }
    }

    /// The next slot begins.
    #[must_use]
    pub fn next(&self, totals: Counts) -> Self {
        if self.was_reset(totals) {
            return self.rebased(totals);
        }
        let skip = (self.starts.len() + 1).saturating_sub(KEPT);
        let starts = self.starts.iter().skip(skip).copied().chain([totals]).collect();
        Self { number: self.number.saturating_add(1), starts, ..self.clone() }
    }

    /// The counters were reset: a new beginning, and no grants for one window.
    #[must_use]
    pub fn rebased(&self, totals: Counts) -> Self {
        let number = self.number.saturating_add(1);
        let frozen_until = number.saturating_add(SLOTS + 1);
        Self { number, frozen_until, starts: vec![totals], override_: self.override_ }
    }

    /// The same slots with the operator's word, or without.
    #[must_use]
    pub fn overridden(&self, set: Option<Override>) -> Self {
        Self { override_: set, ..self.clone() }
    }

    /// Whether the counters went back since the current slot began.
    pub fn was_reset(&self, totals: Counts) -> bool {
        self.starts.last().is_some_and(|start| totals.was_reset_since(start))
    }

    /// Whether what was granted is unknown.
    pub fn is_frozen(&self) -> bool {
        self.number < self.frozen_until
    }

    /// Whether nothing was counted within the window, so that a slot more or less changes nothing.
    pub fn is_idle(&self, totals: Counts) -> bool {
        !self.is_frozen() && self.starts.first() == Some(&totals)
    }

    /// What was counted within the window that ends now.
    pub fn window(&self, totals: Counts) -> Window {
        let oldest = self.starts.first().copied().unwrap_or(totals);
        // A window that isn't full yet has no start outside.
        let younger = if self.starts.len() == KEPT { self.starts.get(1).copied().unwrap_or(oldest) } else { oldest };
        let [requests, ..] = totals.since(&younger).0;
        let [_, returned, granted] = totals.since(&oldest).0;
        Window { requests, retries: granted.saturating_sub(returned) }
    }
}

impl Record for Slots {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![ENCODING];
        out.extend(self.number.to_le_bytes());
        out.extend(self.frozen_until.to_le_bytes());
        match self.override_ {
            None => out.push(0),
            Some(set) => {
                out.push(set.mode.code());
                out.extend(set.since.as_nanos().to_le_bytes());
                out.extend(set.until.as_nanos().to_le_bytes());
            }
        }
        for number in self.starts.iter().flat_map(|start| start.0) {
            out.extend(number.to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[ENCODING])?;
        let (number, rest) = number(rest)?;
        let (frozen_until, rest) = self::number(rest)?;
        let (override_, mut rest) = override_of(rest)?;
        let mut starts = Vec::new();
        while !rest.is_empty() {
            let (requests, tail) = self::number(rest)?;
            let (returned, tail) = self::number(tail)?;
            let (granted, tail) = self::number(tail)?;
            starts.push(Totals([requests, returned, granted]));
            rest = tail;
        }
        (1..=KEPT).contains(&starts.len()).then_some(Self { number, frozen_until, starts, override_ })
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn override_of(bytes: &[u8]) -> Option<(Option<Override>, &[u8])> {
    let (code, rest) = bytes.split_first()?;
    if *code == 0 {
        return Some((None, rest));
    }
    let mode = Mode::from_code(*code)?;
    let (since, rest) = number(rest)?;
    let (until, rest) = number(rest)?;
    let (since, until) = (Instant::from_nanos(since), Instant::from_nanos(until));
    Some((Some(Override { mode, since, until }), rest))
}
