//! Metrics of a host that has to be known better before one is defined.
//!
//! Kong's `/metrics` page breaks as a whole where one filter's file name holds anything but `A-Z a-z 0-9 _ .`, because the file's name is a part of its
//! metrics' names; and up to Kong 3.7 defining one kills the filter. A module can ask for both, its file's name and Kong's version, but not before its
//! first request. So there a plugin is configured twice: when the host says so, without metrics, which tells whether its configuration is right; and
//! again when the first request has come, for good. Ticks wait until then. Where there may be no metrics, what is counted to decide by is kept in shared
//! data ([`crate::meter::Tallies`]).

use crate::host::{Host, HostError, MetricId, MetricKind};
use core::cell::Cell;

/// What one VM may define, and has defined.
pub(crate) struct Late {
    /// How long a name may be, once that is known; 0 where there may be no metric.
    longest: Cell<Option<usize>>,
    /// The host finds a metric by the CRC32 of its name. Of two names with the same one and of two kinds, the second has none: what is right for the
    /// one kind kills the filter for the other.
    kinds: Cell<Vec<(MetricId, MetricKind)>>,
}

/// Longest name, with `pw:`, the file's name and `:` before it.
const LONGEST: usize = 256 - "pw::".len();

const NONE: &str =
    "holdfast: no metrics: Kong is older than 3.8, or the module's file name isn't of A-Z a-z 0-9 _ . alone";

// === impl Late ===

impl Late {
    /// Nothing is known yet.
    pub(crate) const fn new() -> Self {
        Self { longest: Cell::new(None), kinds: Cell::new(Vec::new()) }
    }

    /// Whether a request has come.
    pub(crate) fn is_known(&self) -> bool {
        self.longest.get().is_some()
    }

    /// A request has come, whose callback may ask for what is missing. Where there are no metrics, the log says why.
    pub(crate) fn learn<H: Host>(&self, host: &H) {
        if self.is_known() {
            return;
        }
        let file = host.property(&["plugin_name"]).unwrap_or_default();
        let may = is_word(&file) && !is_old(&host.property(&["kong", "version"]).unwrap_or_default());
        if !may {
            host.log(log::Level::Warn, NONE);
        }
        self.longest.set(Some(if may { LONGEST.saturating_sub(file.len()) } else { 0 }));
    }

    /// Defines one by `define`, if it may be.
    pub(crate) fn define(
        &self,
        kind: MetricKind,
        name: &str,
        define: impl FnOnce() -> Result<MetricId, HostError>,
    ) -> Result<MetricId, HostError> {
        if name.len() > self.longest.get().unwrap_or(0) {
            return Err(HostError::NotFound);
        }
        let id = define()?;
        let mut kinds = self.kinds.take();
        let fits = kinds.iter().all(|(known, other)| *known != id || *other == kind);
        kinds.push((id, kind));
        self.kinds.set(kinds);
        if fits { Ok(id) } else { Err(HostError::NotFound) }
    }
}

fn is_word(file: &[u8]) -> bool {
    !file.is_empty() && file.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(byte))
}

/// Before 3.6, Kong doesn't tell.
const fn is_old(version: &[u8]) -> bool {
    matches!(version, [] | [b'3', b'.', b'0'..=b'7'] | [b'3', b'.', b'0'..=b'7', b'.', ..])
}
