//! A board of messages, for whoever wants to know what becomes of long streams.
//!
//! | request | answer |
//! |---|---|
//! | `/ws` with an upgrade | a WebSocket: each message is put up, and acknowledged with its number |
//! | GET any other path | a stream of events: each message with its number as `id`, from the one after `last-event-id` on, or from now on |
//!
//! Numbers are consecutive. A message that is sent again has the number that it has: who got no acknowledgement may repeat it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use crate::TestResult;
use crate::serve::{self, Body, Port, Service, Socket};

/// A running board; dropping it ends it.
#[derive(Debug)]
pub struct Board(Arc<State>);

#[derive(Debug)]
struct State {
    port: Port,
    messages: Mutex<Messages>,
    /// How many there are.
    count: watch::Sender<usize>,
}

/// In the order of their numbers, which begin with 1.
#[derive(Debug, Default)]
struct Messages {
    texts: Vec<String>,
    numbers: BTreeMap<String, usize>,
}

// === impl Board ===

impl Board {
    /// Binds the address and serves it in the background.
    ///
    /// # Errors
    /// When something else listens there.
    pub fn start_at(address: SocketAddr) -> TestResult<Self> {
        let (messages, count) = (Mutex::default(), watch::Sender::new(0));
        serve::start_at(address, |port| State { port, messages, count }).map(Self)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.0.port.number()
    }

    /// How many messages are on it.
    pub fn count(&self) -> usize {
        self.0.messages().texts.len()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.0.port.stop();
    }
}

// === impl Messages ===

impl Messages {
    /// The number of this text, old or new.
    fn put(&mut self, text: &str) -> usize {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), self.texts.len());
        self.texts.len()
    }
}

// === impl State ===

impl State {
    fn messages(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, text: &str) -> usize {
        let (number, count) = {
            let mut messages = self.messages();
            (messages.put(text), messages.texts.len())
        };
        // Two may come here in the other order; what is there stays there.
        self.count.send_if_modified(|known| std::mem::replace(known, count.max(*known)) < count);
        number
    }

    /// As it appears in a stream, once it is there.
    async fn event(&self, number: usize) -> Bytes {
        // The sender lives as long as this does.
        drop(self.count.subscribe().wait_for(|count| *count >= number).await);
        let text = self.messages().texts.get(number.saturating_sub(1)).cloned().unwrap_or_default();
        Bytes::from(format!("id: {number}\ndata: {text}\n\n"))
    }

    async fn listen(self: Arc<Self>, mut socket: Socket) {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let number = self.put(text.as_str());
            if socket.send(Message::text(number.to_string())).await.is_err() {
                return;
            }
        }
    }

    fn events(self: Arc<Self>, request: &Request<Incoming>) -> Response<Body> {
        let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
        let first = last.unwrap_or_else(|| self.messages().texts.len()) + 1;
        let events = stream::unfold((self, first), |(board, number)| async move {
            let event = board.event(number).await;
            Some((Ok::<_, Infallible>(Frame::data(event)), (board, number + 1)))
        });
        // A head that waits for the first message would tell nobody that the stream is there.
        let hello = stream::once(async { Ok(Frame::data(Bytes::from_static(b": hello\n\n"))) });
        let mut response = Response::new(StreamBody::new(hello.chain(events)).map_err(|never| match never {}).boxed());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response
    }
}

impl Service for State {
    fn port(&self) -> &Port {
        &self.port
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream) {
        serve::http(tcp, |_, request| {
            let board = Arc::clone(&self);
            async move {
                if serve::is_upgrade(&request) {
                    let interrupted = board.port.interrupted();
                    return serve::web_socket(request, interrupted, |socket| board.listen(socket));
                }
                board.events(&request)
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Call;
    use crate::client::{Sse, WebSocket};

    const SOON: Duration = Duration::from_secs(10);

    fn read(stream: &mut Sse) -> TestResult<(String, String)> {
        loop {
            let event = stream.next(SOON)?.expect("it goes on");
            if let Some(number) = event.id {
                return Ok((number, event.data));
            }
        }
    }

    fn pair(number: &str, text: &str) -> (String, String) {
        (number.into(), text.into())
    }

    #[test]
    fn who_comes_again_misses_nothing() -> TestResult {
        let board = Board::start_at("127.0.0.1:0".parse()?)?;
        let mut writer = WebSocket::open(board.port(), "/ws")?;
        assert_eq!(writer.echo("before anybody looks")?, "1");
        let mut stream = Sse::open(board.port(), "/")?;
        assert_eq!((writer.echo("hello")?, writer.echo("again")?), ("2".into(), "3".into()));
        assert_eq!((read(&mut stream)?, read(&mut stream)?), (pair("2", "hello"), pair("3", "again")));
        drop(stream);
        writer.echo("meanwhile")?;
        let mut stream = Sse::from_call(&Call::get(board.port(), "/").header("last-event-id", "3"))?;
        assert_eq!(read(&mut stream)?, pair("4", "meanwhile"));
        Ok(())
    }

    #[test]
    fn who_repeats_a_message_gets_the_number_that_it_has() -> TestResult {
        let board = Board::start_at("127.0.0.1:0".parse()?)?;
        let mut writer = WebSocket::open(board.port(), "/ws")?;
        assert_eq!((writer.echo("once")?, writer.echo("once")?, board.count()), ("1".into(), "1".into(), 1));
        Ok(())
    }
}
