//! What an attempt came to: pure, fed with what the proxy hands over, and done as soon as nothing more can be learned.
//!
//! ```text
//!                     headers tell                 trailers or the body's end tell
//! REST                status, predicate's header   predicate's JSON
//! gRPC                another status than 200,     grpc-status in trailers; none: a server fault
//!                     grpc-status (trailers-only)
//! gRPC-Web            the same                     the body's last frame
//! GraphQL             another status than 2xx      errors and data
//! ```
//! What can't be read (compressed, too long, another media type, a stream) is `unknown`: it counts neither for nor against the service.

use crate::graphql::{Codes, Scan, verdict};
use crate::grpc_web::{End, Reader};
use crate::policy::Policy;
use crate::predicate::Predicate;
use crate::protocol::{Protocol, is_json, media_type};
use sdk_shim::outcome::Outcome;

/// What a request is known by when its headers are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it is spoken in.
    pub protocol: Protocol,
    /// gRPC: the method has one answer.
    pub unary: bool,
    /// REST: the predicate asks of its answer.
    pub predicate: bool,
}

/// The headers of an answer, as far as the protocol needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// HTTP status; 0 where there is none.
    pub status: u16,
    /// `grpc-status`.
    pub grpc: Option<u32>,
    /// `content-type`.
    pub content_type: Vec<u8>,
    /// Its body is compressed.
    pub encoded: bool,
    /// The predicate's header.
    pub predicate: Option<Vec<u8>>,
    /// There is no body.
    pub end: bool,
}

/// An answer being read.
#[derive(Debug)]
pub enum Reading {
    /// All that can be known. A stream's end says nothing.
    Known(Outcome),
    /// gRPC: trailers tell.
    Grpc(Reader),
    /// gRPC-Web: the last frame tells.
    GrpcWeb(Reader),
    /// GraphQL: the body tells.
    GraphQl {
        /// HTTP status.
        status: u16,
        /// What was found so far.
        scan: Box<Scan>,
    },
    /// REST: a value in the body tells.
    Json {
        /// What came so far.
        body: Vec<u8>,
        /// What is looked at, at most.
        most: usize,
    },
}

// === impl Reading ===

impl Reading {
    /// An answer's headers have come.
    pub fn begin(policy: &Policy, asked: Asked, head: &Head) -> Self {
        let by_status = Outcome::of_status(head.status);
        let well = (200..300).contains(&head.status);
        match asked.protocol {
            Protocol::Grpc | Protocol::GrpcWeb if head.status == 200 => Self::grpc(asked.protocol, head),
            Protocol::GraphQl if well => Self::graphql(policy, head),
            Protocol::Rest if well && asked.predicate => Self::rest(policy, head),
            _ => Self::Known(by_status),
        }
    }

    fn grpc(protocol: Protocol, head: &Head) -> Self {
        // The request's content type was its caller's choice. Whoever doesn't answer in kind isn't judged by it.
        if !head.content_type.to_ascii_lowercase().starts_with(b"application/grpc") || head.encoded {
            return Self::Known(Outcome::Unknown);
        }
        let web_text = head.content_type.to_ascii_lowercase().starts_with(b"application/grpc-web-text");
        match (head.grpc, protocol) {
            (Some(code), _) => Self::Known(Outcome::of_grpc(code)),
            // Its clients take it for UNKNOWN, whatever was meant.
            (None, _) if head.end => Self::Known(Outcome::ServerFault),
            (None, Protocol::GrpcWeb) if web_text => Self::Known(Outcome::Unknown),
            (None, Protocol::GrpcWeb) => Self::GrpcWeb(Reader::default()),
            (None, _) => Self::Grpc(Reader::default()),
        }
    }

    fn graphql(policy: &Policy, head: &Head) -> Self {
        if head.end || head.encoded || !is_json(media_type(&head.content_type)) {
            return Self::Known(Outcome::Unknown);
        }
        Self::GraphQl { status: head.status, scan: Box::new(Scan::new(policy.graphql.scan_bytes)) }
    }

    fn rest(policy: &Policy, head: &Head) -> Self {
        let Some(predicate) = &policy.predicate else { return Self::Known(Outcome::Ok) };
        // Nothing is there that could say anything: a HEAD, an answer without content, a part of one.
        let bodyless = head.end || matches!(head.status, 204..=206);
        if bodyless && predicate.json.is_some() {
            return Self::Known(Outcome::Unknown);
        }
        let by_header = predicate.of_header(head.predicate.as_deref());
        if by_header != Outcome::Ok || predicate.json.is_none() {
            return Self::Known(by_header);
        }
        if head.encoded {
            return Self::Known(Outcome::Unknown);
        }
        if !is_json(media_type(&head.content_type)) {
            return Self::Known(predicate.absent);
        }
        Self::Json { body: Vec::new(), most: policy.hold.max_bytes }
    }

