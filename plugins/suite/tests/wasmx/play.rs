//! A Kong with two workers, and what happens to it.

use core::time::Duration;
use proptest::prelude::*;
use sdk_shim::entry::Plugin;
use sdk_shim::fake::{FakeHost, FakeProxy, InFlight, Worker};
use sdk_shim::host::{Callout, CalloutId};

/// Something that happens. Numbers choose among what there is, counted around.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A client asks a worker for something.
    Ask { worker: usize, what: What },
    /// It sends the whole body that it announced.
    Send(usize),
    /// The service answers, with a body in so many parts after the first.
    Respond { request: usize, status: u16, json: bool },
    /// A part of that body goes by.
    Part { request: usize, end: bool },
    /// Another filter answers in the service's place.
    Gateway(usize),
    /// Kong's own error page does, of which nobody here is told: the service failed, or, before 3.8, a call that is waited for.
    ErrorPage(usize),
    /// An earlier filter answers a request that nobody here has seen.
    Unseen(usize),
    /// A client leaves.
    Leave(usize),
    /// A stream that was answered ends.
    Finish(usize),
    /// A worker's timer fires.
    Tick(usize),
    /// A call to another service ends.
    Answer { worker: usize, call: usize, how: How },
    /// Time passes, in milliseconds.
    Pass(u64),
    /// The clock steps back, by so many.
    StepBack(u64),
    /// Shared memory is short: something is forgotten.
    Evict(usize),
    /// Shared data fails from now on, or works.
    Fail(bool),
    /// Somebody else writes in between, so often.
    Race(u32),
    /// nginx is told to load its configuration anew: another worker takes the place of the oldest that takes requests.
    Reload,
}

/// What a client may want.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Get,
    /// A retry, as its client says.
    Retry,
    /// One of some keys, and a body of this size; none where it is 0.
    Pay {
        key: u8,
        size: usize,
    },
    Query,
    Grpc,
    Probe,
}

/// How a call ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// As Webdis answers a claim that is granted.
    Claimed,
    InFlight,
    Stored,
    /// With a status alone.
    Status(u16),
    Garbage,
    /// The connection breaks, or time is up.
    Never,
}

impl Happening {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let n = 0_usize..64;
        let what = prop_oneof![
            2 => Just(What::Get),
            1 => Just(What::Retry),
            4 => (0_u8..3, prop::sample::select(&[0_usize, 12, 8_192, 8_193][..])).prop_map(|(key, size)| What::Pay { key, size }),
            1 => Just(What::Query),
            1 => Just(What::Grpc),
            2 => Just(What::Probe),
        ];
        let how = prop_oneof![
            3 => Just(How::Claimed),
            1 => Just(How::InFlight),
            2 => Just(How::Stored),
            1 => prop::sample::select(&[200_u16, 403, 503][..]).prop_map(How::Status),
            1 => Just(How::Garbage),
            2 => Just(How::Never),
        ];
        let status = prop::sample::select(&[200_u16, 201, 204, 304, 404, 429, 500, 503][..]);
        prop_oneof![
            8 => (n.clone(), what).prop_map(|(worker, what)| Self::Ask { worker, what }),
            5 => n.clone().prop_map(Self::Send),
            6 => (n.clone(), status, any::<bool>()).prop_map(|(request, status, json)| Self::Respond { request, status, json }),
            5 => (n.clone(), any::<bool>()).prop_map(|(request, end)| Self::Part { request, end }),
            1 => n.clone().prop_map(Self::Gateway),
            1 => n.clone().prop_map(Self::ErrorPage),
            1 => n.clone().prop_map(Self::Unseen),
            2 => n.clone().prop_map(Self::Leave),
            3 => n.clone().prop_map(Self::Finish),
            5 => n.clone().prop_map(Self::Tick),
            8 => (n.clone(), n.clone(), how).prop_map(|(worker, call, how)| Self::Answer { worker, call, how }),
            3 => (0_u64..2_000).prop_map(Self::Pass),
            1 => (0_u64..60_000).prop_map(Self::StepBack),
            1 => n.prop_map(Self::Evict),
            1 => any::<bool>().prop_map(Self::Fail),
            1 => (1_u32..20).prop_map(Self::Race),
            1 => Just(Self::Reload),
        ]
    }
}

/// A part of an answer.
const PART: &[u8] = br#"{"errors": [{"path": ["a"]}]}"#;

/// A request that hasn't ended.
struct Request<P: Plugin<FakeHost>> {
    call: InFlight<P>,
    /// What its client has yet to send.
    body: Option<Vec<u8>>,
    /// What the service, or Kong, has answered.
    status: Option<u16>,
    /// That answer's body has yet to end.
    open: bool,
    /// Parts that make up the length that it said.
    left: Option<u32>,
}

struct Kong<P: Plugin<FakeHost>> {
    proxy: FakeProxy,
    config: String,
    /// The last two take new requests; those before them were replaced, and finish theirs.
    workers: Vec<Worker<P>>,
    requests: Vec<Request<P>>,
}

