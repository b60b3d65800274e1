//! The downstream entry: it sees every request before it is routed, so it keeps the router from even trying.
//!
//! It takes no part in the bound. It spares what the upstream entry would refuse, keeps requests from being retried whose repetition
//! could do harm, sheds clients' own retries first, cleans up what the upstream entry left on answers, and gives back what wasn't used.

use crate::account::{Account, Answer, cell_name};
use crate::decide::{self, Cause};
use crate::marks;
use crate::metrics::DownstreamMetrics;
use crate::notices::{Empties, tells_clients};
use crate::policy::{ClientRetries, Policy, RetryUnsafe};
use crate::state::{ENCODING, Slots};
use crate::tally::{Line, Tally};
use crate::upstream::{self, RETRY_IN, VETO, period};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::cell;
use sdk_shim::claim::Claim;
use sdk_shim::common::asks_for_decisions;
use sdk_shim::config::Faults;
use sdk_shim::entry::Flow;
use sdk_shim::headers::is_grpc;
use sdk_shim::host::{Host, Map};
use sdk_shim::journal::Journal;
use sdk_shim::keys::{Keys, Named};
use sdk_shim::labels::Label;
use sdk_shim::meter::{Counter, Lazy, Meter};
use sdk_shim::notice::Notice;
use sdk_shim::ours;
use sdk_shim::overrides::Mode;
use sdk_shim::random::SplitMix64;
use sdk_shim::refusal::{Refusal, UNAVAILABLE};
use sdk_shim::time::{Instant, is_early};
use std::rc::Rc;

/// By which a filter keeps the router from retrying a request.
const NO_RETRIES: (&str, &[u8]) = ("x-envoy-max-retries", b"0");
/// By which a client says that its request may be repeated.
const IDEMPOTENCY_KEYS: [&str; 2] = ["idempotency-key", "x-idempotency-key"];
/// The response header that tells the decision.
const DEBUG_ANSWER: &str = "x-holdfast-debug-retry-budget";
/// gRPC's word for "never again" (proposal A6).
const NEVER: (&str, &str) = ("grpc-retry-pushback-ms", "-1");

/// The downstream entry of one configuration.
#[derive(Debug)]
pub struct Downstream {
    policy: Policy,
    line: Line,
    keys: Keys<Side>,
    claim: Claim,
    /// The upstream entry's cells are named as its keys are.
    upstream_prefix: String,
    meter: Meter,
    upstream_meter: Meter,
    journal: Journal,
    empties: Empties,
    random: RefCell<SplitMix64>,
    /// When slots began last.
    ticked_at: Cell<Option<Instant>>,
    proof: Option<Vec<u8>>,
    debug_token: Option<Vec<u8>>,
}

/// One key as this worker sees it.
#[derive(Debug)]
pub struct Side {
    name: String,
    /// The budget of clients' retries, where there is one.
    clients: Option<Account>,
    metrics: DownstreamMetrics,
    returned: Lazy,
}

/// A request under way.
#[derive(Debug, Default)]
pub struct Request {
    /// An answer came.
    answered: bool,
    /// What the attempts had left by then.
    tally: Option<Tally>,
    /// Whoever asked shows that he may see the decision.
    debug: bool,
    /// Why it isn't retried.
    steered: Option<Cause>,
}

impl Request {
    fn describe(&self) -> String {
        let steered = self.steered.map_or("no", Cause::as_str);
        let tally = self.tally.unwrap_or_default();
        format!("no_retries={steered}; covered={}; vetoed_or_delayed={}", tally.covered, tally.marked)
    }
}

impl Downstream {
    /// The entry of a checked policy.
    pub fn new<H: Host>(host: &H, policy: Policy, configuration: &[u8]) -> Result<Self, Faults> {
        let common = &policy.common;
        let proof = policy.client_retries.as_ref().and_then(|clients| clients.trusted_proof.as_ref());
        let proof = proof.map(|proof| proof.token.resolve(host, "$.client_retries.trusted_proof.token")).transpose()?;
        Notice::new(tells_clients(&common.instance)).say(host, policy.client_retries.is_some());
        let debug_token = common.debug_token.as_ref().map(|token| token.resolve(host, "$.debug_token")).transpose()?;
        Ok(Self {
            debug_token,
            line: Line::of(&common.instance),
            keys: Keys::new("retry-budget", common, &policy.meaning()),
            claim: Claim::of(configuration),
            upstream_prefix: upstream::keys::<()>(&policy).prefix().to_owned(),
            meter: crate::metrics::meter(host, common, "downstream"),
            upstream_meter: crate::metrics::meter(host, common, "upstream"),
            journal: Journal::new("retry-budget", "downstream", &common.instance),
            empties: Empties::new(&common.instance),
            random: RefCell::new(SplitMix64::new(host.seed())),
            ticked_at: Cell::default(),
            proof,
            policy,
        })
    }

