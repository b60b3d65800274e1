//! The answers.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, Stream, StreamExt as _, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::fault::{Answer, Fault, Grpc};
use super::ledger::Visit;
use super::server::{State, Switches};
use crate::client::{framed, unframed};
use crate::serve::{Body, Socket, is_upgrade, web_socket};

/// Time for the first half of a body to leave before the cut.
const BEFORE_CUT: Duration = Duration::from_millis(20);
/// gRPC's health checking protocol: its one call, and `HealthCheckResponse {status: SERVING}`.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SERVING: &[u8] = &[0x08, 0x01];

/// Says who answered.
pub(super) fn sign(response: &mut Response<Body>, name: &str) {
    if let Ok(name) = HeaderValue::from_str(name) {
        response.headers_mut().insert("x-upstream", name);
    }
}

/// Keeps a visit in flight until the body is gone.
pub(super) fn holding(response: Response<Body>, visit: Visit) -> Response<Body> {
    response.map(|body| {
        let keep = move |frame| {
            let _in_flight = &visit;
            frame
        };
        body.map_frame(keep).boxed()
    })
}

/// The answer of a service that is well.
pub(super) async fn healthy(state: &Arc<State>, request: Request<Incoming>) -> Response<Body> {
    let Switches { grpc: end, serving, answer, .. } = state.switches().clone();
    if let Some(wanted) = own_answer(request.headers()) {
        return wished(&wanted, request).await;
    }
    match request.uri().path() {
        "/sse" => events(request.uri().query().unwrap_or("")),
        "/ws" if is_upgrade(&request) => web_socket(request, state.port.interrupted(), echo),
        HEALTH if serving && is_grpc(request.headers()) => grpc(end, Some(SERVING), request).await,
        _ if is_grpc(request.headers()) => grpc(end, None, request).await,
        _ => match answer {
            Some(answer) => told(answer, request).await,
            None => rest(&state.name, request).await,
        },
    }
}

/// The answer that a request asks for, whoever asks besides: `{"status": 200, "headers": [["name", "value"]], "body": "text", "trailers": []}`.
fn own_answer(headers: &HeaderMap) -> Option<Value> {
    serde_json::from_slice(headers.get("x-upstream-answer")?.as_bytes()).ok()
}

async fn wished(wanted: &Value, request: Request<Incoming>) -> Response<Body> {
    drop(request.into_body().collect().await);
    let body = Bytes::from(wanted["body"].as_str().unwrap_or_default().to_owned());
    let trailers = header_map(&wanted["trailers"]);
    let mut response = Response::new(if trailers.is_empty() {
        Full::new(body).map_err(|never| match never {}).boxed()
    } else {
        streamed(stream::iter([Ok(Frame::data(body)), Ok(Frame::trailers(trailers))]))
    });
    let status = wanted["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    *response.status_mut() = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or_default();
    response.headers_mut().extend(header_map(&wanted["headers"]));
    response
}

/// Of pairs; what is no header is left out.
fn header_map(pairs: &Value) -> HeaderMap {
    let header = |pair: &Value| {
        let (name, value) = (pair[0].as_str()?, pair[1].as_str()?);
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value).ok()?))
    };
    pairs.as_array().into_iter().flatten().filter_map(header).collect()
}

