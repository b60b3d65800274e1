//! The service behind the proxy: it answers each payment at once, and costs next to nothing beside the proxy.

use std::net::Ipv4Addr;
use std::thread;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::message;

/// What it says, as services say it: where the payment is, and a few bytes about it.
const ANSWER: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nlocation: /payments/4711\r\n\
    content-length: 44\r\n\r\n{\"payment\":\"4711\",\"state\":\"made\",\"cents\":1}\n";

/// Connections that may wait to be accepted: as many as come at once.
const BACKLOG: u32 = 1_024;

/// Starts it on a free port, which it gives. It lives as long as this process.
pub(crate) fn start() -> Result<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let listener = {
        let _inside = runtime.enter();
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).context("a port for the service")?;
        socket.listen(BACKLOG)?
    };
    let port = listener.local_addr()?.port();
    thread::Builder::new().name("service".into()).spawn(move || runtime.block_on(serve(listener)))?;
    Ok(port)
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream));
    }
}

/// Until the proxy has enough; whatever ends it shows in the answers that the clients get.
async fn connection(mut stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let mut buffer = Vec::with_capacity(8_192);
    while stream.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
        while let Some(end) = message::whole(&buffer) {
            buffer.drain(..end);
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_whole() {
        assert_eq!(message::whole(ANSWER), Some(ANSWER.len()));
    }
}
