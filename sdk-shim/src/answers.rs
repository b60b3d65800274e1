//! A set of answers of a service, by status: which are failures, which are worth another try.

use crate::config::{Reader, whole};
use crate::json::Value;
use crate::outcome::Outcome;
use core::ops::RangeInclusive;

/// HTTP and gRPC statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerSet {
    /// HTTP statuses.
    pub status: Vec<RangeInclusive<u16>>,
    /// gRPC statuses, one bit each.
    pub grpc: u32,
    /// The gRPC statuses were configured, not defaulted.
    pub grpc_explicit: bool,
    /// What protocol-health says of answers whose status says too little.
    pub outcomes: Vec<Outcome>,
}

/// What a configuration may name: what a service can come to.
const OUTCOMES: [Outcome; 7] = [
    Outcome::Partial,
    Outcome::CallerFault,
    Outcome::Overload,
    Outcome::Timeout,
    Outcome::ServerFault,
    Outcome::Unreachable,
    Outcome::Unknown,
];

/// Those by which another host might have done better.
fn faults() -> Vec<Outcome> {
    OUTCOMES.into_iter().filter(|outcome| outcome.is_upstreams_fault()).collect()
}

// === impl AnswerSet ===

impl AnswerSet {
    /// Every 5xx, and these gRPC statuses.
    pub fn server_errors(grpc: &[u64]) -> Self {
        Self { status: vec![500..=599], grpc: bits(grpc), grpc_explicit: false, outcomes: faults() }
    }

    /// Reads `{"status": [503, "5xx", "500-504"], "grpc_status": [14], "outcome": ["server_fault"]}`; what is absent is as in
    /// [`AnswerSet::server_errors`].
    pub fn read(read: &mut Reader<'_>, grpc: &[u64]) -> Self {
        let grpc_explicit = read.has("grpc_status");
        let status = read.list("status", vec![500..=599], "a status such as 503, \"5xx\" or \"500-504\"", statuses);
        let grpc = read.list("grpc_status", grpc.to_vec(), "a gRPC status from 1 to 16", |item| {
            whole(item).filter(|n| (1..=16).contains(n))
        });
        let allowed = "partial, caller_fault, overload, timeout, server_fault, unreachable or unknown";
        let outcomes = read.list("outcome", faults(), allowed, |item| {
            Outcome::parse(item.as_str()?).filter(|outcome| OUTCOMES.contains(outcome))
        });
        Self { status, grpc: bits(&grpc), grpc_explicit: grpc_explicit && !grpc.is_empty(), outcomes }
    }

    /// Whether an answer of this outcome is one of them.
    pub fn holds_outcome(&self, outcome: Outcome) -> bool {
        self.outcomes.contains(&outcome)
    }

    /// Whether an answer is one of them. A gRPC status counts where the HTTP status is 200.
    pub fn holds(&self, status: u16, grpc: Option<u32>) -> bool {
        match grpc {
            Some(code) if status == 200 => code < 32 && self.grpc & (1 << code) != 0,
            _ => self.status.iter().any(|range| range.contains(&status)),
        }
    }

    /// As text, for hashes and logs.
    pub fn describe(&self) -> String {
        let statuses: Vec<String> =
            self.status.iter().map(|range| format!("{}-{}", range.start(), range.end())).collect();
        let mut text = format!("{} {}", self.grpc, statuses.join(" "));
        // Only where it was configured: the text of everybody else stays what it was before there were any.
        if self.outcomes != faults() {
            self.outcomes.iter().for_each(|outcome| text.extend([" ", outcome.as_str()]));
        }
        text
    }
}

fn bits(codes: &[u64]) -> u32 {
    codes.iter().fold(0, |bits, code| bits | 1 << (code & 31))
}

/// `503`, `"503"`, `"5xx"` or `"500-504"`; within 100 to 599.
pub fn statuses(item: &Value) -> Option<RangeInclusive<u16>> {
    let legal = |n: &u16| (100..=599).contains(n);
    if let Some(n) = whole(item) {
        return u16::try_from(n).ok().filter(legal).map(|n| n..=n);
    }
    let text = item.as_str()?;
    if let Some(class) = text.strip_suffix("xx") {
        let first = class.parse::<u16>().ok().filter(|n| (1..=5).contains(n) && class.len() == 1)? * 100;
        return Some(first..=first + 99);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |digits: &str| (digits.len() == 3).then(|| digits.parse::<u16>().ok().filter(legal))?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}
