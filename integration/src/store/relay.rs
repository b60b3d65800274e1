//! A wire that can be cut: every byte of a store's connections goes through it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::port::address;
use crate::serve::{self, Port, Service};
use crate::{TestResult, runtime};

const CHUNK: usize = 16_384;

/// A port of 127.0.0.1 behind which is another one. It keeps half-closes apart, as the tunnel needs them.
#[derive(Debug)]
pub struct Relay(Arc<Wire>);

#[derive(Debug)]
struct Wire {
    port: Port,
    to: u16,
    blocked: watch::Sender<bool>,
    /// Bytes of replies that a connection still gets.
    replies: AtomicU64,
}

// === impl Relay ===

impl Relay {
    /// A wire to this port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn to(port: u16) -> TestResult<Self> {
        let wire =
            |own| Wire { port: own, to: port, blocked: watch::Sender::new(false), replies: AtomicU64::new(u64::MAX) };
        serve::start(wire).map(Self)
    }

    /// Its own end.
    pub fn port(&self) -> u16 {
        self.0.port.number()
    }

    /// Cuts all connections, and refuses new ones until [`Relay::mend`].
    pub fn cut(&self) {
        runtime::block_on(self.0.port.serve(false));
    }

    /// Lets connections stand and no byte through until [`Relay::mend`]: a store that is taken for alive and never answers.
    pub fn block(&self) {
        self.0.blocked.send_replace(true);
    }

    /// Ends each connection after so many bytes of replies until [`Relay::mend`]: what is cut short looks like an end.
    pub fn cut_replies_after(&self, bytes: u64) {
        self.0.replies.store(bytes, Ordering::Relaxed);
    }

    /// All is well again; what a blocked connection held back goes through now.
    pub fn mend(&self) {
        self.cut_replies_after(u64::MAX);
        self.0.blocked.send_replace(false);
        runtime::block_on(self.0.port.serve(true));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.port.stop();
    }
}

// === impl Wire ===

impl Service for Wire {
    fn port(&self) -> &Port {
        &self.port
    }

    async fn connection(self: Arc<Self>, near: TcpStream) {
        let Ok(far) = TcpStream::connect(address(self.to)).await else { return };
        let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
        let replies = self.replies.load(Ordering::Relaxed);
        let there = self.carry(near_read, far_write, u64::MAX);
        let back = self.carry(far_read, near_write, replies);
        if replies == u64::MAX {
            // How it ends is the affair of the two ends.
            drop(tokio::join!(there, back));
        } else {
            // Whoever has got his share is left.
            tokio::select! { end = back => drop(end), Err(_) = there => {} }
        }
    }
}

impl Wire {
    /// Carries bytes until the end of `from`, or so many, and passes the end on.
    async fn carry(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        mut most: u64,
    ) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        while most > 0 {
            let count = from.read(&mut chunk).await?;
            // The sender lives in `self`, so this waits and can't fail.
            drop(self.blocked.subscribe().wait_for(|blocked| !blocked).await);
            if count == 0 {
                break;
            }
            let count = count.min(usize::try_from(most).unwrap_or(CHUNK));
            to.write_all(&chunk[..count]).await?;
            most -= count as u64;
        }
        to.shutdown().await
    }
}
