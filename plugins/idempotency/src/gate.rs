//! One entry of one chain: what it knows, and a request's way to the service.
//!
//! | to find | look in |
//! |---|---|
//! | a request's way in | here |
//! | its claim, in memory or in a store that is called | `gate/claim.rs` |
//! | what goes to the service, or to the client in its place | `gate/verdict.rs` |
//! | the answer's way out | `gate/settle.rs` |
//! | what the store is told of it | `gate/record.rs` |

mod claim;
mod record;
mod settle;
mod verdict;

use crate::decide::Cause;
use crate::intake::{self, Intake, Taken};
use crate::metrics::{self, Side};
use crate::policy::{self, Policy};
use crate::protocol::Owner;
use crate::remote::{Own, Remote};
use crate::request::{Phase, Request, Shared, Ticket};
use crate::secret::Secrets;
use crate::store::memory::{self, Memory};
use crate::store::trip::Login;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use sdk_shim::body;
use sdk_shim::common::asks_for_decisions;
use sdk_shim::config::Faults;
use sdk_shim::dispatch::MAX_WAKES_PER_CALLBACK;
use sdk_shim::entry::{Answer, Flow};
use sdk_shim::flavor::Capabilities;
use sdk_shim::headers::Headers;
use sdk_shim::host::{Body, ContextId, Host, Map};
use sdk_shim::journal::Journal;
use sdk_shim::keys::Keys;
use sdk_shim::meter::Meter;
use sdk_shim::overrides::Mode;
use sdk_shim::random::SplitMix64;
use sdk_shim::time::Instant;
use std::rc::{Rc, Weak};
use verdict::Verdict;

/// The service learns by it which of two executions of a key is the later one.
pub const FENCE: &str = "x-holdfast-fence";
/// Tells the service that a request isn't protected, and a client that a replay isn't whole.
pub const MARK: &str = "x-holdfast-idempotency";
/// Filter state for access logs and the other filters: what was decided.
const STATE: &[&str] = &["holdfast.idempotency"];
/// Between two ticks where the store is called: followers wait that long at most for the call that they share.
const TICK_REMOTE: Duration = Duration::from_millis(3);
/// The same where ticks can't be stopped while there is nothing to do.
const TICK_ALWAYS: Duration = Duration::from_millis(5);
/// The same where the store is memory: only those need it that wait for another one's end.
const TICK_MEMORY: Duration = Duration::from_millis(25);

/// The entry of one configuration.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    secrets: Secrets,
    store: Store,
    keys: Keys<Side>,
    meter: Meter,
    journal: Journal,
    debug_token: Option<Vec<u8>>,
    /// One half of each owner's token is this VM's, the other is drawn.
    vm: u64,
    random: RefCell<SplitMix64>,
    sleepers: RefCell<Vec<Sleeper>>,
    /// Nothing but its key decides whether a request is ours.
    keyless_pass: bool,
    root: Cell<Option<ContextId>>,
    /// Between two ticks while there is something to do.
    period: Option<Duration>,
    /// The root ticks. An idle proxy has better things to do.
    ticks: Cell<bool>,
    /// It was replaced, and has something left to tell the store.
    retiring: Cell<bool>,
    /// A failed call is told, once that is known.
    hears_failures: Cell<Option<bool>>,
}

#[derive(Debug)]
enum Store {
    Memory(Memory),
    Remote(Box<Remote<Shared>>),
}

/// A request that will ask again.
#[derive(Debug)]
struct Sleeper {
    until: Instant,
    context: ContextId,
    request: Weak<RefCell<Request>>,
}

// === impl Gate ===

impl Gate {
    /// The entry of a policy that was checked on this host.
    pub fn new<H: Host>(host: &H, policy: Policy) -> Result<Self, Faults> {
        let keys = Keys::new("idempotency", &policy.common, &policy.meaning());
        let meter = metrics::meter(host, &policy.common);
        let prefix = format!("{};{}", keys.prefix(), policy.namespace);
        let (store, secrets) = match &policy.store {
            policy::Store::Memory { slots, max_bytes, .. } => {
                (Store::Memory(Memory::new(&prefix, *slots, *max_bytes)), own_secret(host, &prefix)?)
            }
            policy::Store::Remote(remote) => {
                let meter = metrics::meter(host, &policy.common);
                let remote = Remote::new(host, remote, login(host, &remote.login)?, policy.clusters(), meter);
                (Store::Remote(Box::new(remote)), policy.secrets(host)?)
            }
        };
        let token = policy.common.debug_token.as_ref().map(|token| token.resolve(host, "$.debug_token")).transpose()?;
        let journal = Journal::new("idempotency", policy.common.chain.as_str(), &policy.common.instance);
        let (vm, random) = (host.seed(), RefCell::new(SplitMix64::new(host.seed())));
        let (sleepers, root) = (RefCell::default(), Cell::new(Some(host.context())));
        let period = tick_period(&policy, host.capabilities());
        let needs_reading = policy.required || policy.derive.is_some() || policy.mirror.is_some() || token.is_some();
        let keyless_pass = host.capabilities().tells_empty && !needs_reading;
        Ok(Self {
            policy,
            secrets,
            store,
            keys,
            meter,
            journal,
            debug_token: token,
            vm,
            random,
            sleepers,
            keyless_pass,
            root,
            period,
            ticks: Cell::new(period.is_some()),
            retiring: Cell::new(false),
            hears_failures: Cell::new(None),
        })
    }

