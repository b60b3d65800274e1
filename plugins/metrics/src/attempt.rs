//! Once per attempt: what it came to, and how long it took.
//!
//! Divided by the requests of the same route it is how much the route amplifies. An attempt that a plugin of ours refused reached no service, and isn't counted.

use crate::heard::{self, Heard};
use crate::policy::Policy;
use crate::row::{ATTEMPTS, Place};
use crate::series::Series;
use crate::spoken::Spoken;
use core::time::Duration;
use sdk_shim::ending;
use sdk_shim::host::{Host, Map};
use sdk_shim::key::clean;
use sdk_shim::labels::Label;
use sdk_shim::notice::Notice;
use sdk_shim::outcome::{Answer, Outcome, TELLS, flag, told, told_at_last};
use sdk_shim::time::Instant;
use std::rc::Rc;

/// Longest name of a region, in bytes.
const MAX_REGION: usize = 32;

/// The entry in a cluster's filters.
#[derive(Debug)]
pub struct Upstream {
    policy: Policy,
    series: Series,
    /// Whether protocol-health tells what answers mean.
    pub(crate) outcomes: Notice,
}

/// An attempt under way.
#[derive(Debug)]
pub struct Attempt {
    place: Rc<Place>,
    started: Instant,
    ttfb: Option<Duration>,
    heard: Heard,
    request_sent: bool,
    complete: bool,
    /// A part of a body came.
    spoke: bool,
}

// === impl Attempt ===

impl Attempt {
    /// The whole request has gone by.
    pub const fn sent(&mut self) {
        self.request_sent = true;
    }

    /// A part of the response's body.
    pub const fn body(&mut self, size: usize, end: bool) {
        self.spoke |= size > 0;
        self.complete |= end;
    }
}

// === impl Upstream ===

impl Upstream {
    /// An entry.
    pub fn new<H: Host>(host: &H, policy: Policy) -> Self {
        let labels = policy.region.iter().map(|_| Label::Region).collect();
        Self { series: Series::new(host, &policy, labels), outcomes: Notice::heard(host, TELLS), policy }
    }

    /// An attempt begins; `end` where its headers are all of it.
    pub fn begin<H: Host>(&self, host: &H, end: bool) -> Attempt {
        let spoken = Spoken::of(host, &self.policy.graphql, end);
        Attempt {
            place: self.series.place(host, spoken),
            started: host.now(),
            ttfb: None,
            heard: Heard::Nothing,
            request_sent: end,
            complete: false,
            spoke: false,
        }
    }

    /// The service answers; `end` where there is no body.
    pub fn headers<H: Host>(&self, host: &H, attempt: &mut Attempt, end: bool) {
        attempt.ttfb = Some(host.now().since(attempt.started));
        attempt.complete = end;
        let (status, spoken) = (heard::status(host), attempt.place.spoken());
        if status == 101 && spoken == Spoken::Rest {
            attempt.place = self.series.sibling(host, &attempt.place, Spoken::WebSocket);
        }
        let grpc = spoken.is_grpc() && status == 200;
        attempt.heard = match spoken {
            // What was held back and read says it here; where the router tries again for it, nobody sees the trailers.
            Spoken::Grpc if grpc && !end => match self.outcomes.known().then(|| told(host)).flatten() {
                Some(outcome) => Heard::Service { outcome, is_status: false, error: None },
                None => Heard::Headers,
            },
            _ => {
                heard::service(status, if grpc && end { heard::grpc_status(host, Map::ResponseHeaders) } else { None })
            }
        };
    }

    /// The response's trailers.
    pub fn trailers<H: Host>(&self, host: &H, attempt: &mut Attempt) {
        attempt.complete = true;
        if attempt.heard == Heard::Headers {
            attempt.heard = heard::trailers(host);
        }
    }

    /// The attempt is over.
    pub fn end<H: Host>(&self, host: &H, attempt: &Attempt) {
        let Some(outcome) = self.outcome(host, attempt) else { return };
        let duration = host.now().since(attempt.started);
        let region = self.policy.region.as_ref().map(|key| {
            let region = host.property(&["xds", "upstream_host_metadata", "filter_metadata", "envoy.lb", key]);
            clean(&region.unwrap_or_default(), MAX_REGION)
        });
        let (series, place) = (&self.series, &attempt.place);
        let values: Vec<&str> = region.iter().map(String::as_str).collect();
        let row = series.row(host, place, &values);
        row.ended(host, (series, place), ATTEMPTS, outcome, attempt.ttfb, Some(duration));
    }

    /// `None` for one that reached nobody because we refused it, or because the pool was full.
    fn outcome<H: Host>(&self, host: &H, attempt: &Attempt) -> Option<Outcome> {
        match &attempt.heard {
            Heard::Nothing if ending::is_refused(host) || found_no_room(host) => None,
            Heard::Nothing => Some(ending::unanswered(host, attempt.request_sent)),
            Heard::Headers if attempt.complete => Some(Outcome::ServerFault),
            Heard::Headers => Some(Self::cut(host, attempt)),
            Heard::Service { outcome, is_status, .. } => {
                let told = if *is_status && self.outcomes.known() { told_at_last(host) } else { None };
                let is_well = *outcome == Outcome::Ok;
                let cut = (is_well && !attempt.complete).then(|| Self::cut(host, attempt));
                let bad = told.filter(|told| *told != Outcome::Ok);
                Some(bad.or(cut).or(told).unwrap_or(*outcome))
            }
            Heard::Local(local) => Some(local.outcome),
        }
    }

    /// A good answer that isn't whole. If the client left, the request's flags say so; of a service that cut it off they say nothing here (Envoy 1.40.0), so
    /// nobody can tell.
    fn cut<H: Host>(host: &H, attempt: &Attempt) -> Outcome {
        let flags = ending::flags(host);
        let by_flags = Outcome::of(Answer::NotService { flags, request_sent: true });
        let client_left = flags & flag::CLIENT_ABORT != 0;
        if !client_left && by_flags.is_upstreams_fault() {
            return by_flags;
        }
        let is_socket = attempt.place.spoken() == Spoken::WebSocket;
        let has_heard_enough = client_left && attempt.heard == Heard::Headers && attempt.spoke;
        if is_socket || has_heard_enough { Outcome::Ok } else { Outcome::Unknown }
    }
}

/// Envoy 1.36 runs the filters for an attempt that a full pool refused, when the request has been answered already; later ones don't.
fn found_no_room<H: Host>(host: &H) -> bool {
    ending::details(host).ends_with(b"{overflow}")
}