    /// The next bytes of its body.
    pub fn feed(&mut self, codes: &Codes, bytes: &[u8]) {
        match self {
            Self::Known(_) => {}
            Self::Grpc(frames) | Self::GrpcWeb(frames) => frames.feed(bytes),
            Self::GraphQl { scan, .. } => scan.feed(bytes, codes),
            Self::Json { body, most } => {
                // One byte more than there may be tells that it is too long.
                let room = (*most + 1).saturating_sub(body.len());
                body.extend(&bytes[..bytes.len().min(room)]);
            }
        }
    }

    /// Whether bytes that may still come could change anything.
    pub fn wants_more(&self) -> bool {
        match self {
            Self::Known(_) => false,
            Self::Grpc(_) | Self::GrpcWeb(_) => true,
            Self::GraphQl { scan, .. } => !scan.is_over(),
            Self::Json { body, most } => body.len() <= *most,
        }
    }

    /// A second message begins: it is a stream, and holding it back would stop it.
    pub const fn is_stream(&self) -> bool {
        match self {
            Self::Grpc(frames) | Self::GrpcWeb(frames) => frames.begun() > 1,
            _ => false,
        }
    }

    /// Its body is over, and no trailers come.
    pub fn end(self, predicate: Option<&Predicate>) -> Outcome {
        match self {
            Self::Known(outcome) => outcome,
            // No status at all: a client takes it for UNKNOWN.
            Self::Grpc(_) => Outcome::ServerFault,
            Self::GrpcWeb(frames) => match frames.end() {
                End::Status(code) => Outcome::of_grpc(code),
                End::NoStatus | End::Cut | End::Broken => Outcome::ServerFault,
            },
            Self::GraphQl { status, scan } => verdict(status, &scan.end()),
            Self::Json { body, most } if body.len() > most => Outcome::Unknown,
            Self::Json { body, .. } => predicate.map_or(Outcome::Unknown, |predicate| predicate.of_body(&body)),
        }
    }

    /// Trailers have come, with this `grpc-status`.
    pub fn trailers(self, grpc: Option<u32>, predicate: Option<&Predicate>) -> Outcome {
        match self {
            Self::Grpc(_) => grpc.map_or(Outcome::ServerFault, Outcome::of_grpc),
            other => other.end(predicate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: &str = r#"{"chain": "upstream", "hold": {"max_bytes": 200},
        "predicate": {"json": {"pointer": "/status", "in": ["ok"]}, "absent": "ok"}}"#;

    fn policy() -> Policy {
        crate::config::read(POLICY.as_bytes()).unwrap()
    }

    fn asked(protocol: Protocol) -> Asked {
        Asked { protocol, unary: true, predicate: protocol == Protocol::Rest }
    }

    fn head(content_type: &str) -> Head {
        Head { status: 200, content_type: content_type.as_bytes().to_vec(), ..Head::default() }
    }

    fn judged<'a>(
        policy: &Policy,
        protocol: Protocol,
        head: &Head,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Outcome {
        let mut reading = Reading::begin(policy, asked(protocol), head);
        pieces.into_iter().for_each(|piece| reading.feed(&policy.graphql.codes, piece));
        reading.end(policy.predicate.as_ref())
    }

    fn body() -> impl Strategy<Value = Vec<u8>> {
        let graphql = r#"\{"data": (null|\{\}|[0-9]), "errors": \[(\{"path": \[\]\}(, \{"locations": \[\]\})?)?\]\}"#;
        let rest = r#"\{"status": "(ok|ill)", "x": "[a-z\\\\"]{0,9}"\}"#;
        let web = prop::collection::vec(
            (prop_oneof![Just(0_u8), Just(0x80)], prop::collection::vec(any::<u8>(), 0..20)),
            0..4,
        );
        let web = web.prop_map(|frames| {
            let frame = |(flags, payload): (u8, Vec<u8>)| {
                let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
                [&[flags][..], &length, &payload].concat()
            };
            frames.into_iter().flat_map(frame).collect::<Vec<u8>>()
        });
        let text = |pattern: &'static str| pattern.prop_map(String::into_bytes);
        prop_oneof![text(graphql), text(rest), web, prop::collection::vec(any::<u8>(), 0..300)]
    }

    proptest! {
        #[test]
        fn how_an_answer_is_cut_into_pieces_changes_no_verdict(body in body(), cuts in prop::collection::vec(0..60_usize, 0..8)) {
            let policy = policy();
            for (protocol, content_type) in [
                (Protocol::GraphQl, "application/json"),
                (Protocol::Rest, "application/json"),
                (Protocol::GrpcWeb, "application/grpc-web"),
                (Protocol::Grpc, "application/grpc"),
            ] {
                let (mut pieces, mut rest) = (Vec::new(), &body[..]);
                for cut in &cuts {
                    let (piece, more) = rest.split_at(*cut.min(&rest.len()));
                    pieces.push(piece);
                    rest = more;
                }
                pieces.push(rest);
                let whole = judged(&policy, protocol, &head(content_type), [&body[..]]);
                prop_assert_eq!(judged(&policy, protocol, &head(content_type), pieces), whole, "{:?}", protocol);
            }
        }
    }
}
