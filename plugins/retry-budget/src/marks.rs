//! Requests that say of themselves that they are retries: a client's, or another gateway's.
//!
//! A mark costs whoever sets it: marked requests are shed first, and aren't retried by us. So a client gains nothing by inventing one, and what it
//! gains by leaving one out it has without us. But it could use up the budget of honest clients; where that matters, `trusted_proof` says
//! by which secret the hop is known whose marks count.

use crate::policy::ClientRetries;
use sdk_shim::common::same_secret;
use sdk_shim::headers::{Headers, number};
use sdk_shim::host::{Host, Map};

/// Envoy counts the first try too; all others count what came before.
const COUNTS_FIRST: &str = "x-envoy-attempt-count";

/// Which retry this request says it is, from 1; `None` for a first try. The proof goes no further than here.
pub fn retry_of<H: Host>(host: &H, clients: &ClientRetries, token: Option<&[u8]>) -> Option<u32> {
    if !is_trusted(host, clients, token) {
        return None;
    }
    clients.headers.iter().flat_map(|name| values(host, name).into_iter().filter_map(|value| mark(name, &value))).max()
}

fn is_trusted<H: Host>(host: &H, clients: &ClientRetries, token: Option<&[u8]>) -> bool {
    let Some(proof) = &clients.trusted_proof else { return true };
    let given = values(host, &proof.header);
    if !given.is_empty() {
        host.remove_header(Map::RequestHeaders, &proof.header);
    }
    // A client's value beside the hop's must not hide that.
    token.is_some_and(|token| given.iter().any(|given| same_secret(given, token)))
}

/// Every value of a header. One that is absent costs one look.
fn values<H: Host>(host: &H, name: &str) -> Vec<Vec<u8>> {
    if host.header(Map::RequestHeaders, name).is_none() {
        return Vec::new();
    }
    Headers::from(host.headers(Map::RequestHeaders)).all(name).map(<[u8]>::to_vec).collect()
}

fn mark(name: &str, value: &[u8]) -> Option<u32> {
    number(value)?.checked_sub(u32::from(name == COUNTS_FIRST)).filter(|retries| *retries > 0)
}
