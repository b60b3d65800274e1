//! Sending each request to the fault that awaits it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use tokio::net::TcpStream;

use super::fault::{Answer, Fault, Grpc};
use super::ledger::Ledger;
use super::reply;
use crate::TestResult;
use crate::serve::{self, Body, Hangup, Port, Service};

/// Everything that the handle, the listener and the requests share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) port: Port,
    pub(super) ledger: Arc<Ledger>,
    switches: Mutex<Switches>,
}

#[derive(Clone, Debug)]
pub(super) struct Switches {
    pub(super) fault: Fault,
    pub(super) health: Fault,
    pub(super) grpc: Grpc,
    /// Whether gRPC's health service is there, and says that all is well.
    pub(super) serving: bool,
    /// In place of the usual JSON.
    pub(super) answer: Option<Answer>,
    /// Further headers of every answer.
    pub(super) headers: HeaderMap,
}

/// Binds a port and serves it in the background.
pub(super) fn start_at(name: &str, address: SocketAddr) -> TestResult<Arc<State>> {
    let healthy = Switches {
        fault: Fault::Healthy,
        health: Fault::Healthy,
        grpc: Grpc::Ok,
        serving: false,
        answer: None,
        headers: HeaderMap::new(),
    };
    let (name, ledger, switches) = (name.into(), Arc::default(), Mutex::new(healthy));
    serve::start_at(address, |port| State { name, port, ledger, switches })
}

// === impl State ===

impl State {
    pub(super) fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn set_fault(&self, fault: Fault) {
        let serving = fault != Fault::Refuse;
        self.switches().fault = fault;
        self.port.serve(serving).await;
    }
}

impl Service for State {
    fn port(&self) -> &Port {
        &self.port
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream) {
        serve::http(tcp, |hangup, request| answer(Arc::clone(&self), hangup, request)).await;
    }
}

async fn answer(state: Arc<State>, hangup: Arc<Hangup>, request: Request<Incoming>) -> Response<Body> {
    let mut response = match request.uri().path() {
        "/control" => reply::control(&state, request.uri().query().unwrap_or("")).await,
        "/healthz" => health(&state, &hangup, request).await,
        _ => visit(&state, &hangup, request).await,
    };
    reply::sign(&mut response, &state.name);
    response
}

async fn health(state: &Arc<State>, hangup: &Hangup, request: Request<Incoming>) -> Response<Body> {
    state.ledger.lock().health_checks += 1;
    let fault = state.switches().health.clone();
    meet(fault, hangup, state, request).await
}

async fn visit(state: &Arc<State>, hangup: &Hangup, request: Request<Incoming>) -> Response<Body> {
    let visit = state.ledger.enter(&request);
    let general = state.switches().fault.clone();
    let own = own_fault(&request);
    let fault: Fault = own.unwrap_or(general).at_turn(visit.turn);
    let mut response = meet(fault, hangup, state, request).await;
    response.headers_mut().extend(state.switches().headers.clone());
    reply::holding(response, visit)
}

/// The fault that a request brings along; its retries may bring one of their own.
fn own_fault(request: &Request<Incoming>) -> Option<Fault> {
    let named = |name: &str| request.headers().get(name)?.to_str().ok()?.parse().ok();
    let is_retry = request.headers().get("x-envoy-attempt-count").is_some_and(|count| count != "1");
    let of_retries = if is_retry { named("x-upstream-fault-of-retries") } else { None };
    of_retries.or_else(|| named("x-upstream-fault"))
}

async fn meet(fault: Fault, hangup: &Hangup, state: &Arc<State>, request: Request<Incoming>) -> Response<Body> {
    match fault {
        Fault::Healthy | Fault::Fail { .. } | Fault::Random { .. } => reply::healthy(state, request).await,
        Fault::Status(status) => reply::failure(status, request).await,
        Fault::Hang | Fault::Refuse => std::future::pending().await,
        Fault::Reset => {
            hangup.reset();
            std::future::pending().await
        }
        Fault::Slow(delay) => {
            tokio::time::sleep(delay).await;
            reply::healthy(state, request).await
        }
        Fault::Cut => reply::half(),
    }
}