    /// One slot of the clients' budget, where there is one.
    pub fn tick_period(&self) -> Option<Duration> {
        self.policy.client_retries.as_ref().map(|clients| period(clients.budget.ttl))
    }

    /// A request comes.
    pub fn begin<H: Host>(&self, host: &H) -> (Option<Request>, Flow) {
        if self.policy.common.mode == Mode::Disabled {
            return (None, Flow::Continue);
        }
        let (now, debug) = (host.now(), asks_for_decisions(host, self.debug_token.as_deref()));
        let client = match &self.policy.client_retries {
            None => Ok(false),
            Some(clients) => self.admit(host, clients, now),
        };
        let (steered, flow) = match client {
            Err(refusal) => (None, refusal),
            Ok(is_retry) => (self.steer(host, is_retry, now), Flow::Continue),
        };
        (Some(Request { debug, steered, ..Request::default() }), flow)
    }

    /// Counts a first try, or asks for a client's retry; gives whether it is one.
    fn admit<H: Host>(&self, host: &H, clients: &ClientRetries, now: Instant) -> Result<bool, Flow> {
        let retry = marks::retry_of(host, clients, self.proof.as_deref());
        let side = self.side(host);
        let Some(account) = &side.clients else { return Ok(false) };
        let Some(nth) = retry else {
            account.count_request(host);
            return Ok(false);
        };
        side.metrics.client_retry(host, &self.meter);
        match account.ask(host, &clients.budget, now, self.policy.common.state_refresh) {
            Ok(Answer::Granted(_)) => Ok(true),
            Ok(Answer::Refused) => self.shed(host, &side, nth, now).map_or(Ok(true), Err),
            // Nobody knows how many there were. A client's retry is a request all the same.
            Err(error) => {
                side.metrics.store_error(host, &self.meter);
                self.journal.state_unavailable(host, &side.name, error);
                Ok(true)
            }
        }
    }

    fn shed<H: Host>(&self, host: &H, side: &Side, nth: u32, now: Instant) -> Option<Flow> {
        let enforced = self.enforces(side, now);
        side.metrics.client_shed(host, &self.meter, enforced);
        if !enforced {
            return None;
        }
        let grpc = host.header(Map::RequestHeaders, "content-type").is_some_and(|kind| is_grpc(&kind));
        let refusal = Refusal {
            plugin: "retry-budget",
            cause: Cause::ClientRetry.as_str(),
            title: "Too many of the requests to this route are retries already",
            status: 503,
            grpc_status: UNAVAILABLE,
            retry_after: decide::retry_after(nth, self.draw()),
            mark: self.policy.common.mark_rejections,
        };
        ours::note(host, refusal.plugin);
        let mut reply = refusal.reply(grpc);
        if grpc {
            reply.headers.push((NEVER.0.to_owned(), NEVER.1.to_owned()));
        }
        Some(Flow::Reply(Box::new(reply)))
    }

    /// Keeps the router from retrying this request, where there is a reason to; gives that.
    fn steer<H: Host>(&self, host: &H, is_client_retry: bool, now: Instant) -> Option<Cause> {
        if !host.capabilities().steers_retries {
            return None;
        }
        let cause = if is_client_retry {
            Cause::ClientRetry
        } else if self.may_not_be_repeated(host) {
            Cause::Unsafe
        } else if self.empties.any(host, now, self.policy.common.state_refresh)
            && self.empties.is_empty(&self.side(host).name, now)
        {
            Cause::Budget
        } else {
            return None;
        };
        let side = self.side(host);
        let enforced = self.enforces(&side, now);
        side.metrics.steered(host, &self.meter, cause, enforced);
        if enforced {
            host.set_header(Map::RequestHeaders, NO_RETRIES.0, NO_RETRIES.1);
            // Its answers need no grants, which nobody would use.
            self.line.write(host, Tally { steered: true, is_client_retry, ..Tally::default() });
        }
        Some(cause)
    }

