//! Which node of a cluster has which slots, all at once: told slot by slot (`MOVED`), nearly every key would take two trips.

use super::{Call, Script, failure, natural};
use crate::store::Failure;
use crate::store::resp::Reply;

const SLOTS: Script = Script { text: include_str!("slots.lua"), sha1: "0beaa53ea8aa16eddd2fa42838f8dd628e9b9d36" };

/// The script, for who wants to load or check it.
pub const SCRIPT: Script = SLOTS;

/// Slots that one node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// As `host:port`.
    pub node: String,
}

impl Call {
    /// Asks any node of a cluster; [`ranges`] reads the reply. An ACL must allow `CLUSTER|SLOTS`.
    pub const fn slots() -> Self {
        Self { script: SLOTS, keys: Vec::new(), arguments: Vec::new() }
    }
}

/// What the node says.
pub fn ranges(reply: &Reply<'_>) -> Result<Vec<Range>, Failure> {
    let Reply::Array(lines) = reply else { return Err(failure(reply)) };
    lines.iter().map(|line| range(line).ok_or(Failure::Unexpected)).collect()
}

fn range(line: &Reply<'_>) -> Option<Range> {
    let Reply::Bulk(line) = line else { return None };
    let mut words = line.split(|byte| *byte == b' ');
    let mut slot = || u16::try_from(natural(words.next()?).ok()?).ok();
    let (first, last) = (slot()?, slot()?);
    let node = super::cluster::node(core::str::from_utf8(words.next()?).ok()?)?;
    (first <= last && words.next().is_none()).then_some(Range { first, last, node })
}