/// What a test wants to be said.
async fn told(answer: Answer, request: Request<Incoming>) -> Response<Body> {
    drop(request.into_body().collect().await);
    let every = answer.every;
    let part = move |(n, part): (usize, Vec<u8>)| async move {
        tokio::time::sleep(if n == 0 { Duration::ZERO } else { every }).await;
        Ok(Frame::data(Bytes::from(part)))
    };
    let parts: Vec<(usize, Vec<u8>)> = answer.parts.into_iter().enumerate().collect();
    let mut response = Response::new(streamed(stream::iter(parts).then(part)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(content_type) = HeaderValue::from_str(&answer.content_type) {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

/// An error status with a little JSON.
pub(super) async fn failure(status: u16, request: Request<Incoming>) -> Response<Body> {
    drop(request.into_body().collect().await);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_status(status, &json!({"error": status.as_u16()}))
}

/// 1,000 bytes announced, 500 sent, then an end.
pub(super) fn half() -> Response<Body> {
    let cut = async {
        tokio::time::sleep(BEFORE_CUT).await;
        Err(io::ErrorKind::ConnectionAborted.into())
    };
    let first = Frame::data(Bytes::from(vec![b'.'; 500]));
    let frames = stream::once(async { Ok(first) }).chain(stream::once(cut));
    let mut response = Response::new(streamed(frames));
    response.headers_mut().insert("content-length", HeaderValue::from_static("1000"));
    response
}

/// Moves the switches named in a query, all or none.
pub(super) async fn control(state: &Arc<State>, query: &str) -> Response<Body> {
    match moves(state, query) {
        Err(error) => with_status(StatusCode::BAD_REQUEST, &json!({"error": format!("{error:#}")})),
        Ok(fault) => {
            if let Some(fault) = fault {
                state.set_fault(fault).await;
            }
            ok(&json!({"switches": format!("{:?}", *state.switches())}))
        }
    }
}

fn moves(state: &State, query: &str) -> anyhow::Result<Option<Fault>> {
    let mut switches = state.switches().clone();
    let mut fault = None;
    for (name, value) in pairs(query) {
        match name {
            "fault" => fault = Some(value.parse()?),
            "health" => switches.health = value.parse()?,
            "grpc" => switches.grpc = value.parse()?,
            other => anyhow::bail!("{other:?} is no switch: fault, health, grpc"),
        }
    }
    *state.switches() = switches;
    Ok(fault)
}

async fn rest(name: &str, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut answer = json!({"upstream": name, "path": head.uri.path(), "body_bytes": body.len()});
    if head.uri.path() == "/echo" {
        answer["headers"] = all(&head.headers);
    }
    ok(&answer)
}

fn all(headers: &HeaderMap) -> Value {
    let mut names = BTreeMap::<&str, Vec<String>>::new();
    for (name, value) in headers {
        names.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    json!(names)
}

fn events(query: &str) -> Response<Body> {
    let number =
        |name, default| pairs(query).find(|(n, _)| *n == name).and_then(|(_, v)| v.parse().ok()).unwrap_or(default);
    let (count, every) = (number("events", 10), Duration::from_millis(number("every_ms", 100)));
    let event = move |n| async move {
        tokio::time::sleep(if n == 0 { Duration::ZERO } else { every }).await;
        Ok(Frame::data(Bytes::from(format!("data: {n}\n\n"))))
    };
    let mut response = Response::new(streamed(stream::iter(0..count).then(event)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Answers with `own`, or echoes the message.
async fn grpc(end: Grpc, own: Option<&[u8]>, request: Request<Incoming>) -> Response<Body> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let messages = unframed(&body);
    let echo = || messages.first().map_or(&[][..], Vec::as_slice);
    let message = framed(own.unwrap_or_else(echo));
    let message = Frame::data(Bytes::from(message));
    let frames = match end {
        Grpc::Ok => vec![message, Frame::trailers(grpc_status(0))],
        Grpc::MessageThen(code) => vec![message, Frame::trailers(grpc_status(code))],
        Grpc::Trailers(code) => vec![Frame::trailers(grpc_status(code))],
        Grpc::TrailersOnly(_) => vec![],
    };
    let only = if let Grpc::TrailersOnly(code) = end { grpc_status(code) } else { HeaderMap::new() };
    let body = if frames.is_empty() { empty() } else { streamed(stream::iter(frames.into_iter().map(Ok))) };
    let mut response = Response::new(body);
    response.headers_mut().extend(only);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn grpc_status(code: u32) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from(code));
    headers.insert("grpc-message", HeaderValue::from_static("as-told"));
    headers
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn ok(body: &Value) -> Response<Body> {
    with_status(StatusCode::OK, body)
}

fn with_status(status: StatusCode, body: &Value) -> Response<Body> {
    let bytes = Bytes::from(format!("{body}\n"));
    let mut response = Response::new(Full::new(bytes).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn empty() -> Body {
    Full::default().map_err(|never| match never {}).boxed()
}

fn streamed(frames: impl Stream<Item = io::Result<Frame<Bytes>>> + Send + Sync + 'static) -> Body {
    BodyExt::boxed(StreamBody::new(frames))
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}