    /// Whether the method isn't idempotent (RFC 9110, 9.2.2), and nothing else allows a retry.
    fn may_not_be_repeated<H: Host>(&self, host: &H) -> bool {
        let header = |name| host.header(Map::RequestHeaders, name);
        let idempotent = |method: Vec<u8>| {
            matches!(method.as_slice(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
        };
        match self.policy.retry_unsafe {
            RetryUnsafe::Always => false,
            _ if header(":method").is_some_and(idempotent) => false,
            RetryUnsafe::Never => true,
            RetryUnsafe::Keyed => {
                !IDEMPOTENCY_KEYS.into_iter().any(|name| header(name).is_some_and(|key| !key.is_empty()))
            }
        }
    }

    /// An answer goes to the client: without what the upstream entry left on it.
    pub fn answered<H: Host>(&self, host: &H, request: &mut Request) {
        request.answered = true;
        request.tally = self.line.read(host);
        if request.tally.is_some_and(|tally| tally.marked) {
            host.remove_header(Map::ResponseHeaders, VETO);
            host.remove_header(Map::ResponseHeaders, RETRY_IN);
        }
        if request.debug {
            host.set_header(Map::ResponseHeaders, DEBUG_ANSWER, request.describe().as_bytes());
        }
    }

    /// A request is over: a grant that no attempt used goes back, if it is certain that every window that holds the one holds the other.
    pub fn end<H: Host>(&self, host: &H, request: &Request) {
        let tally = if request.answered { request.tally } else { self.line.read(host) };
        let Some(Tally { covered, slot: Some(slot), .. }) = tally else { return };
        if covered <= upstream::attempts(host) {
            return;
        }
        let side = self.side(host);
        let cell = cell_name(&self.upstream_prefix, &side.name);
        if cell::read::<H, Slots>(host, &cell).is_ok_and(|seen| seen.record.is_some_and(|slots| slots.number == slot)) {
            self.returned(host, &side).add(host);
        }
    }

    fn returned<H: Host>(&self, host: &H, side: &Side) -> Counter {
        side.returned.get(|| self.upstream_meter.counter(host, "returned_total", &[(Label::Key, &side.name)]))
    }

    /// The clients' slots begin.
    pub fn tick<H: Host>(&self, host: &H) {
        if self.policy.common.mode == Mode::Disabled {
            return;
        }
        let now = host.now();
        if self.is_anothers(host, now) {
            return;
        }
        if let Some(clients) = &self.policy.client_retries {
            self.keys.publish(host, &self.claim, ENCODING, &clients_suffix(clients));
        }
        self.keys.learn(host, &|key| self.new_side(host, key));
        for side in self.keys.some() {
            if side.clients.as_ref().is_some_and(|account| account.tick(host, now).is_err()) {
                side.metrics.store_error(host, &self.meter);
            }
        }
    }

    /// Whether this tick is of the timer of a VM before this one: slots that it began would be too short.
    fn is_anothers<H: Host>(&self, host: &H, now: Instant) -> bool {
        let (last, period) = (self.ticked_at.get(), self.tick_period().unwrap_or_default());
        let is_early = !host.capabilities().one_timer && last.is_some_and(|last| is_early(last, now, period));
        if !is_early {
            self.ticked_at.set(Some(now));
        }
        is_early
    }

    fn side<H: Host>(&self, host: &H) -> Rc<Side> {
        self.keys.of_request(host, &|key| self.new_side(host, key))
    }

    fn new_side<H: Host>(&self, host: &H, key: Named<'_>) -> Side {
        let clients = self.policy.client_retries.as_ref().map(|clients| {
            let cell = cell_name(key.prefix, key.name) + &clients_suffix(clients);
            let account = Account::open(host, &self.meter, "client_", key.name, cell);
            // The first slot begins before the first request is counted; where it can't, the next question tells.
            let _ = account.refresh(host, host.now(), Duration::ZERO);
            account
        });
        let metrics = DownstreamMetrics::new(key.name);
        Side { name: key.name.to_owned(), clients, metrics, returned: Lazy::default() }
    }

    fn enforces(&self, side: &Side, now: Instant) -> bool {
        let set = side.clients.as_ref().and_then(|account| account.override_mode(now));
        set.unwrap_or(self.policy.common.mode) == Mode::Enforce && self.policy.common.enforce_ratio.takes(self.draw())
    }

    fn draw(&self) -> u64 {
        self.random.borrow_mut().draw()
    }
}

/// The clients' budget has slots of its own.
fn clients_suffix(clients: &ClientRetries) -> String {
    format!(";{}ms", clients.budget.ttl.as_millis())
}
