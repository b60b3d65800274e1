//! Redis Cluster: which slot a key is in, and where a node says that it went (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
//!
//! A node that doesn't serve a key's slot answers `-MOVED <slot> <node>`: from now on that one does. While a slot is on its way, the old owner answers
//! `-ASK <slot> <node>` for keys that it hasn't: this once, and after `ASKING`, that one does. In both cases nothing was done.
//!
//! In a script each command is checked again. What a script deletes while its slot moves is from then on the other node's, and writing it again fails: the
//! deletion stays. So scripts change what is there in place, and delete last.
//!
//! While a slot moves, calls of one key (one secret is listed) are served by one of the two nodes. Of calls with several keys, some of which aren't
//! there, both nodes say `-TRYAGAIN`: that is a store failure, and over when the slot has moved. So don't move slots while secrets are rotated.

use super::Reply;
use crate::store::{Names, digits};

/// A cluster has so many slots.
pub const SLOTS: u16 = 16_384;

/// The longest host that is followed: DNS has no longer ones.
const MAX_HOST: usize = 253;

/// Where to ask instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// For how long.
    pub kind: Kind,
    /// The slot, below [`SLOTS`].
    pub slot: u16,
    /// `host:port`, an IPv6 address in brackets. No more than letters, digits, `.`, `-`, `_`, and `:` in brackets: it goes into a header.
    pub node: String,
}

/// How long a redirect is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From now on.
    Moved,
    /// This once, after `ASKING`.
    Ask,
}

// === impl Redirect ===

impl Redirect {
    /// Whether it is good for this once, after `ASKING`.
    pub const fn is_ask(&self) -> bool {
        matches!(self.kind, Kind::Ask)
    }
}

/// The slot that a key's names are in; they share it by their hash tag.
pub fn slot(names: &Names) -> u16 {
    slot_of(names.first.as_str())
}

/// The slot of one key: of what is between the first `{` and the next `}`, if that is anything, else of all of it.
pub fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS
}

/// CRC-16/XMODEM: polynomial 0x1021, begins with 0, nothing reflected. Bit by bit: a tag has six bytes.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let crc = crc ^ (u16::from(*byte) << 8);
        (0..8).fold(crc, |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    })
}

/// Where a reply sends us; `None` if it is anything else, or one that can't be followed: a node that says only its port (it doesn't know its name)
/// is no node to connect to.
pub fn redirect(reply: &Reply<'_>) -> Option<Redirect> {
    let Reply::Error(message) = reply else { return None };
    let mut words = core::str::from_utf8(message).ok()?.split(' ');
    let kind = match words.next()? {
        "MOVED" => Kind::Moved,
        "ASK" => Kind::Ask,
        _ => return None,
    };
    let slot = digits(words.next()?.as_bytes()).ok().filter(|slot| *slot < SLOTS)?;
    let node = node(words.next()?)?;
    words.next().is_none().then_some(Redirect { kind, slot, node })
}

/// Redis writes an IPv6 address without brackets; what is behind the last colon is the port.
pub(super) fn node(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let port = digits::<u16>(port.as_bytes()).ok().filter(|port| *port > 0)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && is_name(host) {
        return Some(format!("{host}:{port}"));
    }
    let address = bare.unwrap_or(host);
    is_ipv6(address).then(|| format!("[{address}]:{port}"))
}

fn is_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=MAX_HOST).contains(&host.len()) && host.bytes().all(allowed)
}

/// By its characters: whether it is one, the proxy will see.
fn is_ipv6(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    (2..=45).contains(&host.len()) && host.contains(':') && host.bytes().all(allowed)
}
