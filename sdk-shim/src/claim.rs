//! Which configuration is the newest of those that work on the same state.
//!
//! After a push the proxy keeps the former plugin as long as one of its streams lives, and goes on ticking it. Two policies would then decide about
//! the same state. Each configuration therefore lays claim to the state that it works on, in a cell; the last one has it, and the
//! others only finish what they began. Every worker configures the same text, so a claim is known by the text's hash.

use crate::cell::{self, Record};
use crate::host::Host;
use crate::key::digest;

/// One configuration's claim.
#[derive(Debug)]
pub struct Claim {
    cell: String,
    holder: Holder,
}

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
    /// Lays claim to the cells whose names begin with `prefix`, for a configuration.
    pub fn lay<H: Host>(host: &H, prefix: &str, configuration: &[u8]) -> Self {
        let claim = Self { cell: format!("{prefix};claim"), holder: Holder(digest(configuration)) };
        // Without shared data there is nothing to share either.
        let _ = cell::update(host, &claim.cell, |holder: Option<Holder>| {
            ((holder.as_ref() != Some(&claim.holder)).then(|| claim.holder.clone()), ())
        });
        claim
    }

    /// Whether no other configuration came since. One shared read.
    pub fn is_newest<H: Host>(&self, host: &H) -> bool {
        let seen = cell::read::<H, Holder>(host, &self.cell);
        seen.map_or(true, |seen| seen.record.is_none_or(|holder| holder == self.holder))
    }
}
