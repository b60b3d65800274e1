//! A plugin that does what a test tells it to, and remembers every callback.
#![allow(dead_code, missing_docs)]

use sdk_shim::config::Faults;
use sdk_shim::entry::{Answer, Flow, Plugin};
use sdk_shim::fake::{FakeHost, Worker};
use sdk_shim::host::{Callout, Host, Reply};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Configure,
    Tick,
    RequestHeaders { end: bool },
    RequestBody { size: usize, end: bool },
    ResponseHeaders { end: bool },
    ResponseBody { size: usize, end: bool },
    ResponseTrailers,
    Answer(Answer),
    RootAnswer(Answer),
    Done,
    Log,
}

type Script = Rc<dyn Fn(Event, &FakeHost) -> Flow>;

thread_local! {
    // `configure` is given bytes only, so the script takes this way in.
    static NEXT: RefCell<Option<Script>> = RefCell::default();
}

pub(crate) struct Probe {
    script: Script,
    seen: RefCell<Vec<Event>>,
}

/// Starts a plugin that answers every callback with `script`.
pub(crate) fn start(host: &FakeHost, script: impl Fn(Event, &FakeHost) -> Flow + 'static) -> Worker<Probe> {
    NEXT.set(Some(Rc::new(script)));
    Worker::start(host, "{}").unwrap()
}

/// Starts a plugin that lets everything go on.
pub(crate) fn start_idle(host: &FakeHost) -> Worker<Probe> {
    start(host, |_, _| Flow::Continue)
}

impl Probe {
    pub(crate) fn seen(&self) -> Vec<Event> {
        self.seen.borrow().clone()
    }

    fn run(&self, event: Event, host: &FakeHost) -> Flow {
        self.seen.borrow_mut().push(event);
        (self.script)(event, host)
    }
}

impl Plugin<FakeHost> for Probe {
    type Call = ();
    const NAME: &'static str = "probe";

    fn configure(host: &FakeHost, _: &[u8]) -> Result<Self, Faults> {
        let script = NEXT.take().ok_or_else(|| Faults::one("$", "no script", "a script"))?;
        script(Event::Configure, host);
        Ok(Self { script, seen: RefCell::default() })
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(Duration::from_millis(10))
    }

    fn on_tick(&self, host: &FakeHost) {
        self.run(Event::Tick, host);
    }

    fn call(&self) {}

    fn on_request_headers(&self, (): &mut (), host: &FakeHost, end: bool) -> Flow {
        self.run(Event::RequestHeaders { end }, host)
    }

    fn on_request_body(&self, (): &mut (), host: &FakeHost, size: usize, end: bool) -> Flow {
        self.run(Event::RequestBody { size, end }, host)
    }

    fn on_response_headers(&self, (): &mut (), host: &FakeHost, end: bool) -> Flow {
        self.run(Event::ResponseHeaders { end }, host)
    }

    fn on_response_body(&self, (): &mut (), host: &FakeHost, size: usize, end: bool) -> Flow {
        self.run(Event::ResponseBody { size, end }, host)
    }

    fn on_response_trailers(&self, (): &mut (), host: &FakeHost) -> Flow {
        self.run(Event::ResponseTrailers, host)
    }

    fn on_answer(&self, (): &mut (), host: &FakeHost, answer: Answer) {
        self.run(Event::Answer(answer), host);
    }

    fn on_root_answer(&self, host: &FakeHost, answer: Answer) {
        self.run(Event::RootAnswer(answer), host);
    }

    fn on_done(&self, (): &mut (), host: &FakeHost) {
        self.run(Event::Done, host);
    }

    fn on_log(&self, (): &mut (), host: &FakeHost) {
        self.run(Event::Log, host);
    }
}

/// A callout that every host accepts.
pub(crate) fn callout(upstream: &str) -> Callout {
    let headers = [(":method", "POST"), (":path", "/"), (":authority", "store")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Callout { upstream: upstream.to_owned(), headers, body: Vec::new(), timeout: Duration::from_millis(250) }
}

pub(crate) fn reply(status: u16) -> Flow {
    Flow::Reply(Box::new(Reply { status, body: b"no".to_vec(), ..Reply::default() }))
}

/// Sends one callout from the request's headers and waits for it.
pub(crate) fn ask_first(event: Event, host: &FakeHost) -> Flow {
    if matches!(event, Event::RequestHeaders { .. }) {
        host.dispatch(&callout("store")).unwrap();
        return Flow::Pause;
    }
    Flow::Continue
}
