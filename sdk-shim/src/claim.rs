//! Which configuration is in force, of those that work on the same state.
//!
//! After a push the proxy keeps the former plugin as long as one of its streams lives, and goes on ticking it. Two policies would then decide about
//! the same state. Whoever is in force therefore lays claim to the state that it works on, in a cell; the last one has it, and the
//! others only finish what they began.
//!
//! Every worker reads the same configuration, but not the same text: fields of an object come in any order. So a claim is known by the hash of what the
//! configuration says.

use crate::cell::{self, CellError, Record};
use crate::host::Host;
use crate::identity::config_hash;

/// One configuration's claim.
#[derive(Debug)]
pub struct Claim(Holder);

/// Whose claim stands: the hash of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder(pub(crate) String);

impl Record for Holder {
    fn encode(&self) -> Vec<u8> {
        self.0.clone().into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok().map(Self)
    }
}

/// Changes the text in a cell, once in a module: `change` sees what is there (nothing, where there is none) and gives what shall be, or `None` to leave it.
pub(crate) fn revise<H: Host>(host: &H, cell: &str, change: &dyn Fn(&str) -> Option<String>) -> Result<(), CellError> {
    cell::update(host, cell, |held: Option<Holder>| {
        (change(&held.map(|held| held.0).unwrap_or_default()).map(Holder), ())
    })
}

impl Claim {
    /// Of a configuration that was taken.
    pub fn of(configuration: &[u8]) -> Self {
        Self(Holder(config_hash(configuration).unwrap_or_default()))
    }

    /// Lays it, in this cell. One shared read, and a write where another one's stands there.
    pub fn lay<H: Host>(&self, host: &H, cell: &str) {
        let Holder(own) = &self.0;
        // Without shared data there is nothing to share either.
        let _ = revise(host, cell, &|held| (held != own).then(|| own.clone()));
    }

    /// Whether no other configuration has laid its own there since. One shared read.
    pub fn stands<H: Host>(&self, host: &H, cell: &str) -> bool {
        let seen = cell::read::<H, Holder>(host, cell);
        seen.map_or(true, |seen| seen.record.is_none_or(|holder| holder == self.0))
    }
}
