//! Whether a client got what it wanted: in its protocol's words, not by the status alone.

use std::time::Duration;

use super::super::{Kind, Record};
use super::wish::Wish;
use crate::client::GrpcReply;
use crate::{Response, TestResult};

/// An answer, or that there was none.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) status: Option<u16>,
    pub(super) ok: bool,
    pub(super) by: Option<String>,
    pub(super) paid: Option<String>,
    pub(super) said: Option<String>,
}

// === impl Judged ===

impl Judged {
    pub(super) fn of(kind: Kind, answer: TestResult<Response>) -> Self {
        match answer {
            Ok(reply) => Self {
                status: Some(reply.status),
                by: reply.served_by().map(str::to_owned),
                paid: paid(kind, &reply),
                said: reply.rejected_by().map(str::to_owned),
                ok: is_ok(kind, reply),
            },
            Err(error) => Self { status: None, ok: false, by: None, paid: None, said: Some(format!("{error:#}")) },
        }
    }

    pub(super) fn record(
        self,
        wish: &Wish,
        node: &str,
        at: Duration,
        took: Duration,
        attempts: u32,
        key: Option<String>,
    ) -> Record {
        let Self { status, ok, by, paid, said } = self;
        let (kind, stays, node) = (wish.kind, wish.stays(), node.to_owned());
        Record { at, took, kind, stays, node, status, ok, attempts, key, paid, by, said }
    }
}

fn is_ok(kind: Kind, reply: Response) -> bool {
    let said = |name: &str| reply.json().ok().and_then(|body| body.get(name).cloned()).filter(|value| !value.is_null());
    match kind {
        Kind::Read => reply.status == 200 && said("status").is_none_or(|status| status == "ok"),
        Kind::Pay => reply.status == 201,
        Kind::Graphql => reply.status == 200 && said("errors").is_none() && said("data").is_some(),
        Kind::Grpc => GrpcReply::from(reply).status == Some(0),
    }
}

/// The key of the payment that a service tells of.
fn paid(kind: Kind, reply: &Response) -> Option<String> {
    let body = reply.json().ok().filter(|_| kind == Kind::Pay)?;
    body.get("key")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;

    fn reply(status: u16, body: &str, grpc_status: Option<&str>) -> TestResult<Response> {
        let mut trailers = HeaderMap::new();
        if let Some(status) = grpc_status {
            trailers.insert("grpc-status", status.parse()?);
        }
        let (headers, elapsed) = (HeaderMap::new(), Duration::ZERO);
        Ok(Response { status, headers, trailers, body: body.into(), elapsed })
    }

    #[test]
    fn a_good_status_is_not_a_good_answer_yet() {
        let ok = |kind, answer| Judged::of(kind, answer).ok;
        assert!(ok(Kind::Read, reply(200, r#"{"payments": 1}"#, None)));
        assert!(!ok(Kind::Read, reply(200, r#"{"status": "degraded"}"#, None)));
        assert!(ok(Kind::Pay, reply(201, "{}", None)) && !ok(Kind::Pay, reply(200, r#"{"status": "degraded"}"#, None)));
        assert!(ok(Kind::Graphql, reply(200, r#"{"data": {"orders": []}}"#, None)));
        assert!(!ok(Kind::Graphql, reply(200, r#"{"data": null, "errors": [{}]}"#, None)));
        assert!(ok(Kind::Grpc, reply(200, "", Some("0"))) && !ok(Kind::Grpc, reply(200, "", Some("14"))));
    }

    #[test]
    fn whose_payment_it_was_is_read_from_the_answer() {
        let paid = |kind, body| Judged::of(kind, reply(201, body, None)).paid;
        assert_eq!(paid(Kind::Pay, r#"{"payment": 1, "key": "k-1"}"#).as_deref(), Some("k-1"));
        assert_eq!(
            [paid(Kind::Pay, "{}"), paid(Kind::Pay, "no JSON"), paid(Kind::Read, r#"{"key": "k"}"#)],
            [None, None, None]
        );
    }

    #[test]
    fn no_answer_is_none() {
        let judged = Judged::of(Kind::Read, Err(anyhow::anyhow!("refused")));
        assert_eq!((judged.status, judged.ok, judged.said.as_deref()), (None, false, Some("refused")));
    }
}
