//! A complete answer.

use std::time::Duration;

use anyhow::Context as _;
use hyper::HeaderMap;
use serde_json::Value;

use crate::TestResult;

/// What came back, whatever the status.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers; values are bytes.
    pub headers: HeaderMap,
    /// Trailers, empty where there were none.
    pub trailers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
    /// From the first byte sent to the last byte received.
    pub elapsed: Duration,
}

// === impl Response ===

impl Response {
    /// A header's first value; `None` where it is absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text, bytes that are not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is something else; shows it.
    pub fn json(&self) -> TestResult<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }

    /// Name of the [`Upstream`](crate::Upstream) that answered, if one did.
    pub fn served_by(&self) -> Option<&str> {
        self.header("x-upstream")
    }

    /// The value of `x-holdfast-reject`: which plugin refused the request, and why.
    pub fn rejected_by(&self) -> Option<&str> {
        self.header("x-holdfast-reject")
    }
}
