//! Answers that no service gave: whose they are, and why.

use core::fmt;
use sdk_shim::ending;
use sdk_shim::host::{Host, Map};
use sdk_shim::key::{OTHER, clean};
use sdk_shim::ours::REJECT;
use sdk_shim::outcome::{Answer, Outcome, flag};

/// What idempotency says in filter state, which no service can write.
const IDEMPOTENCY: &[&str] = &["holdfast.idempotency"];
/// Plugins that refuse.
const PLUGINS: [&str; 4] = ["circuit-breaker", "retry-budget", "idempotency", "protocol-health"];
/// Longest cause, in bytes.
const MAX_CAUSE: usize = 32;

/// The pool has no room for another connection or request; where the service has answered, for another retry.
const OVERFLOW: u64 = 128;

/// Who answered in the service's place, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The plugin, `envoy` or `other`.
    pub plugin: &'static str,
    /// Why.
    pub cause: String,
}

/// What an answer that isn't the service's comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// In the words of all plugins.
    pub outcome: Outcome,
    /// Who answered, where the service was left in peace.
    pub rejection: Option<Rejection>,
    /// What was wrong with the service or the way there.
    pub error: Option<&'static str>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// Whether a stored answer was given again.
pub fn is_replay<H: Host>(host: &H) -> bool {
    host.property(IDEMPOTENCY).is_some_and(|state| state == b"replay")
}

/// Judges an answer that isn't the service's, or the silence of one; `answered` where headers of it are here. Its status is below 400 where `is_well`: what the
/// proxy says by itself (a redirect, a preflight) was asked for.
pub fn judge<H: Host>(host: &H, details: &[u8], answered: bool, is_well: bool, request_sent: bool) -> Local {
    if answered && is_replay(host) {
        return Local { outcome: Outcome::Replay, rejection: None, error: None };
    }
    let ours = if answered { rejection_of(host) } else { None };
    if is_well && ours.is_none() {
        return Local { outcome: Outcome::Ok, rejection: None, error: None };
    }
    if ours.is_some() {
        return Local { outcome: Outcome::LocalReject, rejection: ours, error: None };
    }
    let mut flags = ending::flags(host);
    // A stream's maximal duration has no flag.
    if flags == 0 && request_sent && details.starts_with(b"max_duration_timeout") {
        flags = flag::MAX_DURATION;
    }
    let outcome = Outcome::of(Answer::NotService { flags, request_sent });
    let error = if outcome == Outcome::Unknown { None } else { error_of(flags) };
    let rejection = (outcome == Outcome::LocalReject && error.is_none()).then(|| by_proxy(flags, details));
    Local { outcome, rejection, error }
}

/// What a plugin of ours says: `<plugin>; cause=<cause>`. A service can say it too, so it is believed of local answers only.
pub fn rejection_of<H: Host>(host: &H) -> Option<Rejection> {
    let said = host.header(Map::ResponseHeaders, REJECT)?;
    let said = core::str::from_utf8(&said).ok()?;
    let (plugin, cause) = said.split_once("; cause=")?;
    let plugin = PLUGINS.into_iter().find(|known| *known == plugin)?;
    Some(Rejection { plugin, cause: clean(cause.as_bytes(), MAX_CAUSE) })
}

/// What was wrong with the service or the way there, by Envoy's flags: the label `cause` of `upstream_errors_total`.
pub const fn error_of(flags: u64) -> Option<&'static str> {
    Some(match flags {
        _ if flags & OVERFLOW != 0 => "pool_overflow",
        _ if flags & flag::NO_HEALTHY_UPSTREAM != 0 => "no_healthy_upstream",
        _ if flags & flag::CONNECT_FAILURE != 0 => "connect_failure",
        _ if flags & (flag::UPSTREAM_TIMEOUT | flag::MAX_DURATION) != 0 => "timeout",
        _ if flags & flag::UPSTREAM_PROTOCOL != 0 => "protocol",
        _ if flags & (flag::UPSTREAM_REMOTE_RESET | flag::UPSTREAM_TERMINATION | LOCAL_RESET) != 0 => "reset",
        _ if flags & flag::STREAM_IDLE != 0 => "idle_timeout",
        _ => return None,
    })
}

/// The service answered, badly, and was not tried again because too many retries were under way.
pub const fn is_retry_overflow(flags: u64) -> bool {
    flags & OVERFLOW != 0
}

/// The proxy itself reset the stream to the service.
const LOCAL_RESET: u64 = 8;
/// Flags of the proxy's own refusals.
const REFUSALS: [(u64, &str); 6] = [
    (flag::NO_ROUTE, "no_route"),
    (flag::NO_CLUSTER, "no_cluster"),
    (2_048, "rate_limited"),
    (4_096, "unauthorized"),
    (512, "delay_injected"),
    (1_024, "fault_injected"),
];
/// What it says in `response.code_details` where it has no flag for it.
const DETAILS: [&str; 9] = [
    "direct_response",
    "request_payload_too_large",
    "response_payload_too_large",
    "request_overall_timeout",
    "request_header_timeout",
    "ext_authz_denied",
    "rbac_access_denied",
    "admission_control_rejected",
    "missing_host_header",
];

fn by_proxy(flags: u64, details: &[u8]) -> Rejection {
    let by_flag = REFUSALS.iter().find(|(bits, _)| flags & bits != 0).map(|(_, cause)| *cause);
    let by_details = || DETAILS.into_iter().find(|known| details.starts_with(known.as_bytes()));
    match by_flag.or_else(by_details) {
        Some(cause) => Rejection { plugin: "envoy", cause: cause.to_owned() },
        None => Rejection { plugin: "other", cause: OTHER.to_owned() },
    }
}
