//! Once per attempt: what it came to, and how Envoy is told.
//!
//! Envoy believes headers. So what a body or trailers say must be known while the headers are still here: an answer that must be read first is held
//! back, within bounds ([`crate::held`]), and let go with what was found written into its headers. Everything else passes at once and is judged as it goes by.

use crate::deadline;
use crate::grpc_timeout;
use crate::held::{Held, Slip};
use crate::judge::{Asked, Head, Reading};
use crate::metrics::Metrics;
use crate::policy::{Policy, Signal};
use crate::protocol::Protocol;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::ending;
use sdk_shim::entry::Flow;
use sdk_shim::headers::number;
use sdk_shim::host::{Body, Host, Map};
use sdk_shim::notice::Notice;
use sdk_shim::outcome::{MARK, Outcome, TELLS, TOLD};
use sdk_shim::overrides::Mode;
use sdk_shim::random::SplitMix64;
use sdk_shim::time::Instant;

/// What filter state says besides the outcome where a gRPC status was put into the headers, so that the edge takes it out again.
pub const PROMOTED: &str = ";promoted";

/// gRPC's `UNKNOWN`.
const UNKNOWN: u32 = 2;
/// A request lasts no longer than this, so that what an earlier attempt of it told is no older.
const REQUEST: Duration = Duration::from_secs(300);

/// The entry in a cluster's filters.
#[derive(Debug)]
pub struct Upstream {
    policy: Policy,
    metrics: Metrics,
    held: Held,
    /// Whether anything may be held back.
    holds: bool,
    /// When an attempt was told to be anything but ok.
    told_at: Cell<Option<Instant>>,
    random: RefCell<SplitMix64>,
}

/// An attempt that isn't judged yet.
#[derive(Debug)]
pub struct Attempt {
    asked: Asked,
    request_sent: bool,
    /// Once its headers have come.
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    reading: Reading,
    /// Where it was held back.
    slip: Option<Slip>,
    /// Bytes of its body that were read while it was held.
    read: usize,
}

// === impl Attempt ===

impl Attempt {
    /// The whole request has gone by.
    pub const fn sent(&mut self) {
        self.request_sent = true;
    }
}

// === impl Answer ===

impl Answer {
    fn is_held(&self) -> bool {
        self.slip.as_ref().is_some_and(Slip::holds)
    }

    /// A gRPC stream that nobody holds back is judged by its trailers alone.
    fn wants_body(&self) -> bool {
        self.is_held() || (self.reading.wants_more() && !matches!(self.reading, Reading::Grpc(_)))
    }
}

// === impl Upstream ===

impl Upstream {
    /// An entry.
    pub fn new<H: Host>(host: &H, policy: Policy) -> Self {
        if policy.common.mode != Mode::Disabled {
            Notice::new(TELLS).say(host, true);
        }
        Self::over(host, policy)
    }

    /// One that only counts and leaves word in filter state.
    pub fn observer<H: Host>(host: &H, policy: Policy) -> Self {
        // Where attempts have no filters, nobody else tells.
        if policy.common.mode != Mode::Disabled && !host.capabilities().upstream_chain {
            Notice::new(TELLS).say(host, true);
        }
        Self::over(host, Policy { signal: Signal::Observe, ..policy })
    }

    fn over<H: Host>(host: &H, policy: Policy) -> Self {
        let metrics = Metrics::new(host, &policy.common);
        let held = Held::new(policy.hold.time);
        let random = RefCell::new(SplitMix64::new(host.seed()));
        let holds = policy.may_hold(host.capabilities());
        Self { policy, metrics, held, holds, told_at: Cell::new(None), random }
    }

    /// Lets go what was held for too long.
    pub fn tick<H: Host>(&self, host: &H) {
        for _ in 0..self.held.tick(host) {
            self.metrics.count(host, "released_total", "time");
        }
    }

    /// An attempt begins; `end` where its headers are all of it.
    pub fn begin<H: Host>(&self, host: &H, end: bool) -> Option<Attempt> {
        if self.policy.common.mode == Mode::Disabled {
            return None;
        }
        let asked = self.asked(host, end);
        let enforces = self.policy.common.mode == Mode::Enforce;
        if enforces && self.reads(asked) {
            // What is compressed can't be read.
            host.remove_header(Map::RequestHeaders, "accept-encoding");
        }
        if enforces && self.policy.deadline.is_some() {
            tell_time_left(host, asked.protocol);
        }
        Some(Attempt { asked, request_sent: end, answer: None })
    }

    /// Whether the body of its answer is to be read as JSON.
    fn reads(&self, asked: Asked) -> bool {
        match asked.protocol {
            Protocol::GraphQl => self.policy.graphql.identity,
            Protocol::Rest => asked.predicate && self.policy.predicate.as_ref().is_some_and(|it| it.json.is_some()),
            Protocol::Grpc | Protocol::GrpcWeb => false,
        }
    }

