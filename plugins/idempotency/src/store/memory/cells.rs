//! Cells of plain bytes, whose decoding is their reader's business.
//!
//! [`sdk_shim::cell::update`] overwrites what it can't decode. Here that would be a record, and its request would run a second time.

use crate::store::Failure;
use sdk_shim::cell::{self, CellError, MAX_TRIES, Record};
use sdk_shim::host::{Expect, Host};

struct Raw(Vec<u8>);

impl Record for Raw {
    fn encode(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.to_vec()))
    }
}

/// What a cell holds (`None`: it was never written), and the condition for replacing exactly that.
pub(super) fn read<H: Host>(host: &H, name: &str) -> Result<(Option<Vec<u8>>, Expect), Failure> {
    let seen = cell::read::<H, Raw>(host, name).map_err(failure)?;
    Ok((seen.record.map(|raw| raw.0), seen.expect))
}

/// Writes a cell; `false` where somebody else did since it was read.
pub(super) fn write<H: Host>(host: &H, name: &str, bytes: Vec<u8>, expect: Expect) -> Result<bool, Failure> {
    cell::write(host, name, &Raw(bytes), expect).map_err(failure)
}

/// Changes a cell: `change` sees its bytes and gives those to write, if any, and an answer. It runs once per try.
pub(super) fn change<H: Host, T>(
    host: &H,
    name: &str,
    mut change: impl FnMut(Option<&[u8]>) -> Result<(Option<Vec<u8>>, T), Failure>,
) -> Result<T, Failure> {
    for _ in 0..MAX_TRIES {
        let (bytes, expect) = read(host, name)?;
        let (next, said) = change(bytes.as_deref())?;
        let Some(next) = next else { return Ok(said) };
        if write(host, name, next, expect)? {
            return Ok(said);
        }
    }
    Err(Failure::Contended)
}

fn failure(error: CellError) -> Failure {
    match error {
        CellError::Contended => Failure::Contended,
        CellError::Collision => Failure::Unexpected,
        CellError::Unavailable(error) => Failure::refused(error.to_string().as_bytes()),
    }
}
