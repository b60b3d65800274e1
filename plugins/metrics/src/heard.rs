//! What a response tells, and who gave it. Flags and details are read only where a response failed or never came.

use crate::local::{self, Local};
use crate::spoken::Spoken;
use sdk_shim::ending::{self, VIA_UPSTREAM};
use sdk_shim::headers::number;
use sdk_shim::host::{Host, Map};
use sdk_shim::ours::{self, REPLAYED};
use sdk_shim::outcome::{Answer, Outcome};

/// What was heard so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    #[default]
    Nothing,
    /// gRPC response headers: the status comes in the trailers.
    Headers,
    /// The service's answer.
    Service {
        /// What it comes to by its status.
        outcome: Outcome,
        /// Its status doesn't say what it means where somebody has read more of it.
        is_status: bool,
        /// What the proxy has to say besides.
        error: Option<&'static str>,
    },
    /// Somebody else's.
    Local(Local),
}

/// The status of the response whose headers are here; 0 where there is none.
pub fn status<H: Host>(host: &H) -> u16 {
    let status = host.header(Map::ResponseHeaders, ":status").and_then(|value| number(&value));
    status.and_then(|status| u16::try_from(status).ok()).unwrap_or(0)
}

/// `grpc-status` in headers or trailers.
pub fn grpc_status<H: Host>(host: &H, map: Map) -> Option<u32> {
    host.header(map, "grpc-status").and_then(|value| number(&value))
}

/// How often a service was tried so far; `None` where the host doesn't tell.
pub fn attempts<H: Host>(host: &H) -> Option<u64> {
    if !host.capabilities().response_flags {
        return None;
    }
    let bytes = host.property(&["upstream", "request_attempt_count"]).unwrap_or_default();
    Some(bytes.first_chunk::<8>().map_or(0, |count| u64::from_le_bytes(*count)))
}

/// A service's answer by its statuses.
pub const fn service(status: u16, grpc: Option<u32>) -> Heard {
    let is_status = grpc.is_none() && status >= 100 && status < 400;
    Heard::Service { outcome: Outcome::of(Answer::Service { status, grpc }), is_status, error: None }
}

/// What a request's response headers tell. `attempts` says how often a service was tried; `end` where they are the whole response.
pub fn response<H: Host>(
    host: &H,
    spoken: Spoken,
    status: u16,
    attempts: Option<u64>,
    request_sent: bool,
    end: bool,
) -> Heard {
    let whole = end || !host.capabilities().response_trailers;
    let may_be_grpc = spoken.is_grpc() && status == 200;
    let grpc = if may_be_grpc && whole { grpc_status(host, Map::ResponseHeaders) } else { None };
    let is_well = (100..400).contains(&status) && grpc.unwrap_or(0) == 0;
    match attempts {
        // Nobody was tried: the proxy or one of its filters.
        Some(0) => return Heard::Local(local::judge(host, &ending::details(host), true, is_well, request_sent)),
        Some(_) if !is_well => {
            let details = ending::details(host);
            if details != VIA_UPSTREAM {
                return Heard::Local(local::judge(host, &details, true, false, request_sent));
            }
        }
        Some(_) => {}
        // A host that doesn't say who answered. Of answers that are well only those given again are another plugin's matter.
        None => {
            let is_doubtful = !is_well || host.header(Map::ResponseHeaders, REPLAYED).is_some();
            if is_doubtful && ours::answered(host) {
                return Heard::Local(local::judge(host, &[], true, is_well, request_sent));
            }
        }
    }
    if spoken == Spoken::Grpc && status == 200 && !whole {
        return Heard::Headers;
    }
    let heard = service(status, grpc);
    match heard {
        Heard::Service { outcome, is_status, .. } if attempts.is_some() && outcome.is_upstreams_fault() => {
            let error = local::is_retry_overflow(ending::flags(host)).then_some("retry_overflow");
            Heard::Service { outcome, is_status, error }
        }
        heard => heard,
    }
}

/// What the response trailers of a gRPC call tell.
pub fn trailers<H: Host>(host: &H) -> Heard {
    // No status at all: its client takes it for UNKNOWN.
    service(200, Some(grpc_status(host, Map::ResponseTrailers).unwrap_or(2)))
}
