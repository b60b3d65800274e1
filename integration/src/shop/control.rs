//! The second port: what the services did, and the switch.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{Ailment, Services};
use crate::TestResult;
use crate::serve::{self, Body, Port, Service};

/// What the listener and the requests share.
#[derive(Debug)]
pub(super) struct Control {
    name: String,
    port: Port,
    services: Services,
    ailment: Mutex<Ailment>,
}

/// Binds the address and serves it in the background.
pub(super) fn start(name: &str, services: Services, address: SocketAddr) -> TestResult<Arc<Control>> {
    let (name, ailment) = (name.into(), Mutex::default());
    serve::start_at(address, |port| Control { name, port, services, ailment })
}

// === impl Control ===

impl Control {
    pub(super) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    pub(super) fn stop(&self) {
        self.port.stop();
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        match (head.method, head.uri.path()) {
            (Method::GET, "/healthz") => json(StatusCode::OK, &json!({"service": self.name})),
            (Method::GET, "/ledger") => json(StatusCode::OK, &self.services.ledger(&self.name)),
            (Method::GET, "/fault") => self.fault(),
            (Method::PUT | Method::POST, "/fault") => {
                // Half a word is none.
                let word = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                self.turn(&String::from_utf8_lossy(&word)).await
            }
            _ => json(StatusCode::NOT_FOUND, &json!({"error": "GET /ledger, GET /fault, PUT /fault, GET /healthz"})),
        }
    }

    /// Moves the switch.
    async fn turn(&self, word: &str) -> Response<Body> {
        let ailment = match word.parse::<Ailment>() {
            Ok(ailment) => ailment,
            Err(error) => return json(StatusCode::BAD_REQUEST, &json!({"error": format!("{error:#}")})),
        };
        self.services.suffer(ailment).await;
        *self.ailment.lock().unwrap_or_else(PoisonError::into_inner) = ailment;
        self.fault()
    }

    fn fault(&self) -> Response<Body> {
        let ailment = *self.ailment.lock().unwrap_or_else(PoisonError::into_inner);
        json(StatusCode::OK, &json!({"service": self.name, "fault": ailment.to_string()}))
    }
}

impl Service for Control {
    fn port(&self) -> &Port {
        &self.port
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream) {
        serve::http(tcp, |_, request| {
            let control = Arc::clone(&self);
            async move { control.answer(request).await }
        })
        .await;
    }
}

fn json(status: StatusCode, body: &Value) -> Response<Body> {
    let bytes = Bytes::from(format!("{body}\n"));
    let mut response = Response::new(Full::new(bytes).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
