//! A WebSocket's side of the service.

use std::future::Future;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Body;

/// What a handler speaks with.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Whether a request asks for one.
pub(crate) fn is_upgrade(request: &Request<Incoming>) -> bool {
    request.headers().contains_key(UPGRADE)
}

/// Accepts it; `speak` has it until it ends or is interrupted.
pub(crate) fn web_socket<F, A>(
    mut request: Request<Incoming>,
    interrupted: impl Future<Output = ()> + Send + 'static,
    speak: F,
) -> Response<Body>
where
    F: FnOnce(Socket) -> A + Send + 'static,
    A: Future<Output = ()> + Send,
{
    let key = request.headers().get("sec-websocket-key").map(|key| derive_accept_key(key.as_bytes()));
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        tokio::select! {
            () = speak(socket) => {}
            () = interrupted => {}
        }
    });
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Some(Ok(key)) = key.map(HeaderValue::try_from) {
        headers.insert("sec-websocket-accept", key);
    }
    response
}
