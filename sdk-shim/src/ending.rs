//! How attempts end that nobody answered, as far as a proxy tells (docs/hosts.md, T20).

use crate::host::Host;
use crate::outcome::{Outcome, flag};

/// `response.code_details` where the service answered.
pub const VIA_UPSTREAM: &[u8] = b"via_upstream";

/// Filter state by which a plugin's refusal of an attempt is known to the entries that saw it go by: it ends without a response, and nobody was asked.
pub const REFUSED_ATTEMPT: &[&str] = &["holdfast.refused_attempt"];
/// The breaker's own.
const BREAKER_REFUSED_ATTEMPT: &[&str] = &["holdfast.circuit_breaker.refused_attempt"];

/// Whether a plugin of ours refused an attempt of this request. Asked where an attempt has no response.
pub fn is_refused<H: Host>(host: &H) -> bool {
    let says = |path| host.property(path).is_some_and(|cause| !cause.is_empty());
    says(REFUSED_ATTEMPT) || says(BREAKER_REFUSED_ATTEMPT)
}

/// Envoy's `response.flags`; 0 where the host has none.
pub fn flags<H: Host>(host: &H) -> u64 {
    if !host.capabilities().response_flags {
        return 0;
    }
    let bytes = host.property(&["response", "flags"]).unwrap_or_default();
    bytes.first_chunk::<8>().map_or(0, |flags| u64::from_le_bytes(*flags))
}

/// Envoy's `response.code_details`; empty where the host has none.
pub fn details<H: Host>(host: &H) -> Vec<u8> {
    if !host.capabilities().response_flags {
        return Vec::new();
    }
    host.property(&["response", "code_details"]).unwrap_or_default()
}

/// Whether no connection could be had.
pub fn is_unconnected<H: Host>(host: &H) -> bool {
    host.property(&["upstream", "transport_failure_reason"]).is_some_and(|reason| !reason.is_empty())
}

/// What an attempt came to that has no response: unreachable if a connection failed; unknown for clients that went away, or never finished, and for
/// hedges that lost; else a timeout (a reset can't be told apart there).
pub fn unanswered<H: Host>(host: &H, request_sent: bool) -> Outcome {
    if is_unconnected(host) {
        return Outcome::Unreachable;
    }
    if flags(host) & flag::CLIENT_ABORT != 0 || !request_sent || details(host) == VIA_UPSTREAM {
        return Outcome::Unknown;
    }
    Outcome::Timeout
}
