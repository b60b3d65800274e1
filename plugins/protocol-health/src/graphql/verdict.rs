//! What an answer means.

use super::scan::{Data, Found};
use sdk_shim::outcome::Outcome;

/// Judges a whole answer by its status and what was found in its body. What couldn't be read to its end is `unknown`, never ok.
///
/// A status beyond 2xx speaks for itself: whoever says it means it, and its body may be a proxy's. 294 is the draft's "partial success" of GraphQL over
/// HTTP.
pub fn verdict(status: u16, found: &Found) -> Outcome {
    if !(200..300).contains(&status) {
        return Outcome::of_status(status);
    }
    match (found.data, found.worst) {
        _ if !found.whole => Outcome::Unknown,
        (Data::Present | Data::Hollow, None) if status == 294 => Outcome::Partial,
        (Data::Present | Data::Hollow, None) => Outcome::Ok,
        // Where every field may be null, an order that isn't there looks like a database that isn't. Codes tell them apart.
        (Data::Hollow, Some(_)) => match found.named {
            Some(named) if named.is_upstreams_fault() => named,
            _ => Outcome::Partial,
        },
        (Data::Present, Some(_)) => Outcome::Partial,
        (_, Some(worst)) => worst,
        // Neither data nor errors: it isn't GraphQL.
        (Data::Null | Data::Absent, None) => Outcome::Unknown,
    }
}
