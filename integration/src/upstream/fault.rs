//! The switches.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered. Text: `healthy`.
    Healthy,
    /// It is answered with this status. Text: `status:503`.
    Status(u16),
    /// It is never answered. Text: `hang`.
    Hang,
    /// Its connection is reset (TCP RST). Text: `reset`.
    Reset,
    /// It is answered after a delay. Text: `slow:300`, in milliseconds.
    Slow(Duration),
    /// So many of 100 requests are answered with this status, spread evenly, always the same ones. Text: `fail:50:500`.
    Fail {
        /// 0 to 100.
        percent: u8,
        /// Status of the failures.
        status: u16,
    },
    /// Each of 100 requests is answered with this status with that chance, the same ones in every run. Text: `random:10:503`.
    Random {
        /// 0 to 100.
        percent: u8,
        /// Status of the failures.
        status: u16,
    },
    /// Nothing listens, and open connections are gone. Text: `refuse` (which no later request can undo).
    Refuse,
    /// Half of the announced body comes, then the connection ends. Text: `cut`.
    Cut,
}

/// An answer of one's own in place of the usual JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `content-type`.
    pub content_type: String,
    /// Its body, part by part.
    pub parts: Vec<Vec<u8>>,
    /// The time between two parts.
    pub every: Duration,
}

/// How a gRPC call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grpc {
    /// A message, then status 0 in trailers. Text: `ok`.
    Ok,
    /// No message, this status in trailers behind the headers. Text: `trailers:14`.
    Trailers(u32),
    /// This status in the only header block. Text: `trailers-only:14`.
    TrailersOnly(u32),
    /// A message, then this status in trailers. Text: `message-then:14`.
    MessageThen(u32),
}

// === impl Answer ===

impl Answer {
    /// JSON, in one part.
    pub fn json(body: &serde_json::Value) -> Self {
        Self::typed("application/json", body.to_string().as_bytes())
    }

    /// Anything, in one part, with status 200.
    pub fn typed(content_type: &str, body: &[u8]) -> Self {
        Self { status: 200, content_type: content_type.into(), parts: vec![body.to_vec()], every: Duration::ZERO }
    }

    /// The same in two halves, the second one later.
    #[must_use]
    pub fn in_halves(mut self, every: Duration) -> Self {
        let whole = self.parts.concat();
        let (first, second) = whole.split_at(whole.len() / 2);
        (self.parts, self.every) = (vec![first.to_vec(), second.to_vec()], every);
        self
    }
}

// === impl Fault ===

impl Fault {
    /// What the `turn`th request (from 0) meets: decides the lot of [`Fault::Fail`] and [`Fault::Random`].
    pub(super) fn at_turn(&self, turn: u64) -> Self {
        match *self {
            Self::Fail { percent, status } if falls(turn, u64::from(percent)) => Self::Status(status),
            Self::Random { percent, status } if scattered(turn) % 100 < u64::from(percent) => Self::Status(status),
            Self::Fail { .. } | Self::Random { .. } => Self::Healthy,
            ref other => other.clone(),
        }
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split(':').collect();
        Ok(match parts[..] {
            ["healthy"] => Self::Healthy,
            ["status", status] => Self::Status(http_status(status)?),
            ["hang"] => Self::Hang,
            ["reset"] => Self::Reset,
            ["slow", ms] => Self::Slow(Duration::from_millis(ms.parse().context("milliseconds")?)),
            ["fail", percent, status] => {
                Self::Fail { percent: percent.parse().context("percent")?, status: http_status(status)? }
            }
            ["random", percent, status] => {
                Self::Random { percent: percent.parse().context("percent")?, status: http_status(status)? }
            }
            ["refuse"] => Self::Refuse,
            ["cut"] => Self::Cut,
            _ => {
                bail!(
                    "{text:?} is no fault: healthy, status:N, hang, reset, slow:MS, fail:PERCENT:STATUS, \
                     random:PERCENT:STATUS, refuse, cut"
                )
            }
        })
    }
}

// === impl Grpc ===

impl FromStr for Grpc {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split(':').collect();
        Ok(match parts[..] {
            ["ok"] => Self::Ok,
            ["trailers", code] => Self::Trailers(code.parse().context("gRPC status")?),
            ["trailers-only", code] => Self::TrailersOnly(code.parse().context("gRPC status")?),
            ["message-then", code] => Self::MessageThen(code.parse().context("gRPC status")?),
            _ => bail!("{text:?} is no gRPC end: ok, trailers:N, trailers-only:N, message-then:N"),
        })
    }
}

/// Whether the running total of failures grows with this turn.
fn falls(turn: u64, percent: u64) -> bool {
    (turn + 1) * percent / 100 > turn * percent / 100
}

/// `SplitMix64`: neighbours have nothing in common.
fn scattered(turn: u64) -> u64 {
    let mut z = turn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn http_status(text: &str) -> anyhow::Result<u16> {
    let status = text.parse().context("status")?;
    hyper::StatusCode::from_u16(status).context("status")?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        assert_eq!("fail:50:500".parse::<Fault>().unwrap(), Fault::Fail { percent: 50, status: 500 });
        assert_eq!("slow:300".parse::<Fault>().unwrap(), Fault::Slow(Duration::from_millis(300)));
        assert!("status:99999".parse::<Fault>().is_err() && "sulk".parse::<Fault>().is_err());
        assert_eq!("trailers-only:14".parse::<Grpc>().unwrap(), Grpc::TrailersOnly(14));
    }

    #[test]
    fn random_failures_come_as_often_as_told() {
        let random = Fault::Random { percent: 10, status: 503 };
        assert_eq!("random:10:503".parse::<Fault>().unwrap(), random);
        let failures = (0..10_000).filter(|turn| random.at_turn(*turn) != Fault::Healthy).count();
        assert!((900..=1_100).contains(&failures), "{failures}");
    }

    #[test]
    fn a_share_of_failures_is_exact_and_even() {
        let failures = |percent| (0..100).filter(|turn| falls(*turn, percent)).count();
        assert_eq!([failures(0), failures(30), failures(100)], [0, 30, 100]);
        assert_eq!((0..4).map(|turn| falls(turn, 50)).collect::<Vec<_>>(), [false, true, false, true]);
    }
}
