//! How a call ended: one taxonomy for REST and gRPC, used by all plugins.
//!
//! A proxy's status says too little: a 503 may come from the service, from the proxy (nobody answered) or from one of our
//! own filters, and only the first two speak of the service. [`Answer`] is what the host tells, [`Outcome::of`]
//! decides. The flags are Envoy's `response.flags` (docs/hosts.md F11).
//!
//! Some services say `200` and mean otherwise. The protocol-health plugin reads what they mean and tells the others: by a header
//! ([`MARK`]), on which Envoy's own matchers act too, and by filter state ([`TOLD`]), which no service and no client can write. The
//! header says that there is something to read; only the filter state is believed ([`told`]).

use crate::host::{Host, Map};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The service did what it was asked.
    Ok,
    /// The service answered in part (GraphQL `data` beside `errors`).
    Partial,
    /// The caller's own mistake: 4xx, `INVALID_ARGUMENT` and the like.
    CallerFault,
    /// The service said that it has too much to do: 429, `RESOURCE_EXHAUSTED`.
    Overload,
    /// No answer in time.
    Timeout,
    /// The service failed: 5xx, `INTERNAL` and the like.
    ServerFault,
    /// The service could not be reached, or cut the connection.
    Unreachable,
    /// The proxy or one of its filters answered in the service's place.
    LocalReject,
    /// A stored answer was given again.
    Replay,
    /// Nobody can tell: the client went away, or we never saw the request.
    Unknown,
}

impl Outcome {
    /// As metrics, logs and filter state spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::CallerFault => "caller_fault",
            Self::Overload => "overload",
            Self::Timeout => "timeout",
            Self::ServerFault => "server_fault",
            Self::Unreachable => "unreachable",
            Self::LocalReject => "local_reject",
            Self::Replay => "replay",
            Self::Unknown => "unknown",
        }
    }

    /// What a word of [`Outcome::as_str`] stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// Each of them.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::Partial,
        Self::CallerFault,
        Self::Overload,
        Self::Timeout,
        Self::ServerFault,
        Self::Unreachable,
        Self::LocalReject,
        Self::Replay,
        Self::Unknown,
    ];

    /// Whether another host might have done better.
    pub const fn is_upstreams_fault(self) -> bool {
        matches!(self, Self::Overload | Self::Timeout | Self::ServerFault | Self::Unreachable)
    }

    /// Whether it says anything about the upstream. What doesn't must never count against it, nor for it.
    pub const fn speaks_of_upstream(self) -> bool {
        !matches!(self, Self::LocalReject | Self::Replay | Self::Unknown)
    }
}

/// Response header that says that a call came to something else than `ok`, and to what.
pub const MARK: &str = "x-holdfast-outcome";

/// The cell of the word by which protocol-health says that it tells anything ([`crate::notice`]): where nobody does, nobody asks.
pub const TELLS: &str = "holdfast;protocol-health;tells";

/// Filter state that says what the last attempt came to.
pub const TOLD: &[&str] = &["holdfast.outcome"];

/// Filter state that says that the request's time was its caller's choice: a call that was cut for it says nothing of a service, unless it had a slow
/// call's time.
pub const CALLERS_DEADLINE: &[&str] = &["holdfast.callers_deadline"];

/// What protocol-health tells of the response that is on its way; `None` where it says nothing, or a header says so alone. One look for
/// a header that is absent as a rule.
pub fn told<H: Host>(host: &H) -> Option<Outcome> {
    host.header(Map::ResponseHeaders, MARK)?;
    told_at_last(host)
}

/// The same at the end, when headers are gone: what was told of the last attempt.
pub fn told_at_last<H: Host>(host: &H) -> Option<Outcome> {
    let told = host.property(TOLD)?;
    Outcome::parse(core::str::from_utf8(&told).ok()?.split(';').next()?)
}

/// Bits of Envoy's `response.flags`.
pub mod flag {
    /// No healthy upstream host.
    pub const NO_HEALTHY_UPSTREAM: u64 = 2;
    /// Upstream request timeout.
    pub const UPSTREAM_TIMEOUT: u64 = 4;
    /// The upstream reset the stream.
    pub const UPSTREAM_REMOTE_RESET: u64 = 16;
    /// Connecting failed.
    pub const CONNECT_FAILURE: u64 = 32;
    /// The upstream closed the connection.
    pub const UPSTREAM_TERMINATION: u64 = 64;
    /// NR: no route was found.
    pub const NO_ROUTE: u64 = 256;
    /// The client went away: its connection closed (DC), it reset the stream (DR), or it broke its protocol (DPE).
    pub const CLIENT_ABORT: u64 = 16_384 | 268_435_456 | 262_144;
    /// The stream was idle for too long.
    pub const STREAM_IDLE: u64 = 65_536;
    /// The stream lasted longer than the route allows.
    pub const MAX_DURATION: u64 = 524_288;
    /// The upstream broke its protocol.
    pub const UPSTREAM_PROTOCOL: u64 = 8_388_608;
    /// NC: the route's cluster isn't there.
    pub const NO_CLUSTER: u64 = 16_777_216;

