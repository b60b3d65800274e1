//! A record as bytes, little-endian, for the stores that keep it as one value: memory and memcached.
//!
//! ```text
//!   form  stage  owner  fence  version  digest  expires | stage 0, claimed: lease
//!   1     1      16     8      8        32      8       |                   8
//!                                                       | stage 1, done: the answer, to the end
//!                                                       | stage 2, released: nothing; version and digest are 0
//! ```
//!
//! The answer's bytes are a sealed blob, of which nothing is known here.
//!
//! This is no [`sdk_shim::cell::Record`]: a cell that can't be read counts as empty there and is overwritten, and a record that is
//! overwritten is a second execution. What can't be read here was written by a newer form, or by somebody else; a claim that finds
//! it is answered [`Answer::Unknown`](crate::protocol::Answer::Unknown).

use crate::protocol::{Fingerprint, Owner, Record, Stage};

/// The number of the encoding.
pub const FORM: u8 = 1;

/// The bytes before the lease, or the answer.
pub const HEAD: usize = 2 + 16 + 8 + 8 + 32 + 8;

const CLAIMED: u8 = 0;
const DONE: u8 = 1;
const RELEASED: u8 = 2;

/// As bytes.
pub fn encode(record: &Record<Vec<u8>>) -> Vec<u8> {
    let lease;
    let (stage, tail): (u8, &[u8]) = match &record.stage {
        Stage::Claimed { lease: until } => {
            lease = until.to_le_bytes();
            (CLAIMED, &lease)
        }
        Stage::Done(answer) => (DONE, answer),
        Stage::Released => (RELEASED, &[]),
    };
    let mut out = Vec::with_capacity(HEAD + tail.len());
    out.extend([FORM, stage]);
    out.extend(record.owner.0.to_le_bytes());
    out.extend(record.fence.to_le_bytes());
    out.extend(record.fingerprint.version.to_le_bytes());
    out.extend(record.fingerprint.digest);
    out.extend(record.expires.to_le_bytes());
    out.extend(tail);
    out
}

/// From bytes; `None` for anything that [`encode`] would not have written.
pub fn decode(bytes: &[u8]) -> Option<Record<Vec<u8>>> {
    let ([FORM, stage], rest) = take(bytes)? else { return None };
    let (owner, rest) = take(rest)?;
    let (fence, rest) = number(rest)?;
    let (version, rest) = number(rest)?;
    let (digest, rest) = take(rest)?;
    let (expires, tail) = number(rest)?;
    let stage = match stage {
        CLAIMED => Stage::Claimed { lease: u64::from_le_bytes(tail.try_into().ok()?) },
        DONE => Stage::Done(tail.to_vec()),
        RELEASED if tail.is_empty() => Stage::Released,
        _ => return None,
    };
    let fingerprint = Fingerprint { version, digest };
    Some(Record { owner: Owner(u128::from_le_bytes(owner)), fence, fingerprint, stage, expires })
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    take(bytes).map(|(number, rest)| (u64::from_le_bytes(number), rest))
}

fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (taken, rest) = bytes.split_first_chunk()?;
    Some((*taken, rest))
}