/// Plays it to the end.
pub(crate) fn play<P: Plugin<FakeHost>>(file: &str, config: &str, happenings: &[Happening]) {
    let proxy = FakeProxy::wasmx();
    proxy.set("plugin_name", file);
    proxy.set("kong.route_id", "checkout");
    proxy.set("kong.service_id", "payments");
    let workers = (0..2).map(|_| start::<P>(&proxy.worker(), config)).collect();
    let mut kong = Kong { proxy, config: config.to_owned(), workers, requests: Vec::new() };
    for happening in happenings {
        kong.happens(happening);
    }
    kong.ends();
}

fn start<P: Plugin<FakeHost>>(host: &FakeHost, config: &str) -> Worker<P> {
    Worker::start(host, config).unwrap_or_else(|faults| panic!("{faults}"))
}

impl<P: Plugin<FakeHost>> Kong<P> {
    fn happens(&mut self, happening: &Happening) {
        match *happening {
            Happening::Ask { worker, what } => self.ask(worker, what),
            Happening::Send(nth) => self.with(nth, Request::send),
            Happening::Respond { request, status, json } => self.with(request, |request| request.respond(status, json)),
            Happening::Part { request, end } => self.with(request, |request| request.part(end)),
            Happening::Gateway(nth) => self.with(nth, Request::gateway),
            Happening::ErrorPage(nth) => {
                let fails = nth.checked_rem(self.requests.len()).is_some_and(|nth| self.requests[nth].may_fail());
                if fails {
                    self.take(nth).expect("a request").call.forget();
                }
            }
            Happening::Unseen(nth) => {
                let mut unseen = self.worker(nth).unseen();
                unseen.respond_locally(&[(":status", "403")], true);
                unseen.finish();
            }
            Happening::Leave(nth) => {
                let _ = self.take(nth).map(|request| request.call.abort());
            }
            Happening::Finish(nth) => {
                let done = nth.checked_rem(self.requests.len()).is_some_and(|nth| self.requests[nth].is_answered());
                if done {
                    self.take(nth).expect("a request").end();
                }
            }
            Happening::Tick(nth) => self.any_worker(nth).tick(),
            Happening::Answer { worker, call, how } => self.answer(worker, call, how),
            Happening::Pass(millis) => self.proxy.advance(Duration::from_millis(millis)),
            Happening::StepBack(millis) => self.proxy.clock().step_back(Duration::from_millis(millis)),
            Happening::Evict(nth) => self.proxy.evict_nth(nth),
            Happening::Fail(down) => self.proxy.fail_shared(down),
            Happening::Race(count) => self.proxy.mismatch_next(count),
            Happening::Reload => self.reload(),
        }
    }

    fn worker(&self, nth: usize) -> &Worker<P> {
        &self.workers[self.workers.len() - 1 - nth % 2]
    }

    fn any_worker(&self, nth: usize) -> &Worker<P> {
        &self.workers[nth % self.workers.len()]
    }

    fn with(&mut self, nth: usize, act: impl FnOnce(&mut Request<P>)) {
        if let Some(nth) = nth.checked_rem(self.requests.len()) {
            act(&mut self.requests[nth]);
        }
    }

    fn take(&mut self, nth: usize) -> Option<Request<P>> {
        nth.checked_rem(self.requests.len()).map(|nth| self.requests.swap_remove(nth))
    }

    fn ask(&mut self, worker: usize, what: What) {
        let (mut headers, body) = what.said();
        headers.push((":authority".to_owned(), "shop".to_owned()));
        if let Some(body) = &body {
            headers.push(("content-length".to_owned(), body.len().to_string()));
        }
        let stream = self.worker(worker).stream();
        let stream = if body.is_some() { stream.with_body() } else { stream };
        let call = stream.request(&headers[..]);
        self.requests.push(Request { call, body, status: None, open: false, left: None });
    }

    /// A worker whose configuration is refused, because its shared data fails, would never take a request.
    fn reload(&mut self) {
        self.proxy.fail_shared(false);
        self.proxy.mismatch_next(0);
        self.workers.push(start(&self.proxy.worker(), &self.config));
    }

    fn answer(&self, worker: usize, call: usize, how: How) {
        let worker = self.any_worker(worker);
        let pending = worker.host().pending_callouts();
        if let Some(nth) = call.checked_rem(pending.len()) {
            how.answer(worker, pending[nth].0, &pending[nth].1);
        }
    }

