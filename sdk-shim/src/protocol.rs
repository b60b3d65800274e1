//! What a request is spoken in.

use crate::headers::is_grpc;

/// A way to say over HTTP what HTTP has no words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP itself: the status says it, or a predicate does.
    Rest,
    /// gRPC over HTTP/2: `grpc-status`, mostly in trailers.
    Grpc,
    /// gRPC-Web, binary: `grpc-status` in the body's last frame.
    GrpcWeb,
    /// GraphQL over HTTP: `errors` in the body.
    GraphQl,
}

// === impl Protocol ===

impl Protocol {
    /// As configurations and labels spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc_web",
            Self::GraphQl => "graphql",
        }
    }

    /// Each of them, by its word.
    pub const ALL: [(&'static str, Self); 4] =
        [("rest", Self::Rest), ("grpc", Self::Grpc), ("grpc_web", Self::GrpcWeb), ("graphql", Self::GraphQl)];

    /// By a request's content type, where it has a body.
    pub fn of_content_type(content_type: &[u8]) -> Option<Self> {
        let web = b"application/grpc-web";
        match content_type.split_at_checked(web.len()) {
            _ if is_grpc(content_type) => Some(Self::Grpc),
            Some((start, _)) if start.eq_ignore_ascii_case(web) => Some(Self::GrpcWeb),
            _ => None,
        }
    }
}

/// A content type without its parameters, as it is written.
pub fn media_type(content_type: &[u8]) -> &[u8] {
    content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// Whether a media type is JSON: `application/json` or anything with the suffix `+json` (RFC 6839).
pub fn is_json(media_type: &[u8]) -> bool {
    let ends = |suffix: &[u8]| {
        media_type.len() > suffix.len()
            && media_type.get(media_type.len() - suffix.len()..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    media_type.eq_ignore_ascii_case(b"application/json") || ends(b"+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_names_a_protocol() {
        let of = |text: &str| Protocol::of_content_type(text.as_bytes());
        assert_eq!(of("application/grpc+proto"), Some(Protocol::Grpc));
        assert_eq!(of("application/grpc-web+proto"), Some(Protocol::GrpcWeb));
        assert_eq!(of("Application/gRPC-Web-Text"), Some(Protocol::GrpcWeb));
        assert_eq!((of("application/json"), of("")), (None, None));
    }

    #[test]
    fn json_has_more_than_one_name() {
        for json in ["application/json", "Application/JSON", "application/graphql-response+json", "application/x+json"]
        {
            assert!(is_json(media_type(format!("{json} ; charset=utf-8").as_bytes())), "{json}");
        }
        for other in ["text/html", "application/json-seq", "+json", "multipart/mixed", ""] {
            assert!(!is_json(other.as_bytes()), "{other}");
        }
    }
}
