//! What is kept of a service's answer, and what a repeat is given of it.
//!
//! A repeat gets the first run's status, the headers of `replay_headers`, and its body. It never gets what belonged to that one exchange, even
//! where it is chosen ([`may_be_replayed`]): a session's cookie would go to somebody else, a date would lie, a trace would grow a second end.
//!
//! A header's value that is no UTF-8 isn't kept: a proxy is handed a reply's headers as text ([`sdk_shim::host::Reply`]). Nor is what goes beyond
//! [`MAX_HEADERS`] or [`MAX_HEADER_BYTES`]; Envoy's own bound for a response's headers is 60 KiB.
//!
//! ```text
//!   form  kind  status  count | each header: length name length value | the body's part, to the end
//!   1     1     2       4                    4      ..   4      ..      kind 0, not kept: nothing
//!                                                                       kind 1, digest: SHA-256, 32; length, 8
//!                                                                       kind 2, whole: the body
//! ```
//!
//! Numbers are little-endian. These bytes are sealed ([`crate::seal`]) before they go to a store.

mod headers;
mod kept;

pub use headers::may_be_replayed;
pub use kept::Kept;

use core::fmt;
use core::ops::RangeInclusive;
use headers::{is_nominated, is_of_body};
use sdk_shim::headers::Headers;
use sdk_shim::host::Reply;

/// The number of the encoding.
pub const FORM: u8 = 1;

/// The most headers that are kept.
pub const MAX_HEADERS: usize = 64;

/// The most bytes of names and values that are kept.
pub const MAX_HEADER_BYTES: usize = 64 << 10;

/// On every replay, with `true` (Stripe's name for it).
pub const REPLAYED: &str = "idempotency-replayed";

/// On a replay without the body that the first run's answer had, with [`NOT_STORED`].
pub const MARK: &str = "x-holdfast-idempotency";

/// The body wasn't kept.
pub const NOT_STORED: &str = "body-not-stored";

/// What an answer is final with; 1xx are not.
const FINAL: RangeInclusive<u16> = 200..=999;

/// A service's answer, as far as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its HTTP status, 200 to 999.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its body.
    pub body: Kept,
}

// === impl Stored ===

impl Stored {
    /// Takes from an answer what a repeat will need; the body comes later, and is [`Kept::Nothing`] until then.
    ///
    /// `chosen` are names in lower case, each once. `None` for a status that no answer ends with: 1xx, `101` among them.
    pub fn capture(status: u16, headers: &Headers, chosen: &[String]) -> Option<Self> {
        let mut room = MAX_HEADER_BYTES;
        let names = chosen.iter().filter(|name| may_be_replayed(name) && !is_nominated(headers, name));
        let found = names.flat_map(|name| headers.all(name).map(|value| (name.as_bytes(), value)));
        let texts = found.filter(|(_, value)| core::str::from_utf8(value).is_ok());
        let fitting = texts.filter(|(name, value)| takes(&mut room, name.len() + value.len()));
        let headers = fitting.take(MAX_HEADERS).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        FINAL.contains(&status).then_some(Self { status, headers, body: Kept::Nothing })
    }

    /// What a repeat is answered.
    pub fn reply(&self) -> Reply {
        let body = self.body.bytes().or_else(|| has_no_body(self.status).then_some(&[][..]));
        let texts = self.headers.iter().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        let mut headers: Vec<_> = texts.filter(|(name, _)| body.is_some() || !is_of_body(name)).collect();
        headers.push((REPLAYED.to_owned(), "true".to_owned()));
        if body.is_none() {
            headers.push((MARK.to_owned(), NOT_STORED.to_owned()));
        }
        Reply { status: self.status, headers, body: body.unwrap_or_default().to_vec(), grpc_status: None }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORM, self.body.kind()];
        out.extend(self.status.to_le_bytes());
        out.extend(length(self.headers.len()));
        for part in self.headers.iter().flat_map(|(name, value)| [name, value]) {
            out.extend(length(part.len()));
            out.extend(part);
        }
        self.body.encode(&mut out);
        out
    }

    /// From bytes; `None` for what [`Stored::encode`] doesn't write of a status and headers within their bounds.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let ([FORM, kind], rest) = take(bytes)? else { return None };
        let (status, rest) = take(rest)?;
        let status = u16::from_le_bytes(status);
        let (count, mut rest) = number(rest)?;
        if count > MAX_HEADERS || !FINAL.contains(&status) {
            return None;
        }
        // Not allocated in advance: the count is only what somebody says.
        let mut headers = Vec::new();
        for _ in 0..count {
            let (name, tail) = part(rest)?;
            let (value, tail) = part(tail)?;
            headers.push((name.to_vec(), value.to_vec()));
            rest = tail;
        }
        Some(Self { status, headers, body: Kept::decode(kind, rest)? })
    }
}

/// A service's answer is nobody's business: it isn't shown.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({}, {} headers, {:?})", self.status, self.headers.len(), self.body)
    }
}

/// Whether a status means that there is no body (RFC 9110, 15).
const fn has_no_body(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
}

/// Takes so many bytes of the room that is left, if there are so many.
fn takes(room: &mut usize, bytes: usize) -> bool {
    let left = room.checked_sub(bytes);
    *room = left.unwrap_or(*room);
    left.is_some()
}

fn text(bytes: &[u8]) -> Option<String> {
    core::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// A length, as it is encoded; no vector in a module has more bytes than 32 bits can count.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = take(bytes)?;
    Some((usize::try_from(u32::from_le_bytes(number)).ok()?, rest))
}

/// A length, and as many bytes.
fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(length)
}

fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (taken, rest) = bytes.split_first_chunk()?;
    Some((*taken, rest))
}
