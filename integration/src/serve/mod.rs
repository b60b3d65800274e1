//! A port that serves, refuses and serves again: what the services of the tests stand on, on 127.0.0.1, and those in containers.

mod http;
mod stream;
mod websocket;

pub(crate) use http::{Body, http};
pub(crate) use stream::Hangup;
pub(crate) use websocket::{Socket, is_upgrade, web_socket};

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::port::{address, bind};
use crate::{TestResult, runtime};

const BACKLOG: u32 = 1024;

/// Where a service listens, or doesn't. The port stays the same, and stays ours.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    /// What the listener shall do.
    mode: watch::Sender<Mode>,
    /// What it does.
    is: watch::Sender<Mode>,
}

/// The listener's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Serving,
    Refusing,
    Stopped,
}

/// A service on a port.
pub(crate) trait Service: Send + Sync + 'static {
    /// Its port.
    fn port(&self) -> &Port;

    /// Serves one connection. Dropped, with the connection, when the port serves no more.
    fn connection(self: Arc<Self>, tcp: TcpStream) -> impl Future<Output = ()> + Send;
}

/// Binds a port of 127.0.0.1 that the kernel chooses, and serves it in the background until [`Port::stop`].
pub(crate) fn start<S: Service>(make: impl FnOnce(Port) -> S) -> TestResult<Arc<S>> {
    start_at(address(0), make)
}

/// The same at an address that is known beforehand, as in a container.
pub(crate) fn start_at<S: Service>(wanted: SocketAddr, make: impl FnOnce(Port) -> S) -> TestResult<Arc<S>> {
    let _reactor = runtime::handle().enter();
    let listening = bind(wanted).and_then(|socket| socket.listen(BACKLOG));
    let listener = listening.with_context(|| format!("listening on {wanted}"))?;
    let address = listener.local_addr()?;
    let port = Port { address, mode: watch::Sender::new(Mode::Serving), is: watch::Sender::new(Mode::Serving) };
    let service = Arc::new(make(port));
    runtime::spawn(live(Arc::clone(&service), listener));
    Ok(service)
}

// === impl Port ===

impl Port {
    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        self.address.port()
    }

    /// Serves, or cuts all connections and refuses new ones; in effect when this returns.
    pub(crate) async fn serve(&self, serving: bool) {
        let mode = if serving { Mode::Serving } else { Mode::Refusing };
        self.mode.send_replace(mode);
        // An error means that the listener is gone; then nothing is left to wait for.
        drop(self.is.subscribe().wait_for(|is| *is == mode || *is == Mode::Stopped).await);
    }

    /// Ends it for good, soon.
    pub(crate) fn stop(&self) {
        self.mode.send_replace(Mode::Stopped);
    }

    /// Ends when the port serves no more: for what outlives its connection's task, as upgraded connections do.
    pub(crate) fn interrupted(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut mode = self.mode.subscribe();
        async move { drop(mode.wait_for(|mode| *mode != Mode::Serving).await) }
    }

    async fn until(&self, wanted: impl Fn(Mode) -> bool) -> Mode {
        self.mode.subscribe().wait_for(|mode| wanted(*mode)).await.map_or(Mode::Stopped, |mode| *mode)
    }
}

/// The listener's life: serving and refusing by turns until it is stopped.
async fn live<S: Service>(service: Arc<S>, mut listener: TcpListener) {
    let port = service.port();
    loop {
        let connections = serve(&service, &listener);
        tokio::select! {
            () = connections => {}
            _ = port.until(|mode| mode != Mode::Serving) => {}
        }
        drop(listener);
        let Ok(next) = refuse(port).await else { break };
        listener = next;
        port.is.send_replace(Mode::Serving);
    }
    port.is.send_replace(Mode::Stopped);
}

/// Accepts until dropped; the connections end with it.
async fn serve<S: Service>(service: &Arc<S>, listener: &TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((tcp, _)) = accepted {
                    // Only costs latency where it fails.
                    drop(tcp.set_nodelay(true));
                    connections.spawn(Arc::clone(service).connection(tcp));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Keeps the port, bound but not listening, until it shall be served again.
async fn refuse(port: &Port) -> io::Result<TcpListener> {
    let socket = bind(port.address)?;
    port.is.send_replace(Mode::Refusing);
    match port.until(|mode| mode != Mode::Refusing).await {
        Mode::Serving => socket.listen(BACKLOG),
        _ => Err(io::ErrorKind::Interrupted.into()),
    }
}
