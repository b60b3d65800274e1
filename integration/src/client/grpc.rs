//! A unary gRPC call, without generated code: the tests care about statuses, not about messages.

use std::time::Duration;

use hyper::HeaderMap;

use super::{Call, Response};
use crate::TestResult;

/// Compression flag and length in front of every message.
const PREFIX: usize = 5;

/// The end of a call as a gRPC client sees it.
#[derive(Clone, Debug)]
pub struct GrpcReply {
    /// HTTP status: 200 from any gRPC server.
    pub http_status: u16,
    /// `grpc-status`, from the trailers or, for trailers-only answers, from the headers.
    pub status: Option<u32>,
    /// `grpc-message`, from the same place.
    pub message: Option<String>,
    /// Whether the status came in trailers.
    pub in_trailers: bool,
    /// The messages, without their prefix.
    pub messages: Vec<Vec<u8>>,
    /// Response headers.
    pub headers: HeaderMap,
    /// Time until the last byte.
    pub elapsed: Duration,
}

/// Calls `path` (`/package.Service/Method`) with one message over HTTP/2 without TLS, with a timeout of 10 s.
///
/// # Errors
/// When there is no complete answer. A gRPC status is never an error.
pub fn grpc(port: u16, path: &str, message: &[u8], headers: &[(&str, &str)]) -> TestResult<GrpcReply> {
    Ok(GrpcReply::from(grpc_call(port, path, message).headers(headers).send()?))
}

/// The same, to be sent.
pub fn grpc_call(port: u16, path: &str, message: &[u8]) -> Call {
    let call = Call::post(port, path, &framed(message)).http2();
    call.header("content-type", "application/grpc").header("te", "trailers")
}

/// A message with its prefix.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// The complete messages in a body.
pub(crate) fn unframed(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let [_, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some(message) = rest.get(..length) else { break };
        messages.push(message.to_vec());
        body = &body[PREFIX + length..];
    }
    messages
}

// === impl GrpcReply ===

impl From<Response> for GrpcReply {
    fn from(reply: Response) -> Self {
        let in_trailers = reply.trailers.contains_key("grpc-status");
        let end = if in_trailers { &reply.trailers } else { &reply.headers };
        Self {
            http_status: reply.status,
            status: text(end, "grpc-status").and_then(|status| status.parse().ok()),
            message: text(end, "grpc-message"),
            in_trailers,
            messages: unframed(&reply.body),
            elapsed: reply.elapsed,
            headers: reply.headers,
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_framing() {
        let body = [framed(b"one"), framed(b""), framed(b"three")].concat();
        assert_eq!(unframed(&body), [&b"one"[..], b"", b"three"]);
    }
}
