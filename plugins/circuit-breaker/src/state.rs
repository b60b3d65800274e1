//! What all workers share about one key.
//!
//! ```text
//!                 failure ratio, slow ratio,
//!                 consecutive failures
//!   +--------+  ------------------------------>  +------+
//!   | closed |                                   | open | <--------------+
//!   +--------+  <---+                            +------+                |
//!                   | ramp over                     | wait over         | a probe failed,
//!                   |                               v                   | or its lease ran out
//!            +------------+   enough probes   +-----------+             |
//!            | recovering | <---------------- | half-open | ------------+
//!            +------------+   succeeded       +-----------+
//!                   |  trips as closed does, and waits longer            ^
//!                   +----------------------------------------------------+ (open)
//! ```
//!
//! Each arrow raises the generation and draws a line: the counter totals at that moment, behind which no window reaches. A
//! call carries the generation that it was admitted in; a result from another generation is stale and moves nothing.

use sdk_shim::cell::Record;
use sdk_shim::overrides::{Mode, Override};
use sdk_shim::time::Instant;
use sdk_shim::window::Totals;

/// The counters: successes, failures, slow calls, throttled requests.
pub type Counts = Totals<4>;

/// The number of the encoding, part of every cell's name.
pub const ENCODING: u8 = if cfg!(feature = "test-next-encoding") { 2 } else { 1 };

/// The encoding that an absent cell is imported from, once; `None` for the first one.
pub const PREVIOUS: Option<u8> = if ENCODING > 1 { Some(ENCODING - 1) } else { None };

/// Most leases that a stored state may hold; the configuration allows no more permits.
pub const MAX_LEASES: usize = 100;

/// A probe under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Unique within the generation.
    pub id: u32,
    /// When it runs out if the probe hasn't ended.
    pub deadline: Instant,
    /// The whole request has gone to the service: from here on a silence is the service's.
    pub sent: bool,
    /// The service began to answer (gRPC: a message came).
    pub spoke: bool,
}

/// Where the breaker is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Admits.
    #[default]
    Closed,
    /// Refuses.
    Open {
        /// When it starts to probe.
        until: Instant,
    },
    /// Probes.
    HalfOpen {
        /// Probes under way.
        leases: Vec<Lease>,
        /// Leases given out so far; the next lease's id.
        issued: u32,
        /// Probes that succeeded.
        succeeded: u32,
    },
    /// Admits a growing share.
    Recovering,
}

impl Phase {
    /// As logs and labels spell it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
            Self::Recovering => "recovering",
        }
    }

    /// As the state gauge shows it.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Open { .. } => 1,
            Self::HalfOpen { .. } => 2,
            Self::Recovering => 3,
        }
    }
}

/// What all workers share about one key. The default is what a never-written cell means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Transitions so far.
    pub generation: u64,
    /// Where the breaker is.
    pub phase: Phase,
    /// Since when.
    pub since: Instant,
    /// Times that it opened without having closed in between; the exponent of the backoff.
    pub opens: u32,
    /// The counter totals at the last transition.
    pub line: Counts,
    /// The operator's word.
    pub override_: Option<Override>,
}

impl State {
    /// The next generation, in `phase`.
    #[must_use]
    pub fn turn(&self, phase: Phase, now: Instant, totals: Counts) -> Self {
        Self {
            generation: self.generation.saturating_add(1),
            phase,
            since: now,
            opens: self.opens,
            line: totals,
            override_: self.override_,
        }
    }
}

// === impl Record: little-endian, fixed order; the first byte is the encoding's number ===

impl Record for State {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![ENCODING, self.phase.code()];
        out.extend(self.generation.to_le_bytes());
        out.extend(self.since.as_nanos().to_le_bytes());
        out.extend(self.opens.to_le_bytes());
        self.line.0.iter().for_each(|total| out.extend(total.to_le_bytes()));
        encode_override(&mut out, self.override_);
        encode_phase(&mut out, &self.phase);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        // The test's next encoding differs in its number only; it reads the previous one when importing.
        let encoding = bytes.u8()?;
        if encoding != ENCODING && Some(encoding) != PREVIOUS {
            return None;
        }
        let code = bytes.u8()?;
        let state = Self {
            generation: bytes.u64()?,
            since: bytes.instant()?,
            opens: bytes.u32()?,
            line: Totals([bytes.u64()?, bytes.u64()?, bytes.u64()?, bytes.u64()?]),
            override_: bytes.override_().ok()?,
            phase: bytes.phase(code)?,
        };
        bytes.0.is_empty().then_some(state)
    }
}

fn encode_override(out: &mut Vec<u8>, set: Option<Override>) {
    out.push(set.map_or(0, |set| set.mode.code()));
    if let Some(set) = set {
        out.extend(set.since.as_nanos().to_le_bytes());
        out.extend(set.until.as_nanos().to_le_bytes());
    }
}

fn encode_phase(out: &mut Vec<u8>, phase: &Phase) {
    match phase {
        Phase::Closed | Phase::Recovering => {}
        Phase::Open { until } => out.extend(until.as_nanos().to_le_bytes()),
        Phase::HalfOpen { leases, issued, succeeded } => {
            out.extend(issued.to_le_bytes());
            out.extend(succeeded.to_le_bytes());
            for lease in leases.iter().take(MAX_LEASES) {
                out.extend(lease.id.to_le_bytes());
                out.extend(lease.deadline.as_nanos().to_le_bytes());
                out.push(u8::from(lease.sent) | u8::from(lease.spoke) << 1);
            }
        }
    }
}

/// What is left to decode.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn instant(&mut self) -> Option<Instant> {
        self.u64().map(Instant::from_nanos)
    }

    /// `Err` for bytes that are none.
    fn override_(&mut self) -> Result<Option<Override>, ()> {
        match self.u8().ok_or(())? {
            0 => Ok(None),
            code => self.override_of(code).map(Some).ok_or(()),
        }
    }

    fn override_of(&mut self, code: u8) -> Option<Override> {
        Some(Override { mode: Mode::from_code(code)?, since: self.instant()?, until: self.instant()? })
    }

    fn phase(&mut self, code: u8) -> Option<Phase> {
        match code {
            0 => Some(Phase::Closed),
            1 => Some(Phase::Open { until: self.instant()? }),
            2 => Some(Phase::HalfOpen { issued: self.u32()?, succeeded: self.u32()?, leases: self.leases()? }),
            3 => Some(Phase::Recovering),
            _ => None,
        }
    }

    fn leases(&mut self) -> Option<Vec<Lease>> {
        let mut leases = Vec::new();
        while !self.0.is_empty() {
            let (id, deadline, flags) = (self.u32()?, self.instant()?, self.u8()?);
            if flags > 3 {
                return None;
            }
            leases.push(Lease { id, deadline, sent: flags & 1 != 0, spoke: flags & 2 != 0 });
        }
        (leases.len() <= MAX_LEASES).then_some(leases)
    }
}
