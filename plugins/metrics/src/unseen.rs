//! A request that an earlier filter answered: as a rule only its log goes by here, with the response's headers (docs/hosts.md).
//!
//! Nobody knows when it began or what it was spoken in, so it is no request of ours. But a refusal or a replay of a plugin before this one happened all the same.

use crate::heard;
use crate::line::{LINE, Line};
use crate::local::{self, Rejection};
use crate::request::Downstream;
use crate::row::REQUESTS;
use crate::spoken::Spoken;
use sdk_shim::ending::{self, VIA_UPSTREAM};
use sdk_shim::host::Host;
use sdk_shim::outcome::Outcome;

impl Downstream {
    /// It is logged; its response's headers are here.
    pub fn unseen<H: Host>(&self, host: &H) {
        if host.capabilities().response_flags && ending::details(host) == VIA_UPSTREAM {
            return;
        }
        let rejection = local::rejection_of(host);
        let is_replay = rejection.is_none() && local::is_replay(host);
        if rejection.is_none() && !is_replay {
            return;
        }
        let outcome = if is_replay { Outcome::Replay } else { Outcome::LocalReject };
        let place = self.series.place(host, Spoken::Rest);
        let row = self.series.row(host, &place, &vec![sdk_shim::key::NONE; self.series.labels.len()]);
        match &rejection {
            Some(rejection) => row.rejected(host, &self.series, &place, rejection),
            None => row.ended(host, (&self.series, &place), REQUESTS, outcome, None, None),
        }
        if !host.capabilities().words_to_the_end {
            return;
        }
        let cause = rejection.as_ref().map_or("", |Rejection { cause, .. }| cause.as_str());
        let line = Line { outcome, attempts: heard::attempts(host).unwrap_or(0), cause };
        host.set_property(LINE, line.text(host).0.as_bytes());
    }
}
