//! The adapter: what a proxy calls, and which parts hear of it.

use crate::chain::{Links, Progress};
use crate::config;
use crate::parts::{Calls, PARTS, Part, Parts, with_part, with_plugin};
use crate::shared::SharedHost;
use core::cell::RefCell;
use core::fmt;
use core::time::Duration;
use hashbrown::HashMap;
use sdk_shim::config::Faults;
use sdk_shim::entry::{Answer, Flow, Plugin};
use sdk_shim::host::{ContextId, Direction, Host};
use sdk_shim::identity;
use std::rc::{Rc, Weak};

/// All parts of one entry.
pub struct Suite<H: Host> {
    host: SharedHost<H>,
    parts: Parts,
    /// As requests meet them.
    requests: [Part; PARTS],
    /// As answers meet them.
    responses: [Part; PARTS],
    /// Streams that a part holds.
    held: RefCell<HashMap<ContextId, Weak<RefCell<Course>>>>,
}

/// A request, or an attempt; whoever lets it go on finds it too.
pub type Stream = Rc<RefCell<Course>>;

/// How far it came, and what the parts remember of it.
#[derive(Debug)]
pub struct Course {
    calls: Calls,
    request: Progress,
    response: Progress,
}

// === impl Course ===

impl Course {
    const fn is_held(&self) -> bool {
        self.request.is_held() || self.response.is_held()
    }
}

/// One direction of a stream: the parts, in the order in which they are met.
struct Row<'a, H: Host> {
    suite: &'a Suite<H>,
    calls: &'a mut Calls,
    direction: Direction,
}

// === impl Row ===

impl<H: Host + Clone + 'static> Row<'_, H> {
    fn part(&self, link: usize) -> Part {
        let order = match self.direction {
            Direction::Request => &self.suite.requests,
            Direction::Response => &self.suite.responses,
        };
        // `link` is below PARTS.
        order.get(link).copied().unwrap_or(Part::ALL[0])
    }
}

impl<H: Host + Clone + 'static> Links for Row<'_, H> {
    const COUNT: usize = PARTS;

    fn headers(&mut self, link: usize, end: bool) -> Flow {
        let (part, host) = (self.part(link), &self.suite.host);
        host.enter(part as usize);
        with_part!(self.suite.parts, self.calls, part, |plugin, call| match self.direction {
            Direction::Request => plugin.on_request_headers(call, host, end),
            Direction::Response => plugin.on_response_headers(call, host, end),
        }, else Flow::Continue)
    }

    fn body(&mut self, link: usize, start: usize, size: usize, end: bool) -> Flow {
        let (part, host) = (self.part(link), &self.suite.host);
        host.enter(part as usize);
        host.begin_bodies_at(start);
        with_part!(self.suite.parts, self.calls, part, |plugin, call| match self.direction {
            Direction::Request => plugin.on_request_body(call, host, size, end),
            Direction::Response => plugin.on_response_body(call, host, size, end),
        }, else Flow::Continue)
    }

    fn trailers(&mut self, link: usize) -> Flow {
        let (part, host) = (self.part(link), &self.suite.host);
        host.enter(part as usize);
        with_part!(self.suite.parts, self.calls, part, |plugin, call| match self.direction {
            Direction::Request => plugin.on_request_trailers(call, host),
            Direction::Response => plugin.on_response_trailers(call, host),
        }, else Flow::Continue)
    }
}

// === impl Suite ===

impl<H: Host> fmt::Debug for Suite<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.borrow().len();
        let mut suite = f.debug_struct("Suite");
        suite.field("parts", &self.parts).field("host", &self.host).field("held", &held).finish_non_exhaustive()
    }
}

