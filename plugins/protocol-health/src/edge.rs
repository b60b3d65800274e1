//! Once per request: probes are answered, time is limited, and nothing that we say among ourselves reaches a client.

use crate::deadline::{self, Deadline, Deadlines, Given, decide};
use crate::drain::{self, Drain};
use crate::grpc_timeout;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::probe::answer::{Dialect, of_node};
use crate::probe::desk::{BUSY, Desk, Own};
use crate::protocol::Protocol;
use crate::spoken::{self, Spoken};
use crate::upstream::{Attempt, PROMOTED, Upstream};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::entry::{Answer, Flow};
use sdk_shim::headers::number;
use sdk_shim::host::{Body, Host, Map};
use sdk_shim::notice::Notice;
use sdk_shim::ours;
use sdk_shim::outcome::{CALLERS_DEADLINE, MARK, TOLD};
use sdk_shim::overrides::Mode;
use sdk_shim::random::SplitMix64;
use sdk_shim::refusal::{Refusal, UNAVAILABLE};

/// As answers and words of ours name it.
const PLUGIN: &str = "protocol-health";
/// gRPC's `INVALID_ARGUMENT`.
const INVALID_ARGUMENT: u32 = 3;
/// gRPC's `DEADLINE_EXCEEDED`.
const DEADLINE_EXCEEDED: u32 = 4;
/// How gRPC callers ask whether a server is well.
const GRPC_CHECK: &[u8] = b"/grpc.health.v1.Health/Check";

/// The entry in a listener's filters.
#[derive(Debug)]
pub struct Edge {
    policy: Policy,
    metrics: Metrics,
    desk: Desk,
    drain: Drain,
    /// The last word of a node that drains, for whoever is configured while it does.
    drained: Notice,
    /// On a host that has no chain of attempts: judges requests as if each were one, as far as its status and body tell.
    observer: Option<Box<Upstream>>,
    /// Ticks come as often as somebody who waits needs them.
    hurries: Cell<bool>,
    random: RefCell<SplitMix64>,
}

/// What is remembered of a request.
#[derive(Debug)]
pub struct Request {
    /// For the observer.
    attempt: Option<Attempt>,
    /// Its answer is a stream of events that may be told when to come back.
    events: bool,
    own: Option<Own>,
}

// === impl Edge ===

impl Edge {
    /// An entry.
    pub fn new<H: Host>(host: &H, policy: Policy) -> Self {
        let metrics = Metrics::new(host, &policy.common);
        let random = RefCell::new(SplitMix64::new(host.seed()));
        let cell = format!("holdfast;protocol-health;{};draining", policy.common.instance);
        let drained = if policy.drain.asks() { Notice::heard(host, cell) } else { Notice::new(cell) };
        let (desk, drain) = (Desk::new(&policy.probes), Drain::new(policy.drain.clone(), drained.known()));
        let observer =
            (!host.capabilities().upstream_chain).then(|| Box::new(Upstream::observer(host, policy.clone())));
        Self { policy, metrics, desk, drain, drained, observer, hurries: Cell::new(false), random }
    }

    /// How often it ticks while nobody waits.
    pub fn tick_period(&self) -> Option<Duration> {
        self.drain.asks().then_some(drain::PERIOD)
    }

    /// The root's timer.
    pub fn tick<H: Host>(&self, host: &H) {
        self.drain.tick(host);
        self.desk.tick(host);
        // In a tick it can only be stopped.
        if self.hurries.get() && !self.desk.is_busy() && !self.drain.asks() {
            self.hurries.set(false);
            host.tick_every(None);
        }
    }

    /// A call of the root was answered.
    pub fn answered<H: Host>(&self, host: &H, answer: Answer) {
        if !self.desk.answered(host, answer) {
            let header = |name| if answer.headers == 0 { None } else { host.header(Map::CalloutHeaders, name) };
            // Envoy itself says 503 of whoever can't be reached: only the health check filter leaves its name.
            let status = header(drain::BY_HEALTH_CHECK).and_then(|_| header(":status"));
            if self.drain.answered(answer, status.and_then(|status| number(&status))) {
                self.drained.say(host, self.drain.is_draining());
            }
        }
        if self.drain.asks() && self.hurries.get() && !self.desk.is_busy() {
            self.hurries.set(false);
            host.tick_every(Some(drain::PERIOD));
        }
    }

    fn hurry<H: Host>(&self, host: &H) {
        if host.capabilities().ticks_at_will && self.desk.is_busy() && !self.hurries.replace(true) {
            host.tick_every(Some(BUSY));
        }
    }

