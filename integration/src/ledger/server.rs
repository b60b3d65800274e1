//! Executing and answering.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::book::{Book, Execution};
use super::trouble::{Delay, Lot, Trouble};
use crate::TestResult;
use crate::serve::{self, Body, Hangup, Port, Service};

/// Everything that the handle, the listener and the requests share.
#[derive(Debug)]
pub(super) struct State {
    name: String,
    pub(super) port: Port,
    book: Mutex<Book>,
    switches: Mutex<Switches>,
    turns: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Switches {
    pub(super) delay: Delay,
    pub(super) trouble: Trouble,
    pub(super) percent: u8,
    pub(super) padding: usize,
    /// Whether GET and HEAD meet the same.
    pub(super) reads: bool,
}

/// Binds a port and serves it in the background.
pub(super) fn start_at(name: &str, address: SocketAddr) -> TestResult<Arc<State>> {
    let well = Switches { delay: Delay::None, trouble: Trouble::None, percent: 0, padding: 0, reads: false };
    let (name, book, switches, turns) = (name.into(), Mutex::default(), Mutex::new(well), AtomicU64::new(0));
    serve::start_at(address, |port| State { name, port, book, switches, turns })
}

// === impl State ===

impl State {
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each draws once.
    pub(super) fn asked(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    async fn answer(&self, hangup: &Hangup, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if matches!(head.method, Method::GET | Method::HEAD) {
            return self.read(hangup).await;
        }
        match body.collect().await {
            Ok(body) => self.pay(hangup, head, body.to_bytes()).await,
            // Half a request is none; and nobody is left to be answered.
            Err(_) => std::future::pending().await,
        }
    }

    /// Executes nothing.
    async fn read(&self, hangup: &Hangup) -> Response<Body> {
        let switches = *self.switches();
        if !switches.reads {
            return self.json(200, &self.count());
        }
        let (mut lot, trouble) = self.draw(switches);
        tokio::time::sleep(lot.delay(switches.delay)).await;
        match trouble {
            Trouble::Reset | Trouble::Hang => lost(hangup, trouble).await,
            Trouble::Fail(status) => self.json(status, &json!({"failed": true})),
            Trouble::None | Trouble::Decline(_) | Trouble::Degrade => {
                let (status, body) = refusal(trouble).unwrap_or_else(|| (200, self.count()));
                self.json(status, &body)
            }
        }
    }

    fn count(&self) -> Value {
        json!({"payments": self.book().all().len()})
    }

    async fn pay(&self, hangup: &Hangup, head: Parts, body: Bytes) -> Response<Body> {
        let switches = *self.switches();
        let (mut lot, trouble) = self.draw(switches);
        if let Some((status, body)) = refusal(trouble) {
            self.book().declined += 1;
            return self.json(status, &body);
        }
        let done = self.book().add(execution(head, body), |done| answer_to(done, trouble, switches.padding));
        tokio::time::sleep(lot.delay(switches.delay)).await;
        match done.answer {
            Some((status, body)) => signed(json_answer(&self.name, status, body), done.payment),
            None => lost(hangup, trouble).await,
        }
    }

    /// What this request meets, and what else is left to chance.
    fn draw(&self, switches: Switches) -> (Lot, Trouble) {
        let mut lot = Lot::new(self.turns.fetch_add(1, Ordering::Relaxed));
        let trouble = if lot.falls(switches.percent) { switches.trouble } else { Trouble::None };
        (lot, trouble)
    }

    fn json(&self, status: u16, body: &Value) -> Response<Body> {
        json_answer(&self.name, status, body.to_string().into())
    }
}

impl Service for State {
    fn port(&self) -> &Port {
        &self.port
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream) {
        serve::http(tcp, |hangup, request| {
            let state = Arc::clone(&self);
            async move { state.answer(&hangup, request).await }
        })
        .await;
    }
}

async fn lost(hangup: &Hangup, trouble: Trouble) -> Response<Body> {
    if trouble == Trouble::Reset {
        hangup.reset();
    }
    std::future::pending().await
}

fn execution(head: Parts, body: Bytes) -> Execution {
    Execution {
        payment: 0,
        at: Instant::now(),
        key: text(&head.headers, "idempotency-key"),
        fence: text(&head.headers, "x-holdfast-fence").parse().ok(),
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
        answer: None,
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// What is said of a request that is not executed.
fn refusal(trouble: Trouble) -> Option<(u16, Value)> {
    match trouble {
        Trouble::Decline(status) => Some((status, json!({"declined": true}))),
        Trouble::Degrade => Some((200, json!({"status": "degraded"}))),
        Trouble::None | Trouble::Fail(_) | Trouble::Reset | Trouble::Hang => None,
    }
}

fn answer_to(done: &Execution, trouble: Trouble, padding: usize) -> Option<(u16, Bytes)> {
    let status = match trouble {
        Trouble::None => 201,
        Trouble::Fail(status) | Trouble::Decline(status) => status,
        Trouble::Reset | Trouble::Hang | Trouble::Degrade => return None,
    };
    let mut body = json!({"payment": done.payment, "key": done.key});
    if padding > 0 {
        body["padding"] = ".".repeat(padding).into();
    }
    Some((status, body.to_string().into()))
}

fn json_answer(name: &str, status: u16, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(name) = HeaderValue::from_str(name) {
        response.headers_mut().insert("x-upstream", name);
    }
    response
}

/// What may be repeated to a client (`location`, `etag`), and what may not.
fn signed(mut response: Response<Body>, payment: usize) -> Response<Body> {
    let headers = [
        ("location", format!("/payments/{payment}")),
        ("etag", format!("\"{payment}\"")),
        ("set-cookie", format!("session={payment}")),
        ("x-trace-id", payment.to_string()),
    ];
    // Digits and ASCII: always a header's value.
    let values = headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)));
    values.for_each(|(name, value)| drop(response.headers_mut().insert(name, value)));
    response
}
