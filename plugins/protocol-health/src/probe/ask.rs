//! What a service is asked, and what its answer means.

use super::Probe;
use crate::graphql::{Codes, Scan, verdict};
use crate::predicate::Predicate;
use core::ops::RangeInclusive;
use sdk_shim::host::Callout;
use sdk_shim::outcome::Outcome;

/// More of an answer isn't looked at.
pub const MOST: usize = 65_536;

/// A way to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `grpc.health.v1.Health/Check`, over HTTP/2.
    Grpc {
        /// Of which service; the whole server where it is empty.
        service: String,
    },
    /// The query `{__typename}`, which every GraphQL service can answer.
    GraphQl {
        /// By POST, to this path.
        path: String,
    },
    /// A GET.
    Rest {
        /// Of this path.
        path: String,
        /// What is well.
        status: Vec<RangeInclusive<u16>>,
        /// What else must hold.
        predicate: Option<Predicate>,
    },
}

/// How a service is, as far as one call tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It says that it is well.
    Well,
    /// It isn't, or nobody knows; why, in a word.
    Ill(&'static str),
}

/// What was heard of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// HTTP status; 0 for silence.
    pub status: u16,
    /// `grpc-status`, from headers or trailers.
    pub grpc: Option<u32>,
    /// The header that a predicate asks for.
    pub header: Option<Vec<u8>>,
    /// The body, if it is no longer than [`MOST`].
    pub body: Option<Vec<u8>>,
}

// === impl Ask ===

