//! What a request gets that one of our plugins refuses: an answer that says why, for how long, and that nobody should retry it at once.

use crate::host::Reply;
use crate::json::{Fields, Value};

/// gRPC's `UNAVAILABLE`: not now, maybe later.
pub const UNAVAILABLE: u32 = 14;

/// A refusal in the service's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The plugin's name, as in `circuit-breaker`.
    pub plugin: &'a str,
    /// Why, in one word.
    pub cause: &'a str,
    /// Why, for people.
    pub title: &'a str,
    /// HTTP status.
    pub status: u16,
    /// The status that a gRPC client gets.
    pub grpc_status: u32,
    /// Whole seconds after which a client may ask again; 0 where there is no saying.
    pub retry_after: u64,
    /// An Envoy in front is told not to retry.
    pub mark: bool,
}

// === impl Refusal ===

impl Refusal<'_> {
    /// The answer: problem details (RFC 9457), or for a gRPC request trailers only.
    pub fn reply(&self, is_grpc: bool) -> Reply {
        let mut headers = self.headers();
        if is_grpc {
            let plugin = self.plugin.replace('-', " ");
            let later = (self.retry_after > 0).then(|| format!("; retry after {} s", self.retry_after));
            let body = format!("{plugin}: {}{}", self.cause, later.unwrap_or_default()).into_bytes();
            return Reply { status: self.status, headers, body, grpc_status: Some(self.grpc_status) };
        }
        headers.push(("content-type".to_owned(), "application/problem+json".to_owned()));
        Reply { status: self.status, headers, body: self.problem(), grpc_status: None }
    }

    fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![("x-holdfast-reject".to_owned(), format!("{}; cause={}", self.plugin, self.cause))];
        if self.retry_after > 0 {
            headers.push(("retry-after".to_owned(), self.retry_after.to_string()));
        }
        if self.mark {
            headers.push(("x-envoy-ratelimited".to_owned(), "true".to_owned()));
        }
        headers
    }

    fn problem(&self) -> Vec<u8> {
        let mut problem = Fields::default();
        problem.add("type", &Value::from(format!("urn:holdfast:problem:{}", self.plugin)));
        problem.add("title", &Value::from(self.title));
        problem.add("status", &Value::from(u64::from(self.status)));
        problem.add("cause", &Value::from(self.cause));
        if self.retry_after > 0 {
            problem.add("retry_after_seconds", &Value::from(self.retry_after));
        }
        problem.end().into_bytes()
    }
}