    fn asked<H: Host>(&self, host: &H, end: bool) -> Asked {
        let spoken = crate::spoken::of(host, &self.policy, end, true);
        let unary = matches!(spoken.protocol, Protocol::Grpc | Protocol::GrpcWeb)
            && self.policy.hold.is_unary(spoken.path(host));
        let predicate = self.policy.predicate.as_ref().filter(|_| spoken.protocol == Protocol::Rest);
        let predicate = predicate.is_some_and(|predicate| predicate.covers(spoken.path(host)));
        Asked { protocol: spoken.protocol, unary, predicate }
    }

    /// The headers of an answer; `end` where they are all of it.
    pub fn headers<H: Host>(&self, host: &H, attempt: &mut Attempt, end: bool) -> Flow {
        let head = self.head(host, attempt.asked, end);
        // The name is ours: what a service says in it must move neither Envoy nor us.
        host.remove_header(Map::ResponseHeaders, MARK);
        let reading = Reading::begin(&self.policy, attempt.asked, &head);
        if let Reading::Known(outcome) = reading {
            let tells = outcome != Outcome::Ok && self.tells();
            self.tell(host, attempt.asked.protocol, outcome, tells, None);
            attempt.answer = Some(Answer { reading, slip: None, read: 0 });
            return Flow::Continue;
        }
        let wanted = self.holds(attempt.asked, &reading) && self.tells();
        let too_long = wanted && self.is_too_long(host);
        let slip = if wanted && !too_long { self.held.hold(host) } else { None };
        if wanted && slip.is_none() {
            self.metrics.count(host, "released_total", if too_long { "bytes" } else { "crowd" });
        }
        let flow = if slip.is_some() { Flow::Pause } else { Flow::Continue };
        attempt.answer = Some(Answer { reading, slip, read: 0 });
        flow
    }