    /// A request's headers; `end` where they are all of it.
    pub fn begin<H: Host>(&self, host: &H, end: bool) -> (Option<Request>, Flow) {
        if self.policy.common.mode == Mode::Disabled {
            return (None, Flow::Continue);
        }
        let (request, flow) = self.decide(host, end);
        if matches!(flow, Flow::Reply(_)) {
            ours::note(host, PLUGIN);
        }
        (Some(request), flow)
    }

    fn decide<H: Host>(&self, host: &H, end: bool) -> (Request, Flow) {
        let spoken = spoken::of(host, &self.policy, end, self.policy.deadline.is_some());
        let mut request = Request { attempt: None, events: false, own: None };
        if let Some(flow) = self.probed(host, &spoken, end, &mut request) {
            return (request, flow);
        }
        let limited = self.policy.deadline.as_ref().map(|deadlines| self.limit(host, deadlines, spoken.protocol));
        let flow = limited.unwrap_or(Flow::Continue);
        if let (Some(observer), Flow::Continue) = (&self.observer, &flow) {
            request.attempt = observer.begin(host, end);
        }
        (request, flow)
    }

    /// The answer to a probe. Services' own paths stay theirs: only a GET or HEAD without a body is one.
    fn probed<H: Host>(&self, host: &H, spoken: &Spoken, end: bool, request: &mut Request) -> Option<Flow> {
        let bodyless = end || !host.capabilities().tells_end;
        if !bodyless || (self.policy.healthz.is_none() && self.policy.probes.is_empty()) {
            return if spoken.protocol == Protocol::Grpc { self.checked(host, spoken) } else { None };
        }
        let is_node = self.policy.healthz.as_deref().is_some_and(|path| path.as_bytes() == spoken.path(host));
        let counter = self.desk.find(spoken.path(host));
        if !is_node && counter.is_none() {
            return None;
        }
        let method = host.header(Map::RequestHeaders, ":method").unwrap_or_default();
        if method != b"GET" && method != b"HEAD" {
            return None;
        }
        let dialect = Dialect::of(host.header(Map::RequestHeaders, "accept").as_deref());
        let Some(counter) = counter.filter(|_| !is_node) else {
            let ill = self.drain.is_draining().then_some("draining");
            return Some(Flow::Reply(Box::new(of_node(ill, dialect))));
        };
        let (flow, own) = self.desk.ask(host, counter, dialect);
        request.own = own;
        self.hurry(host);
        Some(flow)
    }

    /// Whoever asks by gRPC is told by a real server that all is well, because no proxy's own answer can have a message. That the node drains, it can
    /// say itself.
    fn checked<H: Host>(&self, host: &H, spoken: &Spoken) -> Option<Flow> {
        if !self.drain.is_draining() || self.policy.healthz.is_none() || spoken.path(host) != GRPC_CHECK {
            return None;
        }
        let refusal = Refusal {
            plugin: PLUGIN,
            cause: "draining",
            title: "This node is being taken out of service",
            status: 503,
            grpc_status: UNAVAILABLE,
            retry_after: 0,
            mark: false,
        };
        Some(Flow::Reply(Box::new(refusal.reply(true))))
    }

    /// A request is over.
    pub fn end<H: Host>(&self, host: &H, request: &mut Request) {
        if let (Some(observer), Some(attempt)) = (&self.observer, &mut request.attempt) {
            observer.end(host, attempt);
        }
    }

    /// A call of a request's own was answered.
    pub fn answered_own<H: Host>(&self, host: &H, request: &mut Request, answer: Answer) {
        let reply = request.own.as_mut().and_then(|own| self.desk.answered_own(host, own, answer));
        if let Some(reply) = reply {
            request.own = None;
            ours::note(host, PLUGIN);
            host.reply(&reply);
        }
    }

    /// A part of a response's body: while the node drains, a stream of events is told when to come back, between two of them.
    pub fn body<H: Host>(&self, host: &H, request: &mut Request, size: usize, end: bool) {
        if let (Some(observer), Some(attempt)) = (&self.observer, &mut request.attempt) {
            // It holds nothing back.
            let _ = observer.body(host, attempt, size, end);
        }
        if !request.events || end || size == 0 || !self.drain.is_draining() {
            return;
        }
        let tail = host.body_from(Body::Response, size.saturating_sub(4), size.min(4));
        if tail.is_some_and(|tail| drain::is_between_events(&tail)) {
            request.events = false;
            host.append_body(Body::Response, drain::hint(self.draw()).as_bytes());
            self.metrics.count(host, "hints_total", "draining");
        }
    }

