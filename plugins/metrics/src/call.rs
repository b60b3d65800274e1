//! What is remembered of a request.

use crate::frames::Frames;
use crate::heard::Heard;
use crate::line::{LINE, Line};
use crate::local::Local;
use crate::row::Place;
use crate::series::Series;
use crate::spoken::Spoken;
use core::cell::Cell;
use core::time::Duration;
use sdk_shim::host::Host;
use sdk_shim::outcome::Outcome;
use sdk_shim::time::Instant;
use std::rc::Rc;

/// A value of a label that a header fills, by its place among those allowed.
pub(crate) const ABSENT: u8 = u8::MAX;
/// Any other value.
pub(crate) const UNKNOWN: u8 = u8::MAX - 1;

/// A request under way.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact that came at a time of its own")]
pub struct Request {
    pub(crate) place: Rc<Place>,
    /// What headers said for the labels that they fill.
    pub(crate) values: [u8; 4],
    pub(crate) canary: Option<String>,
    pub(crate) started: Instant,
    pub(crate) ttfb: Option<Duration>,
    pub(crate) attempts: Option<u64>,
    pub(crate) heard: Heard,
    /// The whole of it has gone by.
    pub(crate) sent: bool,
    /// So has the whole response.
    pub(crate) complete: bool,
    pub(crate) is_stream: bool,
    /// Bytes of the request's body and of the response's.
    pub(crate) bytes: [u64; 2],
    pub(crate) frames: [Frames; 2],
    /// It met a breaker that isn't closed, which may have sent it another way.
    pub(crate) met_breaker: Cell<bool>,
    /// What the line said when it was last written.
    pub(crate) said: Option<(Outcome, u64)>,
}

/// What it all came to.
pub(crate) struct Verdict<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) local: Option<&'a Local>,
    pub(crate) error: Option<&'static str>,
}

impl Verdict<'_> {
    pub(crate) fn cause(&self) -> &str {
        let rejection = self.local.and_then(|local| local.rejection.as_ref());
        rejection.map_or_else(|| self.error.unwrap_or_default(), |rejection| &rejection.cause)
    }
}

// === impl Request ===

impl Request {
    /// The whole request has gone by.
    pub const fn sent(&mut self) {
        self.sent = true;
    }

    pub(crate) fn count(&mut self, direction: usize, size: usize) {
        if let Some(bytes) = self.bytes.get_mut(direction) {
            *bytes = bytes.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
        }
    }

    /// What was heard was bad enough already.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(&self.heard, Heard::Service { outcome, .. } if *outcome != Outcome::Ok)
    }

    /// Writes the line, unless it says that already; gives what it says.
    pub(crate) fn say(&self, host: &impl Host, verdict: &Verdict<'_>) -> (Outcome, u64) {
        let (outcome, attempts) = (verdict.outcome, self.attempts.unwrap_or(0));
        if self.said != Some((outcome, attempts)) {
            let (line, met) = Line { outcome, attempts, cause: verdict.cause() }.text(host);
            self.met_breaker.set(met);
            host.set_property(LINE, line.as_bytes());
        }
        (outcome, attempts)
    }

    pub(crate) fn becomes(&mut self, host: &impl Host, series: &Series, spoken: Spoken) {
        if spoken == self.place.spoken() {
            return;
        }
        let place = series.sibling(host, &self.place, spoken);
        self.place.under_way(host, series, -1);
        place.under_way(host, series, 1);
        self.place = place;
    }

    pub(crate) fn is_stream_now(&mut self, host: &impl Host, series: &Series) {
        if !core::mem::replace(&mut self.is_stream, true) {
            self.place.stream(host, series, 1);
        }
    }
}