    fn head<H: Host>(&self, host: &H, asked: Asked, end: bool) -> Head {
        let header = |name| host.header(Map::ResponseHeaders, name);
        let status = header(":status").and_then(|value| number(&value)).and_then(|status| u16::try_from(status).ok());
        let status = status.unwrap_or(0);
        let well = (200..300).contains(&status);
        let grpc = matches!(asked.protocol, Protocol::Grpc | Protocol::GrpcWeb) && status == 200;
        let json = match asked.protocol {
            Protocol::GraphQl => well,
            Protocol::Rest => well && asked.predicate,
            _ => false,
        };
        let may_be_encoded = json || (grpc && asked.protocol == Protocol::GrpcWeb);
        let predicate = self.policy.predicate.as_ref().filter(|_| well && asked.predicate);
        Head {
            status,
            grpc: if grpc { header("grpc-status").and_then(|value| number(&value)) } else { None },
            content_type: (json || grpc).then(|| header("content-type")).flatten().unwrap_or_default(),
            encoded: may_be_encoded
                && header("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")),
            predicate: predicate.and_then(|predicate| predicate.header.as_ref()).and_then(|(name, _)| header(name)),
            end,
        }
    }

    /// Whether this answer is to be read before it is let go.
    fn holds(&self, asked: Asked, reading: &Reading) -> bool {
        self.holds
            && match reading {
                Reading::Known(_) => false,
                Reading::Grpc(_) | Reading::GrpcWeb(_) => asked.unary,
                Reading::GraphQl { .. } | Reading::Json { .. } => true,
            }
    }

    /// Whether it says of itself that it is longer than may be held. Holding its beginning could only delay it, and cost Envoy's buffer.
    fn is_too_long<H: Host>(&self, host: &H) -> bool {
        let length = host.header(Map::ResponseHeaders, "content-length");
        length.and_then(|length| number(&length)).is_some_and(|length| length as usize > self.policy.hold.max_bytes)
    }

    /// Whether Envoy is told this time.
    fn tells(&self) -> bool {
        self.policy.tells() && self.policy.common.enforce_ratio.takes(self.random.borrow_mut().draw())
    }

    /// A part of its body; `size` of what is here, `end` where nothing follows.
    pub fn body<H: Host>(&self, host: &H, attempt: &mut Attempt, size: usize, end: bool) -> Flow {
        let Some(answer) = &mut attempt.answer else { return Flow::Continue };
        let was_held = answer.is_held();
        if answer.wants_body() {
            let start = if was_held { answer.read } else { 0 };
            let bytes = if size > start { host.body_from(Body::Response, start, size - start) } else { None };
            answer.reading.feed(&self.policy.graphql.codes, &bytes.unwrap_or_default());
            answer.read = size;
        }
        if end {
            let reading = core::mem::replace(&mut answer.reading, Reading::Known(Outcome::Unknown));
            if !matches!(reading, Reading::Known(_)) {
                // gRPC without trailers: its client understands UNKNOWN.
                let promoted = matches!(reading, Reading::Grpc(_)).then_some(UNKNOWN);
                let outcome = reading.end(self.policy.predicate.as_ref());
                let held = answer.slip.as_ref().is_some_and(Slip::tear);
                self.tell(host, attempt.asked.protocol, outcome, held, promoted);
            }
            return Flow::Continue;
        }
        if was_held && let Some(cause) = self.lets_go(answer, size) {
            answer.slip.take().map(|slip| slip.tear());
            self.metrics.count(host, "released_total", cause);
        }
        if answer.is_held() { Flow::Pause } else { Flow::Continue }
    }

    /// Why an answer that isn't whole is held no longer.
    fn lets_go(&self, answer: &Answer, size: usize) -> Option<&'static str> {
        if answer.reading.is_stream() {
            Some("stream")
        } else if size > self.policy.hold.max_bytes {
            Some("bytes")
        } else if !answer.reading.wants_more() {
            Some("unreadable")
        } else {
            None
        }
    }

    /// Its trailers.
    pub fn trailers<H: Host>(&self, host: &H, attempt: &mut Attempt) {
        let Some(answer) = &mut attempt.answer else { return };
        let reading = core::mem::replace(&mut answer.reading, Reading::Known(Outcome::Unknown));
        let held = answer.slip.as_ref().is_some_and(Slip::tear);
        if matches!(reading, Reading::Known(_)) {
            return;
        }
        let is_grpc = matches!(reading, Reading::Grpc(_));
        let status = if is_grpc { host.header(Map::ResponseTrailers, "grpc-status") } else { None };
        let code = status.as_deref().and_then(number);
        let outcome = reading.trailers(code, self.policy.predicate.as_ref());
        // UNKNOWN where the service said nothing that is a number, as its client will understand it.
        let promoted = is_grpc.then_some(code.unwrap_or(UNKNOWN));
        self.tell(host, attempt.asked.protocol, outcome, held, promoted);
    }

    /// The attempt is over.
    pub fn end<H: Host>(&self, host: &H, attempt: &mut Attempt) {
        let outcome = match &mut attempt.answer {
            None => ending::unanswered(host, attempt.request_sent),
            // It was told.
            Some(Answer { reading: Reading::Known(_), .. }) => return,
            Some(answer) => {
                answer.slip.take().map(|slip| slip.tear());
                // Cut, but nobody says by whom.
                Outcome::Unknown
            }
        };
        if outcome == Outcome::Unknown {
            // Maybe a hedge that lost: what the winner told stands.
            return self.metrics.attempt(host, attempt.asked.protocol, outcome);
        }
        self.tell(host, attempt.asked.protocol, outcome, false, None);
    }

    /// Whether filter state has to say it. Silence is ok, unless an earlier attempt of the same request may have told something else.
    fn is_news<H: Host>(&self, host: &H, outcome: Outcome) -> bool {
        if outcome != Outcome::Ok {
            self.told_at.set(Some(host.now()));
            return true;
        }
        let Some(at) = self.told_at.get() else { return false };
        let now = host.now();
        let recently = now < at || now.since(at) < REQUEST;
        if !recently {
            self.told_at.set(None);
        }
        recently
    }

    /// Tells everybody who wants to know; Envoy too where headers can still be changed. `promoted` is a gRPC status that only trailers had.
    fn tell<H: Host>(&self, host: &H, protocol: Protocol, outcome: Outcome, envoy: bool, promoted: Option<u32>) {
        self.metrics.attempt(host, protocol, outcome);
        let acts = envoy && outcome != Outcome::Ok;
        let promoted = promoted.filter(|_| acts);
        if self.is_news(host, outcome) {
            let told = [outcome.as_str(), promoted.map_or("", |_| PROMOTED)].concat();
            host.set_property(TOLD, told.as_bytes());
        }
        if !acts {
            return;
        }
        host.set_header(Map::ResponseHeaders, MARK, outcome.as_str().as_bytes());
        if let Some(code) = promoted {
            host.set_header(Map::ResponseHeaders, "grpc-status", code.to_string().as_bytes());
        }
        let rewrites =
            self.policy.signal == Signal::Status && outcome.is_upstreams_fault() && protocol != Protocol::Grpc;
        if rewrites && host.header(Map::ResponseHeaders, ":status").is_some_and(|status| status.starts_with(b"2")) {
            host.set_header(Map::ResponseHeaders, ":status", self.policy.status.to_string().as_bytes());
        }
    }
}

/// What the router says is left of the request's time, in the service's own form.
fn tell_time_left<H: Host>(host: &H, protocol: Protocol) {
    let Some(left) = host.header(Map::RequestHeaders, deadline::LEFT).and_then(|left| deadline::left(&left)) else {
        return;
    };
    if left.is_zero() {
        // No limit: that is how the router says it.
        return;
    }
    if matches!(protocol, Protocol::Grpc | Protocol::GrpcWeb) {
        host.set_header(Map::RequestHeaders, deadline::GRPC, grpc_timeout::write(left).as_bytes());
    }
    for name in deadline::OTHERS {
        if let Some(said) = host.header(Map::RequestHeaders, name) {
            host.set_header(Map::RequestHeaders, name, deadline::like(&said, left).as_bytes());
        }
    }
}
