//! What a request is spoken in, as the label `protocol` says it.

use crate::policy::GraphQl;
use sdk_shim::host::{Host, Map};
use sdk_shim::path::without_query;
use sdk_shim::protocol::{Protocol, is_json, media_type};

/// What a request is spoken in, or what its answer turned it into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spoken {
    /// HTTP itself.
    Rest,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// GraphQL, by its path.
    GraphQl,
    /// Server-sent events: an answer of `text/event-stream`.
    Sse,
    /// A connection that was switched to another protocol (101).
    WebSocket,
}

// === impl Spoken ===

impl Spoken {
    /// As labels spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => Protocol::Rest.as_str(),
            Self::Grpc => Protocol::Grpc.as_str(),
            Self::GrpcWeb => Protocol::GrpcWeb.as_str(),
            Self::GraphQl => Protocol::GraphQl.as_str(),
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
        }
    }

    /// How many there are.
    pub const COUNT: usize = 6;

    /// Whether its status is gRPC's.
    pub const fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb)
    }

    /// Asks the request whose headers are here; `end` where they are all of it. A request without a body is no gRPC call; and whether it is GraphQL is asked
    /// only of one with a JSON body, since asking costs a healthy request as much as everything else that it is asked.
    pub fn of<H: Host>(host: &H, graphql: &GraphQl, end: bool) -> Self {
        let content_type = if end { None } else { host.header(Map::RequestHeaders, "content-type") };
        let Some(content_type) = content_type else { return Self::Rest };
        match Protocol::of_content_type(&content_type) {
            Some(Protocol::Grpc) => Self::Grpc,
            Some(Protocol::GrpcWeb) => Self::GrpcWeb,
            _ if graphql.paths.is_empty() || !is_json(media_type(&content_type)) => Self::Rest,
            _ => {
                let path = host.header(Map::RequestHeaders, ":path").unwrap_or_default();
                if graphql.covers(without_query(&path)) { Self::GraphQl } else { Self::Rest }
            }
        }
    }

    /// What an answer turned it into. `status` is its status; `end` where there is no body.
    #[must_use]
    pub fn answered<H: Host>(self, host: &H, status: u16, end: bool) -> Self {
        match (self, status) {
            (Self::Rest, 101) => Self::WebSocket,
            (Self::Rest | Self::GraphQl, 200) if !end => {
                let content_type = host.header(Map::ResponseHeaders, "content-type").unwrap_or_default();
                let is_sse = media_type(&content_type).eq_ignore_ascii_case(b"text/event-stream");
                if is_sse { Self::Sse } else { self }
            }
            _ => self,
        }
    }
}
