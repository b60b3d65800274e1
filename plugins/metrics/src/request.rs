//! Once per request: what it came to, how long it took, what it moved.

use crate::call::{ABSENT, Request, UNKNOWN, Verdict};
use crate::frames::Frames;
use crate::heard::{self, Heard};
use crate::local::{self, Local};
use crate::policy::{HeaderLabel, Policy};
use crate::row::REQUESTS;
use crate::series::Series;
use crate::spoken::Spoken;
use core::cell::Cell;
use sdk_shim::ending;
use sdk_shim::host::{Body, Host, Map};
use sdk_shim::key::{MAX_KEY, NONE, OTHER, clean};
use sdk_shim::labels::Label;
use sdk_shim::notice::Notice;
use sdk_shim::outcome::{Answer, Outcome, TELLS, flag, told_at_last};

/// The entry in a listener's filters.
#[derive(Debug)]
pub struct Downstream {
    policy: Policy,
    pub(crate) series: Series,
    /// Whether protocol-health tells what answers mean.
    pub(crate) outcomes: Notice,
}

// === impl Downstream ===

impl Downstream {
    /// An entry.
    pub fn new<H: Host>(host: &H, policy: Policy) -> Self {
        let mut labels: Vec<Label> = policy.labels.iter().map(|label| label.label).collect();
        labels.extend(policy.canary_is_cluster.then_some(Label::Canary));
        Self { series: Series::new(host, &policy, labels), outcomes: Notice::heard(host, TELLS), policy }
    }

    /// A request begins; `end` where its headers are all of it.
    pub fn begin<H: Host>(&self, host: &H, end: bool) -> Request {
        let spoken = Spoken::of(host, &self.policy.graphql, end);
        let place = self.series.place(host, spoken);
        place.under_way(host, &self.series, 1);
        let mut values = [ABSENT; 4];
        for (value, label) in values.iter_mut().zip(&self.policy.labels) {
            *value = value_of(host, label);
        }
        Request {
            place,
            values,
            canary: None,
            started: host.now(),
            ttfb: None,
            attempts: None,
            heard: Heard::Nothing,
            sent: end || !host.capabilities().tells_end,
            complete: false,
            is_stream: false,
            bytes: [0; 2],
            frames: [Frames::default(); 2],
            met_breaker: Cell::new(false),
            said: None,
        }
    }

    /// A part of its body.
    pub fn request_body<H: Host>(&self, host: &H, request: &mut Request, size: usize, end: bool) {
        request.sent |= end;
        request.count(0, size);
        self.frames(host, request, Body::Request, size);
    }

    /// The response's headers; `end` where they are all of it.
    pub fn headers<H: Host>(&self, host: &H, request: &mut Request, end: bool) {
        request.ttfb = Some(host.now().since(request.started));
        let status = heard::status(host);
        request.attempts = heard::attempts(host);
        let (spoken, sent) = (request.place.spoken(), request.sent);
        request.heard = heard::response(host, spoken, status, request.attempts, sent, end);
        request.becomes(host, &self.series, spoken.answered(host, status, end));
        if self.policy.canary_is_cluster {
            let cluster = host.property(host.capabilities().cluster).unwrap_or_default();
            request.canary = Some(clean(&cluster, MAX_KEY / 2));
        }
        if matches!(request.place.spoken(), Spoken::Sse | Spoken::WebSocket) {
            request.is_stream_now(host, &self.series);
        }
        if end {
            self.completed(host, request);
        } else if !host.capabilities().words_to_the_end {
            // Nobody may ever say that the answer is complete.
            self.tell(host, request);
        }
    }

    /// A part of its body.
    pub fn response_body<H: Host>(&self, host: &H, request: &mut Request, size: usize, end: bool) {
        request.count(1, size);
        self.frames(host, request, Body::Response, size);
        if end {
            self.completed(host, request);
        }
    }

    /// Its trailers.
    pub fn trailers<H: Host>(&self, host: &H, request: &mut Request) {
        if request.heard == Heard::Headers {
            request.heard = heard::trailers(host);
        }
        self.completed(host, request);
    }

    /// A second message makes a stream of a gRPC call.
    fn frames<H: Host>(&self, host: &H, request: &mut Request, body: Body, size: usize) {
        let spoken = request.place.spoken();
        if request.is_stream || !spoken.is_grpc() || !host.capabilities().response_trailers {
            return;
        }
        let [of_request, of_response] = &mut request.frames;
        let (frames, web) = match body {
            Body::Request => (of_request, false),
            _ => (of_response, spoken == Spoken::GrpcWeb),
        };
        if frames.pass(host, body, size, web) {
            request.is_stream_now(host, &self.series);
        }
    }