impl Ask {
    /// The call.
    pub fn callout(&self, probe: &Probe, cluster: &str) -> Callout {
        let authority = probe.authority.as_deref().unwrap_or(cluster);
        let (method, path, more, body): (_, &str, &[(&str, &str)], _) = match self {
            Self::Grpc { service } => {
                let more = &[("content-type", "application/grpc"), ("te", "trailers")][..];
                ("POST", "/grpc.health.v1.Health/Check", more, framed(&check_request(service)))
            }
            Self::GraphQl { path } => {
                let more = &[("content-type", "application/json"), ("accept", "application/json")][..];
                ("POST", path, more, br#"{"query":"{__typename}"}"#.to_vec())
            }
            Self::Rest { path, .. } => ("GET", path, &[], Vec::new()),
        };
        let own = [(":method", method), (":path", path), (":authority", authority), ("user-agent", "holdfast-probe")];
        let headers = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Callout { upstream: cluster.to_owned(), headers, body, timeout: probe.timeout }
    }

    /// What its answer means.
    pub fn health(&self, heard: &Heard) -> Health {
        if heard.status == 0 {
            return Health::Ill("no answer");
        }
        match self {
            Self::Grpc { .. } => grpc(heard),
            Self::GraphQl { .. } => graphql(heard),
            Self::Rest { status, predicate, .. } => {
                if !status.iter().any(|well| well.contains(&heard.status)) {
                    return Health::Ill("status");
                }
                let Some(predicate) = predicate else { return Health::Well };
                let header = predicate.of_header(heard.header.as_deref());
                let body = heard.body.as_deref().map_or(Outcome::Unknown, |body| predicate.of_body(body));
                if header == Outcome::Ok && body == Outcome::Ok { Health::Well } else { Health::Ill("predicate") }
            }
        }
    }
}

fn grpc(heard: &Heard) -> Health {
    match (heard.status, heard.grpc, heard.body.as_deref().and_then(serving_status)) {
        (200, Some(0), Some(1)) => Health::Well,
        (200, Some(0), Some(_)) => Health::Ill("not serving"),
        (200, Some(0), None) => Health::Ill("no health response"),
        (200, Some(_), _) => Health::Ill("grpc-status"),
        _ => Health::Ill("status"),
    }
}

fn graphql(heard: &Heard) -> Health {
    let Some(body) = &heard.body else { return Health::Ill("too long an answer") };
    let mut scan = Scan::new(MOST);
    scan.feed(body, &Codes::default());
    match verdict(heard.status, &scan.end()) {
        Outcome::Ok | Outcome::Partial => Health::Well,
        _ if !(200..300).contains(&heard.status) => Health::Ill("status"),
        _ => Health::Ill("errors"),
    }
}

/// A `HealthCheckRequest`: field 1 is the service's name. Names are shorter than 128 bytes, so that their length is one byte.
fn check_request(service: &str) -> Vec<u8> {
    match u8::try_from(service.len()) {
        Ok(0) | Err(_) => Vec::new(),
        Ok(length) => [&[0x0a, length][..], service.as_bytes()].concat(),
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// `status` of the `HealthCheckResponse` in a body of one uncompressed message: field 1, a varint, `UNKNOWN` (0) where it is absent. Unknown fields
/// don't occur in it: the protocol has had this one field since it began.
fn serving_status(body: &[u8]) -> Option<u8> {
    let (flags, rest) = body.split_first()?;
    let (length, message) = rest.split_first_chunk::<4>()?;
    let whole = usize::try_from(u32::from_be_bytes(*length)).is_ok_and(|length| length == message.len());
    match message {
        [] if whole && *flags == 0 => Some(0),
        [0x08, status @ 0..=0x7f] if whole && *flags == 0 => Some(*status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(status: u16, grpc: Option<u32>, body: &[u8]) -> Heard {
        Heard { status, grpc, header: None, body: Some(body.to_vec()) }
    }

    #[test]
    fn grpc_says_serving_or_isnt() {
        let ask = Ask::Grpc { service: String::new() };
        let serving = framed(&[0x08, 1]);
        assert_eq!(ask.health(&heard(200, Some(0), &serving)), Health::Well);
        assert_eq!(ask.health(&heard(200, Some(0), &framed(&[0x08, 2]))), Health::Ill("not serving"));
        assert_eq!(ask.health(&heard(200, Some(0), &framed(&[]))), Health::Ill("not serving"));
        assert_eq!(ask.health(&heard(200, Some(5), &[])), Health::Ill("grpc-status"));
        assert_eq!(ask.health(&heard(200, None, &serving)), Health::Ill("status"));
        assert_eq!(ask.health(&heard(503, Some(0), &serving)), Health::Ill("status"));
        for odd in [&b""[..], b"\0", b"\0\0\0\0\x05\x08\x01", b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x02\x10\x01"] {
            assert_eq!(ask.health(&heard(200, Some(0), odd)), Health::Ill("no health response"), "{odd:?}");
        }
        assert_eq!(ask.health(&Heard::default()), Health::Ill("no answer"));
    }

    #[test]
    fn a_service_is_asked_for_by_name() {
        assert_eq!(check_request("shop"), b"\x0a\x04shop");
        assert_eq!(framed(&check_request("")), [0; 5]);
    }

    #[test]
    fn graphql_answers_its_name_or_isnt() {
        let ask = Ask::GraphQl { path: "/graphql".into() };
        assert_eq!(ask.health(&heard(200, None, br#"{"data": {"__typename": "Query"}}"#)), Health::Well);
        assert_eq!(ask.health(&heard(200, None, br#"{"errors": [{}]}"#)), Health::Ill("errors"));
        assert_eq!(ask.health(&heard(200, None, b"<html>")), Health::Ill("errors"));
        assert_eq!(ask.health(&heard(502, None, b"{}")), Health::Ill("status"));
        assert_eq!(ask.health(&Heard { status: 200, ..Heard::default() }), Health::Ill("too long an answer"));
    }

    #[test]
    fn rest_has_a_status_and_may_say_more() {
        let json = Some(("/status".to_owned(), vec![sdk_shim::json::Value::from("ok")]));
        let predicate = Predicate {
            paths: vec!["/".into()],
            header: None,
            json,
            absent: Outcome::Unknown,
            outcome: Outcome::ServerFault,
        };
        let plain = Ask::Rest { path: "/".into(), status: vec![200..=299], predicate: None };
        assert_eq!(plain.health(&heard(204, None, b"")), Health::Well);
        assert_eq!(plain.health(&heard(404, None, b"")), Health::Ill("status"));
        let strict = Ask::Rest { path: "/".into(), status: vec![200..=200], predicate: Some(predicate) };
        assert_eq!(strict.health(&heard(200, None, br#"{"status": "ok"}"#)), Health::Well);
        assert_eq!(strict.health(&heard(200, None, br#"{"status": "no"}"#)), Health::Ill("predicate"));
        assert_eq!(strict.health(&heard(200, None, b"")), Health::Ill("predicate"));
    }
}