impl<H: Host + Clone + 'static> Suite<H> {
    /// One step of a message; whoever holds it after that is remembered.
    fn walk(
        &self,
        stream: &Stream,
        direction: Direction,
        step: impl FnOnce(&mut Progress, &mut Row<'_, H>) -> Flow,
    ) -> Flow {
        let course = &mut *stream.borrow_mut();
        let progress = match direction {
            Direction::Request => &mut course.request,
            Direction::Response => &mut course.response,
        };
        let mut row = Row { suite: self, calls: &mut course.calls, direction };
        let flow = step(progress, &mut row);
        if progress.is_held() {
            self.held.borrow_mut().entry(self.host.context()).or_insert_with(|| Rc::downgrade(stream));
        }
        flow
    }

    /// A callback about a stream.
    fn within(
        &self,
        stream: &Stream,
        direction: Direction,
        step: impl FnOnce(&mut Progress, &mut Row<'_, H>) -> Flow,
    ) -> Flow {
        self.host.begin();
        let flow = self.walk(stream, direction, step);
        self.after();
        flow
    }

    /// A callback ends: what parts have let go goes on, and a timer that was needed no longer slows down.
    fn after(&self) {
        while let Some((context, direction)) = self.host.next_released() {
            self.release(context, direction);
        }
        if self.host.pulse.is_hasty() {
            self.host.pulse.adjust(self.host.proxy());
        }
    }

    /// Those behind the holder see the message; then the proxy may have it.
    fn release(&self, context: ContextId, direction: Direction) {
        let stream = self.held.borrow().get(&context).and_then(Weak::upgrade);
        if self.host.pose_as(context) {
            let flow = stream.map(|stream| {
                let flow = self.walk(&stream, direction, |progress, row| progress.release(row));
                // Not every host tells how each stream ends.
                if !stream.borrow().is_held() {
                    self.held.borrow_mut().remove(&context);
                }
                flow
            });
            match flow {
                Some(Flow::Pause) => {}
                Some(Flow::Reply(reply)) => self.host.proxy().reply(&reply),
                Some(Flow::Continue) | None => self.host.proxy().resume(direction),
            }
        }
        self.host.pose_no_more();
    }

    /// Not every host tells how each stream ends: those that were held, and are gone, are forgotten, and their calls with them.
    fn sweep(&self) {
        let is_gone = |(_, stream): &(&ContextId, &Weak<_>)| stream.strong_count() == 0;
        let next = || self.held.borrow().iter().find(is_gone).map(|(context, _)| *context);
        while let Some(context) = next().filter(|_| !self.host.capabilities().tells_every_end) {
            self.held.borrow_mut().remove(&context);
            self.host.forget_calls_of(context);
        }
    }

    /// Each part that is configured, as requests meet them.
    fn each(&self, mut act: impl FnMut(Part)) {
        for part in self.requests {
            self.host.enter(part as usize);
            act(part);
        }
    }

    fn last_words(&self, stream: &Stream, mut say: impl FnMut(&mut Calls, Part)) {
        let calls = &mut stream.borrow_mut().calls;
        self.each(|part| say(calls, part));
    }

    fn calls() -> Calls {
        Calls {
            protocol_health: protocol_health::filter::Call::default(),
            metrics: metrics::filter::Call::default(),
            idempotency: idempotency::request::Shared::default(),
            circuit_breaker: circuit_breaker::filter::Call::default(),
            retry_budget: retry_budget::filter::Call::default(),
        }
    }
}

/// One part of a configuration.
fn configure<P: Plugin<SharedHost<H>>, H: Host>(
    host: &SharedHost<H>,
    settings: &config::Settings,
    part: Part,
    faults: &mut Faults,
) -> Option<P> {
    let settings = settings.parts.get(part as usize)?.as_ref()?;
    host.enter(part as usize);
    match P::configure(host, settings.text.as_bytes()) {
        Ok(plugin) => {
            host.pulse.want(part as usize, plugin.tick_period(), host.now());
            Some(plugin)
        }
        Err(own) => {
            settings.place(part, &own, faults);
            None
        }
    }
}

impl<H: Host + Clone + 'static> Plugin<H> for Suite<H> {
    type Call = Stream;

    const NAME: &'static str = "suite";
    const SHOWS_ITSELF: bool = true;

    fn configure(host: &H, bytes: &[u8]) -> Result<Self, Faults> {
        let (settings, mut faults) = config::take_apart(bytes)?;
        let host = SharedHost::new(host.clone());
        let parts = Parts {
            protocol_health: configure(&host, &settings, Part::ProtocolHealth, &mut faults),
            metrics: configure(&host, &settings, Part::Metrics, &mut faults),
            idempotency: configure(&host, &settings, Part::Idempotency, &mut faults),
            circuit_breaker: configure(&host, &settings, Part::CircuitBreaker, &mut faults),
            retry_budget: configure(&host, &settings, Part::RetryBudget, &mut faults),
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        for (part, settings) in Part::ALL.into_iter().zip(&settings.parts) {
            if let Some(settings) = settings {
                identity::show(&host, &part.plugin(), settings.text.as_bytes());
            }
        }
        let requests = Part::in_order(settings.chain);
        let mut responses = requests;
        if host.capabilities().responses_come_back {
            responses.reverse();
        }
        Ok(Self { host, parts, requests, responses, held: RefCell::default() })
    }

    fn may_miss(&self) -> bool {
        Part::ALL
            .into_iter()
            .all(|part| with_plugin!(self.parts, part, |plugin| Plugin::<SharedHost<H>>::may_miss(plugin), else true))
    }

    fn tick_period(&self) -> Option<Duration> {
        self.host.pulse.start()
    }

    fn on_tick(&self, _host: &H) {
        self.host.begin();
        self.sweep();
        let due = self.host.pulse.begin_tick(self.host.now());
        self.each(|part| {
            if due.get(part as usize) == Some(&true) {
                with_plugin!(self.parts, part, |plugin| plugin.on_tick(&self.host), else ());
            }
        });
        while let Some((context, direction)) = self.host.next_released() {
            self.release(context, direction);
        }
        self.host.pulse.end_tick(self.host.proxy());
    }

    fn on_retire(&self, _host: &H) -> bool {
        self.host.begin();
        let mut unfinished = [false; PARTS];
        self.each(|part| {
            let may_go = with_plugin!(self.parts, part, |plugin| plugin.on_retire(&self.host), else true);
            if let Some(unfinished) = unfinished.get_mut(part as usize) {
                *unfinished = !may_go;
            }
        });
        self.host.unfinished.set(unfinished);
        self.after();
        unfinished == [false; PARTS]
    }

    fn call(&self) -> Stream {
        let (request, response) = Default::default();
        Rc::new(RefCell::new(Course { calls: Self::calls(), request, response }))
    }

    fn on_request_headers(&self, stream: &mut Stream, _host: &H, end: bool) -> Flow {
        self.within(stream, Direction::Request, |progress, row| progress.headers(row, end))
    }

    fn on_request_body(&self, stream: &mut Stream, _host: &H, size: usize, end: bool) -> Flow {
        self.within(stream, Direction::Request, |progress, row| progress.body(row, size, end))
    }

    fn on_request_trailers(&self, stream: &mut Stream, _host: &H) -> Flow {
        self.within(stream, Direction::Request, |progress, row| progress.trailers(row))
    }

    fn on_response_headers(&self, stream: &mut Stream, _host: &H, end: bool) -> Flow {
        self.within(stream, Direction::Response, |progress, row| progress.headers(row, end))
    }

    fn on_response_body(&self, stream: &mut Stream, _host: &H, size: usize, end: bool) -> Flow {
        self.within(stream, Direction::Response, |progress, row| progress.body(row, size, end))
    }

    fn on_response_trailers(&self, stream: &mut Stream, _host: &H) -> Flow {
        self.within(stream, Direction::Response, |progress, row| progress.trailers(row))
    }

    fn on_answer(&self, stream: &mut Stream, _host: &H, answer: Answer) {
        self.host.begin();
        if let Some(part) = self.host.caller_of(answer.id).and_then(|part| Part::ALL.get(part).copied()) {
            let calls = &mut stream.borrow_mut().calls;
            self.host.enter(part as usize);
            with_part!(self.parts, calls, part, |plugin, call| plugin.on_answer(call, &self.host, answer), else ());
        }
        self.after();
    }

    fn on_root_answer(&self, _host: &H, answer: Answer) {
        self.host.begin();
        if let Some(part) = self.host.caller_of(answer.id).and_then(|part| Part::ALL.get(part).copied()) {
            self.host.enter(part as usize);
            with_plugin!(self.parts, part, |plugin| plugin.on_root_answer(&self.host, answer), else ());
        }
        self.after();
    }

    /// Only one of the parts minds.
    fn on_lost(&self, _host: &H) -> Flow {
        self.host.begin();
        self.host.enter(Part::Idempotency as usize);
        self.parts.idempotency.as_ref().map_or(Flow::Continue, |plugin| plugin.on_lost(&self.host))
    }

    fn on_done(&self, stream: &mut Stream, _host: &H) {
        self.host.begin();
        self.held.borrow_mut().remove(&self.host.context());
        self.last_words(stream, |calls, part| {
            with_part!(self.parts, calls, part, |plugin, call| plugin.on_done(call, &self.host), else ());
        });
        self.after();
        self.host.forget_calls_of(self.host.context());
    }

    fn on_log(&self, stream: &mut Stream, _host: &H) {
        self.host.begin();
        self.last_words(stream, |calls, part| {
            with_part!(self.parts, calls, part, |plugin, call| plugin.on_log(call, &self.host), else ());
        });
        self.after();
    }
}