    /// All of the response has gone by. Said now, the line is on the proxy's span too, which ends before logs are written.
    fn completed<H: Host>(&self, host: &H, request: &mut Request) {
        request.complete = true;
        if request.heard == Heard::Headers {
            // No status at all: a client takes it for UNKNOWN.
            request.heard = heard::service(200, Some(2));
        }
        if !host.capabilities().words_to_the_end {
            // What was told by now can't be asked when the request is over.
            let outcome = self.verdict(host, request, None).outcome;
            if let Heard::Service { outcome: known, .. } = &mut request.heard {
                *known = outcome;
            }
        }
        self.tell(host, request);
    }

    /// Writes the line with what is known so far.
    fn tell<H: Host>(&self, host: &H, request: &mut Request) {
        let said = {
            let verdict = self.verdict(host, request, None);
            request.say(host, &verdict)
        };
        request.said = Some(said);
    }

    /// What is known so far. `silent` is what the proxy says of a request that nobody answered, or whose answer was cut.
    fn verdict<'a, H: Host>(&self, host: &H, request: &'a Request, silent: Option<&'a Local>) -> Verdict<'a> {
        if let Some(local) = silent {
            return Verdict { outcome: local.outcome, local: Some(local), error: local.error };
        }
        match &request.heard {
            Heard::Nothing | Heard::Headers => Verdict { outcome: Outcome::Unknown, local: None, error: None },
            Heard::Local(local) => Verdict { outcome: local.outcome, local: Some(local), error: local.error },
            Heard::Service { outcome, is_status, error } => {
                let told = if *is_status && self.outcomes.known() { told_at_last(host) } else { None };
                Verdict { outcome: told.unwrap_or(*outcome), local: None, error: *error }
            }
        }
    }

    /// The request is over.
    pub fn end<H: Host>(&self, host: &H, request: &mut Request) {
        let duration = host.now().since(request.started);
        let silent = if request.complete { None } else { Self::cut(host, request) };
        let verdict = self.verdict(host, request, silent.as_ref());
        if host.capabilities().words_to_the_end {
            request.say(host, &verdict);
        }
        let series = &self.series;
        request.place.under_way(host, series, -1);
        // Its attempts count for the route that it took.
        let taken = request.met_breaker.get().then(|| series.place(host, request.place.spoken()));
        let place = taken.as_ref().unwrap_or(&request.place);
        let [of_request, of_response] = request.bytes;
        place.bytes(host, series, of_request, of_response);
        let row = series.row(host, place, &self.values(request));
        row.ended(host, (series, place), REQUESTS, verdict.outcome, request.ttfb, Some(duration));
        if request.is_stream {
            request.place.stream(host, series, -1);
            row.stream_ended(host, series, place, verdict.outcome);
        }
        if let Some(cause) = verdict.error {
            row.error(host, series, place, cause);
        }
        if let Some(rejection) = verdict.local.and_then(|local| local.rejection.as_ref()) {
            row.rejected(host, series, place, rejection);
        }
    }

    /// A request that wasn't answered, or not to the end; `None` where what was heard stands.
    fn cut<H: Host>(host: &H, request: &mut Request) -> Option<Local> {
        if request.heard == Heard::Nothing {
            request.attempts = heard::attempts(host);
            return Some(local::judge(host, &ending::details(host), false, false, request.sent));
        }
        if !host.capabilities().response_flags || matches!(request.heard, Heard::Local(_)) {
            return None;
        }
        let flags = ending::flags(host);
        if flags & flag::CLIENT_ABORT != 0 {
            // Whoever listens to a stream leaves when he has heard enough.
            let outcome = if request.is_stream { Outcome::Ok } else { Outcome::Unknown };
            return (!request.is_bad()).then_some(Local { outcome, rejection: None, error: None });
        }
        let error = local::error_of(flags & !OVERFLOW);
        let outcome = Outcome::of(Answer::NotService { flags, request_sent: true });
        if error.is_some() && outcome.speaks_of_upstream() && !request.is_bad() {
            return Some(Local { outcome, rejection: None, error });
        }
        // A gRPC answer without trailers, and nobody says why.
        (request.heard == Heard::Headers).then_some(Local { outcome: Outcome::Unknown, rejection: None, error: None })
    }

    fn values<'a>(&'a self, request: &'a Request) -> Vec<&'a str> {
        let of = |(label, value): (&'a HeaderLabel, &u8)| match *value {
            ABSENT => NONE,
            at => label.allow.get(usize::from(at)).map_or(OTHER, String::as_str),
        };
        let mut values: Vec<&str> = self.policy.labels.iter().zip(&request.values).map(of).collect();
        if self.policy.canary_is_cluster {
            values.push(request.canary.as_deref().unwrap_or(NONE));
        }
        values
    }
}

/// The flag of a retry that found no room is none of the answer's.
const OVERFLOW: u64 = 128;

fn value_of<H: Host>(host: &H, label: &HeaderLabel) -> u8 {
    let Some(value) = host.header(Map::RequestHeaders, &label.header) else { return ABSENT };
    let at = label.allow.iter().position(|allowed| allowed.as_bytes() == value);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(UNKNOWN)
}
