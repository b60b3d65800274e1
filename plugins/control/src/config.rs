//! JSON to [`Policy`], or every fault at once.

use sdk_shim::common::{Secret, read_secret};
use sdk_shim::config::{Faults, Reader, read_and};
use sdk_shim::flavor::Capabilities;

/// Fewest characters of a token: 128 bits in hex.
const SHORTEST: usize = 32;

/// What is obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who may ask: `authorization: Bearer <token>`.
    pub token: Option<Secret>,
    /// The proxy's entry says `allow_on_headers_stop_iteration: true`.
    pub headers_stop_iteration: bool,
}

/// Reads a configuration.
///
/// ```
/// let policy = control::config::read(br#"{"token": {"env": "CONTROL"}, "headers_stop_iteration": true}"#).unwrap();
/// assert!(policy.headers_stop_iteration);
/// assert_eq!(control::config::read(br#"{"tocken": 1}"#).unwrap_err().len(), 3);
/// ```
pub fn read(bytes: &[u8]) -> Result<Policy, Faults> {
    read_on(bytes, |_| Faults::default())
}

/// The same, with what `check` finds.
pub(crate) fn read_on(bytes: &[u8], check: impl FnOnce(&Policy) -> Faults) -> Result<Policy, Faults> {
    read_and(bytes, fields, check)
}

fn fields(read: &mut Reader<'_>) -> Policy {
    let insecure_literal = read.bool("insecure_literal", false);
    if read.raw("token").is_none_or(sdk_shim::json::Value::is_null) {
        read.fault("token", "nothing", "{\"env\": \"NAME\"}: nobody else may give orders");
    }
    let token = read.object("token", |read| read_secret(read, insecure_literal)).flatten();
    let headers_stop_iteration = read.bool("headers_stop_iteration", false);
    if !headers_stop_iteration {
        let allowed =
            "true, with allow_on_headers_stop_iteration: true in Envoy's entry: orders are bodies, and are waited for";
        read.fault("headers_stop_iteration", "false", allowed);
    }
    Policy { token, headers_stop_iteration }
}

impl Policy {
    /// What this host lacks.
    pub fn check_host(&self, caps: &Capabilities) -> Faults {
        if caps.pause_without_call {
            return Faults::default();
        }
        Faults::one("$", "a host that lacks the capability pause_without_call", "Envoy")
    }
}

/// What is wrong with a token that is nobody's secret.
pub fn check_token(token: &[u8]) -> Faults {
    if token.len() >= SHORTEST {
        return Faults::default();
    }
    // Not the token itself: this goes to the log.
    let (found, allowed) = (
        format!("{} characters", token.len()),
        format!("{SHORTEST} characters or more, such as `openssl rand -hex 32` makes"),
    );
    Faults::one("$.token", found, allowed)
}