    fn limit<H: Host>(&self, host: &H, deadlines: &Deadlines, protocol: Protocol) -> Flow {
        let given = given(host, protocol);
        let decided = decide(deadlines, protocol, is_stream(host), &given);
        if let Some(name) = decided.ignored {
            self.metrics.count(host, "malformed_deadlines_total", name);
        }
        let (cause, title, status, grpc_status) = match decided.deadline {
            Deadline::None => return Flow::Continue,
            Deadline::Within(time) => {
                if self.acts() {
                    set(host, protocol, &given, time);
                    if given.says_anything() {
                        host.set_property(CALLERS_DEADLINE, b"1");
                    }
                }
                return Flow::Continue;
            }
            Deadline::Expired => ("deadline", "The request had no time left when it came", 504, DEADLINE_EXCEEDED),
            Deadline::Malformed(_) => (
                "malformed_deadline",
                "A header that says how long the request may take can't be read",
                400,
                INVALID_ARGUMENT,
            ),
        };
        let enforced = self.acts();
        self.metrics.count(host, if enforced { "refused_total" } else { "would_refuse_total" }, cause);
        if !enforced {
            return Flow::Continue;
        }
        let mark = self.policy.common.mark_rejections;
        let refusal = Refusal { plugin: PLUGIN, cause, title, status, grpc_status, retry_after: 0, mark };
        Flow::Reply(Box::new(refusal.reply(protocol == Protocol::Grpc)))
    }

    /// Whether this decision is acted on.
    fn acts(&self) -> bool {
        self.policy.common.mode == Mode::Enforce && self.policy.common.enforce_ratio.takes(self.draw())
    }

    fn draw(&self) -> u64 {
        self.random.borrow_mut().draw()
    }

    /// A response's headers on their way to the client; `end` where they are all of it.
    pub fn headers<H: Host>(&self, host: &H, request: &mut Request, end: bool) {
        // What another plugin answers is no attempt.
        if self.observer.is_some() && ours::answered(host) {
            request.attempt = None;
        }
        match (&self.observer, &mut request.attempt) {
            (Some(observer), Some(attempt)) => drop(observer.headers(host, attempt, end)),
            _ => host.remove_header(Map::ResponseHeaders, MARK),
        }
        request.events = self.drain.is_watched() && !end && is_event_stream(host);
        // Also where a filter between the entries made gRPC of what a client spoke.
        if !end && host.header(Map::ResponseHeaders, "grpc-status").is_some() {
            // A service may have said it itself: only what we have put there is taken away.
            let told = host.property(TOLD).unwrap_or_default();
            if told.ends_with(PROMOTED.as_bytes()) {
                host.remove_header(Map::ResponseHeaders, "grpc-status");
            }
        }
    }
}

/// Events that something can be put between: nothing can between compressed ones, nor where their length was told.
fn is_event_stream<H: Host>(host: &H) -> bool {
    let header = |name| host.header(Map::ResponseHeaders, name);
    let content_type = header("content-type").unwrap_or_default();
    content_type.to_ascii_lowercase().starts_with(b"text/event-stream")
        && header("content-encoding").is_none()
        && header("content-length").is_none()
}

/// What the request says of its time.
fn given<H: Host>(host: &H, protocol: Protocol) -> Given {
    let header = |name| host.header(Map::RequestHeaders, name);
    let is_grpc = matches!(protocol, Protocol::Grpc | Protocol::GrpcWeb);
    Given {
        grpc: if is_grpc { header(deadline::GRPC) } else { None },
        others: deadline::OTHERS.map(header),
        router: header(deadline::ROUTER),
    }
}

/// What lives long by design.
fn is_stream<H: Host>(host: &H) -> bool {
    let accepts = host.header(Map::RequestHeaders, "accept");
    let events = b"text/event-stream";
    accepts.is_some_and(|accept| accept.to_ascii_lowercase().windows(events.len()).any(|kind| kind == events))
        || host.header(Map::RequestHeaders, "upgrade").is_some()
}

/// The router obeys, and whoever serves is told in the form in which the client said it.
fn set<H: Host>(host: &H, protocol: Protocol, given: &Given, time: Duration) {
    if host.capabilities().limits_by_header {
        host.set_header(Map::RequestHeaders, deadline::ROUTER, deadline::for_router(time).as_bytes());
    }
    if matches!(protocol, Protocol::Grpc | Protocol::GrpcWeb) {
        host.set_header(Map::RequestHeaders, deadline::GRPC, grpc_timeout::write(time).as_bytes());
    }
    for (name, said) in deadline::OTHERS.into_iter().zip(&given.others) {
        if let Some(said) = said {
            host.set_header(Map::RequestHeaders, name, deadline::like(said, time).as_bytes());
        }
    }
}
