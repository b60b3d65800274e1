//! What follows: from a store's answer to what the client sees, and from a service's answer to what becomes of the claim.
//!
//! Pure functions. The first half is about requests ([`next`]), the second about their ends ([`end`]). The protocol between nodes is
//! [`crate::protocol`]; both are what the model checks.

use crate::header;
use crate::protocol;
use core::time::Duration;
use sdk_shim::outcome::flag;

/// gRPC's statuses that are used here.
mod grpc {
    pub(super) const INVALID_ARGUMENT: u32 = 3;
    pub(super) const ALREADY_EXISTS: u32 = 6;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const FAILED_PRECONDITION: u32 = 9;
    pub(super) const ABORTED: u32 = 10;
    pub(super) const UNAVAILABLE: u32 = 14;
}

/// The first pause before a waiting request asks again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A key is required, and there is none.
    KeyMissing,
    /// What is there is no key.
    Key(header::Refusal),
    /// A configured tenant header is absent, or there is more than one.
    Tenant,
    /// No store is configured for this request's home.
    Home,
    /// There are so many headers that this host may not have shown all of them.
    Headers,
    /// The client waits for a word before it sends its body, which this host would not say.
    Expect,
    /// Whether a body follows isn't said, and this host would not show an empty one.
    Length,
    /// The body is longer than `max_body`.
    TooLarge,
    /// The first request with this key is under way.
    InFlight,
    /// It was begun, and nobody knows what came of it.
    Uncertain,
    /// What the key was used for can't be compared with this request.
    Unknown,
    /// The key was used for another request.
    Mismatch,
    /// It was run; its answer is a stream or gRPC, and was not kept.
    NotKept,
    /// The tenant has too many requests under way.
    TenantBusy,
    /// The store gave no answer.
    Store,
}

/// What a claim's answer leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// To the service, with this fence.
    Forward {
        /// Grows with each claim of the key.
        fence: u64,
    },
    /// The first run's answer, sealed.
    Replay(Vec<u8>),
    /// No.
    Refuse {
        /// Why.
        cause: Cause,
        /// Whole seconds after which it may be asked again; 0 where that is of no use.
        retry_after: u64,
    },
    /// Not yet: to be asked again after this.
    AskAgain(Duration),
}

/// Who answered a claimed request, and what the proxy knows of the way there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The service answered, not the proxy.
    pub by_service: bool,
    /// HTTP status.
    pub status: u16,
    /// How often the router tried; 0 where it was never asked.
    pub attempts: u32,
    /// `response.flags`.
    pub flags: u64,
    /// There was no room in the pool of connections for the attempt, so it wasn't sent.
    pub no_room: bool,
    /// A filter of ours refused the only attempt before it was sent.
    pub refused_by_us: bool,
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The answer is stored.
    Store,
    /// Nothing was done: the key is free again.
    Release,
    /// Nobody knows: the claim stays, and is uncertain when its lease is over.
    Keep,
}

// === impl Cause ===