    /// How often [`Gate::tick`] should run while there is something to do.
    pub const fn tick_period(&self) -> Option<Duration> {
        self.period
    }

    /// After a tick: no more of them where nobody waits and nothing is under way.
    pub fn rest<H: Host>(&self, host: &H) {
        if self.ticks.get() && host.capabilities().ticks_at_will && self.rests() {
            self.ticks.set(false);
            host.tick_every(None);
            if self.retiring.get() {
                host.retire();
            }
        }
    }

    /// The configuration was replaced: whether nothing is left that the store must be told.
    pub fn retire<H: Host>(&self, host: &H) -> bool {
        self.keep_ticking(host);
        self.retiring.set(!self.rests());
        !self.retiring.get()
    }

    /// After any other callback: ticks, where there is something to do again.
    pub fn keep_ticking<H: Host>(&self, host: &H) {
        if !self.ticks.get() && self.is_stirred() {
            self.ticks.set(true);
            host.tick_every(self.period);
        }
    }

    /// Asked after each callback, so it only looks at what was noted.
    fn is_stirred(&self) -> bool {
        matches!(&self.store, Store::Remote(remote) if remote.is_stirred()) || !self.sleepers.borrow().is_empty()
    }

    fn rests(&self) -> bool {
        let remote = match &self.store {
            Store::Memory(_) => true,
            Store::Remote(remote) => remote.rests(),
        };
        remote && self.sleepers.borrow().is_empty()
    }

    /// A request's headers.
    pub fn begin<H: Host>(&self, host: &H, request: &Shared, end: bool) -> Flow {
        if self.policy.common.mode == Mode::Disabled {
            return Flow::Continue;
        }
        if self.passes_unread(host) {
            return Flow::Continue;
        }
        let Some(method) = host.header(Map::RequestHeaders, ":method") else { return Flow::Continue };
        if !self.policy.methods.iter().any(|known| known.as_bytes() == method) {
            strip_unlisted(host, &method);
            return Flow::Continue;
        }
        let headers = Headers::from(host.headers(Map::RequestHeaders));
        let is_cut = headers.count() >= host.capabilities().max_headers;
        strip(host, &said(host, Some(&headers).filter(|_| !is_cut)));
        if !self.policy.covers(&method, intake::path(&headers)) {
            return Flow::Continue;
        }
        request.borrow_mut().debug = asks_for_decisions(host, self.debug_token.as_deref());
        // Another value of a header that counts may be among those that aren't shown.
        if is_cut && self.wants(host) {
            return self.refuse_unclaimed(host, request, Cause::Headers, &headers);
        }
        if intake::is_upgrade(&headers) {
            self.side(host).count(host, &self.meter, "unprotected_total", "upgrade");
            return pass(request, "upgrade");
        }
        if intake::is_mirrored(&self.policy, &headers) {
            host.set_header(Map::RequestHeaders, MARK, b"mirrored");
            host.set_property(STATE, b"mirrored");
            self.side(host).count(host, &self.meter, "unprotected_total", "mirrored");
            return pass(request, "mirrored");
        }
        match intake::read(&self.policy, &headers) {
            // Envoy asks for the body itself, and removes the header, unless it leaves that to the service, which sees nothing before we have the body.
            Intake::Take(_)
                if !end && host.capabilities().pause_without_call && intake::waits_to_be_asked(&headers) =>
            {
                self.refuse_unclaimed(host, request, Cause::Expect, &headers)
            }
            Intake::Pass => pass(request, "no_key"),
            Intake::Refuse(cause) => self.refuse_unclaimed(host, request, cause, &headers),
            Intake::Take(taken) => match follows(host, end) {
                None if !taken.grpc => self.refuse_unclaimed(host, request, Cause::Length, &headers),
                body => self.take(host, request, taken, method, headers, body == Some(false)),
            },
        }
    }

