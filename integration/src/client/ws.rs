//! A WebSocket that can be kept open while the proxy around it changes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures_util::SinkExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::{TestResult, runtime};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A client of `/ws` of an [`Upstream`](crate::Upstream), which echoes.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<TcpStream>,
}

// === impl WebSocket ===

impl WebSocket {
    /// Opens it.
    ///
    /// # Errors
    /// When the upgrade is refused (the error tells the status) or takes longer than 5 s.
    pub fn open(port: u16, path: &str) -> TestResult<Self> {
        Self::open_at((Ipv4Addr::LOCALHOST, port).into(), path)
    }

    /// Opens it on another machine, as for clients in a container.
    ///
    /// # Errors
    /// As [`WebSocket::open`].
    pub fn open_at(address: SocketAddr, path: &str) -> TestResult<Self> {
        let url = format!("ws://{address}{path}");
        let open = async {
            let tcp = TcpStream::connect(address).await.context("connecting")?;
            client_async(url, tcp).await.map_err(refused)
        };
        let opened = runtime::block_on(async { tokio::time::timeout(TIMEOUT, open).await });
        let (stream, _) = opened.context("no upgrade within 5 s")??;
        Ok(Self { stream })
    }

    /// Sends a text and returns what comes back.
    ///
    /// # Errors
    /// When the connection is gone, or nothing comes within 5 s.
    pub fn echo(&mut self, text: &str) -> TestResult<String> {
        let exchange = exchange(&mut self.stream, text);
        runtime::block_on(async { tokio::time::timeout(TIMEOUT, exchange).await }).context("no echo within 5 s")?
    }
}

async fn exchange(stream: &mut WebSocketStream<TcpStream>, text: &str) -> TestResult<String> {
    stream.send(Message::text(text)).await.context("sending")?;
    loop {
        match next(stream).await.context("the WebSocket ended")?? {
            Message::Text(text) => return Ok(text.to_string()),
            Message::Close(frame) => bail!("the WebSocket was closed: {frame:?}"),
            _control => {}
        }
    }
}

async fn next(stream: &mut WebSocketStream<TcpStream>) -> Option<Result<Message, Error>> {
    futures_util::StreamExt::next(stream).await
}

fn refused(error: Error) -> anyhow::Error {
    match error {
        Error::Http(answer) => anyhow!("the upgrade was answered with {}", answer.status()),
        other => anyhow!("no upgrade: {other}"),
    }
}
