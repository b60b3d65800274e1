//! The series of one route and protocol, each defined when it is first needed.

use crate::local::Rejection;
use crate::series::Series;
use crate::spoken::Spoken;
use core::cell::{OnceCell, RefCell};
use core::time::Duration;
use hashbrown::HashMap;
use sdk_shim::host::{Host, MetricKind};
use sdk_shim::labels::Label;
use sdk_shim::meter::{Counter, Lazy};
use sdk_shim::outcome::Outcome;
use std::rc::Rc;

/// Causes of one row; words of ours are fewer.
const MOST_CAUSES: usize = 64;

/// A route and what is spoken on it.
#[derive(Debug)]
pub struct Place {
    /// The route's raw name; `None` for all that found no room.
    pub(crate) raw: Option<Vec<u8>>,
    pub(crate) route: String,
    pub(crate) spoken: Spoken,
    /// The row where there are no further labels, or no room for them.
    pub(crate) only: OnceCell<Rc<Row>>,
    pub(crate) rows: RefCell<HashMap<String, Rc<Row>>>,
    in_flight: Lazy,
    streams_open: Lazy,
    request_bytes: Lazy,
    response_bytes: Lazy,
}

/// One per outcome.
type ByOutcome = [Lazy; Outcome::ALL.len()];

/// What is counted by outcome, of requests or of attempts.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// How many.
    pub total: &'static str,
    /// To the response headers.
    pub ttfb: &'static str,
    /// To the end.
    pub duration: &'static str,
}

/// Once per request.
pub const REQUESTS: Names = Names { total: "requests_total", ttfb: "request_ttfb_us", duration: "request_duration_us" };
/// Once per attempt.
pub const ATTEMPTS: Names = Names { total: "attempts_total", ttfb: "attempt_ttfb_us", duration: "attempt_duration_us" };

/// The series of one set of labels.
#[derive(Debug, Default)]
pub struct Row {
    /// Of the labels beside route and protocol.
    pub(crate) values: Vec<String>,
    total: ByOutcome,
    ttfb: ByOutcome,
    duration: ByOutcome,
    streams: ByOutcome,
    causes: RefCell<Vec<(&'static str, String, Counter)>>,
}

// === impl Place ===

impl Place {
    pub(crate) fn new(raw: Option<Vec<u8>>, route: String, spoken: Spoken) -> Self {
        Self {
            raw,
            route,
            spoken,
            only: OnceCell::new(),
            rows: RefCell::default(),
            in_flight: Lazy::default(),
            streams_open: Lazy::default(),
            request_bytes: Lazy::default(),
            response_bytes: Lazy::default(),
        }
    }

    /// What is spoken here.
    pub const fn spoken(&self) -> Spoken {
        self.spoken
    }

    /// One more or one less is under way, where the host can count so.
    pub fn under_way<H: Host>(&self, host: &H, series: &Series, by: i64) {
        self.move_gauge(host, series, (&self.in_flight, "requests_in_flight"), by);
    }

    /// One more or one less is an open stream.
    pub fn stream<H: Host>(&self, host: &H, series: &Series, by: i64) {
        self.move_gauge(host, series, (&self.streams_open, "streams_open"), by);
    }

    fn move_gauge<H: Host>(&self, host: &H, series: &Series, (gauge, what): (&Lazy, &str), by: i64) {
        if host.capabilities().gauges_count {
            gauge.get(|| series.of_place(host, self, MetricKind::Gauge, what)).adjust(host, by);
        }
    }

    /// Bytes of bodies.
    pub fn bytes<H: Host>(&self, host: &H, series: &Series, request: u64, response: u64) {
        let of = |lazy: &Lazy, what, bytes| {
            if bytes > 0 {
                lazy.get(|| series.of_place(host, self, MetricKind::Counter, what)).add_many(host, bytes);
            }
        };
        of(&self.request_bytes, "request_bytes_total", request);
        of(&self.response_bytes, "response_bytes_total", response);
    }
}

// === impl Row ===

impl Row {
    pub(crate) fn of_values(values: Vec<String>) -> Self {
        Self { values, ..Self::default() }
    }

    /// A request or an attempt is over. Times that nobody saw are not recorded.
    pub fn ended<H: Host>(
        &self,
        host: &H,
        (series, place): (&Series, &Place),
        names: Names,
        outcome: Outcome,
        ttfb: Option<Duration>,
        duration: Option<Duration>,
    ) {
        let get = |lazies: &ByOutcome, kind, what| {
            let label = [(Label::Outcome, outcome.as_str())];
            lazies
                .get(outcome as usize)
                .map(|lazy| lazy.get(|| series.of_row(host, (place, self), (kind, what), &label)))
                .unwrap_or_default()
        };
        get(&self.total, MetricKind::Counter, names.total).add(host);
        if let Some(ttfb) = ttfb {
            get(&self.ttfb, MetricKind::Histogram, names.ttfb).record(host, micros(ttfb));
        }
        if let Some(duration) = duration {
            get(&self.duration, MetricKind::Histogram, names.duration).record(host, micros(duration));
        }
    }

    /// A stream is over.
    pub fn stream_ended<H: Host>(&self, host: &H, series: &Series, place: &Place, outcome: Outcome) {
        let label = [(Label::Outcome, outcome.as_str())];
        if let Some(lazy) = self.streams.get(outcome as usize) {
            lazy.get(|| series.of_row(host, (place, self), (MetricKind::Counter, "streams_total"), &label)).add(host);
        }
    }

    /// Something was wrong with the service or the way there.
    pub fn error<H: Host>(&self, host: &H, series: &Series, place: &Place, cause: &'static str) {
        self.count(host, series, place, ("", cause));
    }

    /// Somebody answered in the service's place.
    pub fn rejected<H: Host>(&self, host: &H, series: &Series, place: &Place, rejection: &Rejection) {
        self.count(host, series, place, (rejection.plugin, &rejection.cause));
    }

    fn count<H: Host>(&self, host: &H, series: &Series, place: &Place, (plugin, cause): (&'static str, &str)) {
        let is = |(known, why, _): &&(&str, String, Counter)| *known == plugin && why == cause;
        let known = self.causes.borrow().iter().find(is).map(|(.., counter)| *counter);
        let counter = known.unwrap_or_else(|| {
            let is_full = self.causes.borrow().len() >= MOST_CAUSES;
            let shown = if is_full { sdk_shim::key::OTHER } else { cause };
            let cause_label = (Label::Cause, shown);
            let (what, labels) = match plugin {
                "" => ("upstream_errors_total", vec![cause_label]),
                plugin => ("rejections_total", vec![(Label::Plugin, plugin), cause_label]),
            };
            let counter = series.of_row(host, (place, self), (MetricKind::Counter, what), &labels);
            if !is_full {
                self.causes.borrow_mut().push((plugin, cause.to_owned(), counter));
            }
            counter
        });
        counter.add(host);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