    /// Whether a request is ours, without a look at all of its headers.
    fn wants<H: Host>(&self, host: &H) -> bool {
        self.policy.derive.is_some() || host.header(Map::RequestHeaders, &self.policy.header).is_some()
    }

    /// Most requests have no key and need none. They are asked for it, and for what only this filter may say, and nothing else.
    fn passes_unread<H: Host>(&self, host: &H) -> bool {
        let has = |name: &str| host.header(Map::RequestHeaders, name).is_some();
        self.keyless_pass && !has(&self.policy.header) && !has(FENCE)
    }

    /// It is ours: its body is waited for, unless that may never end or doesn't come.
    fn take<H: Host>(
        &self,
        host: &H,
        request: &Shared,
        taken: Taken,
        method: Vec<u8>,
        headers: Headers,
        no_body: bool,
    ) -> Flow {
        let side = self.side(host);
        if taken.bare {
            side.count(host, &self.meter, "bare_keys_total", "");
        }
        let too_large = intake::body_length(&headers).is_some_and(|length| length > self.policy.max_body);
        let grpc = taken.grpc;
        let now = host.now();
        let ticket = Ticket {
            method,
            target: headers.get(":path").unwrap_or_default().to_vec(),
            headers,
            key: taken.key,
            tenant: taken.tenant,
            home: taken.home,
            grpc,
            side,
            enforced: self.policy.common.mode == Mode::Enforce,
            began: now,
            asked_at: now,
            asked: 0,
            names: None,
            claim: None,
            answer: None,
            counted: false,
            fence: 0,
        };
        {
            let mut request = request.borrow_mut();
            request.ticket = Some(Box::new(ticket));
            request.context = Some(host.context());
            request.phase = Phase::Reading;
        }
        match (grpc, no_body) {
            (true, _) => self.claim(host, request, None).into_flow(),
            (false, true) => self.claim(host, request, Some(&[])).into_flow(),
            (false, false) if too_large => self.too_large(host, request).into_flow(),
            // Where that isn't so, its body is shown whole before anything goes on.
            (false, false) if host.capabilities().pause_without_call => Flow::Pause,
            (false, false) => Flow::Continue,
        }
    }

    /// A part of a request's body; `size` bytes are there by now.
    pub fn body<H: Host>(&self, host: &H, request: &Shared, size: usize, end: bool) -> Flow {
        let phase = request.borrow().phase;
        match phase {
            Phase::Reading if size > self.policy.max_body => self.too_large(host, request).into_flow(),
            Phase::Reading if end => self.whole_body(host, request, Some(size)).into_flow(),
            Phase::Reading | Phase::Asking | Phase::Sleeping => Flow::Pause,
            _ => Flow::Continue,
        }
    }

    /// A request ended in trailers.
    pub fn request_trailers<H: Host>(&self, host: &H, request: &Shared) -> Flow {
        let phase = request.borrow().phase;
        match phase {
            Phase::Reading => self.whole_body(host, request, None).into_flow(),
            Phase::Asking | Phase::Sleeping => Flow::Pause,
            _ => Flow::Continue,
        }
    }

    /// The body is there. A host that tells its size and doesn't show it has it in a file: it is too long for us.
    fn whole_body<H: Host>(&self, host: &H, request: &Shared, size: Option<usize>) -> Verdict {
        let body = match size {
            Some(0) => Vec::new(),
            _ => host.body(Body::Request, self.policy.max_body.saturating_add(1)).unwrap_or_default(),
        };
        let hidden = size.is_some_and(|size| body.len() < size);
        if hidden || body.len() > self.policy.max_body {
            return self.too_large(host, request);
        }
        self.claim(host, request, Some(&body))
    }

    fn too_large<H: Host>(&self, host: &H, request: &Shared) -> Verdict {
        // Its key has no name yet that could be drawn by.
        if !self.policy.common.enforce_ratio.takes(self.random.borrow_mut().draw()) {
            request.borrow_mut().ticket.iter_mut().for_each(|ticket| ticket.enforced = false);
        }
        if self.policy.pass_too_large {
            return self.unprotected(host, request, Cause::TooLarge);
        }
        self.refuse(host, request, Cause::TooLarge, 0)
    }

    /// The store answered a request's own call.
    pub fn own_answer<H: Host>(&self, host: &H, request: &Shared, answer: Answer) {
        let Store::Remote(remote) = &self.store else { return };
        request.borrow_mut().call = None;
        match remote.own_answer(host, answer) {
            Own::Heard(heard) => self.hear(host, request, heard),
            Own::Asked(asked) => request.borrow_mut().call = claim::own_call(asked),
        }
    }

