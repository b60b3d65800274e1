//! A connection that can be ended rudely.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// The means to end one connection from inside a request on it.
#[derive(Debug, Default)]
pub(crate) struct Hangup {
    reset: AtomicBool,
    wanted: Notify,
}

/// A TCP stream that is closed with RST when its [`Hangup`] says so.
pub(super) struct Stream {
    tcp: TcpStream,
    hangup: Arc<Hangup>,
}

// === impl Hangup ===

impl Hangup {
    /// Ends the connection with a reset.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
        self.wanted.notify_one();
    }

    /// Waits until someone wants the connection to end.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(tcp: TcpStream, hangup: Arc<Hangup>) -> Self {
        Self { tcp, hangup }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.hangup.reset.load(Ordering::Relaxed) {
            // Without it the close is a polite FIN; the peer sees an end either way.
            drop(self.tcp.set_zero_linger());
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
