//! Claims of which nobody knows what came, for whoever looks after them.
//!
//! This is a list to look at, not the truth: the truth is the records. It holds the newest [`MOST`], in one cell:
//! ```text
//!   form | of each, the oldest first: id's length  id  route's length  route  at  tenant  fence
//!   1    |                            1            ..  1               ..     8   8       8
//! ```

use super::bytes::{Bytes, put};
use super::{Memory, cells};
use crate::protocol::StoreMillis;
use crate::store::Failure;
use sdk_shim::host::Host;

/// The most that are listed.
pub const MOST: usize = 256;

/// The longest id, in bytes, and the longest route; what is longer is cut.
pub const MAX_TEXT: usize = 200;

/// The number of the encoding.
const FORM: u8 = 1;

/// A claim of which nobody knows what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which record, as an opaque text: what it is called in the store.
    pub id: String,
    /// When that was found out.
    pub at: StoreMillis,
    /// The route of the request.
    pub route: String,
    /// A hash of the tenant.
    pub tenant: u64,
    /// The fence of the run.
    pub fence: u64,
}

// === impl Memory ===

impl Memory {
    /// Puts a claim on the list, or what is newly known of it. Where the list is full, the oldest one goes.
    pub fn note_uncertain<H: Host>(&self, host: &H, entry: &Entry) -> Result<(), Failure> {
        let (id, route) = (cut(&entry.id).to_owned(), cut(&entry.route).to_owned());
        let entry = Entry { id, route, at: entry.at, tenant: entry.tenant, fence: entry.fence };
        self.change_uncertain(host, &mut |list| {
            list.retain(|listed| listed.id != entry.id);
            list.drain(..(list.len() + 1).saturating_sub(MOST));
            list.push(entry.clone());
            true
        })?;
        Ok(())
    }

    /// The list, the oldest first.
    pub fn uncertain<H: Host>(&self, host: &H) -> Result<Vec<Entry>, Failure> {
        let (bytes, _) = cells::read(host, &self.uncertain_cell())?;
        decode(bytes.as_deref())
    }

    /// Takes a claim off the list; `false` where it isn't on it.
    pub fn forget_uncertain<H: Host>(&self, host: &H, id: &str) -> Result<bool, Failure> {
        self.change_uncertain(host, &mut |list| {
            let before = list.len();
            list.retain(|listed| listed.id != id);
            list.len() < before
        })
    }

    fn change_uncertain<H: Host>(
        &self,
        host: &H,
        change: &mut dyn FnMut(&mut Vec<Entry>) -> bool,
    ) -> Result<bool, Failure> {
        cells::change(host, &self.uncertain_cell(), |bytes| {
            let mut list = decode(bytes)?;
            let changed = change(&mut list);
            Ok((changed.then(|| encode(&list)), changed))
        })
    }

    fn uncertain_cell(&self) -> String {
        format!("{};uncertain", self.prefix)
    }
}

fn cut(text: &str) -> &str {
    let mut ends = (0..=MAX_TEXT.min(text.len())).rev();
    ends.find_map(|end| text.get(..end)).unwrap_or_default()
}

fn encode(list: &[Entry]) -> Vec<u8> {
    let mut out = vec![FORM];
    for entry in list {
        put(&mut out, entry.id.as_bytes());
        put(&mut out, entry.route.as_bytes());
        out.extend([entry.at, entry.tenant, entry.fence].iter().flat_map(|number| number.to_le_bytes()));
    }
    out
}

/// A list that can't be read is a failure, as a record is.
fn decode(bytes: Option<&[u8]>) -> Result<Vec<Entry>, Failure> {
    let Some(bytes) = bytes else { return Ok(Vec::new()) };
    let [FORM, rest @ ..] = bytes else { return Err(Failure::Unexpected) };
    let mut rest = Bytes(rest);
    core::iter::from_fn(|| (!rest.0.is_empty()).then(|| read(&mut rest).ok_or(Failure::Unexpected)))
        .take(MOST)
        .collect()
}

fn read(bytes: &mut Bytes<'_>) -> Option<Entry> {
    let mut text = || String::from_utf8(bytes.part()?.to_vec()).ok();
    let (id, route) = (text()?, text()?);
    Some(Entry { id, route, at: bytes.number()?, tenant: bytes.number()?, fence: bytes.number()? })
}
