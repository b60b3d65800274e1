//! A stream of events, watched while the test does something else.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{HeaderMap, Version};
use tokio::task::JoinHandle;

use super::Call;
use super::call::{causes, cut_quietly};
use crate::{TestResult, runtime};

/// An open stream; dropping it closes it.
#[derive(Debug)]
pub struct Sse {
    /// HTTP status of the stream's head.
    pub status: u16,
    /// Headers of the stream's head.
    pub headers: HeaderMap,
    arrivals: Receiver<Arrival>,
    reader: JoinHandle<()>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Time since the request was sent.
    pub at: Duration,
    /// What is behind `id:`, for the `last-event-id` of who comes again.
    pub id: Option<String>,
    /// The text behind `data:`.
    pub data: String,
    /// The wait of `retry:` before one comes again, in milliseconds.
    pub retry: Option<u64>,
}

/// All that came of a stream.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The events in order.
    pub events: Vec<Event>,
    /// `None` after a clean end, else how it was cut.
    pub cut: Option<String>,
}

#[derive(Debug)]
enum Arrival {
    Event(Event),
    Cut(String),
}

// === impl Sse ===

impl Sse {
    /// Opens a stream with a GET over HTTP/1, for example `/sse?events=40&every_ms=50` of an [`Upstream`](crate::Upstream).
    ///
    /// # Errors
    /// When no head comes within 10 s. A status is never an error.
    pub fn open(port: u16, path: &str) -> TestResult<Self> {
        Self::from_call(&Call::get(port, path))
    }

    /// Opens a stream with any call, for example over HTTP/2.
    ///
    /// # Errors
    /// As [`Sse::open`].
    pub fn from_call(call: &Call) -> TestResult<Self> {
        let start = Instant::now();
        let head = runtime::block_on(async { tokio::time::timeout(Duration::from_secs(10), call.open()).await });
        let (head, body) = head.context("no head within 10 s")??.into_parts();
        let (send, arrivals) = channel();
        let reader = runtime::spawn(read(head.version, body, start, move |arrival| send.send(arrival).is_ok()));
        Ok(Self { status: head.status.as_u16(), headers: head.headers, arrivals, reader })
    }

    /// The next event; `None` after a clean end.
    ///
    /// # Errors
    /// When the stream was cut, or nothing came within `deadline`.
    pub fn next(&mut self, deadline: Duration) -> TestResult<Option<Event>> {
        match self.arrivals.recv_timeout(deadline) {
            Ok(Arrival::Event(event)) => Ok(Some(event)),
            Ok(Arrival::Cut(how)) => bail!("the stream was cut: {how}"),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("no event within {deadline:?}"),
        }
    }

    /// Everything until the stream's end.
    ///
    /// # Errors
    /// When it goes on after `deadline`.
    pub fn finish(self, deadline: Duration) -> TestResult<Transcript> {
        let end = Instant::now() + deadline;
        let mut events = Vec::new();
        loop {
            match self.arrivals.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Arrival::Event(event)) => events.push(event),
                Ok(Arrival::Cut(how)) => return Ok(Transcript { events, cut: Some(how) }),
                Err(RecvTimeoutError::Disconnected) => return Ok(Transcript { events, cut: None }),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(anyhow!("the stream goes on after {deadline:?} ({} events)", events.len()));
                }
            }
        }
    }
}

impl Drop for Sse {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(version: Version, mut body: Incoming, start: Instant, forward: impl Fn(Arrival) -> bool) {
    let mut pending = String::new();
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => pending.push_str(&String::from_utf8_lossy(&data)),
            Ok(Err(_trailers)) => {}
            Err(error) => {
                forward(Arrival::Cut(causes(&error)));
                return;
            }
        }
        while let Some(event) = take_event(&mut pending, start.elapsed()) {
            if !forward(Arrival::Event(event)) {
                return;
            }
        }
    }
    if cut_quietly(version, &body) {
        forward(Arrival::Cut("the HTTP/2 stream was reset".into()));
    }
}

/// Takes one event (lines up to an empty one) off the front.
fn take_event(pending: &mut String, at: Duration) -> Option<Event> {
    let end = pending.find("\n\n")?;
    let block: String = pending.drain(..end + 2).collect();
    let id = field(&block, "id:").last().map(str::to_owned);
    let data = field(&block, "data:").collect::<Vec<_>>().join("\n");
    let retry = field(&block, "retry:").last().and_then(|wait| wait.parse().ok());
    Some(Event { at, id, data, retry })
}

/// The values of a field, in order.
fn field<'a>(block: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    block.lines().filter_map(move |line| line.strip_prefix(name)).map(str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_one_by_one() {
        let mut pending = "id: 1\ndata: a\ndata: b\n\nretry: 1500\ndata: c\n\ndata: d".to_owned();
        let mut taken = || take_event(&mut pending, Duration::ZERO).map(|event| (event.id, event.data, event.retry));
        assert_eq!(taken(), Some((Some("1".into()), "a\nb".into(), None)));
        assert_eq!(taken(), Some((None, "c".into(), Some(1500))));
        assert_eq!(taken(), None);
    }
}
