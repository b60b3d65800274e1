//! Which configuration is in force, of those that work on the same state.
//!
//! After a push the proxy keeps the former plugin as long as one of its streams lives, and goes on ticking it. Two policies would then decide about
//! the same state. Whoever is in force therefore lays claim to the state that it works on, in a cell; the last one has it, and the
//! others only finish what they began.
//!
//! Every worker reads the same configuration, but not the same text: fields of an object come in any order. So a claim is known by the hash of what the
//! configuration says.

use crate::cell::{self, Record};
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

impl Claim {
    /// Of a configuration that was taken.
    pub fn of(configuration: &[u8]) -> Self {
        Self(Holder(config_hash(configuration).unwrap_or_default()))
    }

    /// Lays it, in this cell. One shared read, and a write where another one's stands there.
    pub fn lay<H: Host>(&self, host: &H, cell: &str) {
        // Without shared data there is nothing to share either.
        let _ = cell::update(host, cell, |holder: Option<Holder>| {
            ((holder.as_ref() != Some(&self.0)).then(|| self.0.clone()), ())
        });
    }

    /// Whether no other configuration has laid its own there since. One shared read.
    pub fn stands<H: Host>(&self, host: &H, cell: &str) -> bool {
        let seen = cell::read::<H, Holder>(host, cell);
        seen.map_or(true, |seen| seen.record.is_none_or(|holder| holder == self.0))
    }
}
