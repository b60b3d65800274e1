//! Answers of ours, on a host that doesn't tell who answered.
//!
//! A filter sees the refusal of one behind it as it sees an answer of the service, and a breaker that took the one for the other would open for what a budget sheds.
//! Envoy says whose an answer is. `WasmX` doesn't, so there whoever answers leaves word of it within the request, which no client and no service can write.
//!
//! Kong before 3.6 keeps no words. There the headers of our answers are believed alone: a service that sent them would keep its own failures from being counted.

use crate::host::{Host, Map};

/// The word: who answered.
const ANSWERED: &[&str] = &["holdfast.answered"];
/// The response header of a refusal: who refused, and why.
pub const REJECT: &str = "x-holdfast-reject";
/// The response header of an answer that is given again.
pub const REPLAYED: &str = "idempotency-replayed";

/// A plugin answers the current request in the service's place. Costs nothing where the host tells that itself.
pub fn note<H: Host>(host: &H, plugin: &str) {
    if !host.capabilities().response_flags {
        host.set_property(ANSWERED, plugin.as_bytes());
    }
}

/// Whether a plugin of ours gave the answer whose headers are here. To be asked where the host lacks `response_flags`.
pub fn answered<H: Host>(host: &H) -> bool {
    let is_marked = || [REJECT, REPLAYED].into_iter().any(|name| host.header(Map::ResponseHeaders, name).is_some());
    says_answered(host) || (is_marked() && !says(host, &["kong", "version"]))
}

/// Whether there is word of it, which no service can write: for what must not be believed of headers.
pub fn says_answered<H: Host>(host: &H) -> bool {
    says(host, ANSWERED)
}

fn says<H: Host>(host: &H, path: &[&str]) -> bool {
    host.property(path).is_some_and(|word| !word.is_empty())
}
