//! The one line about a request, for access logs: `outcome=ok attempts=1 breaker=closed replay=no cause=-`.

use sdk_shim::host::Host;
use sdk_shim::outcome::Outcome;
use std::borrow::Cow;

/// Where it stands: `%FILTER_STATE(wasm.holdfast.request:PLAIN)%` in an access log.
pub const LINE: &[&str] = &["holdfast.request"];
/// What the breaker says of a request that met it when it wasn't closed.
const PHASE: &[&str] = &["holdfast.circuit_breaker.phase"];

/// What is said of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What it came to.
    pub outcome: Outcome,
    /// How often a service was tried.
    pub attempts: u64,
    /// Why, where there is a why.
    pub cause: &'a str,
}

// === impl Line ===

impl Line<'_> {
    /// The text, and whether the request met a breaker that isn't closed, which is asked for.
    pub fn text<H: Host>(&self, host: &H) -> (Cow<'static, str>, bool) {
        let phase = host.property(PHASE).unwrap_or_default();
        let met = !phase.is_empty();
        (self.with(&phase), met)
    }

    fn with(&self, phase: &[u8]) -> Cow<'static, str> {
        if phase.is_empty() && self.outcome == Outcome::Ok && self.attempts == 1 && self.cause.is_empty() {
            return Cow::Borrowed(HEALTHY);
        }
        let phase = core::str::from_utf8(phase).ok().filter(|phase| !phase.is_empty()).unwrap_or("closed");
        let replay = if self.outcome == Outcome::Replay { "yes" } else { "no" };
        let cause = if self.cause.is_empty() { "-" } else { self.cause };
        let (outcome, attempts) = (self.outcome.as_str(), self.attempts);
        Cow::Owned(format!("outcome={outcome} attempts={attempts} breaker={phase} replay={replay} cause={cause}"))
    }
}

/// What nearly all requests come to.
const HEALTHY: &str = "outcome=ok attempts=1 breaker=closed replay=no cause=-";
