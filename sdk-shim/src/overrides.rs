//! Modes, and the operator's hand: a mode for one key, for a while, without a redeploy at 3 a.m.
//!
//! An [`Override`] lives inside the key's cell, so that obeying it costs no further read. It expires by itself.

use crate::time::Instant;
use core::time::Duration;

/// Longest time an override may last; what should last longer belongs in the configuration.
pub const MAX_OVERRIDE: Duration = Duration::from_secs(3_600);

/// What a plugin does with its decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Acts on them.
    Enforce,
    /// Takes them and counts them, but lets everything pass.
    DryRun,
    /// Takes none.
    Disabled,
    /// Breaker only: rejects everything.
    ForceOpen,
    /// Breaker only: admits everything, and only counts.
    ForceClosed,
}

impl Mode {
    /// Every mode with its name in configurations.
    pub const ALL: [(&'static str, Self); 5] = [
        ("enforce", Self::Enforce),
        ("dry_run", Self::DryRun),
        ("disabled", Self::Disabled),
        ("force_open", Self::ForceOpen),
        ("force_closed", Self::ForceClosed),
    ];

    /// As configurations spell it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }

    /// From its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode)
    }

    /// As a stored byte; also what the override gauge shows. 0 is kept for "none".
    pub fn code(self) -> u8 {
        Self::ALL.iter().zip(1..).find(|((_, mode), _)| *mode == self).map_or(0, |(_, code)| code)
    }

    /// From a stored byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code.checked_sub(1)?)).map(|(_, mode)| *mode)
    }
}

/// A mode set by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The mode.
    pub mode: Mode,
    /// When it was set.
    pub since: Instant,
    /// When it ends.
    pub until: Instant,
}

impl Override {
    /// From `now` for `lasting`; `None` beyond [`MAX_OVERRIDE`].
    pub fn new(mode: Mode, now: Instant, lasting: Duration) -> Option<Self> {
        (lasting <= MAX_OVERRIDE).then(|| Self { mode, since: now, until: now.plus(lasting) })
    }

    /// Whether it is in force. One that seems to begin in the future is not: the clock stepped back, and it must not last longer for it.
    pub fn in_force(&self, now: Instant) -> bool {
        self.since <= now && now < self.until && self.until.since(self.since) <= MAX_OVERRIDE
    }
}
