//! What a request is spoken in, found out with as few questions as possible.

use crate::policy::Policy;
use crate::protocol::Protocol;
use core::cell::OnceCell;
use sdk_shim::host::{Host, Map};
use sdk_shim::path::without_query;

/// What is known of a request.
#[derive(Debug)]
pub struct Spoken {
    /// What it is spoken in.
    pub protocol: Protocol,
    path: OnceCell<Vec<u8>>,
}

/// Asks. A request without a body is no gRPC call. Whether it is GraphQL is asked where that makes a difference.
pub fn of<H: Host>(host: &H, policy: &Policy, end: bool, graphql: bool) -> Spoken {
    let mut spoken = Spoken { protocol: Protocol::Rest, path: OnceCell::new() };
    let by_type = || {
        let content_type = if end { None } else { host.header(Map::RequestHeaders, "content-type") };
        content_type.and_then(|content_type| Protocol::of_content_type(&content_type))
    };
    let is_graphql = graphql && !policy.graphql.paths.is_empty();
    spoken.protocol = match policy.protocol {
        Some(protocol) => protocol,
        None => by_type().unwrap_or_else(|| {
            if is_graphql && policy.graphql.covers(spoken.path(host)) { Protocol::GraphQl } else { Protocol::Rest }
        }),
    };
    spoken
}

// === impl Spoken ===

impl Spoken {
    /// The path without its query; asked for once.
    pub fn path<H: Host>(&self, host: &H) -> &[u8] {
        without_query(self.path.get_or_init(|| host.header(Map::RequestHeaders, ":path").unwrap_or_default()))
    }
}
