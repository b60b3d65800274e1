//! What a service may suffer from.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::Fault;
use crate::ledger::{Delay, Trouble};

/// Long beside every timeout of the gateways.
const SLOW: Duration = Duration::from_secs(10);

/// The switch of a service, in the words of `PUT /fault`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ailment {
    /// It is well. Text: `none`.
    #[default]
    None,
    /// It does nothing and says so with this status. Text: `503`.
    Status(u16),
    /// So it is with so many of 100 requests, drawn anew for each. Text: `503:50`.
    Often(u16, u8),
    /// It does what it is asked, and never answers. Text: `hang`.
    Hang,
    /// It does what it is asked, then its connection is reset (TCP RST). Text: `reset`.
    Reset,
    /// It answers after a delay. Text: `slow` (10 s), or `slow:300` in milliseconds.
    Slow(Duration),
    /// It does nothing, and says so only in its protocol: a `status` in JSON, `errors` in GraphQL, `grpc-status` in trailers. Text: `sick`.
    Sick,
}

// === impl Ailment ===

impl Ailment {
    /// Payments under this.
    pub(super) fn of_payments(self) -> Trouble {
        match self {
            Self::None | Self::Slow(_) => Trouble::None,
            Self::Status(status) | Self::Often(status, _) => Trouble::Decline(status),
            Self::Hang => Trouble::Hang,
            Self::Reset => Trouble::Reset,
            Self::Sick => Trouble::Degrade,
        }
    }

    /// How many of 100 requests suffer.
    pub(super) fn percent(self) -> u8 {
        if let Self::Often(_, percent) = self { percent } else { 100 }
    }

    pub(super) fn delay(self) -> Delay {
        match self {
            Self::Slow(delay) => Delay::Between(delay, delay),
            _ => Delay::None,
        }
    }

    /// Orders under this. What is sick only in-protocol is well to HTTP.
    pub(super) fn of_orders(self) -> Fault {
        match self {
            Self::None | Self::Sick => Fault::Healthy,
            Self::Status(status) => Fault::Status(status),
            Self::Often(status, percent) => Fault::Random { percent, status },
            Self::Hang => Fault::Hang,
            Self::Reset => Fault::Reset,
            Self::Slow(delay) => Fault::Slow(delay),
        }
    }
}

impl FromStr for Ailment {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.trim() {
            "none" => Self::None,
            "hang" => Self::Hang,
            "reset" => Self::Reset,
            "slow" => Self::Slow(SLOW),
            "sick" => Self::Sick,
            other => match other.split_once(':').unwrap_or((other, "100")) {
                ("slow", ms) => Self::Slow(Duration::from_millis(ms.parse().context("slow: milliseconds")?)),
                (status, percent) => match (status.parse(), percent.parse()) {
                    (Ok(status @ 400..=599), Ok(100)) => Self::Status(status),
                    (Ok(status @ 400..=599), Ok(percent @ 1..100)) => Self::Often(status, percent),
                    _ => bail!(
                        "{other:?} is no fault: none, 503 (any of 400 to 599), 503:50 (of 100), hang, reset, slow, slow:MS, sick"
                    ),
                },
            },
        })
    }
}

impl fmt::Display for Ailment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => out.write_str("none"),
            Self::Status(status) => write!(out, "{status}"),
            Self::Often(status, percent) => write!(out, "{status}:{percent}"),
            Self::Hang => out.write_str("hang"),
            Self::Reset => out.write_str("reset"),
            Self::Slow(delay) => write!(out, "slow:{}", delay.as_millis()),
            Self::Sick => out.write_str("sick"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for text in ["none", "503", "429", "503:50", "hang", "reset", "slow:300", "sick"] {
            assert_eq!(text.parse::<Ailment>().unwrap().to_string(), text);
        }
        assert_eq!("slow\n".parse::<Ailment>().unwrap(), Ailment::Slow(SLOW));
    }

    #[test]
    fn what_is_no_fault_is_refused_with_what_there_is() {
        for text in ["", "200", "sulk", "slow:long", "99999", "503:0", "503:101", "200:50", "503:"] {
            let error = text.parse::<Ailment>().unwrap_err().to_string();
            assert!(error.contains("none, 503") || error.contains("milliseconds"), "{text}: {error}");
        }
    }
}
