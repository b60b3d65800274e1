//! `extensions.code`: which outcome a service's own words mean.

use super::scan::Fault;
use sdk_shim::outcome::Outcome;

/// What a service's words mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes {
    /// Codes and their outcomes; the last one of a name counts.
    table: Vec<(String, Outcome)>,
    /// What an error is that has neither a path nor a code that is known: it is of the request (7.1.2), but doesn't say whose fault that is. Servers say so of
    /// two operations without a name, and of a database that isn't there.
    pub request_errors: Outcome,
    /// Where each field of `data` is null, errors with a known code count as if there were no `data`.
    pub null_is_no_data: bool,
}

/// What widely used servers say (Apollo Server 4 "Built-in error codes", Hasura, graphql-java), and the names of gRPC's codes, which gateways in front of
/// gRPC services pass on.
const KNOWN: [(&str, Outcome); 26] = [
    ("GRAPHQL_PARSE_FAILED", Outcome::CallerFault),
    ("GRAPHQL_VALIDATION_FAILED", Outcome::CallerFault),
    ("BAD_USER_INPUT", Outcome::CallerFault),
    ("BAD_REQUEST", Outcome::CallerFault),
    ("OPERATION_RESOLUTION_FAILURE", Outcome::CallerFault),
    ("PERSISTED_QUERY_NOT_FOUND", Outcome::CallerFault),
    ("PERSISTED_QUERY_NOT_SUPPORTED", Outcome::CallerFault),
    ("UNAUTHENTICATED", Outcome::CallerFault),
    ("FORBIDDEN", Outcome::CallerFault),
    ("NOT_FOUND", Outcome::CallerFault),
    ("access-denied", Outcome::CallerFault),
    ("invalid-jwt", Outcome::CallerFault),
    ("validation-failed", Outcome::CallerFault),
    ("INVALID_ARGUMENT", Outcome::CallerFault),
    ("PERMISSION_DENIED", Outcome::CallerFault),
    ("ALREADY_EXISTS", Outcome::CallerFault),
    ("FAILED_PRECONDITION", Outcome::CallerFault),
    ("RESOURCE_EXHAUSTED", Outcome::Overload),
    ("TOO_MANY_REQUESTS", Outcome::Overload),
    ("RATE_LIMITED", Outcome::Overload),
    ("DEADLINE_EXCEEDED", Outcome::Timeout),
    ("GATEWAY_TIMEOUT", Outcome::Timeout),
    ("UNAVAILABLE", Outcome::Unreachable),
    ("SERVICE_UNAVAILABLE", Outcome::Unreachable),
    ("INTERNAL_SERVER_ERROR", Outcome::ServerFault),
    ("INTERNAL", Outcome::ServerFault),
];

// === impl Codes ===

impl Codes {
    /// The known ones, and a user's own, which win.
    pub fn with(own: impl IntoIterator<Item = (String, Outcome)>) -> Self {
        let known = KNOWN.iter().map(|(code, outcome)| ((*code).to_owned(), *outcome));
        Self { table: known.chain(own).collect(), request_errors: Outcome::Unknown, null_is_no_data: false }
    }

    /// What an error came to by its code, if that is known.
    pub fn named(&self, fault: &Fault) -> Option<Outcome> {
        let known = fault.code().and_then(|code| self.table.iter().rev().find(|(name, _)| name == code));
        known.map(|(_, outcome)| *outcome)
    }

    /// What an error came to.
    pub fn judge(&self, fault: &Fault) -> Outcome {
        match self.named(fault) {
            Some(outcome) => outcome,
            None if fault.locations && !fault.path => Outcome::CallerFault,
            None if !fault.path => self.request_errors,
            None => Outcome::ServerFault,
        }
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self::with([])
    }
}

/// The one of two that an operator would rather know of.
pub(super) const fn worse(one: Outcome, other: Outcome) -> Outcome {
    if weight(one) >= weight(other) { one } else { other }
}

const fn weight(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::ServerFault => 5,
        Outcome::Unreachable => 4,
        Outcome::Timeout => 3,
        Outcome::Overload => 2,
        Outcome::CallerFault => 1,
        _ => 0,
    }
}
