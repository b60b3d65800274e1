//! Clients of long streams: some read events, some write, with a WebSocket each, at the board behind the gateways.
//!
//! Whose stream ends comes again, at the other gateway where the first one gave no answer: a reader from the last event that it has
//! (`last-event-id`), after the wait that it was told (`retry:`); a writer with the message that nobody has acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use super::super::Leg;
use super::Load;
use super::nodes::{Node, Nodes};
use crate::client::{Sse, WebSocket};
use crate::{Call, TestResult};

const PATH: &str = "/board";
/// Between two messages of a writer.
const PACE: Duration = Duration::from_millis(250);
/// Before one comes again that was told no other time.
const AGAIN: Duration = Duration::from_millis(200);
/// A reader looks at the clock so often.
const LOOK: Duration = Duration::from_millis(500);
/// What was acknowledged may still be on its way to readers.
const PATIENCE: Duration = Duration::from_secs(10);

/// What all of them share.
struct Streams<S> {
    nodes: Arc<Nodes>,
    start: Instant,
    /// When writers stop.
    end: Duration,
    /// Messages begin so: the board remembers those of earlier loads.
    name: String,
    /// The highest number that was acknowledged.
    acknowledged: AtomicU64,
    see: S,
}

/// Starts as many readers and writers at each gateway as the load says.
pub(super) fn start<S>(nodes: &Arc<Nodes>, load: &Load, start: Instant, see: S) -> Vec<JoinHandle<()>>
where
    S: Fn(&Leg) + Send + Sync + 'static,
{
    let (end, name, acknowledged) = (Duration::from_secs(load.seconds.into()), load.name.clone(), AtomicU64::new(0));
    let streams = Arc::new(Streams { nodes: Arc::clone(nodes), start, end, name, acknowledged, see });
    let clients = (0..load.streams as usize * nodes.len()).flat_map(|n| [(n, true), (n, false)]);
    let client = |(n, reads)| {
        let streams = Arc::clone(&streams);
        thread::spawn(move || if reads { streams.read(n) } else { streams.write(n) })
    };
    clients.map(client).collect()
}

// === impl Streams ===

impl<S: Fn(&Leg)> Streams<S> {
    /// A reader's life.
    fn read(&self, n: usize) {
        let (mut last, mut attempt) = (None, 0);
        while !self.has_enough(last) {
            let node = self.nodes.choose(n, attempt);
            let mut call = Call::get(node.port(), PATH).address(node.address()).fresh_connection();
            if let Some(last) = last {
                call = call.header("last-event-id", u64::to_string(&last));
            }
            let opened = Sse::from_call(&call).ok().filter(|stream| stream.status == 200);
            node.heard(opened.is_some());
            let mut wait = AGAIN;
            if let Some(stream) = opened {
                let mut leg = self.leg(format!("reader {n}"), true, node);
                let told = self.follow(stream, &mut leg, last);
                last = leg.messages.last().map(|(number, _)| *number).or(last);
                leg.until = self.start.elapsed();
                (self.see)(&leg);
                node.heard(leg.cut.is_none());
                wait = told.unwrap_or(wait);
            }
            sleep(wait);
            attempt += 1;
        }
    }

    /// Reads until the end; how long to wait before one comes again.
    fn follow(&self, mut stream: Sse, leg: &mut Leg, mut last: Option<u64>) -> Option<Duration> {
        let mut told = None;
        while !self.has_enough(last) {
            match stream.next(LOOK) {
                Ok(Some(event)) => {
                    told = event.retry.map(Duration::from_millis).or(told);
                    leg.told |= event.retry.is_some();
                    if let Some(number) = event.id.and_then(|id| id.parse().ok()) {
                        last = Some(number);
                        leg.messages.push((number, event.data));
                    }
                }
                Ok(None) => {
                    leg.cut = Some("it ended".to_owned());
                    break;
                }
                Err(error) if error.to_string().starts_with("no event") => {}
                Err(error) => {
                    leg.cut = Some(format!("{error:#}"));
                    break;
                }
            }
        }
        told
    }

    /// Whether a reader that has come so far is through: writers are, and it has all of theirs.
    fn has_enough(&self, last: Option<u64>) -> bool {
        let now = self.start.elapsed();
        let has_all = last.is_some_and(|last| last >= self.acknowledged.load(Ordering::Relaxed));
        (now > self.end + Duration::from_secs(1) && has_all) || now > self.end + PATIENCE
    }

    /// A writer's life.
    fn write(&self, n: usize) {
        let (mut message, mut attempt) = (0_u64, 0);
        while self.start.elapsed() <= self.end {
            let node = self.nodes.choose(n, attempt);
            let opened = WebSocket::open_at((node.address(), node.port()).into(), PATH).ok();
            node.heard(opened.is_some());
            if let Some(mut socket) = opened {
                let mut leg = self.leg(format!("writer {n}"), false, node);
                while leg.cut.is_none() && self.start.elapsed() <= self.end {
                    let text = format!("{} writer {n}: {message}", self.name);
                    match self.put(&mut socket, &text) {
                        Ok(number) => {
                            leg.messages.push((number, text));
                            message += 1;
                            sleep(PACE);
                        }
                        Err(error) => leg.cut = Some(format!("{error:#}")),
                    }
                }
                leg.until = self.start.elapsed();
                node.heard(leg.cut.is_none());
                (self.see)(&leg);
            }
            sleep(AGAIN);
            attempt += 1;
        }
    }

    fn put(&self, socket: &mut WebSocket, text: &str) -> TestResult<u64> {
        let number = socket.echo(text)?.parse()?;
        self.acknowledged.fetch_max(number, Ordering::Relaxed);
        Ok(number)
    }

    fn leg(&self, client: String, reads: bool, node: &Node) -> Leg {
        let at = self.start.elapsed();
        Leg { client, reads, node: node.name().to_owned(), at, until: at, told: false, messages: Vec::new(), cut: None }
    }
}