    pub(super) const TIMEOUTS: u64 = UPSTREAM_TIMEOUT | MAX_DURATION;
    pub(super) const NO_CONNECTION: u64 = NO_HEALTHY_UPSTREAM | CONNECT_FAILURE;
    pub(super) const RESETS: u64 = UPSTREAM_REMOTE_RESET | UPSTREAM_TERMINATION | UPSTREAM_PROTOCOL;
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The service, with this HTTP status and, where it is gRPC, this gRPC status.
    Service {
        /// HTTP status.
        status: u16,
        /// gRPC status, from headers or trailers.
        grpc: Option<u32>,
    },
    /// The service, and its status isn't all: protocol-health has read what it means.
    Judged(Outcome),
    /// Not the service: the proxy replied, or nobody did. The flags say why.
    NotService {
        /// Envoy's `response.flags`; 0 where the host has none.
        flags: u64,
        /// The whole request had been sent when the call ended, so a silence was the service's.
        request_sent: bool,
    },
}

impl Outcome {
    /// Decides.
    pub const fn of(answer: Answer) -> Self {
        match answer {
            Answer::Service { grpc: Some(code), status: 200 } => Self::of_grpc(code),
            Answer::Service { status, .. } => Self::of_status(status),
            Answer::Judged(outcome) => outcome,
            Answer::NotService { flags, request_sent } => Self::of_flags(flags, request_sent),
        }
    }

    /// An HTTP status of the service.
    pub const fn of_status(status: u16) -> Self {
        match status {
            408 | 504 => Self::Timeout,
            429 => Self::Overload,
            400..=499 => Self::CallerFault,
            500..=599 => Self::ServerFault,
            _ => Self::Ok,
        }
    }

    /// A gRPC status of the service. The split of server and caller faults is OpenTelemetry's (docs/rpc/grpc).
    pub const fn of_grpc(code: u32) -> Self {
        match code {
            0 => Self::Ok,
            4 => Self::Timeout,
            8 => Self::Overload,
            14 => Self::Unreachable,
            1 | 3 | 5 | 6 | 7 | 9 | 10 | 11 | 16 => Self::CallerFault,
            // 2, 12, 13, 15, and codes that nobody has defined.
            _ => Self::ServerFault,
        }
    }

    const fn of_flags(flags: u64, request_sent: bool) -> Self {
        if flags & flag::CLIENT_ABORT != 0 {
            Self::Unknown
        } else if flags & flag::TIMEOUTS != 0 {
            Self::Timeout
        } else if flags & flag::STREAM_IDLE != 0 {
            if request_sent { Self::Timeout } else { Self::Unknown }
        } else if flags & flag::NO_CONNECTION != 0 {
            Self::Unreachable
        } else if flags & flag::RESETS != 0 {
            // A service may cut short a client that never finishes its request.
            if request_sent { Self::Unreachable } else { Self::Unknown }
        } else {
            Self::LocalReject
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody(flags: u64) -> Outcome {
        Outcome::of(Answer::NotService { flags, request_sent: true })
    }

    #[test]
    fn only_the_service_and_its_absence_speak_of_it() {
        assert_eq!(Outcome::of(Answer::Service { status: 503, grpc: None }), Outcome::ServerFault);
        assert_eq!(Outcome::of(Answer::Service { status: 200, grpc: Some(14) }), Outcome::Unreachable);
        assert_eq!(nobody(flag::UPSTREAM_TIMEOUT | 32_768), Outcome::Timeout);
        assert_eq!(nobody(flag::CONNECT_FAILURE), Outcome::Unreachable);
        // A rate limit, an authorisation filter, our own reply, a missing route, the pool's overflow.
        for flags in [2048, 4096, 0, 256, 128] {
            assert_eq!(nobody(flags), Outcome::LocalReject, "{flags}");
        }
        assert!(!nobody(flag::CLIENT_ABORT | flag::UPSTREAM_TIMEOUT).speaks_of_upstream());
    }

    #[test]
    fn words_stand_for_outcomes() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
        }
        assert_eq!((Outcome::parse(""), Outcome::parse("OK")), (None, None));
    }

    #[test]
    fn a_header_alone_is_not_believed() {
        let host = crate::fake::FakeProxy::envoy().worker();
        assert_eq!(told(&host), None);
    }

    #[test]
    fn an_idle_stream_is_the_services_fault_only_after_the_whole_request() {
        let idle = |request_sent| Outcome::of(Answer::NotService { flags: flag::STREAM_IDLE, request_sent });
        assert_eq!((idle(true), idle(false)), (Outcome::Timeout, Outcome::Unknown));
    }
}
