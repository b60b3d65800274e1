//! Listening, refusing, and sending each request to the fault that awaits it.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fault::{Fault, Grpc};
use super::ledger::Ledger;
use super::reply::{self, Body};
use super::stream::{Hangup, Stream};
use crate::{TestResult, runtime};

const BACKLOG: u32 = 1024;

/// Everything that the handle, the listener and the requests share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) ledger: Arc<Ledger>,
    switches: Mutex<Switches>,
    /// What the listener shall do.
    pub(super) mode: watch::Sender<Mode>,
    /// What it does.
    is: watch::Sender<Mode>,
}

#[derive(Clone, Debug)]
pub(super) struct Switches {
    pub(super) fault: Fault,
    pub(super) health: Fault,
    pub(super) grpc: Grpc,
    /// Further headers of every answer.
    pub(super) headers: HeaderMap,
}

/// The listener's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Serving,
    Refusing,
    Stopped,
}

/// Binds a port and serves it in the background.
pub(super) fn start(name: &str) -> TestResult<Arc<State>> {
    let _reactor = runtime::handle().enter();
    let listener = bind(0).and_then(|socket| socket.listen(BACKLOG)).context("listening on 127.0.0.1")?;
    let state = Arc::new(State {
        name: name.into(),
        port: listener.local_addr()?.port(),
        ledger: Arc::default(),
        switches: Mutex::new(Switches {
            fault: Fault::Healthy,
            health: Fault::Healthy,
            grpc: Grpc::Ok,
            headers: HeaderMap::new(),
        }),
        mode: watch::Sender::new(Mode::Serving),
        is: watch::Sender::new(Mode::Serving),
    });
    runtime::spawn(live(Arc::clone(&state), listener));
    Ok(state)
}

// === impl State ===

impl State {
    pub(super) fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn set_fault(&self, fault: Fault) {
        let mode = if fault == Fault::Refuse { Mode::Refusing } else { Mode::Serving };
        self.switches().fault = fault;
        self.mode.send_replace(mode);
        // An error means that the listener is gone; then nothing is left to wait for.
        drop(self.is.subscribe().wait_for(|is| *is == mode || *is == Mode::Stopped).await);
    }

    pub(super) fn stop(&self) {
        self.mode.send_replace(Mode::Stopped);
    }

    async fn until(&self, wanted: impl Fn(Mode) -> bool) -> Mode {
        self.mode.subscribe().wait_for(|mode| wanted(*mode)).await.map_or(Mode::Stopped, |mode| *mode)
    }
}

/// The listener's life: serving and refusing by turns until it is stopped.
async fn live(state: Arc<State>, mut listener: TcpListener) {
    loop {
        let connections = serve(&state, &listener);
        tokio::select! {
            () = connections => {}
            _ = state.until(|mode| mode != Mode::Serving) => {}
        }
        drop(listener);
        let Ok(next) = refuse(&state).await else { break };
        listener = next;
        state.is.send_replace(Mode::Serving);
    }
    state.is.send_replace(Mode::Stopped);
}

/// Accepts until dropped; the connections end with it.
async fn serve(state: &Arc<State>, listener: &TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((tcp, _)) = accepted {
                    connections.spawn(connection(tcp, Arc::clone(state)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Keeps the port, bound but not listening, until it shall be served again.
async fn refuse(state: &State) -> io::Result<TcpListener> {
    let socket = bind(state.port)?;
    state.is.send_replace(Mode::Refusing);
    match state.until(|mode| mode != Mode::Refusing).await {
        Mode::Serving => socket.listen(BACKLOG),
        _ => Err(io::ErrorKind::Interrupted.into()),
    }
}

fn bind(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

async fn connection(tcp: TcpStream, state: Arc<State>) {
    // Only costs latency where it fails.
    drop(tcp.set_nodelay(true));
    let hangup = Arc::new(Hangup::default());
    let stream = TokioIo::new(Stream::new(tcp, Arc::clone(&hangup)));
    let rude = Arc::clone(&hangup);
    let service = service_fn(move |request| answer(Arc::clone(&state), Arc::clone(&rude), request));
    let builder = Builder::new(TokioExecutor::new());
    let served = builder.serve_connection_with_upgrades(stream, service);
    tokio::select! {
        // How a connection ends is the peer's affair.
        ended = served => drop(ended),
        () = hangup.wanted() => {}
    }
}

async fn answer(
    state: Arc<State>,
    hangup: Arc<Hangup>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut response = match request.uri().path() {
        "/control" => reply::control(&state, request.uri().query().unwrap_or("")).await,
        "/healthz" => health(&state, &hangup, request).await,
        _ => visit(&state, &hangup, request).await,
    };
    reply::sign(&mut response, &state.name);
    Ok(response)
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
