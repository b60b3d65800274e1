//! Ports of 127.0.0.1 that stay ours while nobody listens on them.
//!
//! A server that a test kills must come back on its port. In between the kernel gives that port to whoever connects to somewhere else next,
//! and a gateway opens hundreds of connections per second to its store. A socket that is bound and never listens keeps the port: servers set
//! `SO_REUSEADDR` (Envoy, Redis, memcached, Webdis and ours do) and are let in beside it, clients are refused.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpSocket;

use crate::TestResult;

/// Redis Cluster's nodes talk to each other on their port plus this.
const BUS: u16 = 10_000;
/// A pair of ports is found sooner: all but those above 55,535 have a partner, and nearly all partners are free.
const TRIES: usize = 100;

/// A port that nobody else gets as long as this lives.
#[derive(Debug)]
pub struct ReservedPort {
    number: u16,
    sockets: Vec<TcpSocket>,
}

// === impl ReservedPort ===

impl ReservedPort {
    /// One that the kernel chooses.
    ///
    /// # Errors
    /// When there is none left.
    pub fn new() -> TestResult<Self> {
        let socket = bind(address(0)).context("a port of 127.0.0.1")?;
        Ok(Self { number: socket.local_addr()?.port(), sockets: vec![socket] })
    }

    /// One for a node of a Redis Cluster, whose second port is reserved with it.
    pub(crate) fn with_bus() -> TestResult<Self> {
        let found = (0..TRIES).find_map(|_| {
            let mut port = Self::new().ok()?;
            port.sockets.push(bind(address(port.number.checked_add(BUS)?)).ok()?);
            Some(port)
        });
        found.context("no two ports of 127.0.0.1 that are 10,000 apart")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// A socket that doesn't listen yet. Port 0 lets the kernel choose.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The port's address on the loopback, which is all that a test ever needs.
pub(crate) fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