    /// The store answered a call that requests share.
    pub fn root_answer<H: Host>(&self, host: &H, answer: Answer) {
        if let Store::Remote(remote) = &self.store
            && remote.root_answer(host, answer)
        {
            self.work(host, MAX_WAKES_PER_CALLBACK);
        }
    }

    /// Wakes who is to be woken, sends who waits.
    pub fn tick<H: Host>(&self, host: &H) {
        self.root.set(Some(host.context()));
        if !host.capabilities().tells_every_end {
            self.hear_unheard(host);
        }
        let woken = self.wake_sleepers(host);
        self.work(host, MAX_WAKES_PER_CALLBACK.saturating_sub(woken));
    }

    /// A call that failed may have ended its request, and nobody said so: nothing but the call remembers it. Its key is given up.
    fn hear_unheard<H: Host>(&self, host: &H) {
        let Store::Remote(remote) = &self.store else { return };
        while let Some(job) = remote.unheard(host, |request| Rc::strong_count(request) == 1) {
            if let Some(request) = &job.waiter {
                self.end(host, request);
            }
        }
    }

    fn work<H: Host>(&self, host: &H, most: usize) {
        if let (Store::Remote(remote), Some(root)) = (&self.store, self.root.get()) {
            remote.work(host, root, most, &mut |host, job, heard| {
                if let Some(request) = &job.waiter {
                    self.hear(host, request, heard);
                }
            });
        }
    }

    fn side<H: Host>(&self, host: &H) -> Rc<Side> {
        self.keys.of_request(host, &|key| Side::new(key.name))
    }

    /// Never twice: one half is this VM's alone, and the generator doesn't repeat itself within 2^64 draws.
    fn token(&self) -> u128 {
        u128::from(self.vm) << 64 | u128::from(self.random.borrow_mut().draw())
    }

    fn owner(&self) -> Owner {
        Owner(self.token())
    }
}

fn login<H: Host>(host: &H, login: &policy::Login) -> Result<Login, Faults> {
    let password = login.password.as_ref().map(|password| password.resolve(host, "$.store.password")).transpose()?;
    Ok(Login::new(&login.username, password.as_deref(), login.database))
}

fn tick_period(policy: &Policy, host: &Capabilities) -> Option<Duration> {
    match &policy.store {
        _ if policy.common.mode == Mode::Disabled => None,
        policy::Store::Remote(_) if host.ticks_at_will => Some(TICK_REMOTE),
        policy::Store::Remote(_) => Some(TICK_ALWAYS),
        policy::Store::Memory { .. } if policy.wait.is_zero() => None,
        policy::Store::Memory { .. } => Some(TICK_MEMORY),
    }
}

fn pass(request: &Shared, decision: &'static str) -> Flow {
    let mut request = request.borrow_mut();
    request.phase = Phase::Over;
    request.decision = decision;
    Flow::Continue
}

/// The same for a method without keys; who only reads has no use for a fence, and costs nothing more.
fn strip_unlisted<H: Host>(host: &H, method: &[u8]) {
    if matches!(method, b"GET" | b"HEAD" | b"OPTIONS") {
        return;
    }
    strip(host, &said(host, None));
}

/// Whether a body follows, as far as anybody can tell.
fn follows<H: Host>(host: &H, end: bool) -> Option<bool> {
    if host.capabilities().tells_end { Some(!end) } else { body::follows(host) }
}

/// What a request says that only this filter may say: it is looked for in its headers, or asked for by name.
fn said<H: Host>(host: &H, headers: Option<&Headers>) -> Vec<&'static str> {
    let is_said = |name: &&str| match headers {
        Some(headers) => headers.get(name).is_some(),
        None => host.header(Map::RequestHeaders, name).is_some(),
    };
    [FENCE, MARK].into_iter().filter(is_said).collect()
}

/// Takes that out. Another entry in front of this one has left word that it was the one that said it.
fn strip<H: Host>(host: &H, said: &[&str]) {
    if !said.is_empty() && host.property(STATE).is_none_or(|state| state.is_empty()) {
        for name in said {
            host.remove_header(Map::RequestHeaders, name);
        }
    }
}

fn own_secret<H: Host>(host: &H, prefix: &str) -> Result<Secrets, Faults> {
    let allowed = "shared data of the proxy that can be written";
    let secret = memory::secret(host, prefix).map_err(|failure| Faults::one("$.store", failure.cause(), allowed))?;
    Secrets::new(&[secret]).map_err(|fault| Faults::one("$.store", fault.to_string(), allowed))
}