    /// Whatever is under way ends, and everybody has an answer.
    fn ends(mut self) {
        self.proxy.fail_shared(false);
        self.proxy.mismatch_next(0);
        self.requests.iter_mut().for_each(Request::send);
        for _ in 0..50 {
            for worker in &self.workers {
                for (id, _) in worker.host().pending_callouts() {
                    worker.answer_nothing(id);
                }
            }
            self.proxy.advance(Duration::from_millis(500));
            self.workers.iter().for_each(Worker::tick);
        }
        for worker in &self.workers {
            assert!(worker.hung().is_empty(), "{:?} wait for ever", worker.hung());
            assert!(worker.host().traps().is_empty());
        }
        for mut request in self.requests {
            assert!(!request.call.paused(), "it waits for a call that is over");
            request.respond(200, false);
            request.part(true);
            request.end();
        }
    }
}

impl<P: Plugin<FakeHost>> Request<P> {
    fn send(&mut self) {
        if let Some(body) = self.body.take() {
            self.call.request_body(&body, true);
        }
    }

    /// Whether the service has it, and hasn't answered yet. nginx sends nothing before the whole body is there.
    fn is_at_the_service(&self) -> bool {
        self.call.passed() && self.body.is_none() && self.status.is_none()
    }

    fn may_fail(&self) -> bool {
        self.is_at_the_service() || self.call.paused()
    }

    fn respond(&mut self, status: u16, json: bool) {
        if !self.is_at_the_service() {
            return;
        }
        let code = status.to_string();
        if json {
            let length = (2 * PART.len()).to_string();
            let headers = [(":status", &*code), ("content-type", "application/json"), ("content-length", &*length)];
            self.call.respond(&headers, false);
        } else {
            self.call.respond(&[(":status", code.as_str()), ("content-type", "text/plain")], false);
        }
        (self.status, self.open, self.left) = (Some(status), true, json.then_some(2));
    }

    fn part(&mut self, end: bool) {
        if self.open {
            self.left = self.left.map(|left| left - 1);
            // One that ends before its length is reached was cut.
            let end = end || self.left == Some(0);
            self.call.body(PART, end);
            self.open = !end;
        }
    }

    fn gateway(&mut self) {
        if self.is_at_the_service() {
            self.call.local_reply(502, 0, "");
            self.status = Some(502);
        }
    }

    fn is_answered(&self) -> bool {
        self.call.reply().is_some() || (self.status.is_some() && !self.open)
    }

    /// Its client has what the service said, or what we did.
    fn end(self) {
        let ended = self.call.finish();
        let ours = ended.reply.map(|reply| reply.status);
        assert_eq!(ended.status, ours.or(self.status), "and nobody else answers");
        assert!(ended.status.is_some(), "nobody answered");
    }
}

impl What {
    /// Headers, and the body that follows.
    fn said(self) -> (Vec<(String, String)>, Option<Vec<u8>>) {
        let json = ("content-type", "application/json");
        let (headers, body): (Vec<(&str, String)>, Option<Vec<u8>>) = match self {
            Self::Get => (line("GET", "/pay"), None),
            Self::Retry => (with(line("GET", "/pay"), ("x-retry-attempt", "1")), None),
            Self::Pay { key, size } => {
                let key = format!("\"key-{key}\"");
                let headers = with(with(line("POST", "/pay"), ("idempotency-key", &key)), json);
                (headers, (size > 0).then(|| vec![b'1'; size]))
            }
            Self::Query => (with(line("POST", "/graphql"), json), Some(br#"{"query": "{a}"}"#.to_vec())),
            Self::Grpc => {
                (with(line("POST", "/shop.Orders/Place"), ("content-type", "application/grpc")), Some(vec![0; 8]))
            }
            Self::Probe => (line("GET", "/healthz/deep"), None),
        };
        (headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(), body)
    }
}

fn line(method: &str, path: &str) -> Vec<(&'static str, String)> {
    vec![(":method", method.to_owned()), (":path", path.to_owned())]
}

fn with(mut headers: Vec<(&'static str, String)>, (name, value): (&'static str, &str)) -> Vec<(&'static str, String)> {
    headers.push((name, value.to_owned()));
    headers
}

impl How {
    fn answer<P: Plugin<FakeHost>>(self, worker: &Worker<P>, id: CalloutId, callout: &Callout) {
        let (status, body): (u16, &[u8]) = match self {
            Self::Claimed => (200, b"*2\r\n$7\r\nclaimed\r\n$1\r\n1\r\n"),
            Self::InFlight => (200, b"*2\r\n$9\r\nin_flight\r\n$4\r\n1000\r\n"),
            Self::Stored => (200, b":1\r\n"),
            Self::Status(status) => (status, b""),
            Self::Garbage => (200, b"$-7\r\n*9\r\n\xFF"),
            Self::Never => {
                worker.answer_nothing(id);
                return;
            }
        };
        // Webdis shows by this whose answer it is.
        let path = callout.headers.iter().find(|(name, _)| name == ":path").map_or("", |(_, path)| path);
        let mark = path.rsplit('=').next().unwrap_or_default();
        let mark = format!("attachment; filename=\"{mark}\"");
        worker.answer(id, &[(":status", status.to_string().as_str()), ("content-disposition", mark.as_str())], body);
    }
}
