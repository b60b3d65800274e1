//! Whether a Redis keeps what it acknowledged, or may evict it when its memory is full.

use super::{Call, Script};

const KEEPS: Script = Script { text: include_str!("keeps.lua"), sha1: "cc000a6991d48912e86df3c162aecdeede1c1fa7" };

/// The script, for who wants to load or check it.
pub const SCRIPT: Script = KEEPS;

impl Call {
    /// Asks whether its `maxmemory-policy` is `noeviction`; [`super::indexed`] reads the reply. An ACL must allow `INFO`.
    pub const fn keeps() -> Self {
        Self { script: KEEPS, keys: Vec::new(), arguments: Vec::new() }
    }
}