impl Cause {
    /// As labels, headers and problem bodies spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyMissing => "key_missing",
            Self::Key(refusal) => match refusal {
                header::Refusal::Several => "key_several",
                header::Refusal::Empty => "key_empty",
                header::Refusal::TooLong => "key_too_long",
                header::Refusal::Character => "key_character",
                header::Refusal::Unquoted => "key_unquoted",
                header::Refusal::Malformed => "key_malformed",
            },
            Self::Tenant => "tenant",
            Self::Home => "home",
            Self::Headers => "headers",
            Self::Expect => "expect",
            Self::Length => "length",
            Self::TooLarge => "too_large",
            Self::InFlight => "in_flight",
            Self::Uncertain => "uncertain",
            Self::Unknown => "unknown",
            Self::Mismatch => "mismatch",
            Self::NotKept => "not_kept",
            Self::TenantBusy => "tenant_busy",
            Self::Store => "store",
        }
    }

    /// HTTP status, as the IETF draft has them (2.7): 400 for the key, 409 while in flight, 422 for another payload.
    pub const fn status(self) -> u16 {
        match self {
            Self::KeyMissing | Self::Key(_) | Self::Tenant | Self::Home => 400,
            Self::InFlight | Self::Uncertain | Self::Unknown | Self::NotKept => 409,
            Self::Length => 411,
            Self::TooLarge => 413,
            Self::Expect => 417,
            Self::Mismatch => 422,
            Self::TenantBusy => 429,
            Self::Headers => 431,
            Self::Store => 503,
        }
    }

    /// What a gRPC client gets.
    pub const fn grpc_status(self) -> u32 {
        match self {
            Self::KeyMissing
            | Self::Key(_)
            | Self::Tenant
            | Self::Home
            | Self::Headers
            | Self::Expect
            | Self::Length
            | Self::Mismatch => grpc::INVALID_ARGUMENT,
            Self::InFlight => grpc::ABORTED,
            Self::Uncertain | Self::Unknown => grpc::FAILED_PRECONDITION,
            Self::NotKept => grpc::ALREADY_EXISTS,
            Self::TooLarge | Self::TenantBusy => grpc::RESOURCE_EXHAUSTED,
            Self::Store => grpc::UNAVAILABLE,
        }
    }

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::KeyMissing => "This request needs an idempotency key",
            Self::Key(_) => "The idempotency key can't be used",
            Self::Tenant => "A header that says whose request this is must be there exactly once",
            Self::Home => "No store is configured for whoever sends this request",
            Self::Headers => "A request with an idempotency key can't have that many headers here",
            Self::Expect => "A request with an idempotency key must send its body without being asked to",
            Self::Length => "A request with an idempotency key must say how long its body is (content-length)",
            Self::TooLarge => "The body is too long to be protected by an idempotency key",
            Self::InFlight => "The first request with this idempotency key is still under way",
            Self::Uncertain => {
                "The first request with this idempotency key was begun, and nobody knows what came of it; look before using another key"
            }
            Self::Unknown => {
                "This idempotency key was used, and what for can't be compared with this request; look before using another key"
            }
            Self::Mismatch => "This idempotency key was used for another request",
            Self::NotKept => "The first request with this idempotency key was run; its answer was not kept",
            Self::TenantBusy => "Too many requests of this sender are under way",
            Self::Store => "Whether this request was run before can't be told at the moment",
        }
    }
}

/// What a store's answer to a claim leads to. `left` is how long the request may still wait for another one's end, `asked` how often it did ask.
pub fn next(answer: protocol::Answer<Vec<u8>>, left: Duration, asked: u32) -> Next {
    use protocol::Answer;
    let refuse = |cause, retry_after| Next::Refuse { cause, retry_after };
    match answer {
        Answer::Claimed { fence } => Next::Forward { fence },
        Answer::Done(sealed) => Next::Replay(sealed),
        Answer::InFlight { remaining } if left.is_zero() => refuse(Cause::InFlight, seconds(remaining)),
        Answer::InFlight { .. } => Next::AskAgain(pause(asked).min(left)),
        Answer::Mismatch => refuse(Cause::Mismatch, 0),
        Answer::Unknown => refuse(Cause::Unknown, 0),
        Answer::Uncertain { .. } => refuse(Cause::Uncertain, 0),
        // Who gives up doesn't ask; and if it does, nothing was claimed.
        Answer::Abandoned => refuse(Cause::Store, 1),
    }
}

fn pause(asked: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << asked.min(10)).min(LONGEST_PAUSE)
}

/// Whole seconds, at least one.
pub const fn seconds(millis: u64) -> u64 {
    let seconds = millis.div_ceil(1_000);
    if seconds == 0 { 1 } else { seconds }
}

/// What becomes of a claim whose request was answered. `did_nothing` says whether the service promises by this status that it did
/// nothing, `service_is_idempotent` whether it may be asked several times.
pub fn end(heard: &Heard, did_nothing: bool, service_is_idempotent: bool) -> End {
    let once = heard.attempts <= 1 || service_is_idempotent;
    match heard.by_service {
        // What an earlier attempt did isn't known from what the last one was told.
        true if did_nothing && once => End::Release,
        true => End::Store,
        false if heard.attempts == 0 => End::Release,
        false if heard.attempts == 1 && (heard.flags & NEVER_SENT != 0 || heard.no_room || heard.refused_by_us) => {
            End::Release
        }
        false => End::Keep,
    }
}

/// No healthy host, no route, no cluster, no connection: flags that say of a single attempt that nothing was sent. Of several they speak of
/// the last one only.
const NEVER_SENT: u64 = flag::NO_HEALTHY_UPSTREAM | flag::NO_ROUTE | flag::NO_CLUSTER | flag::CONNECT_FAILURE;
