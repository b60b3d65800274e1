//! State that workers share: a named value, changed by compare-and-set, never by a lock.
//!
//! Shared data costs fourteen times a counter, so it holds only what must change ONCE: a breaker's state, a lease, a key's
//! place in the registry. The decision is a pure function `old -> new`; this module supplies the loop around it, bounded, so
//! that a contended cell is an answer ([`CellError::Contended`]) and never a stall. The hosts' different ideas of
//! compare-and-set are hidden in the port ([`crate::host::Expect`]).
//!
//! `WasmX` finds values by the CRC32 of their name alone, so two names may read each other's value. Each value
//! therefore carries its name, and a value with another name is [`CellError::Collision`].

use crate::host::{Expect, Host, HostError};
use core::fmt;

/// How often a compare-and-set is tried before giving up. With W workers one try in W succeeds, so 16 fail together
/// only where more than 16 workers change one cell at one moment.
pub const MAX_TRIES: usize = 16;

/// A value that can be stored. A value that `decode` refuses is treated as absent and overwritten.
pub trait Record: Sized {
    /// As bytes.
    fn encode(&self) -> Vec<u8>;
    /// From bytes; `None` for anything that `encode` would not have written.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Why a cell could not be read or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellError {
    /// Others changed it [`MAX_TRIES`] times in a row.
    Contended,
    /// The host gave no access.
    Unavailable(HostError),
    /// Another name has the same CRC32 (`WasmX`).
    Collision,
}

impl fmt::Display for CellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contended => f.write_str("contended"),
            Self::Unavailable(error) => write!(f, "unavailable: {error}"),
            Self::Collision => f.write_str("its name collides with another one"),
        }
    }
}

/// A cell as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<R> {
    /// What it holds; `None` where it was never written, or holds what can't be decoded.
    pub record: Option<R>,
    /// The condition for replacing exactly this.
    pub expect: Expect,
}

/// Reads a cell.
pub fn read<H: Host, R: Record>(host: &H, name: &str) -> Result<Seen<R>, CellError> {
    let shared = host.shared_get(name).map_err(CellError::Unavailable)?;
    let expect = shared.expect();
    let record = match shared.value.as_deref() {
        // Envoy leaves an empty value where one was deleted.
        None | Some([]) => None,
        Some(bytes) => R::decode(unwrap_name(name, bytes)?),
    };
    Ok(Seen { record, expect })
}

/// Writes a cell if nobody else did since it was read. `Ok(false)` where somebody did.
pub fn write<H: Host, R: Record>(host: &H, name: &str, record: &R, expect: Expect) -> Result<bool, CellError> {
    match host.shared_set(name, &wrap_name(name, &record.encode()), expect) {
        Ok(()) => Ok(true),
        Err(HostError::CasMismatch) => Ok(false),
        Err(error) => Err(CellError::Unavailable(error)),
    }
}

/// Changes a cell: `change` sees what it holds and gives what it shall hold (`None`: leave it) and an answer.
///
/// `change` runs once per try, so it must be pure.
pub fn update<H: Host, R: Record, T>(
    host: &H,
    name: &str,
    mut change: impl FnMut(Option<R>) -> (Option<R>, T),
) -> Result<T, CellError> {
    let mut answer = None;
    compare_and_set(host, name, &mut |record| {
        let (next, said) = change(record);
        answer = Some(said);
        next
    })?;
    answer.ok_or(CellError::Contended)
}

/// The loop, once per record type in the module and not once per question.
fn compare_and_set<H: Host, R: Record>(
    host: &H,
    name: &str,
    change: &mut dyn FnMut(Option<R>) -> Option<R>,
) -> Result<(), CellError> {
    for _ in 0..MAX_TRIES {
        let seen = read(host, name)?;
        let Some(next) = change(seen.record) else { return Ok(()) };
        if write(host, name, &next, seen.expect)? {
            return Ok(());
        }
    }
    Err(CellError::Contended)
}

/// Creates a cell unless it exists. `Ok(false)` where it did.
pub fn create<H: Host, R: Record>(host: &H, name: &str, record: &R) -> Result<bool, CellError> {
    write(host, name, record, Expect::Absent)
}

fn wrap_name(name: &str, record: &[u8]) -> Vec<u8> {
    let name = name.as_bytes();
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(2 + name.len() + record.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(record);
    bytes
}

fn unwrap_name<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a [u8], CellError> {
    let (length, rest) = bytes.split_first_chunk::<2>().ok_or(CellError::Collision)?;
    let (owner, record) =
        rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or(CellError::Collision)?;
    if owner == name.as_bytes() { Ok(record) } else { Err(CellError::Collision) }
}
